"""Joins the protocol core to a connection: waits, deadlines, sending, and the end of an association.

One thread drives it. `take` hands out what arrives, a message part or a control event at a time.
"""

import time
from collections import deque
from collections.abc import Sequence

from isocenter.dimse import commands
from isocenter.dimse.failures import AssociationAborted, PeerTimeout
from isocenter.dimse.inbox import Assembler, Head, Part
from isocenter.dimse.pdu import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    MalformedPdu,
    Pdu,
    ReleaseReply,
    ReleaseRequest,
)
from isocenter.dimse.settings import Settings
from isocenter.dimse.state import State
from isocenter.dimse.transport import Buffer, Quiet, Session, Transport
from isocenter.dimse.upper_layer import Aborted, Event, Fragments, UpperLayer

Control = Aborted | AssociateRequest | AssociateAccept | AssociateReject | ReleaseRequest | ReleaseReply
Item = Head | Part | Control

_TICK = 1.0
"""Seconds of silence after which an association gives its slab back."""
_PARTING = 1.0
"""Seconds that an aborting side waits for the peer to close, so that the A-ABORT isn't lost in a reset."""


def _tick(settings: Settings) -> float:
    limits = (settings.dimse, settings.response, settings.idle)
    return min([_TICK, *(limit for limit in limits if limit)])


class Driver:
    """Drives `layer` over `transport`."""

    def __init__(self, transport: Transport, layer: UpperLayer, settings: Settings) -> None:
        self.layer = layer
        self.cancelled: set[int] = set()
        """Message ids that C-CANCEL named."""
        self.awaiting = False
        """Whether the peer owes a response: its deadline counts instead of the idle one."""
        self.dead = False
        """Whether nothing can be sent any more, or may be."""
        self.stopping = False
        self.quiet_since: float | None = None
        """`time.monotonic()` of when the present silence was noticed; None while something happens."""
        self._transport, self._settings = transport, settings
        self._assembler = Assembler(frozenset(), settings.command_limit)
        self._queue: deque[Item] = deque()
        self._tick = _tick(settings)

    def established(self, context_ids: frozenset[int], settings: Settings) -> None:
        """The association is there: only these contexts may be used, and these limits hold from now on."""
        self._settings, self._tick = settings, _tick(settings)
        self._assembler = Assembler(context_ids, settings.command_limit)
        self._transport.quiet_after(self._tick)

    @property
    def open(self) -> bool:
        """Whether the association is established and data may be sent."""
        return not self.dead and self.layer.state is State.ESTABLISHED

    # ---- receiving

    def take(self) -> Item:
        """The next thing that arrived. `PeerTimeout` after too long a silence, `AssociationAborted` at the end."""
        while not self._queue:
            if self.dead or self.layer.close_transport:
                raise AssociationAborted(2, 0)
            self._fill()
        return self._queue.popleft()

    def put_back(self, items: Sequence[Item]) -> None:
        """Take these first, in their order."""
        self._queue.extendleft(reversed(items))

    def poll(self) -> bool:
        """Take in what is there without waiting; False where nothing was."""
        for i, item in enumerate(self._queue):
            if type(item) is Part:
                self._queue[i] = item.copied()
        n = self._transport.poll_into(self.layer.receive_buffer())
        if n is None or (n == 0 and self.stopping):
            return False
        self._arrived(n)
        return True

    @property
    def kept(self) -> int:
        """Bytes of data sets that wait to be taken."""
        return sum(sum(map(len, item.views)) for item in self._queue if type(item) is Part)

    def wait_readable(self, seconds: float | None, *, waker: int | None = None) -> bool:
        """Whether `take` would have something within `seconds` (None: however long it takes), or see bytes of it; no
        longer than until the file descriptor `waker` is readable."""
        if self._queue or self.dead or self.layer.close_transport:
            return True
        return (seconds is None or seconds > 0) and self._transport.readable(seconds, waker=waker)

    @property
    def session(self) -> Session | None:
        """The TLS session; None without TLS."""
        return self._transport.session

    def await_control(self, deadline: float) -> Control:
        """The next control event, by the time `deadline` (monotonic); for the handshake, before `established`."""
        while not self._queue:
            left = deadline - time.monotonic()
            if left <= 0:
                raise PeerTimeout("association")
            self._transport.quiet_after(left)
            try:
                self._arrived(self._transport.receive_into(self.layer.receive_buffer()))
            except Quiet:
                continue  # the time left is looked at above
            if self.layer.close_transport and not self._queue:
                return Aborted(2, 0, True)
        item = self._queue.popleft()
        if isinstance(item, Head | Part):
            raise AssociationAborted(2, 0)
        return item

    def _fill(self) -> None:
        waited, timeout = 0.0, self._tick
        while True:
            try:
                n = self._transport.receive_into(self.layer.receive_buffer())
                break
            except Quiet:
                waited += timeout
                timeout = self._quiet(waited)
        if waited:
            self.quiet_since = None
            self._transport.quiet_after(self._tick)
        if n == 0 and self.stopping:
            self.abort()
            raise AssociationAborted(0, 0, by_peer=False)
        self._arrived(n)

    def _quiet(self, waited: float) -> float:
        """Nothing came for `waited` seconds: give the slab back; how long to wait on."""
        begun = self._assembler.busy or self.layer.receiving
        owed = begun or self.awaiting
        limit = self._settings.response if self.awaiting else self._settings.idle
        if begun:
            limit = self._settings.dimse
        if self.layer.state is not State.ESTABLISHED:
            limit = self._settings.artim
        if limit and waited >= limit:
            self._transport.quiet_after(self._tick)
            raise PeerTimeout("receiving" if owed else "idle")
        self.layer.idle()
        if self.quiet_since is None and not owed:
            self.quiet_since = time.monotonic()
        timeout = limit - waited if limit else 0.0
        self._transport.quiet_after(timeout)
        return timeout

    def _arrived(self, n: int) -> None:
        """Sort into the queue what `n` new bytes, or the end of the connection, complete."""
        layer = self.layer
        try:
            for event in layer.buffer_updated(n) if n else layer.closed():
                self._sort(event)
        except MalformedPdu as error:
            self.violated(error.reason)
        if not n:
            self.dead = True
        elif layer.output:
            output, layer.output = layer.output, []
            self.send(output)

    def _sort(self, event: Event) -> None:
        if type(event) is not Fragments:
            self._queue.append(event)  # type: ignore[arg-type]
        elif self.layer.state is not State.AWAITING_CLOSE:
            item = self._assembler.feed(event)
            if type(item) is Head:
                self._sort_head(item)
            elif item is not None:
                self._queue.append(item)

    def _sort_head(self, head: Head) -> None:
        command = head.command
        if command[commands.COMMAND_FIELD] != commands.C_CANCEL_RQ:
            self.cancelled.discard(commands.number(command, commands.MESSAGE_ID, -1))
            self._queue.append(head)
        elif commands.has_data(command):
            raise MalformedPdu("C-CANCEL with a data set")
        else:
            self.cancelled.add(commands.number(command, commands.MESSAGE_ID_RESPONDED))

    # ---- sending

    def send(self, buffers: Sequence[Buffer]) -> None:
        """Send PDUs. `PeerTimeout` or `AssociationAborted` where that fails; the association is dead then."""
        if not buffers:
            return
        try:
            self._transport.send(buffers)
        except PeerTimeout:
            self.dead = True
            raise
        except OSError:
            self.dead = True
            raise self._why_lost() from None

    def _why_lost(self) -> AssociationAborted:
        """The peer's own A-ABORT may lie unread; else the connection is just gone."""
        self.poll()
        for item in self._queue:
            if isinstance(item, Aborted):
                return AssociationAborted(item.source, item.reason, by_peer=item.by_peer)
        self.layer.closed()
        return AssociationAborted(2, 0)

    def send_primitive(self, primitive: Pdu) -> None:
        """Send what a local primitive leads to."""
        self.send(self.layer.send(primitive))

    def may_send_data(self) -> None:
        """Raises `AssociationAborted` unless P-DATA may go out."""
        if self.dead or self.layer.close_transport or self.layer.state is State.AWAITING_CLOSE:
            raise AssociationAborted(2, 0, by_peer=False)
        self.layer.may_send_data()

    # ---- ending

    def violated(self, reason: int) -> None:
        """The peer broke the protocol above the PDUs: abort as the provider."""
        if self.layer.state is not State.AWAITING_CLOSE:
            self._queue.extendleft(self.layer.violated(reason))  # type: ignore[arg-type]
            output, self.layer.output = self.layer.output, []
            self.send(output)

    def abort(self) -> None:
        """Send A-ABORT of the user and wait a moment for the peer to close."""
        if not self.dead and self.layer.state not in (State.IDLE, State.AWAITING_CLOSE):
            try:
                self.send(self.layer.send(Abort(0, 0)))
            except (AssociationAborted, PeerTimeout):
                return
        self.linger(min(_PARTING, self._settings.artim or _PARTING), finish=True)

    def linger(self, seconds: float, *, finish: bool = False) -> None:
        """Wait for the peer to close, at most `seconds` (0: for ever); what still arrives is dropped. With `finish`
        our own sending side is closed first."""
        until = time.monotonic() + seconds if seconds else None
        if finish and not self.dead:
            self._transport.finish()
        while not self.dead and not self.layer.close_transport and self.layer.state is State.AWAITING_CLOSE:
            left = until - time.monotonic() if until is not None else 0.0
            if left < 0:
                self.layer.expired()
                return
            self._transport.quiet_after(left)
            try:
                self._arrived(self._transport.receive_into(self.layer.receive_buffer()))
            except Quiet:
                continue  # the time left is looked at above
            except (AssociationAborted, PeerTimeout):
                return
            finally:
                self._queue.clear()

    def close(self) -> None:
        """Close the connection and give back what was borrowed."""
        self.dead = True
        self._queue.clear()
        self.layer.idle()
        self._transport.close()

    def stop(self, *, at_once: bool) -> None:
        """From any thread: the next receive sees the end; `at_once` sends fail too."""
        self.stopping = True
        self._transport.shut(sending=at_once)
