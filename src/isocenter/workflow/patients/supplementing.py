"""What is registered of a patient, for an order that leaves it empty."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from isocenter.errors import Refused
from isocenter.workflow.patients import registered
from isocenter.workflow.patients.attributes import ADMISSION_ID, of_patient, of_visit, supplemented, values
from isocenter.workflow.patients.events import ACTIVE
from isocenter.workflow.worklist.attributes import Model, identified, identity_of


def supplement(connection: Connection, model: Mapping[str, Any]) -> Model:
    """`model`, an order's, with what is registered of its patient where it says nothing: demographics, and the visit
    that it names, or the only one there is. A patient who was merged into another comes by the other's number and name.
    """
    try:
        named = identity_of(model)
    except Refused:
        return dict(model)  # without a Patient ID nobody is registered
    identity = registered.current(connection, named)
    person = registered.of(connection, identity)
    if person is None:
        return dict(model)
    told = dict(model)
    if identity != named:
        told = identified(
            {**told, **{tag: each for tag, each in of_patient(person.model).items() if values(each)}}, identity
        )
    return supplemented(told, {**of_patient(person.model), **_visit(connection, person.id, told)})


def _visit(connection: Connection, person: int, model: Mapping[str, Any]) -> dict[str, Any]:
    listed = registered.visits(connection, person)
    number = values(model.get(ADMISSION_ID))
    wanted = [each for each in listed if (each.visit_id == number if number else each.state == ACTIVE)]
    return of_visit(wanted[0].model) if len(wanted) == 1 else {}
