"""A compressed object takes the place of the one that it was made of; nothing else about the instance changes."""

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from arrivals import arrival
from isocenter.database import Database, changes
from isocenter.dicom.part10 import Compressed
from isocenter.index import tables
from isocenter.index.records import Arrival, Choice, Deletion, Likeness, Outcome
from isocenter.index.writer import LocalWriter

UNTIL = time.time_ns() // 1000 + 86_400_000_000


@pytest.fixture
def writer(any_database: Database) -> Iterator[LocalWriter]:
    made = LocalWriter(any_database)
    yield made
    made.close()


def compressed(a: Arrival, *, size: int = 400, key: str = "") -> Arrival:
    """What `a` was compressed to."""
    key = key or uuid.uuid4().hex
    step = Compressed(a.store_key, a.digest, a.syntax, a.size, "MONOCHROME2 aa", "bb", "", 7, UNTIL)
    digest = uuid.uuid4().hex * 2
    return a._replace(
        store_key=key, digest=digest, size=size, syntax="1.2.840.10008.1.2.4.80", compressed=(*a.compressed, step)
    )


def filed(writer: LocalWriter, *arrivals: Arrival) -> list[str]:
    return [submitted(writer, each).verdict for each in arrivals]


def submitted(writer: LocalWriter, each: Any) -> Outcome:
    return writer.submit(each).result(20)


def rows(database: Database, table: str) -> list[Any]:
    found = getattr(tables, table)
    with database.reading() as connection:
        return list(connection.execute(select(found).order_by(found.c.id)))


def keys(database: Database, table: str) -> list[str]:
    return [row.store_key for row in rows(database, table)]


def test_the_instance_is_the_same_and_lies_elsewhere(any_database: Database, writer: LocalWriter) -> None:
    a = arrival()
    filed(writer, a, arrival(instance=2))
    (before, other), (series,) = rows(any_database, "instance"), rows(any_database, "series")
    b = compressed(a)
    assert submitted(writer, b) == Outcome("compressed", a.store_key)
    (now, still), (after,) = rows(any_database, "instance"), rows(any_database, "series")
    place = {"store_key", "syntax", "size", "digest", "offset", "frame_table"}
    assert {name: value for name, value in now._mapping.items() if name not in place} == {
        name: value for name, value in before._mapping.items() if name not in place
    }
    assert (now.store_key, now.syntax, now.size, now.digest) == (b.store_key, b.syntax, b.size, b.digest)
    assert still == other
    assert (after.instances, after.bytes, after.revision) == (2, series.bytes - 600, series.revision + 1)
    (removal,) = rows(any_database, "removal")
    assert (removal.store_key, removal.reason, removal.kept_key) == (a.store_key, "compressed", b.store_key)
    assert removal.not_before == UNTIL
    with any_database.reading() as connection:
        told = changes.read(connection)[-1]
    assert (told.kind, told.sop_uid, told.store_key) == ("compressed", a.sop_uid, b.store_key)


def test_told_twice_it_is_done_once(any_database: Database, writer: LocalWriter) -> None:
    a = arrival()
    b = compressed(a)
    assert filed(writer, a, b, b) == ["stored", "compressed", "compressed"]
    assert len(rows(any_database, "removal")) == len(rows(any_database, "compression")) == 1


def test_a_second_copy_is_redundant(any_database: Database, writer: LocalWriter) -> None:
    a = arrival()
    b, c = compressed(a), compressed(a)
    assert filed(writer, a, b, c) == ["stored", "compressed", "equal"]
    assert keys(any_database, "instance") == [b.store_key]
    assert {(row.store_key, row.kept_key) for row in rows(any_database, "removal")} == {
        (a.store_key, b.store_key),
        (c.store_key, b.store_key),
    }


def test_the_original_again_is_no_other_object(any_database: Database, writer: LocalWriter) -> None:
    a = arrival()
    b = compressed(a)
    filed(writer, a, b)
    again = submitted(writer, a._replace(store_key=uuid.uuid4().hex))
    assert (again.verdict, again.existing_key) == ("equal", b.store_key)
    other = submitted(writer, arrival(content="other"))
    assert other.verdict == "differs", "another one still is"


@pytest.mark.parametrize("policy", ["keep-first", "replace", "reject", "new-uid"])
def test_under_every_policy(any_database: Database, writer: LocalWriter, policy: str) -> None:
    a = arrival()
    filed(writer, a, compressed(a))
    assert filed(writer, a._replace(store_key=uuid.uuid4().hex, policy=policy)) == ["equal"]


def test_compressed_twice(any_database: Database, writer: LocalWriter) -> None:
    """Another rule came: what was received is still known."""
    a = arrival()
    b = compressed(a)
    c = compressed(b, size=300)
    assert filed(writer, a, b, c) == ["stored", "compressed", "compressed"]
    assert keys(any_database, "instance") == [c.store_key]
    assert {(row.store_key, row.kept_key) for row in rows(any_database, "removal")} == {
        (a.store_key, c.store_key),
        (b.store_key, c.store_key),
    }
    late = [each._replace(store_key=uuid.uuid4().hex, compressed=()) for each in (a, b)]
    assert filed(writer, *late) == ["equal", "equal"]
    (series,) = rows(any_database, "series")
    assert series.bytes == 300


def test_a_version_stays_a_version(any_database: Database, writer: LocalWriter) -> None:
    a, v = arrival(), arrival(content="v")._replace(likeness=Likeness.SAME_PIXELS)
    filed(writer, a, v)
    b = compressed(v._replace(likeness=""))
    assert filed(writer, b) == ["compressed"]
    assert keys(any_database, "instance") == [a.store_key]
    assert keys(any_database, "instance_version") == [b.store_key]
    (series,) = rows(any_database, "series")
    assert series.bytes == a.size
    assert submitted(writer, Choice(b, 5)).verdict == "replaced"
    assert keys(any_database, "instance") == [b.store_key]


def test_deleted_meanwhile(any_database: Database, writer: LocalWriter) -> None:
    a = arrival()
    b = compressed(a)
    filed(writer, a)
    submitted(writer, Deletion(a.study_uid, not_before=5))
    assert filed(writer, b) == ["deleted"]
    assert rows(any_database, "instance") == rows(any_database, "compression") == []
    assert {(row.store_key, row.reason) for row in rows(any_database, "removal")} == {
        (a.store_key, "deleted"),
        (b.store_key, "deleted"),
    }


def test_deleted_afterwards_the_original_goes_too(any_database: Database, writer: LocalWriter) -> None:
    a = arrival()
    b = compressed(a)
    filed(writer, a, b)
    assert submitted(writer, Deletion(a.study_uid, not_before=5)).objects == 1
    assert {(row.store_key, row.reason, row.not_before) for row in rows(any_database, "removal")} == {
        (a.store_key, "deleted", 5),
        (b.store_key, "deleted", 5),
    }
    assert rows(any_database, "compression") == []


def test_an_index_made_anew_without_the_original(any_database: Database, writer: LocalWriter) -> None:
    a = arrival()
    b = compressed(a)
    assert filed(writer, b, a) == ["stored", "equal"], "in whatever order"
    assert keys(any_database, "instance") == [b.store_key]
    assert [row.original_key for row in rows(any_database, "compression")] == [a.store_key]


def test_of_a_rejected_instance_nothing_is_counted(any_database: Database, writer: LocalWriter) -> None:
    a = arrival()
    filed(writer, a, arrival(instance=2))
    with any_database.writing() as connection:
        connection.execute(tables.instance.update().where(tables.instance.c.sop_uid == a.sop_uid).values(rejected=1))
        connection.execute(tables.series.update().values(bytes=1000, instances=1))
    filed(writer, compressed(a))
    (series,) = rows(any_database, "series")
    assert series.bytes == 1000
