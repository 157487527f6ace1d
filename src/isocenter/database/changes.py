"""The change feed: rows that lower rooms leave for higher ones, read in order and none twice.

A row is written in the transaction that made the change. PostgreSQL gives sequence numbers before the commit, so they
become visible out of order; there a row carries its transaction id, readers see only rows below the oldest transaction
in flight, and the order is (transaction, sequence). SQLite has one writer, and `transaction` is 0.
"""

from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    delete,
    func,
    insert,
    literal_column,
    select,
    tuple_,
    update,
)

from isocenter.database.prepared import Prepared
from isocenter.database.tables import change, consumer

_OWN_TRANSACTION = literal_column("pg_current_xact_id()::text::bigint", BigInteger)
_OLDEST_IN_FLIGHT = literal_column("pg_snapshot_xmin(pg_current_snapshot())::text::bigint", BigInteger)

# made once: a message of a department may append several
_COLUMNS = ("kind", "at", "study_uid", "series_uid", "sop_uid", "store_key")
_APPEND = Prepared(insert(change).inline(), *_COLUMNS)
_APPEND_HERE = Prepared(insert(change).inline().values(transaction=_OWN_TRANSACTION), *_COLUMNS)


class Position(NamedTuple):
    """A place in the feed: that of the last row taken."""

    transaction: int
    sequence: int


START = Position(0, 0)


class Change(NamedTuple):
    """One change. `kind` is stored, version, conflict, replaced, deleted, edited, rejected, restored or compressed;
    UIDs are '' below its level.

    Of the workflow, by its study: `scheduled` (a worklist entry is new or changed), `unscheduled` (one was cancelled or
    taken out). `step-created`, `step-completed`, `step-discontinued`: of a performed procedure step, whose SOP Instance
    UID is `sop_uid`; a row for each study. `reassigned`: patients were merged, orders moved to another one, or that was
    taken back; without UIDs.

    Of notifications: `complete` (a study is; again where it got something since), `committed` (a transaction of storage
    commitment, whose UID is `sop_uid`, was reported), `notified` (another system told of a study, in a notification
    whose UID is `sop_uid`)."""

    transaction: int
    sequence: int
    kind: str
    study_uid: str
    series_uid: str
    sop_uid: str
    store_key: str
    at: int

    @property
    def position(self) -> Position:
        """Where it stands; acknowledge this one when it is dealt with."""
        return Position(self.transaction, self.sequence)


def append(
    connection: Connection,
    kind: str,
    at: int,
    *,
    study_uid: str = "",
    series_uid: str = "",
    sop_uid: str = "",
    store_key: str = "",
) -> None:
    """Add a change, inside the transaction that makes it. `at` in microseconds UTC."""
    row: dict[str, object] = {
        "kind": kind,
        "at": at,
        "study_uid": study_uid,
        "series_uid": series_uid,
        "sop_uid": sop_uid,
        "store_key": store_key,
    }
    (_APPEND_HERE if connection.dialect.name == "postgresql" else _APPEND).run(connection, [row])


def read(connection: Connection, after: Position = START, limit: int = 500) -> list[Change]:
    """The changes that follow `after`, at most `limit`, oldest first."""
    query = select(
        change.c.transaction,
        change.c.sequence,
        change.c.kind,
        change.c.study_uid,
        change.c.series_uid,
        change.c.sop_uid,
        change.c.store_key,
        change.c.at,
    ).limit(limit)
    if connection.dialect.name == "postgresql":
        beyond: ColumnElement[bool] = tuple_(change.c.transaction, change.c.sequence) > tuple_(*after)
        query = query.where(beyond, change.c.transaction < _OLDEST_IN_FLIGHT)
        query = query.order_by(change.c.transaction, change.c.sequence)
    else:
        query = query.where(change.c.sequence > after.sequence).order_by(change.c.sequence)
    return [Change(*row) for row in connection.execute(query)]


def position(connection: Connection, name: str) -> Position:
    """How far the consumer `name` has come."""
    query = select(consumer.c.transaction, consumer.c.position).where(consumer.c.name == name)
    row = connection.execute(query).one_or_none()
    return Position(*row) if row else START


def acknowledge(connection: Connection, name: str, upto: Position) -> None:
    """Record that the consumer `name` has dealt with everything up to `upto`, inside `Database.writing()`."""
    values = {"transaction": upto.transaction, "position": upto.sequence}
    if not connection.execute(update(consumer).where(consumer.c.name == name).values(values)).rowcount:
        connection.execute(insert(consumer).values(name=name, **values))


def end(connection: Connection) -> Position:
    """The place after everything that can be read now, for a consumer that starts with what comes."""
    query = select(change.c.transaction, change.c.sequence).limit(1)
    if connection.dialect.name == "postgresql":
        query = query.where(change.c.transaction < _OLDEST_IN_FLIGHT)
        query = query.order_by(change.c.transaction.desc(), change.c.sequence.desc())
    else:
        query = query.order_by(change.c.sequence.desc())
    row = connection.execute(query).one_or_none()
    return Position(*row) if row else START


def prune(connection: Connection, before: int) -> int:
    """Delete the changes made before `before` (microseconds UTC), inside `Database.writing()`. Returns how many.

    The newest row stays whatever its age: on SQLite it keeps its sequence number from being given again.
    """
    newest = select(func.max(change.c.sequence)).scalar_subquery()
    return connection.execute(delete(change).where(change.c.at < before, change.c.sequence < newest)).rowcount
