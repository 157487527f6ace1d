"""Studies that are in the archive take over what their worklist item says, as edits: the stored objects stay as they
were received, and each edit can be taken back (I-REC-01 to -03, I-GAP-14).

Only what differs is edited, so that a job that was killed half way goes on from there.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from isocenter.archive.edits.checks import Target
from isocenter.archive.edits.making import Edits, Who
from isocenter.database import Database
from isocenter.declarations.reconciling import ISSUER, PATIENT_ID, REQUESTS
from isocenter.errors import Reason, Refused
from isocenter.index.level_models import identity_of, loaded
from isocenter.index.tables import patient, series, study
from isocenter.workflow.reconciling.changes import of_level
from isocenter.workflow.reconciling.models import Model, item_value, of_columns
from isocenter.workflow.reconciling.rows import Decision, Study


class Archived:
    """A study as the archive has it now."""

    def __init__(self, connection: Connection, study_uid: str) -> None:
        """Raises Refused(NOT_FOUND)."""
        row = connection.execute(select(study).where(study.c.study_uid == study_uid)).mappings().one_or_none()
        if row is None:
            raise Refused(Reason.NOT_FOUND, "the archive has no such study")
        of = connection.execute(select(patient).where(patient.c.id == row["patient"])).mappings().one()
        self.identity = str(of["identity"])
        self.patient = of_columns("P", {str(name): value for name, value in of.items()})
        self.study = of_columns("S", {str(name): value for name, value in row.items()})
        found = select(series.c.series_uid, series.c.modality, series.c.attributes).where(series.c.study == row["id"])
        self.series = [(uid, modality, loaded(text)) for uid, modality, text in connection.execute(found)]

    @property
    def model(self) -> Model:
        """Patient and study."""
        return {**self.patient, **self.study}


class Correcting:
    """Carries out what was decided of the archive's studies."""

    def __init__(self, database: Database, edits: Edits) -> None:
        self._database, self._edits = database, edits

    def carry_out(self, reconciled: Study, decision: Decision) -> int:
        """Edit what differs; how many edits that took. Raises Refused, Retriable."""
        with self._database.reading() as connection:
            found = Archived(connection, reconciled.study_uid)
        who = Who(decision.actor, decision.reason or f"worklist reconciliation ({decision.how})")
        return (
            self._patient(found, reconciled.study_uid, of_level(decision.changes, "P"), who)
            + self._study(found, reconciled.study_uid, of_level(decision.changes, "S"), who)
            + self._series(found, reconciled, decision, who)
        )

    def _patient(self, found: Archived, study_uid: str, changes: Mapping[str, Any], who: Who) -> int:
        """Another identity is another patient: the study moves. The same patient is corrected."""
        wanted = _differing(found.patient, changes)
        if not wanted:
            return 0
        if wanted.keys() & {PATIENT_ID, ISSUER}:
            whole = {tag: attribute for tag, attribute in changes.items() if attribute is not None}
            whole = {PATIENT_ID: found.patient.get(PATIENT_ID), **whole}
            if identity_of(whole)[0] == found.identity:
                return 0
            self._edits.move_study(study_uid, {tag: each for tag, each in whole.items() if each}, who)
        else:
            self._edits.attributes(Target.patient(found.identity), wanted, who)
        return 1

    def _study(self, found: Archived, study_uid: str, changes: Mapping[str, Any], who: Who) -> int:
        wanted = _differing(found.study, changes)
        if wanted:
            self._edits.attributes(Target.study(study_uid), wanted, who)
        return int(bool(wanted))

    def _series(self, found: Archived, reconciled: Study, decision: Decision, who: Who) -> int:
        """The order is named in each series of the step's modality."""
        request = decision.changes.get(REQUESTS)
        if not request:
            return 0
        modality = next((item_value(one.model, "Modality") for one in reconciled.candidates), "")
        edited = 0
        for uid, own, attributes in found.series:
            if modality in ("", own) and attributes.get(REQUESTS) != request:
                self._edits.attributes(Target.series(reconciled.study_uid, uid), {REQUESTS: request}, who)
                edited += 1
        return edited


def _differing(model: Mapping[str, Any], changes: Mapping[str, Any]) -> Model:
    found: Model = {}
    for tag, attribute in changes.items():
        now = model.get(tag)
        empty = attribute is None or not attribute.get("Value")
        if (empty and now is not None) or (not empty and (now is None or now.get("Value") != attribute["Value"])):
            found[tag] = attribute
    return found
