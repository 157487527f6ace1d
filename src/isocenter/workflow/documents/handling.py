"""ORU and MDM messages: their documents are stored as DICOM objects before the message counts as processed.

The archive's own door takes them (`archive.ingest`): what is acknowledged is stored. The same version again stores
nothing; another version is another object that names the former. A cancelled document goes out of sight with a
rejection note; it is not deleted.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from sqlalchemy import Connection

from isocenter import telemetry
from isocenter.archive.edits.making import Who
from isocenter.archive.ingest import Ingest, Origin
from isocenter.archive.rejection.rejecting import Rejecting
from isocenter.database import Database
from isocenter.declarations.rejections import SAFETY
from isocenter.dicom.uids import EXPLICIT_LE
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.hl7.errors import Condition, MessageError
from isocenter.hl7.message import Message
from isocenter.workflow.documents.kept import CANCELLED, Keeping, Kept, all_of, stored_at, versions
from isocenter.workflow.documents.objects import SOP_CLASS, Filed, Former, object_of, series_uid_of, sop_uid_of
from isocenter.workflow.documents.placing import Placing
from isocenter.workflow.documents.results import Cancelled, Document, documents
from isocenter.workflow.messages.handling import Feed
from isocenter.workflow.patients.handling import cause_of
from isocenter.workflow.patients.told import Describing, Told, patient_of

log = telemetry.logger("documents")

EVENTS = ("ORU^R01", "MDM^T02", "MDM^T04", "MDM^T06", "MDM^T08", "MDM^T10", "MDM^T11")
"""What is understood: results, and the documents that come with their content, are changed or cancelled."""


class Door(NamedTuple):
    """The archive, as documents come into it."""

    ingest: Ingest
    rejecting: Rejecting
    title: str
    """The AE that they are received by."""


class ResultMessages:
    """The handler of ORU and MDM messages."""

    outside = True

    def __init__(
        self, database: Database, door: Door, placing: Placing, describing: Describing, clock: Callable[[], int]
    ) -> None:
        self._database, self._door, self._placing, self._describing = database, door, placing, describing
        self._keeping = Keeping(clock)

    def before(self, message: Message, feed: Feed) -> None:
        """Store what is new, and reject what is cancelled."""
        patient = patient_of(message, feed, self._describing)
        found = documents(message, feed)
        with self._database.reading() as connection:
            wanted = [self._filed(connection, each, patient, message, feed) for each in found]
        cause = cause_of(message, feed)
        for each, filed in zip(found, wanted, strict=True):
            if isinstance(each, Cancelled):
                self._reject(each, patient, feed, Who(cause.actor, cause.reason))
            elif filed is not None:
                self._store(each, filed)

    def _filed(
        self, connection: Connection, each: Document | Cancelled, patient: Told, message: Message, feed: Feed
    ) -> Filed | None:
        """Where a document goes; None where that version is archived. Raises MessageError."""
        if isinstance(each, Cancelled):
            if not self._all(connection, feed, each.number, patient):
                raise MessageError(Condition.UNKNOWN_KEY, "there is no document of this number", each.place)
            return None
        place = self._placing.place(connection, each, patient.identity, patient.patient, feed.name)
        known = self._versions(connection, feed, each, patient)
        sop_uid = sop_uid_of(feed.name, each, place.study_uid)
        if any(one.version == each.version for one in known) or stored_at(connection, sop_uid):
            return None
        former = next((one.former for one in known if one.state != CANCELLED), None)
        if former is None and each.parent:
            parents = self._all(connection, feed, each.parent, patient)
            former = parents[-1].former if parents else None
        return Filed(
            place.model,
            series_uid_of(feed.name, each, place.study_uid),
            sop_uid,
            len(known) + 1,
            feed.name,
            message.header.sending_facility,
            former,
            feed.document_modality,
        )

    def _versions(self, connection: Connection, feed: Feed, each: Document, patient: Told) -> list[Kept]:
        """Those of this patient, the latest first: some senders begin their numbers again."""
        found = versions(connection, feed.name, each.number, each.kind)
        return [one for one in found if self._placing.belongs(connection, one.study_uid, patient.identity)]

    def _all(self, connection: Connection, feed: Feed, number: str, patient: Told) -> list[Kept]:
        """All that was kept of this patient under a number."""
        found = all_of(connection, feed.name, number)
        return [one for one in found if self._placing.belongs(connection, one.study_uid, patient.identity)]

    def _store(self, each: Document, filed: Filed) -> None:
        origin = Origin("", self._door.title, "", may_reject=False)
        reception = self._door.ingest.receive(origin, SOP_CLASS[each.kind], filed.sop_uid, EXPLICIT_LE)
        try:
            for piece in object_of(each, filed):
                reception.write([piece])
        except IsocenterError:
            reception.abandon()
            raise
        stored = reception.finish()
        log.info("document.stored", study=stored.study_uid, instance=stored.sop_uid, verdict=stored.verdict)

    def _reject(self, each: Cancelled, patient: Told, feed: Feed, who: Who) -> None:
        with self._database.reading() as connection:
            kept = self._all(connection, feed, each.number, patient)
        for one in kept:
            try:
                self._door.rejecting.reject(SAFETY, one.study_uid, one.series_uid, one.sop_uid, who)
            except Refused as refused:
                if refused.reason != Reason.NOT_FOUND:
                    raise
                log.info("document.is_rejected", instance=one.sop_uid)  # by this message before, or by a person

    def apply(self, connection: Connection, message: Message, feed: Feed) -> Iterable[MessageError] | None:
        """Note what is stored."""
        patient = patient_of(message, feed, self._describing)
        for each in documents(message, feed):
            if isinstance(each, Cancelled):
                self._keeping.cancel(connection, self._all(connection, feed, each.number, patient))
            else:
                self._note(connection, each, patient, feed)
        return None

    def _note(self, connection: Connection, each: Document, patient: Told, feed: Feed) -> None:
        known = self._versions(connection, feed, each, patient)
        if any(one.version == each.version for one in known):
            return
        place = self._placing.place(connection, each, patient.identity, patient.patient, feed.name)
        sop_uid = sop_uid_of(feed.name, each, place.study_uid)
        where = stored_at(connection, sop_uid)
        if where is None:
            raise MessageError(Condition.INTERNAL, "the document is not in the archive", each.place)
        former = Former(*where, SOP_CLASS[each.kind], sop_uid)
        self._keeping.note(connection, feed.name, each, former, len(known) + 1)
