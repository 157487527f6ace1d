"""ADT messages: the archived studies are edited first, then the register, the worklist and the procedure steps are
changed in the transaction that marks the message as processed.

Who sends a message again, because the program ended in between, finds the edits done, and the rest is done then. The
tables are never ahead of the archive, and no acknowledgement leaves before both are as the message says.
"""

import hashlib
from collections.abc import Iterable, Sequence
from uuid import uuid4

from sqlalchemy import Connection

from isocenter import telemetry
from isocenter.archive.edits.making import Who
from isocenter.database import Database
from isocenter.errors import Reason, Refused
from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.hl7.message import Message
from isocenter.workflow.messages.handling import Feed
from isocenter.workflow.patients import archived, registered
from isocenter.workflow.patients.archived import Archived
from isocenter.workflow.patients.attributes import parts_of
from isocenter.workflow.patients.changing import Cause, Changing, known_of, moving
from isocenter.workflow.patients.events import EVENTS, Does, Event
from isocenter.workflow.patients.following import pair_of
from isocenter.workflow.patients.holders import Holder
from isocenter.workflow.patients.looking import Looked
from isocenter.workflow.patients.moved import Orders
from isocenter.workflow.patients.told import Describing, Told, told

log = telemetry.logger("patients")

_DIGEST = 12


class PatientMessages:
    """The handler of ADT messages."""

    outside = True

    def __init__(
        self,
        database: Database,
        archive: Archived,
        changing: Changing,
        holding: Iterable[Holder],
        describing: Describing,
    ) -> None:
        self._database, self._archive, self._changing = database, archive, changing
        self._holders, self._describing = tuple(holding), describing
        self._read: tuple[Message, Event, Feed, list[Told]] | None = None
        self._looked: tuple[Message, Looked] | None = None

    def is_outside(self, connection: Connection, message: Message, feed: Feed) -> bool:
        """Whether there may be archived studies to be changed; see `messages.handling.Sparing`."""
        event = _event(message)
        if event.does is not Does.UPDATE:
            return True
        looked = Looked(connection)
        self._looked = (message, looked)
        return any(looked.is_archived(looked.current(each.identity)) for each in self._told(message, event, feed))

    def _looked_in(self, connection: Connection, message: Message) -> Looked:
        """What `is_outside` has found for the same message in the same transaction; else nothing yet."""
        held, self._looked = self._looked, None
        same = held is not None and held[0] is message and held[1].connection is connection
        return held[1] if held is not None and same else Looked(connection)

    def _told(self, message: Message, event: Event, feed: Feed) -> list[Told]:
        """What a message tells: it is asked for again in the next step of the same message."""
        read = self._read
        if read is not None and read[0] is message and read[1] is event and read[2] is feed:
            return read[3]
        found = told(message, event, feed, self._describing)
        self._read = (message, event, feed, found)
        return found

    def before(self, message: Message, feed: Feed) -> None:
        """Change the archived studies."""
        event = _event(message)
        self._before(event, self._told(message, event, feed), cause_of(message, feed), feed)

    def _before(self, event: Event, patients: Sequence[Told], cause: Cause, feed: Feed) -> None:
        with self._database.reading() as connection:
            for each in patients:
                self._changing.check(connection, event, each)
        who = Who(cause.actor, cause.reason)
        for each in patients:
            try:
                self._edit(event, each, who, feed)
            except Refused as refused:
                if refused.reason != Reason.NOT_FOUND:  # then someone was faster
                    raise _refusal(refused) from refused

    def merge(self, prior: str, identity: str, who: Who) -> None:
        """The same by a person: everything of one patient becomes another's. Raises Refused(BAD_REQUEST)."""
        event, each = Event(Does.MERGE), Told(identity, prior)
        cause = Cause("", "", "merge", who.actor, f"{who.reason or 'merge'} {uuid4().hex[:_DIGEST]}")
        if prior == identity:
            raise Refused(Reason.BAD_REQUEST, "a patient can't be merged into himself")
        try:
            self._before(event, [each], cause, Feed())
            with self._database.writing() as connection:
                self._changing.apply(connection, event, each, cause)
        except MessageError as wrong:
            raise Refused(Reason.BAD_REQUEST, wrong.comment) from wrong

    def _edit(self, event: Event, each: Told, who: Who, feed: Feed) -> None:
        if event.does in (Does.MERGE, Does.MOVE) and each.prior != each.identity:
            with self._database.reading() as connection:
                pair = pair_of(connection, each)
                known = {**known_of(connection, pair, alone=event.does is Does.MOVE), **each.patient}
                studies = self._moving(connection, event, each) if event.does is Does.MOVE else set()
            if event.does is Does.MOVE:
                self._archive.move(sorted(studies), pair.prior, pair.identity, known, who)
            elif not pair.done:  # else what has come since follows the merge that was (`late`), and is undone with it
                self._archive.merge(pair.prior, pair.identity, known, who)
        if feed.updates_archive and each.patient and event.does not in (Does.LINK, Does.UNLINK, Does.DELETE):
            with self._database.reading() as connection:
                identity = _survivor(connection, event, each)
            self._archive.update(identity, each.patient, who)

    def _moving(self, connection: Connection, event: Event, each: Told) -> set[str]:
        """The archived studies of what a move takes along."""
        pair, orders = pair_of(connection, each), Orders()
        for holder in self._holders:
            for one in moving(connection, holder, event, each, pair):
                orders = orders.with_those(holder.orders(one))
        return set(archived.of_orders(connection, pair.prior, orders))

    def apply(self, connection: Connection, message: Message, feed: Feed) -> Iterable[MessageError] | None:
        """Change the tables."""
        event, cause = _event(message), cause_of(message, feed)
        warnings: list[MessageError] = []
        looked = self._looked_in(connection, message)
        for number, each in enumerate(self._told(message, event, feed), 1):
            self._changing.apply(connection, event, each, cause, looked)
            warnings += _warnings(connection, event, each, number, looked)
        log.info("patients.told", feed=feed.name, kind=cause.event, warnings=len(warnings))
        return warnings


def _survivor(connection: Connection, event: Event, each: Told) -> str:
    if event.does in (Does.MERGE, Does.MOVE) and each.prior != each.identity:
        return pair_of(connection, each).identity
    return registered.current(connection, each.identity)


def _event(message: Message) -> Event:
    """What the message asks for. Raises MessageError."""
    found = EVENTS.get(message.header.event or message.value("EVN-1"))
    if found is None:
        raise MessageError(Condition.UNSUPPORTED_EVENT, "this event is not supported", Location("MSH", 1, 9, 1, 2))
    return found


def cause_of(message: Message, feed: Feed) -> Cause:
    """Where the changes of a message come from: the reason of its edits names it, and no other message."""
    header = message.header
    event = f"{header.message}^{header.event}"
    digest = hashlib.sha256(message.written().encode("utf-8", "surrogateescape")).hexdigest()[:_DIGEST]
    control = header.control_id[:40]
    return Cause(feed.name, control, event, f"hl7:{feed.name} {control}".strip(), f"{event} {digest}")


def _refusal(refused: Refused) -> MessageError:
    return MessageError(Condition.UNKNOWN_KEY, refused.comment or str(refused.reason), Location("PID", 1, 3))


def _warnings(connection: Connection, event: Event, each: Told, number: int, looked: Looked) -> list[MessageError]:
    """The archive knows the number of another issuer, or of none: those studies are not touched."""
    place = Location("PID", number, 3)
    identity = each.identity
    if event.does in (Does.MERGE, Does.MOVE):
        identity, place = each.prior, Location("MRG", number, 1)
    known = looked.identities(parts_of(identity)[0])
    if not known or identity in known or archived.follower_of(connection, identity):
        return []
    comment = "the archive has this number of another issuer or of none; those studies stay as they are"
    return [MessageError(Condition.UNKNOWN_KEY, comment, place)]
