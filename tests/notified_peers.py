"""The other side of notifications for tests: a peer that is told, a web server that is called, and an archive's jobs
carried out by hand with a clock that a test sets.

    told = Told(); with listening(told): with running(..., peers=[told.peer]) as archive:
        work = Work(archive, notice=[...]); archive.send(made(1)); work.later(60).all(); told.created
"""

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, NamedTuple

import msgspec

from archives import NETWORK, PATIENCE, Running
from isocenter import dimse
from isocenter.config import Peer, Settings
from isocenter.dicom.dataset import DataSet, decode, items_of, string_of
from isocenter.dicom.uids import BASIC_STUDY_CONTENT_NOTIFICATION as CONTENT
from isocenter.dicom.uids import INSTANCE_AVAILABILITY_NOTIFICATION as AVAILABILITY
from isocenter.dimse import commands
from isocenter.exchange.peers import Peers
from isocenter.jobs import Queue, Runner
from isocenter.registry.roster import Fixed
from isocenter.workflow.completeness import Judge, StepsOf, no_steps
from isocenter.workflow.notices import following, outgoing, received
from isocenter.workflow.notices.delivering import Deliverer, Way
from isocenter.workflow.notices.following import Also, Following
from isocenter.workflow.notices.hooks import Hooks
from isocenter.workflow.notices.outgoing import Outgoing
from isocenter.workflow.notices.plan import HOOK, Plan
from isocenter.workflow.notices.removals import classes_in
from isocenter.workflow.notices.telling import KINDS
from isocenter.workflow.notices.telling import Told as Telling


class Message(NamedTuple):
    """One notification as it came."""

    sop_class: str
    sop_uid: str
    syntax: str
    data: DataSet

    @property
    def study_uid(self) -> str:
        """Of the study that it tells of."""
        return string_of(self.data, 0x0020000D)

    @property
    def instances(self) -> list[str]:
        """That it names."""
        listed = 0x00081140 if self.sop_class == CONTENT else 0x00081199
        series = items_of(self.data, 0x00081115)
        return [string_of(item, 0x00081155) for each in series for item in items_of(each, listed)]

    @property
    def availability(self) -> dict[str, str]:
        """Instance Availability of each."""
        items = (item for each in items_of(self.data, 0x00081115) for item in items_of(each, 0x00081199))
        return {string_of(item, 0x00081155): string_of(item, 0x00080056) for item in items}


class Told:
    """A peer that takes both kinds. `statuses`: its answers, in turn; the last one stays."""

    def __init__(
        self, title: str = "TOLD", *, statuses: Sequence[int] = (0,), classes: Sequence[str] = (CONTENT, AVAILABILITY)
    ) -> None:
        self.title, self.port, self.statuses, self.classes = title, 0, list(statuses), tuple(classes)
        self.messages: list[Message] = []
        self.requests: list[dimse.AssociateRequest] = []
        self.before_answer = threading.Event()
        self.before_answer.set()
        """Cleared by a test that wants it to wait with its answers."""
        self.arrived = threading.Semaphore(0)

    @property
    def peer(self) -> Peer:
        """How the archive knows it."""
        return Peer(title=self.title, host="127.0.0.1", port=self.port)

    def negotiate(self, request: dimse.AssociateRequest, address: str, port: int, session: Any = None) -> Any:
        """See `dimse.Policy`."""
        self.requests.append(request)
        policy = dimse.TitlePolicy(
            lambda uid: dimse.Offer(()) if uid in self.classes else None, frozenset({self.title})
        )
        return policy.negotiate(request, address, port)

    def sink(self, association: Any, context: Any, command: dimse.Command) -> dimse.Sink:
        """See `dimse.Service`."""
        return dimse.BufferSink(1 << 24)

    def perform(self, association: Any, context: dimse.Context, command: dimse.Command, sink: Any) -> None:
        """See `dimse.Service`."""
        data = decode(sink.value(), context.transfer_syntax)
        sop_uid = commands.text(command, commands.AFFECTED_SOP_INSTANCE)
        self.messages.append(Message(context.abstract, sop_uid, context.transfer_syntax, data))
        self.arrived.release()
        assert self.before_answer.wait(PATIENCE)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        association.respond(context.id, dimse.response(command, status))


@contextmanager
def listening(*servers: Told) -> Iterator[None]:
    """Such peers on ports of their own."""
    with ExitStack() as stack:
        for one in servers:
            acceptor = dimse.Acceptor(one, lambda _context, _command, one=one: one, NETWORK)
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            one.port = listener.getsockname()[1]
            thread = threading.Thread(target=acceptor.serve, args=(listener,))
            thread.start()
            stack.callback(thread.join, PATIENCE)
            stack.callback(acceptor.stop)
        yield


# --- the web


class Call(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


class Web:
    """A web server that is called. `statuses`: its answers, in turn; the last one stays."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses) or [204]
        self.calls: list[Call] = []
        self.arrived = threading.Semaphore(0)
        self._server = HTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        """Where it is called."""
        return f"http://127.0.0.1:{self._server.server_port}/told?token=sesame"

    def __enter__(self) -> "Web":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(PATIENCE)
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:  # the caller was killed
                    return
                web.calls.append(Call(self.path, dict(self.headers), body))
                status = web.statuses.pop(0) if len(web.statuses) > 1 else web.statuses[0]
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                web.arrived.release()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        return Handler


# --- the archive's work


def settings_of(archive: Running, **tables: Any) -> Settings:
    """The archive's settings with `notice`, `hook`, `completeness` as a file has them."""
    given = msgspec.convert(tables, Settings, strict=False)
    names = {"hook": "web_hooks"}
    changed = {names.get(name, name): getattr(given, names.get(name, name)) for name in tables}
    return msgspec.structs.replace(archive.settings, **changed)


@dataclass
class Work:
    """The background work of an archive, done when a test says so; `later` moves its clock."""

    archive: Running
    settings: Settings
    steps: StepsOf = no_steps
    also: Sequence[Also] = ()
    ahead: int = 0

    def __post_init__(self) -> None:
        database, directory = self.archive.database, Fixed(self.settings)
        plan = Plan(self.settings)
        self.outgoing = Outgoing(database, self.clock)
        told = Telling(database, Peers(self.settings, directory), directory, self.steps)
        ways: dict[str, Way] = {**dict.fromkeys(KINDS, told), HOOK: Hooks(database, plan)}
        judge = Judge(plan.rule, self.steps, received.expected)
        classes = classes_in(self.archive.store)
        self.following = Following(database, plan, judge, also=self.also, classes=classes, clock=self.clock)
        self.queue = Queue(database, self.clock)
        self.handlers = {outgoing.KIND: Deliverer(self.outgoing, plan, ways).handle}
        self._runner = Runner(self.queue, self.handlers)

    def clock(self) -> int:
        """The present, as the work sees it."""
        return outgoing.now() + self.ahead

    def later(self, seconds: float) -> "Work":
        """Let time pass."""
        self.ahead += int(seconds * 1e6)
        return self

    def follow(self) -> "Work":
        """Follow the change feed to its end, and deal with what is due; what that writes is followed too."""
        for _ in range(2):
            while self.following.step():
                pass
            while self.following.fire():
                pass
        while self.following.step():
            pass
        return self

    def all(self) -> int:
        """Do all that is due; how many jobs that were."""
        self.follow()
        done = 0
        while self._runner.run_once():
            done += 1
        return done


__all__ = ["AVAILABILITY", "CONTENT", "Told", "Web", "Work", "following", "listening", "settings_of"]
