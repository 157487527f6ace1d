"""The performed procedure steps of a study, as completeness and notifications look at them."""

from collections.abc import Sequence

from sqlalchemy import Connection

from isocenter.declarations.procedure_step import COMPLETED, DISCONTINUED
from isocenter.workflow.completeness import StepsOf
from isocenter.workflow.notices.availability import StepView
from isocenter.workflow.steps.steps import Step, Steps


def views(steps: Steps) -> StepsOf:
    """The steps that say that they belong to a study."""

    def of_study(connection: Connection, study_uid: str) -> Sequence[StepView]:
        return [_view(each) for each in steps.of_study(connection, study_uid)]

    return of_study


def _view(step: Step) -> StepView:
    performed = step.performed
    instances = frozenset(uid for each in performed for uid in each.sop_uids)
    return StepView(
        step.sop_uid,
        ended=step.state in (COMPLETED, DISCONTINUED),
        series=frozenset(each.series_uid for each in performed),
        instances=instances,
        vague=step.state == COMPLETED and not instances,
    )
