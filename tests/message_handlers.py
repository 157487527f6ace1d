"""What messages mean in tests: a note of each, in a table of the archive and in memory."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from isocenter.config.hl7 import Feed, Hl7
from isocenter.database import Database, changes
from isocenter.database.tables import change
from isocenter.hl7.errors import MessageError
from isocenter.hl7.message import Message, parsed
from isocenter.workflow.messages.handling import Handlers
from isocenter.workflow.messages.keeping import Messages
from isocenter.workflow.messages.outbox import Outbox
from isocenter.workflow.messages.processing import Processor
from isocenter.workflow.messages.receiving import Receiver

SENDER = ("10.0.0.7", 40000)


def nothing(_message: Message) -> None:
    """As it should be."""


@dataclass
class Noting:
    """A handler that notes each message (its PID-3) as a change `noted`, and what was done outside in `prepared`."""

    outside: bool = False
    on_before: Callable[[Message], None] = nothing
    on_apply: Callable[[Message], Iterable[MessageError] | None] = nothing
    prepared: list[str] = field(default_factory=list)
    feeds: list[Feed] = field(default_factory=list)

    def before(self, message: Message, feed: Feed) -> None:
        """See `Handler`."""
        self.prepared.append(message.value("PID-3"))
        self.on_before(message)

    def apply(self, connection: Connection, message: Message, feed: Feed) -> Iterable[MessageError] | None:
        """See `Handler`."""
        self.feeds.append(feed)
        changes.append(connection, "noted", 1, sop_uid=message.value("PID-3"))
        return self.on_apply(message)


def noted(database: Database) -> list[str]:
    """What was done, in its order."""
    query = select(change.c.sop_uid).where(change.c.kind == "noted").order_by(change.c.sequence)
    with database.reading() as connection:
        return list(connection.execute(query).scalars())


class Reception:
    """A receiver over a database, as a process has one."""

    def __init__(self, database: Database, handler: Noting | None = None, settings: Hl7 | None = None) -> None:
        self.handler = handler or Noting()
        self.database = database
        self.messages = Messages(database, "here")
        self.processor = Processor(self.messages)
        self.settings = settings or Hl7()
        self.outbox = Outbox(database, self.settings)
        self.use({"ADT^A08": self.handler, "ADT^A04": self.handler, "ORM^*": self.handler})

    def use(self, handlers: Handlers) -> None:
        """Have these know what messages mean."""
        self.receiver = Receiver(self.settings, self.processor, handlers, self.outbox)

    def answers(self, data: bytes) -> list[Message]:
        """What a sender is answered."""
        return [parsed(answer) for answer in self.receiver.handle(data, SENDER)]

    def code(self, data: bytes) -> str:
        """The code of the only answer."""
        (answer,) = self.answers(data)
        return answer.value("MSA-1")


def message(
    control_id: object = 1,
    patient: object = 1,
    *,
    kind: str = "ADT^A08",
    version: str = "2.5",
    processing: str = "P",
    accept: str = "",
    application: str = "",
    sender: str = "RIS|HOSP",
    character_set: str = "",
    more: str = "",
) -> bytes:
    """A message, in UTF-8 where it names another character set too."""
    header = f"MSH|^~\\&|{sender}|I|R|20240131||{kind}|{control_id}|{processing}|{version}|||{accept}|{application}||"
    return f"{header}{character_set}\rPID|||{patient}||DOE^JANE\r{more}".encode()


def at_once(*calls: Callable[[], object]) -> None:
    """Make these calls in threads of their own; the first failure is raised."""
    failures: list[BaseException] = []

    def run(call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if failures:
        raise failures[0]
