"""A store and an index that is filled as ingest does it: for tests of what connects the two."""

from typing import Any

from sqlalchemy import select

from isocenter.database import Database
from isocenter.dicom import part10
from isocenter.dicom.dataset import encode, text, uid
from isocenter.dicom.part10 import Receipt
from isocenter.dicom.scan import scan
from isocenter.index import extract, tables
from isocenter.index.journal import choice_record, deletion_record
from isocenter.index.records import Arrival, Choice, Deletion, Likeness, Outcome
from isocenter.index.writer import LocalWriter
from isocenter.store.api import Store

EXPLICIT = "1.2.840.10008.1.2.1"
CT = "1.2.840.10008.5.1.4.1.1.2"


def likeness(_store: object, _scan: object, arrival: Arrival, _key: str) -> Likeness:
    """The objects of these tests say themselves how they compare."""
    comment = [row[3] for row in arrival.attributes if row[1] == "00104000"]
    return Likeness.SAME_PIXELS if comment == ["same"] else Likeness.DIFFERENT


class Archive:
    """A store and an index that is filled as ingest does it."""

    def __init__(self, store: Store, database: Database) -> None:
        self.store = store
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

    def delete(self, study: int, instance: int | None = None, *, told: bool = True) -> Deletion:
        """Put a deletion into the journal and, if it is to be `told`, tell the index."""
        self.time += 1000
        sop_uid = "" if instance is None else f"1.2.3.{study}.1.{instance}"
        what = Deletion(f"1.2.3.{study}", "", sop_uid, self.time, self.time, self.time + 5)
        self.store.append_journal(deletion_record(what))
        if told:
            self.writer.submit(what).result(20)
        return what

    def choose(self, key: str, *, told: bool = True) -> None:
        """Put the choice of version `key` into the journal and, if it is to be `told`, tell the index."""
        self.time += 1000
        self.store.append_journal(choice_record(key, self.time))
        if told:
            assert self.writer.submit(Choice(self.arrival(key), self.time)).result(20).verdict == "replaced"

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
