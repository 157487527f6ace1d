"""A study that waits, and its candidates, as their patients are known by now: HL7 messages merge patients, and move and
change orders, while it waits.

What its objects say of the patient stays as it is: they go to the archive so and follow the merge there, as all late
objects do (`patients.late`), so that undoing the merge concerns them too.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from isocenter.config.reconciling import OWN
from isocenter.database import Database
from isocenter.declarations.reconciling import ISSUER, PATIENT_ID
from isocenter.errors import Refused
from isocenter.workflow.patients import moved, registered
from isocenter.workflow.patients.attributes import of_patient, parts_of, values
from isocenter.workflow.patients.former import former
from isocenter.workflow.patients.moved import Orders
from isocenter.workflow.reconciling.models import Model, text
from isocenter.workflow.reconciling.rows import Candidate, Study
from isocenter.workflow.reconciling.states import Place
from isocenter.workflow.worklist.attributes import ACCESSION, identified, identity_of
from isocenter.workflow.worklist.entries import Worklist

_WORKLIST = "worklist"
"""What `patients.holders` calls the own worklist."""


class Present:
    """Reads it. Each method takes the connection of an open transaction."""

    def __init__(self, database: Database) -> None:
        self._worklist = Worklist(database)

    def study(self, connection: Connection, study: Study) -> Study:
        """A study that is to be decided, by its patient's present number and name; one that is decided as it was."""
        if study.decided:
            return study
        identity = whose(connection, study, study.identity)
        candidates = tuple(self.candidate(connection, each) for each in study.candidates)
        return study._replace(
            identity=identity, model=_of(connection, study.model, study.identity, identity), candidates=candidates
        )

    def candidate(self, connection: Connection, candidate: Candidate) -> Candidate:
        """A worklist item as the own worklist has it now; another's by its patient's present number and name."""
        entry = self._worklist.of_uid(connection, candidate.uid) if candidate.source == OWN else None
        if entry is not None:
            return candidate._replace(model=entry.model)
        try:
            named = identity_of(candidate.model)
        except Refused:
            return candidate  # it names no patient
        identity = registered.current(connection, named)
        return candidate._replace(model=_of(connection, candidate.model, named, identity))

    def item_for(self, connection: Connection, study: Study, chosen: Candidate) -> Model:
        """What objects of the study are to say by a candidate that was chosen. Those that are held say what the item
        said before its patient was merged into another, or it moved: they follow it then."""
        if study.place is not Place.HELD or chosen.source != OWN:
            return chosen.model
        entry = self._worklist.of_uid(connection, chosen.uid)
        if entry is None:
            return chosen.model
        return former(connection, _WORKLIST, entry.id, entry.identity, entry.model).model


def whose(connection: Connection, study: Study, identity: str) -> str:
    """Whose objects of the study are that came under this number."""
    orders = Orders.of((study.study_uid,), (text(study.model, ACCESSION),))
    return moved.whose(connection, identity, orders).identity


def same_patient(model: Mapping[str, Any], item: Mapping[str, Any]) -> Model:
    """`model` by the number that its patient has in `item`."""
    return {**model, **{tag: item[tag] for tag in (PATIENT_ID, ISSUER) if tag in item}}


def former_numbers(connection: Connection, patient_id: str) -> list[str]:
    """A Patient ID, and those that were merged into its patients'."""
    known = registered.of_number(connection, patient_id)
    gone = (each for one in known for each in registered.merged_into(connection, one))
    return list(dict.fromkeys([patient_id, *(parts_of(each)[0] for each in gone)]))


def _of(connection: Connection, model: Model, named: str, identity: str) -> Model:
    """`model` as one of `identity`, of whom it says what is registered."""
    if identity == named:
        return model
    person = registered.of(connection, identity)
    known = of_patient(person.model) if person is not None else {}
    return identified({**model, **{tag: value for tag, value in known.items() if values(value)}}, identity)
