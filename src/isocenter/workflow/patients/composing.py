"""The parts of this area, put together over an archive's database and edits."""

import time
from typing import NamedTuple

from isocenter.archive.edits.making import Edits
from isocenter.database import Database
from isocenter.workflow.patients.archived import Archived
from isocenter.workflow.patients.changing import Changing
from isocenter.workflow.patients.describing import Describer
from isocenter.workflow.patients.handling import PatientMessages
from isocenter.workflow.patients.holders import holders
from isocenter.workflow.patients.late import Late
from isocenter.workflow.patients.registered import Register
from isocenter.workflow.patients.undoing import Undoing
from isocenter.workflow.steps.steps import Steps
from isocenter.workflow.worklist.entries import Worklist


class Patients(NamedTuple):
    """What messages, people and the change feed do to patients."""

    messages: PatientMessages
    undoing: Undoing
    late: Late


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def patients(database: Database, edits: Edits) -> Patients:
    """The parts."""
    archive, register = Archived(database, edits), Register(now)
    holding = holders(Worklist(database), Steps(database))
    changing, late = Changing(register, holding, now), Late(database, archive)
    return Patients(
        PatientMessages(database, archive, changing, holding, Describer()),
        Undoing(database, archive, register, holding, late, now),
        late,
    )
