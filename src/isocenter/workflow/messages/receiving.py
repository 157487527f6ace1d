"""A message from the wire to its acknowledgements: whose it is, whether it is for us, who knows what it means."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from sqlalchemy import Connection

from isocenter import telemetry
from isocenter.config.hl7 import Feed, Hl7
from isocenter.hl7.acknowledgement import Answered, acknowledgement, way_of
from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.hl7.listening import Address
from isocenter.hl7.message import Header, Message
from isocenter.workflow.messages import feeds
from isocenter.workflow.messages.handling import Handlers, handler_of
from isocenter.workflow.messages.keeping import Arrival, Key, key_of, kind_of, now
from isocenter.workflow.messages.outbox import Outbox
from isocenter.workflow.messages.processing import Processor
from isocenter.workflow.messages.under_way import Work

log = telemetry.logger("hl7.receiving")

MESSAGES: Final = "isocenter_hl7_messages_total"
_UNREADABLE: Final = 1 << 16
"""Bytes that are kept of what is no message."""
_KIND: Final = re.compile(r"[A-Z][A-Z0-9]{2}(\^[A-Z0-9]{3})?")
"""A type and an event: else a sender has put there something else, which may be a patient's, and is not logged."""
_CONTROL_ID: Final = 20
"""Characters of a control ID that every version has room for."""


class Receiver:
    """Takes messages, and answers them."""

    def __init__(self, settings: Hl7, processor: Processor, handlers: Handlers, outbox: Outbox) -> None:
        self._settings, self._processor, self._handlers, self._outbox = settings, processor, handlers, outbox

    def handle(self, data: bytes, sender: Address) -> Iterator[bytes]:
        """See `hl7.listening.Handle`. Goes on where the sender hangs up: a message that is kept is processed."""
        work, message = self.entered(data, sender[0])
        if work.told_first:
            self._processor.keep(work)
            yield self._accepting(message, Answered())
        answer = self._processor.finish(work)
        failed = work.fault is not None
        self._tell(work, failed=failed)
        way = way_of(message, failed=failed)
        if work.fault is not None and way.accept and _at_the_door(work.fault):
            yield self._accepting(message, Answered(work.fault))
        elif way.application and not (message.header.enhanced and work.feed.answers):
            yield answer

    def refuse(self, beginning: bytes, _sender: Address) -> Iterator[bytes]:
        """What is answered to a message that is too large, of which this is the beginning."""
        fault = MessageError(Condition.INTERNAL, f"the message is larger than {self._settings.largest} bytes")
        telemetry.count(MESSAGES, outcome="too-large")
        yield _acknowledged(feeds.salvaged(beginning), Answered(fault)).encoded()

    def entered(self, data: bytes, address: str, known_as: Key | None = None) -> tuple[Work, Message]:
        """A message, queued up to be processed, and as far as it can be read. `known_as`: under which it is kept."""
        try:
            feed, message = feeds.read(data, self._settings, address)
            fault = None
        except MessageError as wrong:
            fault, message = wrong, feeds.salvaged(data)
            feed = feeds.feed_of(self._settings, message.header, address)
            if message is feeds.NOBODY:
                data = data[:_UNREADABLE]
        key = key_of(message.header, data) if known_as is None else known_as
        arrival = Arrival(key, data, kind_of(message.header), feed.name, address, now())
        return self._enter(arrival, feed, message, fault), message

    def again(self, arrival: Arrival) -> Work:
        """A message that is kept, queued up to be processed."""
        return self.entered(arrival.content, arrival.address, arrival.key)[0]

    def _enter(self, arrival: Arrival, feed: Feed, message: Message, fault: MessageError | None) -> Work:
        header = message.header
        handler = None
        if fault is None:
            try:
                check(header, self._settings)
                handler = handler_of(self._handlers, header)
            except MessageError as wrong:
                fault = wrong
        told_first = fault is None and way_of(message, failed=False).accept

        def acknowledge(connection: Connection, answered: Answered) -> bytes:
            return self._answered(connection, message, feed, answered)

        return self._processor.enter(
            Work(arrival, message, feed, handler, acknowledge, fault=fault, told_first=told_first)
        )

    def _answered(self, connection: Connection, message: Message, feed: Feed, answered: Answered) -> bytes:
        """The acknowledgement of the application; on its way to where the feed wants it, if it does."""
        answer = _acknowledged(message, answered)
        wanted = message.header.enhanced and way_of(message, failed=answered.fault is not None).application
        told_already = answered.fault is not None and _at_the_door(answered.fault)
        if feed.answers and wanted and not told_already:
            self._outbox.add(connection, feed.answers, answer)
        return answer.encoded()

    def _accepting(self, message: Message, answered: Answered) -> bytes:
        return _acknowledged(message, answered, accepting=True).encoded()

    def _tell(self, work: Work, *, failed: bool) -> None:
        outcome = "repeated" if work.repeated else "refused" if failed else "processed"
        telemetry.count(MESSAGES, outcome=outcome)
        if work.fault is not None and not work.repeated:
            log.warning(
                "hl7.refused",
                feed=work.feed.name,
                kind=work.arrival.kind if _KIND.fullmatch(work.arrival.kind) else "",
                address=work.arrival.address,
                condition=int(work.fault.condition),
                comment=work.fault.comment,
            )


def check(header: Header, settings: Hl7) -> None:
    """Whether a message can be answered, and is of a kind that is taken. Raises MessageError."""
    if not header.message:
        raise MessageError(Condition.REQUIRED_FIELD, "the message has no type", Location("MSH", 1, 9))
    if not header.control_id:
        raise MessageError(Condition.REQUIRED_FIELD, "the message has no control ID", Location("MSH", 1, 10))
    if header.version and header.version not in settings.versions:
        raise MessageError(Condition.UNSUPPORTED_VERSION, "this version is not taken", Location("MSH", 1, 12))
    if header.processing and header.processing not in settings.processing:
        place = Location("MSH", 1, 11)
        raise MessageError(Condition.UNSUPPORTED_PROCESSING, "this processing ID is not taken", place)


def _at_the_door(fault: MessageError) -> bool:
    """It is told by the accept acknowledgement: nothing of the message but its header was looked at."""
    return fault.condition.rejects or (fault.location is not None and fault.location.segment == "MSH")


def _acknowledged(message: Message, answered: Answered, *, accepting: bool = False) -> Message:
    now, control_id = datetime.now(UTC).astimezone(), uuid4().hex[:_CONTROL_ID]
    return acknowledgement(message, answered, now=now, control_id=control_id, accepting=accepting)
