"""Who is told of which workitems (PS3.4 CC.2.3): subscriptions to one, to all, to those that match, and deletion locks.

An AE has one subscription to a workitem. A global one (`workitem_watch`) subscribes it to all that are there and to
those that come. Each method is part of a writing transaction of the caller's.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, delete, exists, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from isocenter.database import Database
from isocenter.declarations.query_keys import Path
from isocenter.declarations.workitem import FILTERED, GLOBAL, Status
from isocenter.workflow.workitems import events
from isocenter.workflow.workitems.events import Events, Receiver
from isocenter.workflow.workitems.matching import Query, accepted
from isocenter.workflow.workitems.models import Rejected
from isocenter.workflow.workitems.tables import workitem, workitem_subscription, workitem_watch

_PAGE: Final = 500
Keys = tuple[tuple[Path, str], ...]


class Watch(NamedTuple):
    """A global subscription."""

    receiver: Receiver
    keys: str
    locked: bool

    def covers(self, model: Mapping[str, Any]) -> bool:
        """Whether a workitem is one of those that it is about."""
        return not self.keys or all(test(model) for test in accepted(Query(keys=_read(self.keys))))


class Subscriptions:
    """The subscriptions of one database."""

    def __init__(self, database: Database, told: Events, clock: Callable[[], int], *, locks: bool = True) -> None:
        self._dialect, self._events, self._clock, self._locks = database.dialect, told, clock, locks
        self._insert = (sqlite if database.dialect == "sqlite" else postgresql).insert

    def subscribe(self, connection: Connection, uid: str, receiver: Receiver, *, lock: bool, keys: Keys = ()) -> Status:
        """Subscribe to the workitem `uid`, or to all (`GLOBAL`), or to those that match `keys` (`FILTERED`). Raises
        Rejected."""
        granted = lock and self._locks
        if uid in (GLOBAL, FILTERED):
            if uid == FILTERED and not keys:
                raise Rejected(Status.MISSING_ATTRIBUTE, "a filtered subscription needs matching keys")
            self._watch(connection, Watch(receiver, _written(keys) if uid == FILTERED else "", granted))
        else:
            row = connection.execute(_one(uid)).first()
            if row is None:
                raise Rejected(Status.NO_SUCH_WORKITEM, "no such workitem")
            values = {**receiver._asdict(), "locked": int(granted), "filtered": 0}
            put = self._insert(workitem_subscription).values(workitem=row.id, **values)
            connection.execute(put.on_conflict_do_update(index_elements=["workitem", "aet"], set_=values))
            self._events.add(connection, [receiver], uid, events.state_report(json.loads(row.attributes)))
        return Status.SUCCESS if granted == lock else Status.LOCK_NOT_GRANTED

    def unsubscribe(self, connection: Connection, uid: str, aet: str) -> int:
        """End the subscription of `aet` to `uid`; globally, all of its subscriptions and locks, or those that came of
        filters. How many there were. Raises Rejected."""
        mine = workitem_subscription.c.aet == aet
        if uid == GLOBAL:
            watched = connection.execute(delete(workitem_watch).where(workitem_watch.c.aet == aet)).rowcount
            return watched + connection.execute(delete(workitem_subscription).where(mine)).rowcount
        if uid == FILTERED:
            gone = self.suspend(connection, uid, aet)
            matched = delete(workitem_subscription).where(mine, workitem_subscription.c.filtered == 1)
            return gone + connection.execute(matched).rowcount
        row = connection.execute(_one(uid)).first()
        if row is None:
            raise Rejected(Status.NO_SUCH_WORKITEM, "no such workitem")
        one = delete(workitem_subscription).where(mine, workitem_subscription.c.workitem == row.id)
        return connection.execute(one).rowcount

    def suspend(self, connection: Connection, uid: str, aet: str) -> int:
        """New workitems are no longer subscribed to; how many global subscriptions ended. Raises Rejected."""
        if uid not in (GLOBAL, FILTERED):
            raise Rejected(Status.ACTION_NOT_APPROPRIATE, "only a global subscription is suspended")
        ending = delete(workitem_watch).where(workitem_watch.c.aet == aet)
        return connection.execute(ending.where(workitem_watch.c.filter != "") if uid == FILTERED else ending).rowcount

    def of(self, connection: Connection, number: int) -> list[Receiver]:
        """Who is subscribed to a workitem."""
        query = select(*_receiver(workitem_subscription)).where(workitem_subscription.c.workitem == number)
        return [Receiver(*row) for row in connection.execute(query.order_by(workitem_subscription.c.id))]

    def everyone(self, connection: Connection) -> list[Receiver]:
        """Each AE that is subscribed to anything."""
        found: dict[str, Receiver] = {}
        for table in (workitem_watch, workitem_subscription):
            for row in connection.execute(select(*_receiver(table)).distinct()):
                found.setdefault(row.aet, Receiver(*row))
        return list(found.values())

    def hold(self, connection: Connection) -> None:
        """Let no global subscription come about until the transaction ends: it would miss the workitem that is made in
        it. On SQLite nobody else writes anyway."""
        if self._dialect != "sqlite":
            connection.execute(text("LOCK TABLE workitem_watch IN SHARE MODE"))

    def created(self, connection: Connection, number: int, model: Mapping[str, Any]) -> None:
        """Subscribe to a new workitem whoever wants all of them, or those like it."""
        columns = (*_receiver(workitem_watch), workitem_watch.c.filter, workitem_watch.c.locked)
        for row in connection.execute(select(*columns).order_by(workitem_watch.c.filter)).all():
            watch = Watch(Receiver(*row[:4]), row.filter, bool(row.locked))
            if watch.covers(model):
                self._put(connection, number, watch)

    def forget(self, connection: Connection, numbers: Sequence[int]) -> None:
        """The workitems were removed."""
        connection.execute(delete(workitem_subscription).where(workitem_subscription.c.workitem.in_(numbers)))

    def release(self, connection: Connection, aet: str) -> int:
        """Take all deletion locks of an AE that may be gone for good; how many. Its subscriptions stay."""
        mine = update(workitem_subscription).where(
            workitem_subscription.c.aet == aet, workitem_subscription.c.locked == 1
        )
        connection.execute(update(workitem_watch).where(workitem_watch.c.aet == aet).values(locked=0))
        return connection.execute(mine.values(locked=0)).rowcount

    def _watch(self, connection: Connection, watch: Watch) -> None:
        """Keep a global subscription, and subscribe to all that is there and was not subscribed to."""
        receiver = watch.receiver
        values = {**receiver._asdict(), "locked": int(watch.locked)}
        put = self._insert(workitem_watch).values(filter=watch.keys, created_at=self._clock(), **values)
        connection.execute(put.on_conflict_do_update(index_elements=["aet", "filter"], set_=values))
        if not watch.keys:  # what a filter brought about is wanted in any case now: the filter's end leaves it
            mine = update(workitem_subscription).where(workitem_subscription.c.aet == receiver.aet)
            connection.execute(mine.values(filtered=0))
        after = 0
        while rows := connection.execute(_unsubscribed(receiver.aet, after)).all():
            after = rows[-1].id
            held = [(row, model) for row in rows if watch.covers(model := json.loads(row.attributes))]
            if held:
                values = {**values, "filtered": int(bool(watch.keys))}
                put = self._insert(workitem_subscription).on_conflict_do_nothing()
                connection.execute(put, [{**values, "workitem": row.id} for row, _ in held])
                told = [(row.uid, events.state_report(model)) for row, model in held]
                self._events.add_all(connection, receiver, told)

    def _put(self, connection: Connection, number: int, watch: Watch) -> None:
        """Subscribe to a new workitem; of an AE's global subscriptions the first counts, which is the widest."""
        values = {**watch.receiver._asdict(), "locked": int(watch.locked), "filtered": int(bool(watch.keys))}
        put = self._insert(workitem_subscription).values(workitem=number, **values)
        connection.execute(put.on_conflict_do_nothing())


def _receiver(table: Any) -> tuple[Any, ...]:
    return (table.c.aet, table.c.ae, table.c.address, table.c.way)


def _one(uid: str) -> Any:
    return select(workitem.c.id, workitem.c.attributes).where(workitem.c.uid == uid, workitem.c.removed_at.is_(None))


def _unsubscribed(aet: str, after: int) -> Any:
    """The next workitems that an AE is not subscribed to."""
    mine = exists().where(workitem_subscription.c.workitem == workitem.c.id, workitem_subscription.c.aet == aet)
    query = select(workitem.c.id, workitem.c.uid, workitem.c.attributes)
    query = query.where(workitem.c.id > after, workitem.c.removed_at.is_(None), ~mine)
    return query.order_by(workitem.c.id).limit(_PAGE)


def _written(keys: Keys) -> str:
    return json.dumps(sorted([list(path), value] for path, value in keys), ensure_ascii=False)


def _read(text: str) -> Keys:
    return tuple((tuple(path), value) for path, value in json.loads(text))
