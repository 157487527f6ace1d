"""Objects that are held go to the archive, or to the exceptions area: inside this program, over no association
(I-ACT-34, I-TWF-09).

    held file -> with its changes into the archive (durable, filed) -> noted as handed -> held file gone -> forgotten

Each step bears being done again: the same decision makes the same bytes of the same object, so that the archive knows
the second one for the first. A kill anywhere costs the work of a page, and nothing else.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from isocenter import telemetry
from isocenter.archive.arriving import Origin
from isocenter.archive.coercing import Coerced, Identity
from isocenter.archive.covering import changes_to
from isocenter.archive.ingest import Ingest, Reception
from isocenter.database import Database
from isocenter.dicom import part10
from isocenter.dicom.elements import MalformedDataSet
from isocenter.dicom.overlay import Changes, Overlay
from isocenter.dicom.part10 import Receipt, Received
from isocenter.errors import Reason, Refused
from isocenter.index.adoption import Assume, assume_nothing
from isocenter.index.level_models import dumped
from isocenter.index.records import DuplicatePolicy, ExceptionNote
from isocenter.rules import Outcome
from isocenter.store.api import Store, StoredObject
from isocenter.store.verify import digest_of
from isocenter.workflow.reconciling import rows
from isocenter.workflow.reconciling.rows import Decision, Instance, Study
from isocenter.workflow.reconciling.states import State

log = telemetry.logger("reconciling.handing_over")

REJECTED: Final = "reconciliation-rejected"
"""Why a person's rejected objects lie in the exceptions area."""
_PAGE: Final = 20
_SLICE: Final = 1 << 20


class _Opened(NamedTuple):
    """A held object, open for reading."""

    stored: StoredObject
    instance: Instance
    receipt: Receipt

    def at(self, offset: int, n: int) -> bytes:
        """Up to `n` bytes from `offset` of its data set."""
        size = self.instance.size
        return self.stored.pread(min(n, max(size - offset, 0)), self.instance.offset + offset)

    def slices(self) -> Iterator[bytes]:
        """All of its data set."""
        return (self.at(start, _SLICE) for start in range(0, self.instance.size, _SLICE))


class HandingOver:
    """Carries out what was decided of held studies. `held`: their store; `ingest`: the archive's door."""

    def __init__(self, database: Database, held: Store, ingest: Ingest, *, assume: Assume = assume_nothing) -> None:
        self._database, self._held, self._ingest, self._assume = database, held, ingest, assume

    def page(self, study: Study) -> bool:
        """Hand over the next objects of a decided study; False if there were none. Raises Retriable."""
        assert study.decision is not None
        with self._database.reading() as connection:
            found = rows.instances(connection, study.id, limit=_PAGE)
        for instance in found:
            if not instance.handed:
                self._hand_over(study, study.decision, instance)
        self._settle(study, found)
        return bool(found)

    def _hand_over(self, study: Study, decision: Decision, instance: Instance) -> None:
        try:
            stored = self._held.open(instance.store_key)
        except Refused:
            # it went at an earlier try, and the program ended before that was noted
            log.warning("held.gone", study=study.study_uid, key=instance.store_key)
            return
        with stored:
            opened = _Opened(stored, instance, _receipt(stored, instance))
            if study.state is State.REJECTED:
                self._set_aside(study, opened, REJECTED, "rejected when it was to be reconciled")
                return
            try:
                self._into_archive(study, decision, opened)
            except Refused as refusal:
                # whatever the archive kept of it: as it came it is kept for sure, where a person finds it
                self._set_aside(study, opened, str(refusal.reason), refusal.comment)

    def _set_aside(self, study: Study, opened: _Opened, reason: str, comment: str) -> None:
        instance, receipt = opened.instance, opened.receipt
        facts = {
            "comment": comment, "sop_class": instance.sop_class, "sop_uid": instance.sop_uid,
            "syntax": instance.syntax, "calling": receipt.sending_aet,
            "called": receipt.receiving_aet or study.ae, "address": receipt.address,
        }  # fmt: skip
        key = self._held.set_aside(instance.store_key, reason, facts=facts)
        note = ExceptionNote(key, reason, received_at=receipt.received_at, **facts)
        self._ingest.writer.file(note)
        log.info("held.set_aside", study=study.study_uid, key=key, reason=reason)

    def _into_archive(self, study: Study, decision: Decision, opened: _Opened) -> None:
        instance = opened.instance
        if digest_of(opened.stored, instance.offset) != instance.digest:
            log.error("object.altered", key=instance.store_key)
            raise Refused(Reason.CANNOT_UNDERSTAND, "the object is not what was received")
        assumed = self._assume(opened.receipt)
        changes = _changes(decision, opened, assumed.character_set)
        reception = self._reception(study, opened, changes, assumed.issuer, assumed.character_set)
        try:
            pieces = opened.slices()
            if changes:
                pieces = Overlay(opened.at, instance.size, instance.syntax, changes).pieces()
            for piece in pieces:
                reception.write([piece])
        except BaseException:
            reception.abandon()
            raise
        stored = reception.finish()
        log.info("held.handed_over", study=stored.study_uid, key=stored.store_key, verdict=stored.verdict)

    def _reception(self, study: Study, opened: _Opened, changes: Changes, issuer: str, character_set: str) -> Reception:
        instance, receipt = opened.instance, opened.receipt
        origin = Origin(
            receipt.sending_aet,
            receipt.receiving_aet or study.ae,
            receipt.address,
            issuer=issuer,
            character_set=character_set,
            policy=DuplicatePolicy(instance.policy or DuplicatePolicy.KEEP_FIRST),
        )
        named = instance.sop_class, instance.sop_uid
        if not changes:
            return self._ingest.receive(origin, *named, instance.syntax)
        size = Overlay(opened.at, instance.size, instance.syntax, changes).size()
        received = Received(instance.size, size, instance.digest)
        coerced = Coerced(b"", Outcome(changes), Identity(*named), received)
        spool = self._ingest.store.reserve(size)
        return Reception(self._ingest, spool, origin, *named, instance.syntax, coerced=coerced)

    def _settle(self, study: Study, found: Sequence[Instance]) -> None:
        """The archive has them: first that is noted, then their files go, then their rows."""
        numbers = [instance.id for instance in found]
        if not numbers:
            return
        with self._database.writing() as connection:
            rows.mark_handed(connection, study.id, numbers)
        for instance in found:
            if self._held.exists(instance.store_key):
                self._held.remove(instance.store_key)
        with self._database.writing() as connection:
            rows.drop(connection, numbers)


def _receipt(stored: StoredObject, instance: Instance) -> Receipt:
    return part10.read_receipt(part10.read_header(stored.pread(instance.offset, 0))) or Receipt("", "", "", 0, "")


def _changes(decision: Decision, opened: _Opened, assumed: str) -> Changes:
    """What the decision changes about an object; with the decision's own time, so that it is the same again."""
    if not decision.changes:
        return {}
    overlay = dumped({"at": decision.at, "changes": decision.changes})
    try:
        return changes_to(overlay, opened.at, opened.instance.size, opened.instance.syntax, assumed)
    except (MalformedDataSet, ValueError) as fault:
        raise Refused(Reason.CANNOT_UNDERSTAND, "an object that is held can't be read") from fault
