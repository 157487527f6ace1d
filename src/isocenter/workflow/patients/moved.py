"""Orders that moved with an account or a visit (A44, A45): what comes of them later under the number of the patient who
had them is the patient's to whom they moved.

A merge is a matter of numbers, a move one of orders. So each event remembers the studies and accession numbers of the
orders and steps that it took along.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select

from isocenter.archive.edits.making import Who
from isocenter.workflow.patients import registered
from isocenter.workflow.patients.events import Does
from isocenter.workflow.patients.tables import patient_event

MOVED: Final = "moved"
"""What `patient_event.undo` calls it."""
_MOST: Final = 100
"""Moves one after another that are followed."""
_BINDS: Final = 500
_c = patient_event.c
COLUMNS: Final = (_c.id, _c.prior, _c.identity, _c.actor, _c.reason, _c.undo)
"""What `move_of` reads."""
_HOLD: Final = (_c.kind == Does.MOVE) & (_c.undone_at == 0)


class Orders(NamedTuple):
    """What orders are known by."""

    studies: frozenset[str] = frozenset()
    accessions: frozenset[str] = frozenset()

    @classmethod
    def of(cls, studies: Iterable[str | None] = (), accessions: Iterable[str | None] = ()) -> "Orders":
        """Those that are named; '' and None name none."""
        return cls(frozenset(filter(None, studies)), frozenset(filter(None, accessions)))

    def with_those(self, other: "Orders") -> "Orders":
        """These and others."""
        return Orders(self.studies | other.studies, self.accessions | other.accessions)

    def meet(self, other: "Orders") -> bool:
        """Whether one is the same as one of the others."""
        return bool(self.studies & other.studies or self.accessions & other.accessions)

    def told(self) -> dict[str, Any]:
        """As an event keeps them."""
        return {MOVED: {"studies": sorted(self.studies), "accessions": sorted(self.accessions)}}


class Move(NamedTuple):
    """A move that holds."""

    id: int
    prior: str
    identity: str
    who: Who
    """Of its edits."""
    orders: Orders


class Whose(NamedTuple):
    """Whose something is."""

    identity: str
    move: Move | None = None
    """The last one that says so; None where numbers alone do."""


class Step(NamedTuple):
    """From one number to the next: by a merge, or a move."""

    prior: str
    identity: str
    move: Move | None = None


def whose(
    connection: Connection,
    identity: str,
    orders: Orders,
    instead: Mapping[str, str] = MappingProxyType({}),
    without: Collection[int] = (),
) -> Whose:
    """Whose a study or step of these orders is that came under `identity`. `instead`: as `registered.current` has it;
    `without`: events that are taken not to have been."""
    found = Whose(identity)
    for step in way(connection, identity, orders, instead, without):
        found = Whose(step.identity, step.move or found.move)
    return found


def way(
    connection: Connection,
    identity: str,
    orders: Orders,
    instead: Mapping[str, str] = MappingProxyType({}),
    without: Collection[int] = (),
) -> Iterator[Step]:
    """The merges and moves by which it is; see `whose`."""
    owner, after = identity, 0
    for _ in range(_MOST):
        numbers = registered.path(connection, owner, instead)
        found = (one for one in moves(connection, numbers) if one.id > after and one.id not in without)
        following = next((one for one in found if one.orders.meet(orders)), None)
        merged = numbers if following is None else numbers[: numbers.index(following.prior) + 1]
        yield from (Step(*pair) for pair in pairwise(merged))
        if following is None:
            return
        yield Step(following.prior, following.identity, following)
        owner, after = following.identity, following.id


def moves(connection: Connection, priors: Iterable[str]) -> list[Move]:
    """The moves away from these numbers that hold, the first one first."""
    return _found(connection, priors, to=False)


def around(connection: Connection, numbers: Iterable[str]) -> list[Move]:
    """Those to these numbers, and those away from them and from where these led to."""
    news, known = set(numbers), set[str]()
    found = {one.id: one for one in _found(connection, news, to=True)}
    while news:
        known |= news
        away = moves(connection, news)
        found |= {one.id: one for one in away}
        news = {each for one in away for each in registered.path(connection, one.identity)} - known
    return list(found.values())


def _found(connection: Connection, numbers: Iterable[str], *, to: bool) -> list[Move]:
    wanted, found = sorted(set(numbers)), list[Move]()
    for start in range(0, len(wanted), _BINDS):
        named = (_c.identity if to else _c.prior).in_(wanted[start : start + _BINDS])
        found += map(move_of, connection.execute(select(*COLUMNS).where(_HOLD, named)))
    return sorted(found)


def move_of(row: Sequence[Any]) -> Move:
    """The event in a row of `COLUMNS`."""
    number, prior, identity, actor, reason, undo = row
    return Move(number, prior, identity, Who(actor, reason), _orders(undo))


def _orders(undo: str) -> Orders:
    return Orders.of(**json.loads(undo or "{}").get(MOVED, {}))
