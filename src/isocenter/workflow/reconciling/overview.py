"""What waits for a person: studies that no worklist item was found for, and procedure steps that nothing was scheduled
for (X-RIS-32), in one list.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, NamedTuple

from isocenter.database import Database
from isocenter.workflow.reconciling import rows
from isocenter.workflow.reconciling.changes import before
from isocenter.workflow.reconciling.comparing import compared
from isocenter.workflow.reconciling.models import text
from isocenter.workflow.reconciling.present import Present, former_numbers
from isocenter.workflow.reconciling.rows import Study
from isocenter.workflow.reconciling.states import UNDECIDED, Place, State
from isocenter.workflow.steps.exceptions import StepExceptions
from isocenter.workflow.steps.steps import Step, Steps


class Listed(NamedTuple):
    """A study, and how many objects and series of it are held."""

    study: Study
    objects: int
    series: int

    def told(self) -> dict[str, Any]:
        """As JSON, without its candidates."""
        return {**shown(self.study), "waiting": {"objects": self.objects, "series": self.series}}


class Overview:
    """Reads it, in short pages."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._exceptions = StepExceptions(Steps(database))
        self._present = Present(database)

    def listed(
        self,
        *,
        states: Collection[State] = UNDECIDED,
        ae: str = "",
        patient_id: str = "",
        after: int = 0,
        limit: int = rows.PAGE,
    ) -> list[Listed]:
        """A page of studies, the oldest first; `patient_id` finds those too whose number was merged into it."""
        with self._database.reading() as connection:
            numbers = former_numbers(connection, patient_id) if patient_id else ()
            held = rows.listed(connection, states=states, ae=ae, patient_ids=numbers, after=after, limit=limit)
            found = [self._present.study(connection, one) for one in held]
            counts = rows.waiting(connection, [one.id for one in found])
        return [Listed(one, *counts.get(one.id, (0, 0))) for one in found]

    def study(self, number: int) -> Study:
        """One. Raises Refused(NOT_FOUND)."""
        with self._database.reading() as connection:
            return self._present.study(connection, rows.by_id(connection, number))

    def detailed(self, number: int) -> dict[str, Any]:
        """All that is known of one, beside its candidates. Raises Refused(NOT_FOUND)."""
        with self._database.reading() as connection:
            found = self._present.study(connection, rows.by_id(connection, number))
            counts = rows.waiting(connection, [number]).get(number, (0, 0))
        return {
            **Listed(found, *counts).told(),
            "model": found.model,
            "candidates": [one.told() for one in found.candidates],
            "compared": compared(found),
        }

    def steps(self, *, before: int = 0, limit: int = rows.PAGE) -> list[dict[str, Any]]:
        """Procedure steps that wait, the newest first."""
        return [_step(one) for one in self._exceptions.listed(before=before, limit=limit)]


def shown(study: Study) -> dict[str, Any]:
    """A study as JSON, without its candidates."""
    return {
        "id": study.id,
        "ae": study.ae,
        "place": str(study.place),
        "study_uid": study.study_uid,
        "state": str(study.state),
        "finding": str(study.finding),
        "several_patients": study.mixed,
        "patient_id": text(study.model, "00100020"),
        "patient_name": text(study.model, "00100010"),
        "accession": text(study.model, "00080050"),
        "study_date": text(study.model, "00080020"),
        "modalities": list(study.modalities),
        "source": study.source_aet,
        "candidates_found": len(study.candidates),
        "handed_over": study.handed if study.place is Place.HELD else None,
        "arrived": _time(study.arrived_at),
        "last_object": _time(study.last_at),
        "decision": _decision(study),
    }


def _decision(study: Study) -> dict[str, Any] | None:
    if study.decision is None:
        return None
    told = {**study.decision._asdict(), "at": _time(study.decision.at)}
    return {**told, "before": before(study.model, study.decision.changes)}


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1e6, UTC).isoformat(timespec="milliseconds")


def _step(step: Step) -> dict[str, Any]:
    scheduled = step.model.get("00400270", {}).get("Value") or [{}]
    return {
        "id": step.id,
        "sop_uid": step.sop_uid,
        "state": step.state,
        "ae": step.ae,
        "source": step.calling,
        "station": step.station,
        "modality": step.modality,
        "patient_id": text(step.model, "00100020"),
        "patient_name": text(step.model, "00100010"),
        "accession": text(scheduled[0], "00080050"),
        "study_uids": list(step.study_uids),
        "arrived": _time(step.created_at),
    }
