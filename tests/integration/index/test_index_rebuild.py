"""The index from the store and its journal alone: the same answers as before, and nothing lost that is unreadable."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from isocenter.database import Database, changes
from isocenter.dicom import part10
from isocenter.dicom.dataset import encode, text, uid
from isocenter.dicom.part10 import Receipt
from isocenter.dicom.scan import scan
from isocenter.index import extract, tables
from isocenter.index.rebuild import adopt, rebuild, unknown
from isocenter.index.records import Arrival, Choice, Deletion, Likeness, Outcome
from isocenter.index.writer import LocalWriter
from isocenter.store.filesystem import FilesystemStore

EXPLICIT = "1.2.840.10008.1.2.1"
CT = "1.2.840.10008.5.1.4.1.1.2"


class Archive:
    """A store and an index that is filled as ingest does it."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.store = FilesystemStore(folder)
        self.database = database
        self.writer = LocalWriter(database)
        self.time = 1_700_000_000_000_000

    def put(self, study: int, instance: int, comment: str = "", *, digest: str = "") -> str:
        """Store an object without telling the index."""
        self.time += 1000
        data = encode(
            {
                0x00080016: uid(CT),
                0x00080018: uid(f"1.2.3.{study}.1.{instance}"),
                0x0020000D: uid(f"1.2.3.{study}"),
                0x0020000E: uid(f"1.2.3.{study}.1"),
                0x00100020: text("LO", "P1"),
                0x00104000: text("LT", comment),
            },
            EXPLICIT,
        )
        spool = self.store.reserve()
        receipt = Receipt("SENDER", "ISOCENTER", "127.0.0.1", self.time, "0" * 64)
        header = part10.stored_header(CT, f"1.2.3.{study}.1.{instance}", EXPLICIT, receipt)
        spool.begin(len(header))
        spool.write([data])
        receipt = receipt._replace(digest=digest or spool.finish_data())
        spool.commit(part10.stored_header(CT, f"1.2.3.{study}.1.{instance}", EXPLICIT, receipt))
        spool.settle()
        return spool.key

    def arrival(self, key: str, **changes: Any) -> Arrival:
        with self.store.open(key) as stored:
            header = part10.read_header(stored.pread(1 << 16, 0))
            data = stored.pread(1 << 20, header.offset)
        receipt = part10.read_receipt(header)
        assert receipt is not None
        made = extract.arrival(
            scan(data, EXPLICIT, extract.INDEXED), store_key=key, digest=receipt.digest, size=len(data),
            offset=header.offset, received_at=receipt.received_at, source_aet=receipt.sending_aet,
        )  # fmt: skip
        return made._replace(**changes)

    def receive(self, study: int, instance: int, comment: str = "", **changes: Any) -> tuple[str, Outcome]:
        key = self.put(study, instance, comment)
        return key, self.writer.submit(self.arrival(key, **changes)).result(20)

    def answers(self) -> dict[str, list[tuple[Any, ...]]]:
        """What the index says, without row numbers and our own times."""
        kept = {
            "patient": ("identity", "attributes"),
            "study": ("study_uid", "patient_id"),
            "series": ("series_uid", "instances", "bytes", "sop_classes"),
            "instance": ("sop_uid", "store_key", "digest", "received_at", "source_aet", "size", "offset"),
            "instance_version": ("store_key", "verdict"),
            "conflict": ("kind", "sop_uid", "store_key"),
            "removal": ("store_key", "reason", "kept_key"),
            "attribute": ("level", "path", "value"),
        }
        with self.database.reading() as connection:
            return {
                name: sorted(
                    tuple(row)
                    for row in connection.execute(select(*[tables.metadata.tables[name].c[c] for c in columns]))
                )
                for name, columns in kept.items()
            }


@pytest.fixture
def archive(tmp_path: Path, any_database: Database) -> Iterator[Archive]:
    made = Archive(tmp_path / "store", any_database)
    yield made
    made.writer.close()
    made.store.close()


def _compare(_store: object, _scan: object, arrival: Arrival, _key: str) -> Likeness:
    comment = [row[3] for row in arrival.attributes if row[1] == "00104000"]
    return Likeness.SAME_PIXELS if comment == ["same"] else Likeness.DIFFERENT


def test_rebuilding_gives_the_same_answers(archive: Archive) -> None:
    for n in range(4):
        assert archive.receive(1, n)[1].verdict == "stored"
        archive.receive(2, n)
    assert archive.receive(1, 0)[1].verdict == "equal"
    assert archive.receive(1, 1, "other", likeness="different")[1].verdict == "conflict"
    version, outcome = archive.receive(1, 2, "same", likeness="same-pixels")
    assert outcome.verdict == "version"
    archive.time += 1000
    choice = Choice(archive.arrival(version), archive.time)
    archive.store.append_journal({"kind": "version-choice", "store_key": version, "at": archive.time})
    assert archive.writer.submit(choice).result(20).verdict == "replaced"
    archive.time += 1000
    gone = Deletion("1.2.3.2", "", "1.2.3.2.1.3", archive.time, archive.time, archive.time + 5)
    archive.store.append_journal({"kind": "deletion", **gone._asdict()})
    assert archive.writer.submit(gone).result(20).objects == 1
    again, outcome = archive.receive(2, 3)
    assert outcome.verdict == "stored", "sent again after the deletion"
    before = archive.answers()
    steps: list[tuple[int, int]] = []
    report = rebuild(archive.store, archive.database, compare=_compare, progress=lambda *step: steps.append(step))
    assert archive.answers() == before
    assert again in {row[1] for row in before["instance"]}
    assert report.journal == 2
    assert report.set_aside == []
    assert steps[-1] == (12, 12)
    assert rebuild(archive.store, archive.database, compare=_compare).verdicts == report.verdicts
    assert archive.answers() == before


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
