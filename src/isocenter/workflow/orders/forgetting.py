"""Forgetting the numbers of orders that are long over: of which the worklist has no step any more."""

from collections.abc import Callable, Collection
from typing import Final

from sqlalchemy import Connection, delete, select

from isocenter.database import Database
from isocenter.workflow.orders.tables import order_hold, order_number
from isocenter.workflow.worklist.tables import worklist_item

_PAGE: Final = 500


def forget(database: Database, before: int, going_on: Callable[[], bool]) -> int:
    """Delete the numbers of orders that have got none since `before` (microseconds UTC) and no entry in the worklist;
    how many orders. An order that comes again has the identifiers that it had: they follow from its number.
    `going_on` is asked before each page."""
    c, after, forgotten = order_number.c, 0, 0
    while going_on():
        query = select(c.id, c.noted_at, c.order_key).where(c.id > after).order_by(c.id).limit(_PAGE)
        with database.reading(lagging=True) as connection:
            page = connection.execute(query).all()
            # they are noted one after the other, and never again: where a page is young, so is what follows it
            old = {row.order_key for row in page if row.noted_at < before}
            over = _over(connection, old, before)
        if not old:
            break
        if over:
            with database.writing() as connection:
                forgotten += _forget(connection, _over(connection, over, before))
        after = page[-1].id
    return forgotten


def _over(connection: Connection, keys: Collection[str], before: int) -> set[str]:
    c = order_number.c
    scheduled = select(worklist_item.c.order_key).where(worklist_item.c.order_key.in_(keys))
    younger = select(c.order_key).where(c.order_key.in_(keys), c.noted_at >= before)
    return set(keys).difference(*(connection.execute(query).scalars() for query in (scheduled, younger)))


def _forget(connection: Connection, keys: Collection[str]) -> int:
    for table in (order_hold, order_number):
        connection.execute(delete(table).where(table.c.order_key.in_(keys)))
    return len(keys)
