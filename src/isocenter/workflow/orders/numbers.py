"""The numbers that orders are known by: placers name theirs, fillers and schedulers add their own."""

from collections.abc import Callable, Iterable
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from isocenter.database.prepared import Prepared
from isocenter.hl7.errors import Condition, MessageError
from isocenter.workflow.orders.requests import Match, Number
from isocenter.workflow.orders.tables import order_hold, order_number
from isocenter.workflow.worklist.states import State

# made once: building a statement costs more than the database does with it
_c = order_number.c
_FIND: Final = Prepared(
    select(_c.authority, _c.order_key)
    .where(_c.kind == bindparam("wanted_kind"), _c.number == bindparam("wanted"))
    .order_by(_c.id)
)
_KEY: Final = ("kind", "number", "authority")
_NOTE: Final = {
    name: Prepared(
        (made := dialect.insert(order_number))
        .on_conflict_do_update(index_elements=_KEY, set_={"order_key": made.excluded.order_key})
        .inline(),
        *(*_KEY, "order_key", "noted_at"),
    )
    for name, dialect in (("postgresql", postgresql), ("sqlite", sqlite))
}
_HOLDS: Final = Prepared(
    select(order_hold.c.step_id, order_hold.c.state).where(order_hold.c.order_key == bindparam("wanted"))
)


class Numbers:
    """Reads and writes them. Each method takes the connection of an open writing transaction."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock

    def find(self, connection: Connection, numbers: Iterable[Number]) -> Match:
        """The order of these numbers: of the first that is known, with the same authority, else with none named on
        either side. Raises MessageError where they are numbers of two orders."""
        first = Match("")
        for number in numbers:
            match = self._find(connection, number)
            if not match.order_key:
                continue
            other = bool(first.order_key) and match.order_key != first.order_key
            if other and match.exact and not number.kind.endswith("appointment"):
                raise MessageError(Condition.DUPLICATE_KEY, "this number belongs to another order", number.place)
            if not first.order_key:
                first = match
        return first

    def _find(self, connection: Connection, number: Number) -> Match:
        rows = _FIND.rows(connection, wanted_kind=number.kind, wanted=number.number)
        exact = [key for authority, key in rows if authority == number.authority]
        loose = [key for authority, key in rows if not authority or not number.authority]
        if exact:
            return Match(exact[0])
        return Match(loose[0], exact=False) if len(set(loose)) == 1 else Match("")

    def note(self, connection: Connection, numbers: Iterable[Number], order_key: str) -> None:
        """From now on the order goes by these numbers as well. One without an authority that the order goes by with one
        is not noted: it may be another order's too."""
        loose = Match(order_key, exact=False)
        rows = [
            {
                "kind": number.kind,
                "number": number.number,
                "authority": number.authority,
                "order_key": order_key,
                "noted_at": self._clock(),
            }
            for number in numbers
            if number.authority or self._find(connection, number) != loose
        ]
        if rows:
            _NOTE[connection.dialect.name].run(connection, rows)

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
