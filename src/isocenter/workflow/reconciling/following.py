"""Follows the change feed for reconciliation: new studies of archive AEs that are looked for in a worklist (I-REC-01),
and worklist items that studies wait for.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Final

from sqlalchemy import Connection, func, select

from isocenter.config import HostedAE
from isocenter.config.offered import worklists_of
from isocenter.config.reconciling import OWN
from isocenter.database import Database, changes
from isocenter.database.tables import consumer
from isocenter.dicom import part10
from isocenter.errors import IsocenterError
from isocenter.index.level_models import dumped
from isocenter.index.tables import instance
from isocenter.index.tables import study as archived_study
from isocenter.jobs.queue import Queue
from isocenter.jobs.runner import Again, Running
from isocenter.store.api import Store
from isocenter.workflow.patients.changing import REASSIGNED
from isocenter.workflow.reconciling import rows
from isocenter.workflow.reconciling.correcting import Archived
from isocenter.workflow.reconciling.holding import KIND, now
from isocenter.workflow.reconciling.models import text
from isocenter.workflow.reconciling.states import Finding, Place, State
from isocenter.workflow.worklist.entries import SCHEDULED

FOLLOWING: Final = "reconcile-follow"
NEW_STUDY: Final = "reconcile-new"
INTERVAL: Final = 2.0
"""Seconds between looks at the change feed."""
PAUSE: Final = 5.0
_MOST: Final = 500
_HEADER: Final = 1 << 16
_WAITING: Final = (State.ARRIVING, State.OPEN)
_LATER: Final = frozenset({Finding.NONE, Finding.INCOMPLETE, Finding.UNREACHABLE})
"""What a new worklist item may change."""
_OTHERWISE: Final = frozenset({Finding.SEVERAL, Finding.CONTRADICTS})
"""What patients who become one, or who become two again, may change beside that."""


class Following:
    """Reads the feed. `aes`: those that are hosted now."""

    def __init__(
        self, database: Database, queue: Queue, aes: Callable[[], Iterable[HostedAE]], *, pause: float = PAUSE
    ) -> None:
        """`pause`: seconds from a new worklist item until studies are looked for again, so that many cost one look."""
        self._database, self._queue, self._aes, self._pause = database, queue, aes, pause
        self._begin()

    def handle(self, running: Running) -> Again:
        """A handler of `jobs.Runner`; enqueue one job, with a unique key, at each start."""
        while not running.cancelled() and self.step():
            pass
        return Again(INTERVAL)

    def step(self) -> bool:
        """Take the next changes; False if that was all. Jobs and place in the feed are written together."""
        looking = any(ae.role == "archive" and worklists_of(ae) for ae in self._aes())
        with self._database.reading() as connection:
            position = changes.position(connection, FOLLOWING)
            if not looking and not rows.listed(connection, states=_WAITING, limit=1):
                return self._skip(position, changes.end(connection))
            found = changes.read(connection, position, _MOST)
        if not found:
            return False
        stored = dict.fromkeys(one.study_uid for one in found if one.kind == "stored" and one.study_uid)
        with self._database.writing() as connection:
            if looking:
                self._new(connection, stored)
            kinds = {one.kind for one in found}
            if REASSIGNED in kinds:
                self._again(connection, _LATER | _OTHERWISE)
            elif SCHEDULED in kinds:
                self._again(connection, _LATER)
            changes.acknowledge(connection, FOLLOWING, found[-1].position)
        return len(found) == _MOST

    def _skip(self, position: changes.Position, end: changes.Position) -> bool:
        """Nothing waits for any change: go on behind what there is, without reading it."""
        if end != position:
            with self._database.writing() as connection:
                changes.acknowledge(connection, FOLLOWING, end)
        return False

    def _new(self, connection: Connection, studies: Iterable[str]) -> None:
        for uid in studies:
            self._queue.add(connection, NEW_STUDY, {"study": uid}, unique_key=uid)

    def _again(self, connection: Connection, findings: Collection[Finding]) -> None:
        """Studies of which worklists said one of these are looked for again; so are those that are being looked for."""
        after, at = 0, now()
        asking = {ae.title for ae in self._aes() if OWN in worklists_of(ae)}
        while page := rows.listed(connection, states=_WAITING, after=after):
            for study in page:
                if study.ae not in asking:
                    continue
                if study.state is State.ARRIVING:
                    rows.change(connection, study.id, at)
                elif study.finding in findings:
                    rows.change(connection, study.id, at, state=str(State.ARRIVING), attempts=0)
                    named = {"ae": study.ae, "study": study.study_uid}
                    key = f"{study.ae}\\{study.study_uid}"
                    self._queue.add(connection, KIND, named, unique_key=key, delay=self._pause)
            after = page[-1].id

    def _begin(self) -> None:
        """The first time it begins with what comes."""
        with self._database.writing() as connection:
            if connection.execute(consumer.select().where(consumer.c.name == FOLLOWING)).first() is None:
                changes.acknowledge(connection, FOLLOWING, changes.end(connection))


class NewStudies:
    """Carries out the jobs of kind `NEW_STUDY`: a study that the archive has got is looked for once."""

    def __init__(self, database: Database, store: Store, ae_of: Callable[[str], HostedAE | None], queue: Queue) -> None:
        self._database, self._store, self._ae_of, self._queue = database, store, ae_of, queue

    def handle(self, running: Running) -> None:
        """A handler of `jobs.Runner`."""
        uid = str(running.payload["study"])
        with self._database.reading() as connection:
            first, last = _received(connection, uid)
        if first is None:
            return
        ae = self._ae_of(_receiving(self._store, first))
        if ae is None or ae.role != "archive" or not worklists_of(ae):
            return
        with self._database.writing() as connection:
            self._note(connection, uid, ae, last)

    def _note(self, connection: Connection, uid: str, ae: HostedAE, last: int) -> None:
        """Studies that a worklist was asked for before, or that were released after reconciliation, are left alone;
        one that still arrives is quiet later."""
        known = rows.of_study(connection, uid)
        if not known:
            found = Archived(connection, uid)
            study = rows.open_study(connection, ae.title, Place.ARCHIVE, uid, _first(found), last)
        elif known[0].place is Place.ARCHIVE and known[0].state is State.ARRIVING:
            study = known[0]
        else:
            return
        modalities = "\\".join(dict.fromkeys(modality for _, modality, _ in Archived(connection, uid).series))
        rows.change(connection, study.id, now(), last_at=max(last, study.last_at), modalities=modalities)
        named = {"ae": ae.title, "study": uid}
        key = f"{ae.title}\\{uid}"
        self._queue.add(connection, KIND, named, unique_key=key, delay=ae.reconciling.quiet)


def _received(connection: Connection, study_uid: str) -> tuple[str | None, int]:
    """The store key of a study's first object, and when its newest came."""
    of = archived_study.c.study_uid == study_uid
    joined = instance.join(archived_study, archived_study.c.id == instance.c.study)
    first = select(instance.c.store_key).select_from(joined).where(of).order_by(instance.c.id).limit(1)
    last = select(func.max(instance.c.received_at)).select_from(joined).where(of)
    return connection.execute(first).scalar(), int(connection.execute(last).scalar() or 0)


def _receiving(store: Store, key: str) -> str:
    """The AE that received an object, as its file says."""
    try:
        with store.open(key) as stored:
            receipt = part10.read_receipt(part10.read_header(stored.pread(_HEADER, 0)))
    except IsocenterError:
        return ""
    return receipt.receiving_aet if receipt is not None else ""


def _first(found: Archived) -> dict[str, object]:
    model = found.model
    return {
        "patient_identity": found.identity,
        "patient_id": text(model, "00100020"),
        "patient_name": text(model, "00100010"),
        "accession": text(model, "00080050"),
        "study_date": text(model, "00080020"),
        "model": dumped(model),
    }
