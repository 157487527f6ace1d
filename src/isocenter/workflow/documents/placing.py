"""Which study a document belongs to: an archived one, one that is ordered, or a new one of its own."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from isocenter.dicom.uids import derived_uid, is_regular
from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.index.tables import study, study_accession
from isocenter.workflow.documents.results import Document, Numbers
from isocenter.workflow.orders.tables import order_number
from isocenter.workflow.outgoing import of_archived
from isocenter.workflow.patients import archived, registered
from isocenter.workflow.patients.attributes import Changes, parts_of, supplemented
from isocenter.workflow.worklist.attributes import Model, identified, written
from isocenter.workflow.worklist.entries import Worklist

_STUDY_LEVEL = ("00080050", "00080090", "0020000D", "00081080")


class Place(NamedTuple):
    """A study and its patient, as the object is to say them."""

    study_uid: str
    model: Mapping[str, Any]


class Placing:
    """Finds the place of documents."""

    def __init__(self, worklist: Worklist) -> None:
        self._worklist = worklist

    def place(self, connection: Connection, document: Document, identity: str, told: Changes, feed: str) -> Place:
        """The study of a document about the patient `identity`, of whom the message tells `told`. Raises MessageError
        where the study that it names is another patient's."""
        patient = registered.current(connection, identity)
        strangers = False
        for uid, certain in _archived(connection, document.numbers):
            owner = archived.patient_of(connection, uid)
            if _same(connection, owner, patient):
                return Place(uid, _told(of_archived(connection, uid), told, owner))
            strangers = strangers or certain
        for model in self._ordered(connection, document.numbers, patient):
            return Place(str(model["0020000D"]["Value"][0]), _told(model, told, patient))
        if strangers:
            raise MessageError(
                Condition.UNKNOWN_KEY, "the study of this result is another patient's", Location("PID", 1, 3)
            )
        person = registered.of(connection, patient)
        return self._new(connection, document, patient, {**(person.model if person else {}), **told}, feed)

    def belongs(self, connection: Connection, study_uid: str, identity: str) -> bool:
        """Whether an archived study is the patient's."""
        owner = archived.patient_of(connection, study_uid)
        return _same(connection, owner, registered.current(connection, identity))

    def _ordered(self, connection: Connection, numbers: Numbers, patient: str) -> Iterator[Model]:
        """What the worklist says of the study."""
        found = self._worklist.of_study(connection, numbers.study_uid)
        for number in (numbers.accession, numbers.filler, numbers.placer):
            if number:
                found += self._worklist.referenced(connection, accession=number)
                for key in _orders(connection, number):
                    found += self._worklist.of_order(connection, key)
        for entry in found:
            if entry.identity == patient and entry.study_uid:
                kept = {tag: value for tag, value in entry.model.items() if tag[:4] == "0010" or tag in _STUDY_LEVEL}
                yield {**kept, **written("0020000D", entry.study_uid)}

    def _new(self, connection: Connection, document: Document, patient: str, told: Changes, feed: str) -> Place:
        numbers = document.numbers
        names = ("document study", feed, _first(numbers, document.number))
        uid = numbers.study_uid if is_regular(numbers.study_uid) else derived_uid(*names)
        if archived.patient_of(connection, uid) and not self.belongs(connection, uid, patient):
            uid = derived_uid(*names, patient)  # the sender has used the number before, for another patient
        model = {
            **written("0020000D", uid),
            **written("00080050", numbers.accession[:16].replace("\\", "/")),
            **written("00081030", document.title.meaning[:64].replace("\\", "/")),
        }
        return Place(uid, _told(model, told, patient))


def _first(numbers: Numbers, own: str) -> str:
    """By what the documents of one study are known to be of one."""
    return next((each for each in (numbers.accession, numbers.filler, numbers.placer) if each), own)


def _archived(connection: Connection, numbers: Numbers) -> Iterator[tuple[str, bool]]:
    """The archived studies that a document may be about, the likeliest first, and whether they surely are meant:
    fillers often number their orders as they number accessions, but not always."""
    if numbers.study_uid:
        named = select(study.c.study_uid).where(study.c.study_uid == numbers.study_uid)
        yield from ((uid, True) for uid in connection.execute(named).scalars().all())
    joined = select(study.c.study_uid).join(study_accession, study_accession.c.study == study.c.id)
    for number, certain in ((numbers.accession, True), (numbers.filler, False)):
        if number:
            having = joined.where(study_accession.c.accession == number).order_by(study.c.id)
            yield from ((uid, certain) for uid in connection.execute(having).scalars().all())


def _orders(connection: Connection, number: str) -> list[str]:
    query = select(order_number.c.order_key).where(order_number.c.number == number).distinct()
    return list(connection.execute(query).scalars())


def _same(connection: Connection, owner: str, patient: str) -> bool:
    """Whether a study's patient is the one whom a message names. A study that was found by a number of its own is his
    too where one of the two leaves out the issuer."""
    if owner == patient or owner == archived.follower_of(connection, patient):
        return True
    (one, its), (two, theirs) = parts_of(owner), parts_of(patient)
    return one == two and not (its and theirs)


def _told(model: Mapping[str, Any], told: Changes, identity: str) -> Model:
    """The study's attributes with what the message adds, of the patient of this identity."""
    return identified(supplemented(model, {tag: value for tag, value in told.items() if value}), identity)
