"""Performed procedure steps as a person, or another program, sees them."""

from datetime import UTC, datetime
from typing import Any

from isocenter.database import Database
from isocenter.errors import Reason, Refused
from isocenter.workflow.steps.arrivals import arrived
from isocenter.workflow.steps.content import content
from isocenter.workflow.steps.deliveries import Deliveries, Delivery
from isocenter.workflow.steps.steps import Step, Steps


def shown(step: Step) -> dict[str, Any]:
    """A step as JSON, without its attributes."""
    told = {name: value for name, value in step._asdict().items() if name not in ("model", "faults")}
    times = {name: when(told[name]) for name in ("created_at", "changed_at")}
    return {**told, **times, "study_uids": list(step.study_uids)}


def sent(one: Delivery) -> dict[str, Any]:
    """What was passed on of it, or is to be."""
    told = {name: value for name, value in one._asdict().items() if name not in ("data", "syntax", "due_at")}
    return {**told, **{name: when(told[name]) for name in ("created_at", "changed_at")}}


def detailed(database: Database, number: int) -> dict[str, Any]:
    """All that is known of one. Raises Refused(NOT_FOUND)."""
    with database.reading() as connection:
        step = Steps(database).get(connection, number)
        if step is None:
            raise Refused(Reason.NOT_FOUND, f"there is no step {number}")
        arrival = arrived(connection, [step])
    return {
        **shown(step),
        "faults": [list(each) for each in step.faults],
        "attributes": step.model,
        "performed": content(step.model),
        "instances": arrival.referenced,
        "missing": list(arrival.missing),
        "deliveries": [sent(one) for one in Deliveries(database).listed(step=number)],
    }


def when(at: int) -> str:
    """A time of ours."""
    return datetime.fromtimestamp(at / 1e6, UTC).isoformat(timespec="seconds")
