"""Held objects that no row knows: a crash came between the two, or the database is another than before.

Each file says itself who sent it to whom; what was decided of its study is in the journal. So a database that is made
anew knows what is held again, and nothing of it comes into the archive by mistake.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from isocenter import telemetry
from isocenter.database import Database
from isocenter.dicom import part10
from isocenter.dicom.part10 import Receipt
from isocenter.dicom.scan import scan_file
from isocenter.errors import IsocenterError
from isocenter.index import extract
from isocenter.index.adoption import Assume, assume_nothing
from isocenter.index.journal import RECONCILIATION
from isocenter.index.records import Arrival, DuplicatePolicy, Verdict
from isocenter.jobs.queue import Queue
from isocenter.store.api import Record, Store
from isocenter.store.verify import digest_of
from isocenter.workflow.reconciling import rows
from isocenter.workflow.reconciling.holding import KIND, hold, now
from isocenter.workflow.reconciling.states import Place, State

log = telemetry.logger("reconciling.adopting")

_HEADER = 1 << 16
Named = tuple[str, str]
"""(AE title, Study Instance UID)."""


def adopt(
    held: Store, database: Database, *, titles: Iterable[str], assume: Assume = assume_nothing, quiet: float = 0.0
) -> int:
    """Note the objects of the store of what is held that have no row; how many. No server may run.

    `titles`: the AEs that hold, of which the first is taken where an object doesn't say. What is no object of ours, or
    is not what its digest says, goes to the exceptions area."""
    with database.reading() as connection:
        known = set(rows.known_keys(connection))
    unknown = [key for key in held.keys() if key not in known]  # noqa: SIM118 - a store is no mapping
    if not unknown:
        return 0
    decided = _decided(held.journal())
    holders = list(titles)
    adopted = 0
    for key in unknown:
        try:
            arrival, receipt = _read(held, key, assume)
        except IsocenterError as fault:
            held.set_aside(key, str(fault.reason), facts={"comment": fault.comment})
            log.warning("held.unfit", key=key, reason=fault.reason)
            continue
        ae = receipt.receiving_aet if receipt.receiving_aet in holders or not holders else holders[0]
        adopted += _noted(held, database, arrival, ae, decided, quiet)
    log.warning("held.adopted", objects=adopted)
    return adopted


def _noted(
    held: Store, database: Database, arrival: Arrival, ae: str, decided: dict[Named, Record], quiet: float
) -> int:
    with database.writing() as connection:
        outcome = hold(connection, arrival, ae)
        named = {"ae": ae, "study": arrival.study_uid}
        (study,) = rows.of_study(connection, arrival.study_uid, ae)
        record = decided.get((ae, arrival.study_uid))
        if record is not None and study.decision is None and not study.decided:
            rows.change(connection, study.id, now(), **_columns(record))
        Queue(database).add(connection, KIND, named, unique_key=f"{ae}\\{arrival.study_uid}", delay=quiet)
    if outcome.verdict in (Verdict.EQUAL, Verdict.REJECTED):
        held.remove(arrival.store_key)
        return 0
    return 1


def _columns(record: Record) -> dict[str, Any]:
    decision = record.get("decision")
    told = rows.decision_text(rows.Decision(**decision)) if decision else ""
    return {"state": str(State(record["state"])), "decision": told}


def _decided(journal: Iterator[Record]) -> dict[Named, Record]:
    """What was decided last of each held study."""
    own = (one for one in journal if one.get("kind") == RECONCILIATION and one.get("place") == Place.HELD)
    return {(str(one["ae"]), str(one["study_uid"])): one for one in own}


def _read(held: Store, key: str, assume: Assume) -> tuple[Arrival, Receipt]:
    with held.open(key) as stored:
        header = part10.read_header(stored.pread(_HEADER, 0))
        receipt = part10.read_receipt(header) or Receipt("", "", "", now(), "")
        size, assumed = stored.size - header.offset, assume(receipt)

        def read(n: int, at: int) -> bytes:
            return stored.pread(n, header.offset + at)

        found = scan_file(read, size, header.syntax, assumed.wanted.indexed)
        arrival = extract.arrival(
            found,
            store_key=key,
            digest=receipt.digest or digest_of(stored, header.offset),
            size=size,
            offset=header.offset,
            received_at=receipt.received_at,
            source_aet=receipt.sending_aet,
            issuer=assumed.issuer,
            character_set=assumed.character_set,
            policy=DuplicatePolicy(receipt.policy or DuplicatePolicy.KEEP_FIRST),
            read=read,
            wanted=assumed.wanted,
        )
    return arrival, receipt
