"""Messages to be sent: durable, in order for each destination, tried again until they are acknowledged."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update

from isocenter.config.hl7 import Destination, Hl7
from isocenter.database import Database
from isocenter.errors import Reason, Refused
from isocenter.hl7.message import Message, Segment
from isocenter.jobs import Queue
from isocenter.workflow.messages.keeping import kind_of, now
from isocenter.workflow.messages.tables import hl7_outgoing

SEND: Final = "hl7-send"
"""The kind of the job that sends what waits for one destination."""
_CONTROL_ID: Final = 20
_HEADER_FIELDS: Final = 18
_BREAKS: Final = re.compile(r"[\r\n]+")


class State(StrEnum):
    """How far a message to be sent has come."""

    WAITING = "waiting"
    SENT = "sent"
    DEAD = "dead"
    """The receiver refused it, or it was tried as often as is configured: a person decides."""
    DISCARDED = "discarded"


class Queued(NamedTuple):
    """A message to be sent as anyone may look at it, but for its content."""

    id: int
    destination: str
    kind: str
    control_id: str
    state: str
    error: str
    attempts: int
    created_at: int
    changed_at: int


class Taken(NamedTuple):
    """A message that is being sent."""

    id: int
    content: bytes
    attempts: int


_LISTED: Final = [hl7_outgoing.c[name] for name in Queued._fields]


class Outbox:
    """The messages to be sent of one database."""

    def __init__(
        self, database: Database, settings: Hl7, queue: Queue | None = None, clock: Callable[[], int] = now
    ) -> None:
        self.database, self._settings, self._clock = database, settings, clock
        self._queue = queue or Queue(database, clock)

    def add(self, connection: Connection, destination: str, message: Message) -> int:
        """Have a message sent, once the caller's transaction is committed; its id here.

        The header needs no more than its type (MSH-9); what else is empty in it is filled in: our application and
        facility, the receiver's, the time, a control ID, and the processing ID, version and character set that the
        destination has. Raises Refused for an unknown destination.
        """
        target = self._settings.destination(destination)
        if target is None:
            raise Refused(Reason.DESTINATION_UNKNOWN, f"there is no [[hl7.destination]] {destination!r}")
        at = self._clock()
        whole = completed(message, target, self._settings, at)
        row = {
            "destination": destination,
            "kind": kind_of(whole.header),
            "control_id": whole.header.control_id,
            "state": State.WAITING,
            "created_at": at,
            "changed_at": at,
            "content": whole.encoded(),
        }
        added = int(connection.execute(insert(hl7_outgoing).values(row).returning(hl7_outgoing.c.id)).scalar_one())
        self._wake(connection, destination)
        return added

    def _wake(self, connection: Connection, destination: str) -> None:
        self._queue.add(connection, SEND, {"destination": destination}, unique_key=destination)

    # --- for the one who sends

    def take(self, destination: str, seconds: float) -> Taken | float | None:
        """The next message, for the caller alone and so long; how many seconds another one has it still; None where
        nothing waits."""
        at = self._clock()
        first = (
            select(hl7_outgoing)
            .where(hl7_outgoing.c.destination == destination, hl7_outgoing.c.state == State.WAITING)
            .order_by(hl7_outgoing.c.id)
            .limit(1)
        )
        with self.database.reading() as connection:
            if connection.execute(first).one_or_none() is None:
                return None
        with self.database.writing() as connection:
            row = connection.execute(first.with_for_update()).one_or_none()
            if row is None:
                return None
            if row.taken_until > at:
                return float(row.taken_until - at) / 1e6
            taking = update(hl7_outgoing).where(hl7_outgoing.c.id == row.id)
            connection.execute(taking.values(taken_until=at + int(seconds * 1e6), attempts=row.attempts + 1))
        return Taken(row.id, row.content, row.attempts + 1)

    def end(self, taken: Taken, state: State, error: str = "") -> None:
        """Note what became of a message; one that waits again is free to be taken."""
        values = {"state": state, "error": error[:200], "taken_until": 0, "changed_at": self._clock()}
        ours = and_(hl7_outgoing.c.id == taken.id, hl7_outgoing.c.state == State.WAITING)
        with self.database.writing() as connection:
            connection.execute(update(hl7_outgoing).where(ours).values(values))

    # --- for those who look after them

    def listed(self, *, destination: str = "", state: str = "", limit: int = 100) -> list[Queued]:
        """The oldest messages, of a destination and a state; without a state those that are not dealt with."""
        states = [state] if state else [State.WAITING, State.DEAD]
        wanted: list[ColumnElement[bool]] = [hl7_outgoing.c.state.in_(states)]
        if destination:
            wanted.append(hl7_outgoing.c.destination == destination)
        query = select(*_LISTED).where(*wanted).order_by(hl7_outgoing.c.id).limit(limit)
        with self.database.reading() as connection:
            return [Queued(*row) for row in connection.execute(query)]

    def content(self, message_id: int) -> bytes | None:
        """A message as it leaves."""
        query = select(hl7_outgoing.c.content).where(hl7_outgoing.c.id == message_id)
        with self.database.reading() as connection:
            return connection.execute(query).scalar()

    def retry(self, message_id: int) -> bool:
        """Have a message sent that was put aside; False where it was not."""
        mended = {"state": State.WAITING, "error": "", "attempts": 0, "taken_until": 0, "changed_at": self._clock()}
        aside = and_(
            hl7_outgoing.c.id == message_id, hl7_outgoing.c.state.in_((State.DEAD, State.DISCARDED, State.WAITING))
        )
        changing = update(hl7_outgoing).where(aside).values(mended).returning(hl7_outgoing.c.destination)
        with self.database.writing() as connection:
            destination = connection.execute(changing).scalar()
            if destination is not None:
                self._queue.add(connection, SEND, {"destination": destination}, unique_key=destination, sooner=True)
        return destination is not None

    def discard(self, message_id: int) -> bool:
        """Never send a message; False where it is sent, or there is none."""
        waiting = and_(hl7_outgoing.c.id == message_id, hl7_outgoing.c.state.in_((State.DEAD, State.WAITING)))
        values = {"state": State.DISCARDED, "changed_at": self._clock()}
        with self.database.writing() as connection:
            return connection.execute(update(hl7_outgoing).where(waiting).values(values)).rowcount == 1

    def waiting(self) -> list[str]:
        """The destinations that something waits for."""
        query = select(hl7_outgoing.c.destination).where(hl7_outgoing.c.state == State.WAITING).distinct()
        with self.database.reading() as connection:
            return sorted(connection.execute(query).scalars())

    def purge(self, before: int) -> int:
        """Delete messages that were sent or discarded before `before`; how many."""
        over = and_(hl7_outgoing.c.state.in_((State.SENT, State.DISCARDED)), hl7_outgoing.c.changed_at < before)
        with self.database.writing() as connection:
            return connection.execute(delete(hl7_outgoing).where(over)).rowcount


def completed(message: Message, target: Destination, settings: Hl7, at: int) -> Message:
    """The message with what its header still lacks, for a destination. `at`: microseconds UTC."""
    header, d = message.segments[0], message.delimiters
    parts = [header.raw(number) for number in range(1, max(len(header), _HEADER_FIELDS) + 1)]
    for number, value in (
        (1, d.field),
        (2, d.encoding_characters),
        (3, settings.application),
        (4, settings.facility),
        (5, target.application),
        (6, target.facility),
        (7, datetime.fromtimestamp(at / 1e6, UTC).astimezone().strftime("%Y%m%d%H%M%S%z")),
        (10, uuid4().hex[:_CONTROL_ID]),
        (11, target.processing),
        (12, target.version),
        (18, target.character_set),
    ):
        parts[number - 1] = parts[number - 1] or _BREAKS.sub(" ", value)
    while not parts[-1]:
        parts.pop()
    return Message([Segment("MSH", parts, d), *message.segments[1:]], d)
