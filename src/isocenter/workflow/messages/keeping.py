"""The messages that were received, as they are kept: known again when they come again, looked at, handled again."""

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, delete, insert, or_, select, update

from isocenter.database import Database
from isocenter.database.prepared import Prepared
from isocenter.hl7.message import Header
from isocenter.workflow.messages.tables import hl7_message

SAME_ID: Final = "same-id"
_LONGEST: Final = 200
"""Characters that are kept of what a sender writes into its header."""
_PAGE: Final = 200


class State(StrEnum):
    """How far a message has come."""

    RECEIVED = "received"
    PROCESSED = "processed"
    REFUSED = "refused"


class Key(NamedTuple):
    """What a message is known by when it comes again."""

    application: str
    facility: str
    control_id: str
    digest: str


class Arrival(NamedTuple):
    """A message as it came."""

    key: Key
    content: bytes
    kind: str
    feed: str
    address: str
    at: int
    """Microseconds UTC."""


class Known(NamedTuple):
    """What is there already under a message's sender and control ID."""

    id: int
    """Its row; 0: it was never here."""
    state: State | None
    answer: bytes
    flag: str


class Kept(NamedTuple):
    """A message as anyone may look at it, but for its content."""

    id: int
    feed: str
    application: str
    facility: str
    control_id: str
    kind: str
    address: str
    state: str
    flag: str
    error: str
    runs: int
    received_at: int
    changed_at: int


_LISTED: Final = [hl7_message.c[name] for name in Kept._fields]

# made once: building a statement costs more than the database does with it
_at = hl7_message.c
_SENDER: Final = (_at.application, _at.facility, _at.control_id)
_KNOWN_AT_ONCE: Final = 8
"""Messages that are looked up together."""
_WRITTEN: Final = (
    *("application", "facility", "control_id", "digest", "feed", "kind", "address", "flag", "node", "received_at"),
    *("changed_at", "content", "state", "answer", "error", "runs"),
)
_INSERT: Final = Prepared(insert(hl7_message).returning(_at.id), *_WRITTEN)
_ADD: Final = Prepared(insert(hl7_message).inline(), *_WRITTEN)
_KEEP: Final = update(hl7_message).where(_at.id == bindparam("known"))
_FINISH: Final = (
    update(hl7_message)
    .where(_at.id == bindparam("known"), _at.state != State.PROCESSED.value)
    .values(
        state=bindparam("ended"),
        answer=bindparam("answered"),
        error=bindparam("told"),
        changed_at=bindparam("now"),
        runs=_at.runs + 1,
    )
)


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def key_of(header: Header, content: bytes) -> Key:
    """The key of a message: who sent it, its control ID, its content but for the line ends at its end."""
    digest = hashlib.blake2b(content.rstrip(b"\r\n \t"), digest_size=16).hexdigest()
    return Key(_cut(header.sending_application), _cut(header.sending_facility), _cut(header.control_id), digest)


def kind_of(header: Header) -> str:
    """MSH-9 as it is listed: `ADT^A08`."""
    return _cut(f"{header.message}^{header.event}" if header.event else header.message)


def _cut(text: str) -> str:
    return text.replace("\0", "")[:_LONGEST]


class Messages:
    """The messages of one database. `node` names the machine and its data folder."""

    def __init__(self, database: Database, node: str = "") -> None:
        self.database = database
        self._node = node

    # --- in the transaction of whoever processes it

    def known(self, connection: Connection, key: Key) -> Known:
        """What there is of a message already."""
        return self.all_known(connection, [key])[key]

    def all_known(self, connection: Connection, keys: Iterable[Key]) -> dict[Key, Known]:
        """The same of several, each as if those before it were noted."""
        listed = list(keys)
        rows = _rows(connection, {key[:3] for key in listed})
        found: dict[Key, Known] = {}
        for key in listed:
            found[key] = _known(rows[key[:3]], key)
            rows[key[:3]].append((0, "", "", b"", ""))
        return found

    def keep(self, connection: Connection, arrival: Arrival, known: Known) -> int:
        """Note that a message has come, or comes again and is to be processed; its id."""
        if known.id:
            values = {"state": State.RECEIVED.value, "node": self._node, "changed_at": arrival.at}
            connection.execute(_KEEP, {"known": known.id, **values})
            return known.id
        return self._insert(connection, arrival, known, State.RECEIVED)

    def finish(
        self, connection: Connection, arrival: Arrival, known: Known, state: State, answer: bytes, error: str = ""
    ) -> int:
        """Note how a message ended; its id, or 0 where another process was faster, and nothing may be done then."""
        if not known.id:
            return self._insert(connection, arrival, known, state, answer, error)
        ended = {"known": known.id, "ended": state.value, "answered": answer, "told": error, "now": arrival.at}
        return known.id if connection.execute(_FINISH, ended).rowcount else 0

    def _insert(
        self,
        connection: Connection,
        arrival: Arrival,
        known: Known,
        state: State,
        answer: bytes | None = None,
        error: str = "",
    ) -> int:
        row = self.row(arrival, known, state, answer, error)
        return int(_INSERT.first(connection, **row)[0])

    def row(
        self, arrival: Arrival, known: Known, state: State, answer: bytes | None = None, error: str = ""
    ) -> dict[str, Any]:
        """How a message that is new is noted; for `add`."""
        return {
            **arrival.key._asdict(),
            "feed": arrival.feed,
            "kind": arrival.kind,
            "address": arrival.address,
            "flag": known.flag,
            "node": self._node,
            "received_at": arrival.at,
            "changed_at": arrival.at,
            "content": arrival.content,
            "state": state.value,
            "answer": answer,
            "error": error,
            "runs": int(state is not State.RECEIVED),
        }

    def add(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Note messages that are new. Raises IntegrityError where one of them is not."""
        _ADD.run(connection, rows)

    # --- for those who look after them

    def unfinished(self, *, before: int) -> Iterator[tuple[int, Arrival]]:
        """What was received and not finished, in its order: of this node, and of any node before `before`, since
        another may be gone for good."""
        ours = or_(hl7_message.c.node == self._node, hl7_message.c.received_at < before)
        yield from self._arrivals(and_(hl7_message.c.state == State.RECEIVED, ours))

    def arrivals(self, ids: Iterable[int]) -> Iterator[tuple[int, Arrival]]:
        """Messages by their ids, in the order in which they came."""
        wanted = sorted(set(ids))
        for start in range(0, len(wanted), _PAGE):
            yield from self._arrivals(hl7_message.c.id.in_(wanted[start : start + _PAGE]))

    def _arrivals(self, wanted: ColumnElement[bool]) -> Iterator[tuple[int, Arrival]]:
        after = 0
        while True:
            query = select(hl7_message).where(wanted, hl7_message.c.id > after).order_by(hl7_message.c.id).limit(1)
            with self.database.reading() as connection:
                row = connection.execute(query).one_or_none()
            if row is None:
                return
            after = row.id
            yield row.id, _arrival(row)

    def again(self, connection: Connection, ids: Sequence[int]) -> None:
        """Have messages be ones that are not processed yet, whatever became of them."""
        values = {"state": State.RECEIVED, "node": "", "changed_at": now()}
        for start in range(0, len(ids), _PAGE):
            wanted = hl7_message.c.id.in_(ids[start : start + _PAGE])
            connection.execute(update(hl7_message).where(wanted).values(values))

    def listed(self, *conditions: ColumnElement[bool], limit: int = 100) -> list[Kept]:
        """The newest messages for which these hold."""
        query = select(*_LISTED).where(*conditions).order_by(hl7_message.c.id.desc()).limit(limit)
        with self.database.reading() as connection:
            return [Kept(*row) for row in connection.execute(query)]

    def content(self, message_id: int) -> tuple[bytes, bytes] | None:
        """A message and its acknowledgement, as they went over the wire."""
        query = select(hl7_message.c.content, hl7_message.c.answer).where(hl7_message.c.id == message_id)
        with self.database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return (row.content, row.answer or b"") if row else None

    def purge(self, before: int, limit: int = 1000) -> int:
        """Delete messages that ended before `before` (microseconds UTC), at most `limit`; how many."""
        ended = and_(hl7_message.c.received_at < before, hl7_message.c.state != State.RECEIVED)
        some = select(hl7_message.c.id).where(ended).order_by(hl7_message.c.received_at).limit(limit)
        with self.database.writing() as connection:
            return connection.execute(delete(hl7_message).where(hl7_message.c.id.in_(some.scalar_subquery()))).rowcount


_Rows = dict[tuple[str, ...], list[tuple[int, str, str, bytes | None, str]]]


@lru_cache(maxsize=_KNOWN_AT_ONCE)
def _finding(count: int) -> Prepared:
    """The statement that finds what came under so many control IDs."""
    each = (and_(*(column == bindparam(f"{column.name}{n}") for column in _SENDER)) for n in range(count))
    return Prepared(select(*_SENDER, _at.id, _at.digest, _at.state, _at.answer, _at.flag).where(or_(*each)))


def _rows(connection: Connection, senders: Iterable[tuple[str, ...]]) -> _Rows:
    """What is noted under each of these applications, facilities and control IDs."""
    found: _Rows = {sender: [] for sender in senders}
    listed = sorted(found)
    for start in range(0, len(listed), _KNOWN_AT_ONCE):
        page = listed[start : start + _KNOWN_AT_ONCE]
        values = {
            f"{column.name}{n}": value
            for n, each in enumerate(page)
            for column, value in zip(_SENDER, each, strict=True)
        }
        for row in _finding(len(page)).rows(connection, **values):
            found[tuple(row[:3])].append(tuple(row[3:]))
    return found


def _known(rows: Sequence[tuple[int, str, str, bytes | None, str]], key: Key) -> Known:
    for number, digest, state, answer, flag in rows:
        if digest == key.digest:
            return Known(number, State(state), answer or b"", flag)
    return Known(0, None, b"", SAME_ID if rows and key.control_id else "")


def _arrival(row: Row[tuple[object, ...]]) -> Arrival:
    key = Key(row.application, row.facility, row.control_id, row.digest)
    return Arrival(key, row.content, row.kind, row.feed, row.address, row.received_at)


def between(start: int | None, end: int | None) -> list[ColumnElement[bool]]:
    """That a message came from `start` on and before `end`, microseconds UTC."""
    found = []
    if start is not None:
        found.append(hl7_message.c.received_at >= start)
    if end is not None:
        found.append(hl7_message.c.received_at < end)
    return found
