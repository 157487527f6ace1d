"""The index from the store and its journal alone: the same answers as before, and nothing lost that is unreadable."""

import time

import pytest
from sqlalchemy import select

from filed_archive import Archive, likeness
from isocenter.archive.deletion import Deletions
from isocenter.database import changes, facts
from isocenter.errors import ConfigurationError
from isocenter.index import tables
from isocenter.index.rebuild import adopt, rebuild, unknown
from isocenter.index.records import Deletion
from isocenter.store.memory import MemoryStore


def test_rebuilding_gives_the_same_answers(archive: Archive) -> None:
    for n in range(4):
        assert archive.receive(1, n)[1].verdict == "stored"
        archive.receive(2, n)
    assert archive.receive(1, 0)[1].verdict == "equal"
    assert archive.receive(1, 1, "other", likeness="different")[1].verdict == "conflict"
    version, outcome = archive.receive(1, 2, "same", likeness="same-pixels")
    assert outcome.verdict == "version"
    archive.choose(version)
    archive.delete(2, 3)
    again, outcome = archive.receive(2, 3)
    assert outcome.verdict == "stored", "sent again after the deletion"
    before = archive.answers()
    steps: list[tuple[int, int]] = []
    report = rebuild(archive.store, archive.database, compare=likeness, progress=lambda *step: steps.append(step))
    assert archive.answers() == before
    assert again in {row[1] for row in before["instance"]}
    assert report.journal == 2
    assert report.set_aside == []
    assert steps[-1] == (12, 12)
    assert rebuild(archive.store, archive.database, compare=likeness).verdicts == report.verdicts
    assert archive.answers() == before


def test_an_empty_archive_is_rebuilt(archive: Archive) -> None:
    assert rebuild(archive.store, archive.database).verdicts.total() == 0


def test_readers_of_the_feed_do_not_see_it_all_again(archive: Archive) -> None:
    archive.receive(1, 1)
    with archive.database.reading() as connection:
        place = changes.read(connection)[-1].position
    with archive.database.writing() as connection:
        changes.acknowledge(connection, "routing", place)
    rebuild(archive.store, archive.database)
    with archive.database.reading() as connection:
        assert changes.read(connection, changes.position(connection, "routing")) == []
    archive.receive(1, 2)
    with archive.database.reading() as connection:
        found = changes.read(connection, changes.position(connection, "routing"))
    assert [change.sop_uid for change in found] == ["1.2.3.1.1.2"]


def test_adopting_what_the_index_does_not_know(archive: Archive) -> None:
    known, _ = archive.receive(1, 1)
    lost = [archive.put(1, 2), archive.put(1, 3), archive.put(1, 1)]
    keys = list(archive.store.keys())
    assert sorted(unknown(archive.database, keys)) == sorted(lost)
    report = adopt(archive.store, archive.writer, unknown(archive.database, keys))
    assert report.verdicts == {"stored": 2, "equal": 1}
    assert list(unknown(archive.database, keys)) == []
    assert known in {row[1] for row in archive.answers()["instance"]}
    assert adopt(archive.store, archive.writer, keys).verdicts == {"stored": 3, "equal": 1}


def test_what_was_deleted_is_not_adopted(archive: Archive) -> None:
    key, _ = archive.receive(1, 1)
    archive.writer.submit(Deletion("1.2.3.1", not_before=time.time_ns())).result(20)
    assert list(unknown(archive.database, archive.store.keys())) == []
    assert adopt(archive.store, archive.writer, [key]).verdicts == {"deleted": 1}
    assert archive.answers()["instance"] == []


def test_what_is_not_what_was_received_is_set_aside(archive: Archive) -> None:
    bad = archive.put(1, 1, digest="ab" * 32)
    good = archive.put(1, 2)
    report = adopt(archive.store, archive.writer, [bad, good])
    assert report.set_aside == [(bad, "digest-mismatch")]
    assert not archive.store.exists(bad)
    (kept,) = archive.store.exceptions()
    with archive.database.reading() as connection:
        note = connection.execute(select(tables.exception.c.store_key, tables.exception.c.reason)).one()
    assert tuple(note) == (kept.key, "digest-mismatch")
    rebuild(archive.store, archive.database)
    with archive.database.reading() as connection:
        assert connection.execute(select(tables.exception.c.store_key)).scalar() == kept.key
    assert [row[1] for row in archive.answers()["instance"]] == [good]


def test_what_a_request_deleted_stays_deleted(archive: Archive) -> None:
    """The journal's record is the one that the deletion itself wrote; it works over either store."""
    deletions = Deletions(archive.database, archive.store, archive.writer, clock=lambda: archive.time)
    for study in (1, 2):
        archive.receive(study, 1)
        archive.receive(study, 2)
    assert deletions.delete("1.2.3.1", "1.2.3.1.1", "1.2.3.1.1.1") == 1
    assert deletions.delete("1.2.3.2") == 2
    archive.receive(2, 2)
    before = archive.answers()
    assert [row[0] for row in before["instance"]] == ["1.2.3.1.1.2", "1.2.3.2.1.2"]
    report = rebuild(archive.store, archive.database)
    assert archive.answers() == before
    assert report.journal == 2


def test_an_index_of_another_archive_is_left_alone(archive: Archive) -> None:
    archive.receive(1, 1)
    facts.claim(archive.database, archive.store.archive_id)
    before = archive.answers()
    with pytest.raises(ConfigurationError, match="different archives"):
        rebuild(MemoryStore(), archive.database)
    assert archive.answers() == before


def test_a_rebuild_that_was_interrupted_is_known_as_such(archive: Archive) -> None:
    """Whatever the index knew of its stops is gone before its rows are, so that the next start compares."""
    archive.receive(1, 1)
    with archive.database.writing() as connection:
        facts.write(connection, "last-stop", "a-stop")

    def interrupt(_done: int, _all: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(archive.store, archive.database, progress=interrupt)
    with archive.database.reading() as connection:
        assert facts.read(connection, "last-stop") == ""
