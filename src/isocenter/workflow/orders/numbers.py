"""The numbers that orders are known by: placers name theirs, fillers and schedulers add their own."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, delete, insert, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from isocenter.database.prepared import Prepared
from isocenter.hl7.errors import Condition, MessageError
from isocenter.workflow.orders.requests import Match, Number
from isocenter.workflow.orders.tables import order_hold, order_number
from isocenter.workflow.worklist.states import State

# made once: building a statement costs more than the database does with it
_c = order_number.c
_AT_ONCE: Final = 8
"""Numbers that are looked up together."""
_KEY: Final = ("kind", "number", "authority")
_HOLDS: Final = Prepared(
    select(order_hold.c.step_id, order_hold.c.state).where(order_hold.c.order_key == bindparam("wanted"))
)


Held = Mapping[tuple[str, str], Sequence[tuple[str, str]]]
"""By kind and number: the authorities under which that is known, each with its order, the oldest first."""


@lru_cache(maxsize=16)
def _finding(count: int) -> Prepared:
    """The statement that finds so many numbers."""
    each = (and_(_c.kind == bindparam(f"kind{n}"), _c.number == bindparam(f"number{n}")) for n in range(count))
    return Prepared(select(_c.kind, _c.number, _c.authority, _c.order_key).where(or_(*each)).order_by(_c.id))


@lru_cache(maxsize=16)
def _noting(dialect: str, count: int) -> Prepared:
    """The statement that notes so many numbers; two of them may not be the same."""
    values: list[dict[str, Any]] = [
        {name: bindparam(f"{name}{n}") for name in (*_KEY, "order_key", "noted_at")} for n in range(count)
    ]
    made = (postgresql if dialect == "postgresql" else sqlite).insert(order_number).values(values)
    return Prepared(made.on_conflict_do_update(index_elements=_KEY, set_={"order_key": made.excluded.order_key}))


def _held(connection: Connection, numbers: Iterable[Number]) -> Held:
    """What is known of these numbers."""
    wanted, found = list(dict.fromkeys((number.kind, number.number) for number in numbers)), defaultdict(list)
    for start in range(0, len(wanted), _AT_ONCE):
        page = wanted[start : start + _AT_ONCE]
        values = {
            name: text
            for n, each in enumerate(page)
            for name, text in zip((f"kind{n}", f"number{n}"), each, strict=True)
        }
        for kind, number, authority, order_key in _finding(len(page)).rows(connection, **values):
            found[kind, number].append((authority, order_key))
    return found


class Numbers:
    """Reads and writes them. Each method takes the connection of an open writing transaction."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock

    def held(self, connection: Connection, numbers: Iterable[Number]) -> Held:
        """What is known of these numbers."""
        return _held(connection, numbers)

    def find(self, numbers: Iterable[Number], held: Held) -> Match:
        """The order of these numbers, of which `held` is known: of the first that is, with the same authority, else
        with none named on either side. Raises MessageError where they are numbers of two orders."""
        first = Match("")
        for number in numbers:
            match = _match(held, number)
            if not match.order_key:
                continue
            other = bool(first.order_key) and match.order_key != first.order_key
            if other and match.exact and not number.kind.endswith("appointment"):
                raise MessageError(Condition.DUPLICATE_KEY, "this number belongs to another order", number.place)
            if not first.order_key:
                first = match
        return first

    def note(self, connection: Connection, numbers: Iterable[Number], order_key: str, held: Held) -> None:
        """From now on the order goes by these numbers as well, of which `held` was known. One without an authority that
        the order goes by with one is not noted: it may be another order's too."""
        loose = Match(order_key, exact=False)
        new = (
            (number.kind, number.number, number.authority)
            for number in numbers
            if (number.authority or _match(held, number) != loose)
            and (number.authority, order_key) not in held.get((number.kind, number.number), ())
        )
        listed, at = list(dict.fromkeys(new)), self._clock()
        for start in range(0, len(listed), _AT_ONCE):
            page = listed[start : start + _AT_ONCE]
            values: dict[str, Any] = {}
            for n, (kind, number, authority) in enumerate(page):
                values |= {f"kind{n}": kind, f"number{n}": number, f"authority{n}": authority}
                values |= {f"order_key{n}": order_key, f"noted_at{n}": at}
            _noting(connection.dialect.name, len(page)).run(connection, [values])

    def holds(self, connection: Connection, order_key: str) -> dict[str, State]:
        """The steps of the order that are held back, and the states they come back to."""
        return {step: State(state) for step, state in _HOLDS.rows(connection, wanted=order_key)}

    def hold(self, connection: Connection, order_key: str, held: dict[str, State]) -> None:
        """Make these the steps that are held back."""
        connection.execute(delete(order_hold).where(order_hold.c.order_key == order_key))
        rows = [
            {"order_key": order_key, "step_id": step, "state": state, "noted_at": self._clock()}
            for step, state in held.items()
        ]
        if rows:
            connection.execute(insert(order_hold), rows)


def _match(held: Held, number: Number) -> Match:
    rows = held.get((number.kind, number.number), ())
    exact = [key for authority, key in rows if authority == number.authority]
    loose = [key for authority, key in rows if not authority or not number.authority]
    if exact:
        return Match(exact[0])
    return Match(loose[0], exact=False) if len(set(loose)) == 1 else Match("")
