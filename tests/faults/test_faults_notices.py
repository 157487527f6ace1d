"""SIGKILL while studies become complete: each is told of to everybody, and of none twice as another notification."""

import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from isocenter import database, dimse
from isocenter.dicom import uids
from isocenter.dimse import ProposedContext, commands
from isocenter.errors import IsocenterError
from isocenter.workflow.notices.outgoing import Outgoing
from notified_peers import Told, Web, listening
from peer_programs import configured
from senders import CT, sample
from servers import PATIENCE, Server, until

_TELLS = """
[completeness]
quiet = 1

[[notice]]
kind = "availability"
to = ["TOLD"]
retry_delay = 0.1
retries = 1000

[[hook]]
url = "{url}"
name = "desk"
retry_delay = 0.1
retries = 1000
"""


class Sender:
    """Stores a study of one object after the other; notes what was acknowledged."""

    def __init__(self, server: Server) -> None:
        self.studies: set[str] = set()
        self._server, self._stop, self._changed = server, threading.Event(), threading.Condition()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Sender":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE)

    def await_more(self, n: int) -> None:
        """Wait until `n` more are acknowledged than now."""
        with self._changed:
            goal = len(self.studies) + n
            assert self._changed.wait_for(lambda: len(self.studies) >= goal, PATIENCE)

    def _run(self) -> None:
        n = 0
        while not self._stop.is_set():
            try:
                with self._connect() as association:
                    while not self._stop.wait(0.005):
                        n += 1
                        each = sample(100 * n)
                        context = association.context_for(CT)
                        command = commands.store_rq(CT, each.instance)
                        if association.invoke(context.id, command, each.data).status == 0:
                            self._note(each.study)
            except (IsocenterError, OSError):
                self._stop.wait(0.02)

    def _connect(self) -> dimse.ClientAssociation:
        context = ProposedContext(CT, (uids.EXPLICIT_LE,))
        address = ("127.0.0.1", self._server.dicom_port)
        return dimse.connect(address, calling="SENDER", called="ISOCENTER", contexts=[context])

    def _note(self, study: str) -> None:
        with self._changed:
            self.studies.add(study)
            self._changed.notify_all()


def test_every_study_is_told_of_once(make_server: Callable[..., Server], tmp_path: Path) -> None:
    told = Told()
    with Web(204) as web, listening(told):
        data = configured(tmp_path / "data", told.peer)
        with (data / "isocenter.toml").open("a") as file:
            file.write(_TELLS.format(url=web.url))
        server = make_server(data).start()
        with Sender(server) as sender:
            for kill in ("jobs", "all"):
                sender.await_more(15)
                assert told.arrived.acquire(timeout=PATIENCE)
                if kill == "all":
                    server.kill()
                    server.start()
                else:
                    server.await_restart(kill, server.kill_kind(kind=kill))
            sender.await_more(5)
        until(
            lambda: sender.studies <= {each.study_uid for each in list(told.messages)}, told="all are told to the peer"
        )
        until(
            lambda: sender.studies <= {each.said["study"]["StudyInstanceUID"] for each in list(web.calls)}, told="hooks"
        )
        with closing(database.open(data / "index.db")) as index:
            outgoing = Outgoing(index)
            until(lambda: {state for _, state in outgoing.counts()} == {"sent"}, told="all are noted as sent")
            rows = outgoing.latest(limit=100_000)
    assert len({(each.kind, each.study_uid) for each in rows}) == len(rows), "one for each study and destination"
    names = defaultdict(set)
    for message in told.messages:
        names[message.study_uid].add(message.sop_uid)
    for call in web.calls:
        names[call.said["study"]["StudyInstanceUID"], "hook"].add(call.said["id"])
    assert {len(each) for each in names.values()} == {1}, "what was told twice was told by the same name"
