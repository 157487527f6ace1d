"""Several who could own an SQLite index: one does, the others file through it; when it ends another takes over.

Two of them in one process conflict as two processes do: a lock of flock belongs to the open file.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from sqlalchemy import func, select

from arrivals import arrival
from isocenter import database
from isocenter.errors import Reason, Refused, Retriable
from isocenter.index import tables
from isocenter.index.records import Outcome
from isocenter.index.remote import RemoteWriter
from isocenter.index.shared import SharedWriter
from isocenter.index.writer import LocalWriter
from servers import until

PATIENCE = 60.0
_spawning = multiprocessing.get_context("spawn")


class Contenders:
    """Writers that want the same index, in this process; and processes that do."""

    def __init__(self, url: str, path: Path) -> None:
        self.url, self.path = url, path
        self.opened = database.open(url)
        self._made: list[tuple[SharedWriter, database.Database]] = []
        self._children: list[tuple[multiprocessing.process.BaseProcess, Connection]] = []

    def one(self) -> SharedWriter:
        """One more in this process, with a database of its own."""
        opened = database.open(self.url)
        self._made.append((SharedWriter(opened, self.path), opened))
        return self._made[-1][0]

    def close(self, writer: SharedWriter) -> None:
        """Within bounds."""
        closing = threading.Thread(target=writer.close, daemon=True)
        closing.start()
        closing.join(PATIENCE)
        assert not closing.is_alive(), "a writer does not close"
        for made in [made for made in self._made if made[0] is writer]:
            made[1].close()
            self._made.remove(made)

    def process(self) -> int:
        """One more in a process of its own that owns the index or waits to; its id."""
        ours, its = _spawning.Pipe()
        child = _spawning.Process(target=_contend, args=(self.url, str(self.path), its), daemon=True)
        child.start()
        self._children.append((child, ours))
        assert ours.poll(PATIENCE)
        ours.recv()
        return child.pid or 0

    def kill(self, pid: int) -> None:
        """SIGKILL one of `process`."""
        for child, ours in [each for each in self._children if each[0].pid == pid]:
            os.kill(pid, signal.SIGKILL)
            child.join(PATIENCE)
            ours.close()
            self._children.remove((child, ours))

    def owners(self) -> list[SharedWriter]:
        """Those of this process that own the index."""
        return [writer for writer, _ in self._made if writer.owner]

    def counts(self) -> list[int]:
        """Instances, changes, and the instances that the series count."""
        queries = [select(func.count()).select_from(each) for each in (tables.instance, tables.change)]
        with self.opened.reading() as connection:
            found = [connection.execute(query).scalar() or 0 for query in queries]
            return [*found, connection.execute(select(func.sum(tables.series.c.instances))).scalar() or 0]

    def end(self) -> None:
        """Close all, the owner last."""
        for writer in sorted((writer for writer, _ in self._made), key=lambda each: each.owner):
            self.close(writer)
        for child, _ in list(self._children):
            self.kill(child.pid or 0)
        self.opened.close()


def _contend(url: str, path: str, told: Connection) -> None:
    writer = SharedWriter(database.open(url), Path(path))
    told.send(writer.owner)
    threading.Event().wait()


@pytest.fixture
def contenders(sqlite_url: str, tmp_path: Path) -> Iterator[Contenders]:
    made = Contenders(sqlite_url, tmp_path / "index.sock")
    yield made
    made.end()


def verdicts(futures: list["Future[Outcome]"]) -> list[str]:
    return [future.result(PATIENCE).verdict for future in futures]


class Filing:
    """Threads that file one record after the other, each until it is filed, and note what they were told."""

    def __init__(self, writers: list[SharedWriter], each: int) -> None:
        self.stored: list[str] = []
        self._changed = threading.Condition()
        self._threads = ThreadPoolExecutor(len(writers))
        self._work = [self._threads.submit(self._file, n, writer, each) for n, writer in enumerate(writers)]

    def _file(self, study: int, writer: SharedWriter, each: int) -> None:
        for n in range(each):
            made, durable = arrival(study + 1, n % 3, n), []
            outcome = writer.file(made, lambda: durable.append(1))  # noqa: B023
            assert durable == [1]
            assert outcome.verdict == "stored"
            with self._changed:
                self.stored.append(made.sop_uid)
                self._changed.notify_all()

    def await_more(self, more: int) -> None:
        with self._changed:
            goal = len(self.stored) + more
            assert self._changed.wait_for(lambda: len(self.stored) >= goal, PATIENCE), len(self.stored)

    def end(self) -> int:
        """Wait for all; how many were stored."""
        for work in self._work:
            work.result(PATIENCE)
        self._threads.shutdown()
        return len(self.stored)


def test_one_owns_and_the_others_file_through_it(contenders: Contenders) -> None:
    first, second, third = (contenders.one() for _ in range(3))
    assert [first.owner, second.owner, third.owner] == [True, False, False]
    for n, writer in enumerate((first, second, third)):
        assert writer.file(arrival(1, 1, n)).verdict == "stored"
        assert verdicts([writer.submit(arrival(2, 1, n))]) == ["stored"]
        with pytest.raises(Refused):
            writer.file(arrival(3, 1, n, size=None))
    assert contenders.owners() == [first]
    assert contenders.counts() == [6, 6, 6]


def test_an_object_that_is_not_durable_is_not_filed(contenders: Contenders) -> None:
    def full() -> None:
        raise Retriable(Reason.OUT_OF_STORAGE, "the disk is full")

    for n, writer in enumerate([contenders.one(), contenders.one()]):
        with pytest.raises(Retriable, match="full"):
            writer.file(arrival(1, 1, n), full)
    assert contenders.counts() == [0, 0, 0]


def test_another_takes_over_from_one_that_closes(contenders: Contenders) -> None:
    first, second, third = (contenders.one() for _ in range(3))
    assert verdicts([each.submit(arrival(1, 1, n)) for n, each in enumerate((first, second, third))]) == ["stored"] * 3
    contenders.close(first)
    until(lambda: len(contenders.owners()) == 1, patience=PATIENCE, told="a successor")
    for n, writer in enumerate((second, third)):
        assert writer.file(arrival(2, 1, n)).verdict == "stored"
    contenders.close(contenders.owners()[0])
    until(lambda: len(contenders.owners()) == 1, patience=PATIENCE, told="the last one")
    (last,) = contenders.owners()
    assert last.file(arrival(3, 1, 1)).verdict == "stored"
    contenders.close(last)
    assert not contenders.path.exists()
    assert contenders.one().owner, "the lock is free again"
    assert contenders.counts() == [6, 6, 6]


def test_an_owner_that_closes_while_others_submit_loses_nothing(contenders: Contenders) -> None:
    owner, other = contenders.one(), contenders.one()
    assert other.file(arrival(9, 1, 1)).verdict == "stored"
    made = [arrival(n % 3, n % 2, n) for n in range(500)]
    half = threading.Event()

    def submit() -> list["Future[Outcome]"]:
        futures = []
        for n, each in enumerate(made):
            futures.append(other.submit(each))
            if n == len(made) // 2:
                half.set()
        return futures

    with ThreadPoolExecutor(1) as thread:
        submitting = thread.submit(submit)
        assert half.wait(PATIENCE)
        contenders.close(owner)
        assert verdicts(submitting.result(PATIENCE)) == ["stored"] * 500
    assert other.owner
    assert contenders.counts() == [501, 501, 501]


def test_an_owner_that_closes_under_load(contenders: Contenders) -> None:
    """Of two that file one takes over, and the other goes on through it: nothing is lost, nothing is there twice."""
    owner, one, other = (contenders.one() for _ in range(3))
    filing = Filing([one, one, other, other], each=120)
    filing.await_more(40)
    contenders.close(owner)
    filing.await_more(40)
    assert filing.end() == 480
    assert len(contenders.owners()) == 1
    assert contenders.counts() == [480, 480, 480]


@pytest.mark.req("M-STORE-02")
def test_an_owner_that_is_killed_under_load(contenders: Contenders) -> None:
    """What was in flight is filed once, by this process, which takes over."""
    owner = contenders.process()
    here = contenders.one()
    assert not here.owner
    filing = Filing([here] * 4, each=150)
    made = [arrival(50 + n % 2, 1, n) for n in range(300)]
    futures = [here.submit(each) for each in made]
    futures[0].result(PATIENCE)
    filing.await_more(50)
    contenders.kill(owner)
    filing.await_more(50)
    assert here.owner
    assert filing.end() == 600
    assert verdicts(futures) == ["stored"] * 300
    assert contenders.counts() == [900, 900, 900]


def test_an_owner_of_this_process_ends_and_another_process_takes_over(contenders: Contenders) -> None:
    """As web and jobs see it, which never own."""
    owner = contenders.one()
    successor = contenders.process()
    elsewhere = RemoteWriter(contenders.path)
    futures = [elsewhere.submit(arrival(1, n % 3, n)) for n in range(300)]
    futures[0].result(PATIENCE)
    contenders.close(owner)
    assert verdicts(futures) == ["stored"] * 300
    assert elsewhere.file(arrival(2, 1, 1)).verdict == "stored"
    contenders.kill(successor)
    assert contenders.one().owner
    assert elsewhere.file(arrival(2, 1, 2)).verdict == "stored"
    elsewhere.close()
    assert contenders.counts() == [302, 302, 302]


def test_who_can_not_open_the_index_does_not_keep_others_from_it(
    contenders: Contenders, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: object, **__: object) -> LocalWriter:
        raise OSError("no descriptors")

    with monkeypatch.context() as patch:
        patch.setattr("isocenter.index.shared.LocalWriter", away)
        poor = contenders.one()
        assert not poor.owner
        assert not contenders.path.exists(), "nobody waits at a socket that nobody reads"
    until(lambda: poor.owner, patience=PATIENCE, told="it tries again")
    assert poor.file(arrival()).verdict == "stored"
    assert "index.not_owned" in caplog.text


def test_closing_is_an_answer(contenders: Contenders) -> None:
    owner, other = contenders.one(), contenders.one()
    contenders.close(other)
    contenders.close(owner)
    for writer in (owner, other):
        made, durable = arrival(), []
        with pytest.raises(Retriable):
            writer.file(made, lambda: durable.append(1))  # noqa: B023
        assert durable == [1]
        assert isinstance(writer.submit(made).exception(PATIENCE), Retriable)
    assert contenders.counts() == [0, 0, 0]
