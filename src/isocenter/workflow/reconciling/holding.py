"""What an AE of role `reconcile` receives: durable objects that no query finds (docs/decisions/0013).

They lie in a store of their own beside the archive's, `held/` in its folder, so that nothing that walks the archive's
store can mistake them for the archive's. What can't be kept lies in the archive's exceptions area, as ever.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from isocenter import telemetry
from isocenter.database import Database
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.index.batches import already_durable
from isocenter.index.level_models import dumped
from isocenter.index.records import Arrival, DuplicatePolicy, Outcome, Record, Verdict
from isocenter.index.writer import Writer
from isocenter.jobs.queue import Queue
from isocenter.store.api import Durability, Store
from isocenter.store.filesystem import FLOOR, FilesystemStore
from isocenter.workflow.reconciling import rows
from isocenter.workflow.reconciling.models import model_of
from isocenter.workflow.reconciling.present import whose
from isocenter.workflow.reconciling.states import UNDECIDED, Finding, Place, State

log = telemetry.logger("reconciling.holding")

FOLDER: Final = "held"
KIND: Final = "reconcile"
"""The job that looks for a study in the worklists, and carries out what is decided of it."""


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def holding_store(
    root: Path, *, durability: Durability | str = Durability.POWER, floor_bytes: int = FLOOR
) -> FilesystemStore:
    """The store of what is held, beside the archive's store at `root`, whose exceptions area and journal it shares."""
    return FilesystemStore(root / FOLDER, durability=durability, floor_bytes=floor_bytes, shared=root)


class HoldingWriter:
    """Takes the place of the index for the objects of one AE (`index.writer.Writer`): they are noted as held, in a
    transaction of their own, before their sender is told that they are stored."""

    def __init__(
        self,
        database: Database,
        store: Store,
        index: Writer,
        ae: str,
        *,
        quiet: float,
        clock: Callable[[], int] = now,
    ) -> None:
        """`index` takes what is no object, such as notes on refused ones. `quiet`: seconds from a study's last object
        until it is looked for."""
        self._database, self._store, self._index, self._ae = database, store, index, ae
        self._quiet, self._clock, self._queue = quiet, clock, Queue(database, clock)

    def submit(self, record: Record) -> Future[Outcome]:
        """See `index.writer.Writer`."""
        future: Future[Outcome] = Future()
        try:
            future.set_result(self.file(record))
        except IsocenterError as failure:
            future.set_exception(failure)
        return future

    def file(self, record: Record, before_commit: Callable[[], None] = already_durable) -> Outcome:
        """See `index.writer.Writer`. Raises Refused for an object that belongs to no patient."""
        if not isinstance(record, Arrival):
            return self._index.file(record, before_commit)
        before_commit()
        if not record.study_uid:
            raise Refused(Reason.SOP_CLASS_NOT_SUPPORTED, "only a patient's objects wait for reconciliation")
        with self._database.writing() as connection:
            outcome = hold(connection, record, self._ae)
            if outcome.verdict in (Verdict.STORED, Verdict.CONFLICT):
                key = f"{self._ae}\\{record.study_uid}"
                named = {"ae": self._ae, "study": record.study_uid}
                self._queue.add(connection, KIND, named, unique_key=key, delay=self._quiet)
        if outcome.verdict in (Verdict.EQUAL, Verdict.REJECTED):
            self._store.remove(record.store_key)  # its twin is durable, and noted
        telemetry.count("isocenter_held_total", verdict=outcome.verdict)
        return outcome

    def close(self) -> None:
        """See `index.writer.Writer`: `index` is closed by whoever opened it."""


def hold(connection: Connection, arrival: Arrival, ae: str) -> Outcome:
    """Note an object as held: EQUAL where the same is held already, CONFLICT where another of its UID is, REJECTED
    where the AE takes no second one."""
    study = rows.open_study(connection, ae, Place.HELD, arrival.study_uid, _first(arrival), arrival.received_at)
    twins = rows.digests(connection, study.id, arrival.series_uid, arrival.sop_uid)
    for key, digest in twins.items():
        if digest == arrival.digest:
            return Outcome(Verdict.EQUAL, key)
    if twins and arrival.policy == DuplicatePolicy.REJECT:
        return Outcome(Verdict.REJECTED, next(iter(twins)))
    rows.add_instance(connection, study.id, _instance(arrival))
    news = _news(study, arrival, stranger=_is_stranger(connection, study, arrival.patient["identity"]))
    rows.change(connection, study.id, arrival.received_at, **news)
    return Outcome(Verdict.CONFLICT if twins else Verdict.STORED, next(iter(twins), ""))


def _first(arrival: Arrival) -> dict[str, Any]:
    """What the study is called by while it waits."""
    return {
        "patient_identity": arrival.patient["identity"],
        "patient_id": arrival.patient["patient_id"],
        "patient_name": arrival.patient["patient_name"],
        "accession": arrival.study["accession"],
        "study_date": arrival.study["study_date"],
        "source_aet": arrival.source_aet,
        "model": dumped(model_of(arrival)),
    }


def _is_stranger(connection: Connection, study: rows.Study, identity: str) -> bool:
    """Whether an object names another patient than the study's first, whatever their numbers are by now."""
    return identity != study.identity and whose(connection, study, identity) != whose(connection, study, study.identity)


def _news(study: rows.Study, arrival: Arrival, *, stranger: bool) -> dict[str, Any]:
    """What one more object changes about its study. A match that waits for a person's word is looked for again."""
    modality = str(arrival.series.get("modality") or "")
    found: dict[str, Any] = {
        "last_at": max(study.last_at, arrival.received_at),
        "modalities": "\\".join(dict.fromkeys([*study.modalities, *([modality] if modality else [])])),
        "attempts": 0,
    }
    if stranger:
        found["mixed"] = 1
    if study.state in UNDECIDED:
        found["state"] = str(State.ARRIVING)
    elif stranger and study.state == State.RELEASED:
        # what was decided of one patient's objects is not decided of another's
        found |= {"state": str(State.OPEN), "finding": str(Finding.MIXED)}
    return found


def _instance(arrival: Arrival) -> dict[str, Any]:
    return {
        "series_uid": arrival.series_uid,
        "sop_uid": arrival.sop_uid,
        "sop_class": arrival.sop_class,
        "syntax": arrival.syntax,
        "modality": str(arrival.series.get("modality") or ""),
        "store_key": arrival.store_key,
        "size": arrival.size,
        "offset": arrival.offset,
        "digest": arrival.digest,
        "source_aet": arrival.source_aet,
        "policy": str(arrival.policy),
        "received_at": arrival.received_at,
    }
