"""Objects that are acknowledged before they are filed: who searches sees them, and whatever the index says, none is
lost."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from archives import CT, Object, Running, keys, made, running, series_uid, study_uid
from isocenter.archive.ingest import Ingest, Origin
from isocenter.errors import Reason, Refused, Retriable
from isocenter.index.batches import Answer
from isocenter.index.behind import Behind, Files
from isocenter.index.records import Arrival
from isocenter.store.memory import MemoryStore
from isocenter.store.spool import FileSpool

ORIGIN = Origin("TESTER", "ISOCENTER", "127.0.0.1")
OTHER = b"\7\7" * 32


class Tally:
    """An account that nobody reads."""

    def acknowledged(self) -> None:
        """Nothing."""

    def filed(self, count: int) -> None:
        """Nothing."""

    def hurried(self) -> bool:
        """Nobody does."""
        return False


class Late:
    """Passes on once it is let; `answer` in the place of what the index says."""

    def __init__(self, index: Files, answer: Answer | None = None) -> None:
        self.let = threading.Event()
        self._index, self._answer = index, answer

    def file_all(self, records: Sequence[Arrival]) -> list[Answer]:
        assert self.let.wait(30)
        return [self._answer] * len(records) if self._answer else self._index.file_all(records)


@contextmanager
def late(archive: Running, answer: Answer | None = None) -> Iterator[tuple[Ingest, Behind, Late]]:
    """The same archive as another process has it whose rows come late."""
    index = Late(archive.ingest.writer, answer)  # type: ignore[arg-type]
    behind = Behind(archive.database, index, Tally())
    yield Ingest(archive.store, archive.ingest.writer, behind=behind), behind, index
    index.let.set()
    behind.close()


def kept(ingest: Ingest, each: Object) -> str:
    """Receive it; the verdict."""
    reception = ingest.receive(ORIGIN, each.sop_class, each.sop_uid, each.syntax)
    reception.write([each.data])
    return reception.finish().verdict


@pytest.mark.req("M-STORE-09")
def test_who_searches_sees_what_was_acknowledged_before(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url, behind=True) as archive:
        wanted = keys("IMAGE", StudyInstanceUID=study_uid(), SeriesInstanceUID=series_uid(), SOPInstanceUID="")
        for n in range(1, 9):
            archive.send(made(n))
            assert len(archive.find(wanted)) == n + 1


def test_nothing_is_filed_yet_when_the_answer_leaves(tmp_path: Path, sqlite_url: str) -> None:
    store = MemoryStore()
    with running(tmp_path, sqlite_url, store=store, behind=True) as archive:
        with late(archive) as (ingest, behind, index):
            assert kept(ingest, made(1)) == "stored"
            assert not archive.rows("instance")
            assert len(store.unsettled) == 1, "a recovery finds it"
            index.let.set()
            behind.drain()
        assert [row.sop_class for row in archive.rows("instance")] == [CT]
        assert not store.unsettled


@pytest.mark.parametrize("same", [True, False], ids=["the same", "another"])
def test_an_object_of_its_uid_that_was_filed_meanwhile(tmp_path: Path, sqlite_url: str, same: bool) -> None:
    first, second = made(1), made(1) if same else made(1, pixels=OTHER)
    with running(tmp_path, sqlite_url, behind=True) as archive:
        with late(archive) as (ingest, behind, index):
            assert kept(ingest, first) == "stored"
            archive.send(second)
            assert len(archive.rows("instance")) == 1
            index.let.set()
            behind.drain()
        (row,) = archive.rows("instance")
        assert row.digest == second.digest
        versions = archive.rows("instance_version")
        assert [(each.verdict, each.digest) for each in versions] == ([] if same else [("conflict", first.digest)])
        assert [each.reason for each in archive.rows("removal")] == (["equal-duplicate"] if same else [])
        assert len(archive.objects()) == 2


def test_the_second_of_an_association_waits_for_the_first(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url, behind=True) as archive:
        archive.send(made(1), made(1), made(1, pixels=OTHER))
        assert [row.digest for row in archive.rows("instance")] == [made(1).digest]
        assert [row.verdict for row in archive.rows("instance_version")] == ["conflict"]


@pytest.mark.req("I-STORE-20")
def test_an_acknowledged_object_that_the_index_can_not_take_is_listed(tmp_path: Path, sqlite_url: str) -> None:
    refusal = Refused(Reason.PROCESSING_FAILURE, "the index can't take this object")
    with running(tmp_path, sqlite_url, behind=True) as archive:
        with late(archive, refusal) as (ingest, behind, index):
            assert kept(ingest, made(1)) == "stored"
            index.let.set()
            behind.drain()
        assert archive.set_aside() == [(Reason.PROCESSING_FAILURE, made(1).data)]
        assert [row.reason for row in archive.rows("exception")] == [Reason.PROCESSING_FAILURE]
        assert not archive.objects()


def test_an_object_that_does_not_become_durable_is_not_filed(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(spool: FileSpool, _header: bytes) -> None:
        spool.discard()
        raise Retriable(Reason.OUT_OF_STORAGE, "no space left")

    with running(tmp_path, sqlite_url, behind=True) as archive:
        with monkeypatch.context() as patched:
            patched.setattr(FileSpool, "commit", full)
            assert archive.status(made(1)) == 0xA700
        assert not archive.rows("instance")
        archive.send(made(1))
        assert len(archive.rows("instance")) == 1
