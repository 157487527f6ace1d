"""Services that remember, and an acceptor around them, for the tests beside this module."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from isocenter.dimse import (
    Acceptor,
    Association,
    BufferedService,
    Command,
    Context,
    Offer,
    Service,
    Settings,
    Sink,
    TitlePolicy,
    commands,
)
from isocenter.dimse.acceptor import Counter

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{i}" for i in (1, 2, 3))
MPPS = "1.2.840.10008.3.1.2.3.3"
QUICK = Settings(artim=5.0, dimse=5.0, response=10.0, idle=10.0, send=5.0)


class Recording:
    """A sink that keeps all, and how it ended."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.largest = 0
        self.closed = self.abandoned = False
        self.done = threading.Event()

    def write(self, views: Sequence[memoryview]) -> None:
        for view in views:
            self.data += view
        self.largest = max(self.largest, sum(map(len, views)))

    def close(self) -> None:
        self.closed = True
        self.done.set()

    def abandon(self) -> None:
        self.abandoned = True
        self.done.set()


@dataclass
class Storing:
    """A storage service that keeps what it gets in memory."""

    status: int = 0
    stored: list[tuple[Context, Command, bytes]] = field(default_factory=list)
    sinks: list[Recording] = field(default_factory=list)
    began: threading.Event = field(default_factory=threading.Event)

    def sink(self, association: Association, context: Context, command: Command) -> Sink:
        self.sinks.append(Recording())
        self.began.set()
        return self.sinks[-1]

    def perform(self, association: Association, context: Context, command: Command, sink: Sink | None) -> None:
        assert isinstance(sink, Recording)
        self.stored.append((context, command, bytes(sink.data)))
        association.respond(context.id, commands.response(command, self.status))


class Answering(BufferedService):
    """A service made of a function."""

    def __init__(self, answer: Callable[[Association, Context, Command, bytes | None], None]) -> None:
        self._answer = answer

    def answer(self, association: Association, context: Context, command: Command, data: bytes | None) -> None:
        self._answer(association, context, command, data)


def echo(association: Association, context: Context, command: Command, data: bytes | None) -> None:
    association.respond(context.id, commands.response(command, commands.SUCCESS))


ECHO = Answering(echo)


@dataclass
class Serving:
    """A running acceptor."""

    acceptor: Acceptor
    port: int
    thread: threading.Thread


@contextlib.contextmanager
def serving(
    services: dict[int, Service] | None = None,
    *,
    settings: Settings = QUICK,
    offer: Callable[[str], Offer | None] = lambda uid: Offer((EXPLICIT, IMPLICIT), scu=True, scp=True),
    called: str | None = None,
    counter: Counter | None = None,
    ssl_context: object = None,
) -> Iterator[Serving]:
    """An acceptor with a service for each command field, and C-ECHO, until the end of the block."""
    by_field: dict[int, Service] = {commands.C_ECHO_RQ: ECHO, **(services or {})}
    policy = TitlePolicy(offer, called=frozenset({called}) if called else None, settings=settings)
    acceptor = Acceptor(
        policy,
        lambda context, command: by_field.get(commands.number(command, commands.COMMAND_FIELD)),
        settings,
        counter=counter,
        ssl_context=ssl_context,  # type: ignore[arg-type]
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=acceptor.serve, args=(listener,))
        thread.start()
        try:
            yield Serving(acceptor, listener.getsockname()[1], thread)
        finally:
            assert acceptor.stop(10), "associations that don't end"
            thread.join(10)
            assert not thread.is_alive(), "an acceptor that doesn't end"
