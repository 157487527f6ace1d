"""Which patient is meant: numbers that were merged into others, and merges that can't be."""

from typing import NamedTuple

from sqlalchemy import Connection

from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.workflow.patients import registered
from isocenter.workflow.patients.told import Told


class Pair(NamedTuple):
    """Whose things go to whom."""

    prior: str
    identity: str
    done: bool = False
    """That was so before."""


def pair_of(connection: Connection, told: Told) -> Pair:
    """The patients of a merge or move, by the numbers that they have now.

    Where the patient was merged into the prior one, the message turns that round: the one who stayed goes to the number
    of the other. Raises MessageError where the prior patient has become a third one.
    """
    identity, prior = registered.current(connection, told.identity), registered.current(connection, told.prior)
    if identity == told.prior != told.identity:
        return Pair(told.prior, told.identity)
    if prior == identity:
        return Pair(told.prior, identity, done=True)
    if prior != told.prior:
        raise MessageError(
            Condition.UNKNOWN_KEY, "the prior patient was merged into another one already", Location("MRG", 1, 1)
        )
    return Pair(prior, identity)
