"""SIGKILL while modalities report: what was acknowledged is kept and passed on, once and in order."""

import random
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isocenter import dimse
from isocenter.dicom import dataset, uids
from isocenter.dimse import ProposedContext, commands
from isocenter.errors import IsocenterError
from peer_programs import configured
from procedure_steps import MPPS, RETRIEVE, Ris, begun, ended, tag, taking
from servers import PATIENCE, Server, until

CONTEXTS = [ProposedContext(uid, (uids.EXPLICIT_LE,)) for uid in (MPPS, RETRIEVE)]
CREATE, END = (dataset.encode(each, uids.EXPLICIT_LE) for each in (begun(), ended()))


class Station:
    """Begins and ends one step after the other; notes what was acknowledged. After a failure it goes on with another
    step."""

    def __init__(self, server: Server) -> None:
        self.acknowledged: dict[str, str] = {}
        self._server, self._stop, self._changed = server, threading.Event(), threading.Condition()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Station":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE)

    def await_more(self, n: int) -> None:
        """Wait until `n` more steps have ended than now."""
        with self._changed:
            goal = len(self.acknowledged) + n
            assert self._changed.wait_for(lambda: len(self.acknowledged) >= goal, PATIENCE)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with _connect(self._server) as association:
                    while not self._stop.is_set():
                        self._one(association)
            except (IsocenterError, OSError):
                self._stop.wait(0.02)

    def _one(self, association: dimse.ClientAssociation) -> None:
        uid = uids.new_uid()
        for invoke, data, state in (
            (association.n_create, CREATE, "IN PROGRESS"),
            (association.n_set, END, "COMPLETED"),
        ):
            if invoke(MPPS, uid, data).status == 0:
                with self._changed:
                    self.acknowledged[uid] = state
                    self._changed.notify_all()


def _connect(server: Server) -> dimse.ClientAssociation:
    address = ("127.0.0.1", server.dicom_port)
    return dimse.connect(address, calling="CT1", called="ISOCENTER", contexts=CONTEXTS)


class Once(Ris):
    """A peer that answers as the standard wants it: a step is created once and changed until it is over."""

    def perform(self, association: Any, context: Any, command: dimse.Command, sink: Any) -> None:
        """See `dimse.Service`."""
        created = commands.number(command, commands.COMMAND_FIELD) == commands.N_CREATE_RQ
        uid = commands.text(command, commands.AFFECTED_SOP_INSTANCE if created else commands.REQUESTED_SOP_INSTANCE)
        known = [each.operation for each in self.received if each.sop_uid == uid]
        if created and known:
            self.statuses, self._error_id = [0x0111], 0
        elif "set" in known:
            self.statuses, self._error_id = [0x0110], 0xA710
        elif not created and not known:
            self.statuses, self._error_id = [0x0112], 0
        else:
            self.statuses = [0]
        before = list(self.received)
        super().perform(association, context, command, sink)
        if self.statuses != [0]:
            self.received[:] = before


@pytest.mark.req("I-MPPS-03")
def test_killed_in_the_middle(make_server: Callable[..., Server], tmp_path: Path) -> None:
    peer = Once()
    with taking(peer):
        wanted = 'mpps = { forward = ["RIS"], retry_delay = 0.2, retries = 1000 }'
        server = make_server(configured(tmp_path / "data", peer.peer, ae=wanted)).start()
        with Station(server) as station:
            for _ in range(2):
                station.await_more(random.randint(5, 30))
                server.kill()
                server.start()
            station.await_more(5)
        with _connect(server) as association:
            for uid, state in station.acknowledged.items():
                response = association.n_get(RETRIEVE, uid, [tag("PerformedProcedureStepStatus")])
                assert response.status == 0, "an acknowledged step is lost"
                kept = dataset.string_of(dataset.decode(response.data or b"", uids.EXPLICIT_LE), 0x00400252)
                assert kept in (state, "COMPLETED")
        due = {uid: ["create", "set"][: 1 + (state == "COMPLETED")] for uid, state in station.acknowledged.items()}

        def told() -> dict[str, list[str]]:
            found: dict[str, list[str]] = defaultdict(list)
            for each in list(peer.received):
                found[each.sop_uid].append(each.operation)
            return found

        until(lambda: all(told()[uid][: len(said)] == said for uid, said in due.items()), told="all passed on")
        assert {tuple(said) for said in told().values()} <= {("create",), ("create", "set")}
