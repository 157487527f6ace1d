"""SIGKILL while commitment is asked for: whatever was acknowledged is reported on, and no promise is false."""

import random
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from commitment_peers import ASKING, Archiver, Client, act, listening, tell
from isocenter import database, dimse
from isocenter.archive.commitment.asked import ENDED, Asked
from isocenter.archive.commitment.data import Reference, Requested, Result
from isocenter.declarations.commitment import Failure
from isocenter.dicom import uids
from isocenter.dicom.uids import STORAGE_COMMITMENT_PUSH as PUSH
from isocenter.dicom.uids import new_uid
from isocenter.dimse import Context, ProposedContext
from isocenter.errors import IsocenterError
from isocenter.exchange.committing import request
from peer_programs import configured
from senders import CT, sample
from servers import PATIENCE, Server, until

STORING = ProposedContext(CT, (uids.EXPLICIT_LE,))
QUICK = "commitment = { retry_delay = 0.2, retries = 1000, wait = 0.2 }"


class Modality:
    """Stores an object, asks for it and for one that never was, and again; notes what was acknowledged."""

    def __init__(self, server: Server, client: Client, number: int) -> None:
        self.stored: set[str] = set()
        self.asked: dict[str, set[str]] = {}
        self._server, self._client, self._number = server, client, number
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Modality":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE)

    def await_asked(self, more: int) -> None:
        """Wait until `more` requests than now are acknowledged."""
        with self._changed:
            goal = len(self.asked) + more
            assert self._changed.wait_for(lambda: len(self.asked) >= goal, PATIENCE)

    def _run(self) -> None:
        n = 0
        while not self._stop.is_set():
            try:
                with self._client.connect(self._server.dicom_port, ASKING, STORING) as line:
                    while not self._stop.is_set():
                        n += 1
                        self._one(line, n)
            except (IsocenterError, OSError):
                self._stop.wait(0.02)

    def _one(self, line: dimse.ClientAssociation, n: int) -> None:
        each = sample(n, sender=self._number)
        context = line.context_for(CT)
        if line.invoke(context.id, dimse.commands.store_rq(CT, each.instance), each.data).status == 0:
            self.stored.add(each.instance)
        transaction, named = new_uid(), [Reference(CT, each.instance), Reference(CT, f"{each.instance}.9")]
        if act(line, transaction, named).status == 0:
            with self._changed:
                self.asked[transaction] = {each.sop_uid for each in named}
                self._changed.notify_all()


def rounds(server: Server, client: Client, kill: Callable[[], None], n: int, seed: int) -> None:
    """Ask, kill, and look whether all that was acknowledged is reported on."""
    chance = random.Random(seed)
    stored: set[str] = set()
    asked: dict[str, set[str]] = {}
    for turn in range(n):
        with Modality(server, client, 10 * seed + turn) as modality:
            modality.await_asked(chance.randint(1, 40))
            kill()
        stored |= modality.stored
        asked |= modality.asked
    until(lambda: asked.keys() <= {told.said.transaction_uid for told in list(client.reports)}, told="all are reported")
    for told in client.reports:
        assert asked.get(told.said.transaction_uid, told.failures.keys()) == told.failures.keys()
        for sop_uid, failure in told.failures.items():
            if sop_uid in stored:
                assert failure == Failure.NONE, "what is acknowledged is there"
            elif failure == Failure.NONE:
                assert not sop_uid.endswith(".9"), "what never was can't be promised"


def installed(make_server: Callable[..., Server], tmp_path: Path, peer: Any) -> Server:
    """A server that knows the peer and is quick to try again."""
    return make_server(configured(tmp_path / "data", peer, ae=QUICK)).start()


@pytest.mark.req("X-QR-67", "I-COMMIT-01")
def test_every_acknowledged_request_is_reported_on(make_server: Callable[..., Server], tmp_path: Path) -> None:
    client = Client()
    with listening(client):
        server = installed(make_server, tmp_path, client.peer)

        def kill() -> None:
            server.kill()
            server.start()

        rounds(server, client, kill, n=3, seed=1)


@pytest.mark.parametrize("kind", ["dicom", "jobs"])
def test_one_kind_of_process_dies(make_server: Callable[..., Server], tmp_path: Path, kind: str) -> None:
    client = Client()
    with listening(client):
        server = installed(make_server, tmp_path, client.peer)
        rounds(server, client, lambda: server.await_restart(kind, server.kill_kind(kind)), n=1, seed=2)


class Reporter:
    """An archive that reports over associations of its own until it is heard."""

    def __init__(self, server: Server) -> None:
        self.server, self.threads = server, list[threading.Thread]()

    def __call__(self, association: Any, context: Context, asked: Requested) -> None:
        self.threads.append(threading.Thread(target=self._tell, args=(asked,)))
        self.threads[-1].start()

    def _tell(self, asked: Requested) -> None:
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit:
            try:
                if self._told(asked) == 0:
                    return
            except (IsocenterError, OSError):
                time.sleep(0.05)
        raise AssertionError("nobody took the report")

    def _told(self, asked: Requested) -> int:
        contexts = [ProposedContext(PUSH, (uids.EXPLICIT_LE,), scu=False, scp=True)]
        address = ("127.0.0.1", self.server.dicom_port)
        with dimse.connect(address, calling="ARCHIVER", called="ISOCENTER", contexts=contexts) as association:
            (context,) = association.contexts.values()
            results = [Result(*each, 0) for each in asked.references]
            return tell(association, context, asked.transaction_uid, results).status


def test_every_request_of_ours_ends(make_server: Callable[..., Server], tmp_path: Path) -> None:
    archiver = Archiver()
    with listening(archiver):
        server = installed(make_server, tmp_path, archiver.peer)
        archiver.then = reporter = Reporter(server)
        with closing(database.open(f"sqlite:///{server.data / 'index.db'}")) as index:
            asked, numbers = Asked(index), list[int]()
            for turn in range(2):
                for n in range(5):
                    numbers += request(asked, "ISOCENTER", "ARCHIVER", [Reference(CT, f"1.2.{turn}.{n}")])
                until(lambda want=5 * turn + 2: len(archiver.asked) >= want, told="some are asked")
                server.kill()
                server.start()
            until(lambda: all(state(asked, n) in ENDED for n in numbers), told="all ended")
            assert {state(asked, n) for n in numbers} == {"committed"}
        for thread in reporter.threads:
            thread.join(PATIENCE)


def state(asked: Asked, number: int) -> str:
    found = asked.get(number)
    assert found is not None
    return found.state


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(5))
def test_soak_every_acknowledged_request_is_reported_on(
    make_server: Callable[..., Server], tmp_path: Path, seed: int
) -> None:
    client = Client()
    with listening(client):
        server = installed(make_server, tmp_path, client.peer)

        def kill() -> None:
            server.kill()
            server.start()

        rounds(server, client, kill, n=20, seed=100 + seed)
