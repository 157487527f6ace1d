"""Sending messages over MLLP and hearing what is answered."""

import contextlib
import socket
import ssl
import time
from collections import deque
from types import TracebackType
from typing import Final, NamedTuple, Self

from isocenter.errors import Reason, Retriable
from isocenter.hl7.errors import MessageError
from isocenter.hl7.framing import FrameTooLong, Unframing, framed
from isocenter.hl7.message import Message, parsed

_CHUNK: Final = 1 << 16


class ReceiverUnreachable(Retriable):
    """No connection, or no TLS session, could be made."""

    def __init__(self, what: str) -> None:
        super().__init__(Reason.OUT_OF_RESOURCES, what)


class ReceiverLost(Retriable):
    """The connection ended, or nothing came in time, before an acknowledgement: the message may have been taken."""

    def __init__(self, what: str) -> None:
        super().__init__(Reason.OUT_OF_RESOURCES, what)


class Waits(NamedTuple):
    """Seconds that are waited."""

    connect: float = 10.0
    answer: float = 30.0


class Caller:
    """A connection to a receiver. Messages go one after the other, as the protocol has it."""

    def __init__(
        self,
        address: tuple[str, int],
        *,
        waits: Waits = Waits(),  # noqa: B008  it is immutable
        tls: ssl.SSLContext | None = None,
        tls_name: str = "",
        longest: int = 1 << 24,
        assumed: str = "",
    ) -> None:
        """Connect. `longest`: bytes of an answer; `assumed`: its character set where it names none. Raises
        ReceiverUnreachable."""
        self._waits, self._assumed = waits, assumed
        self._frames = Unframing(longest)
        self._waiting: deque[bytes] = deque()
        with contextlib.ExitStack() as undone:
            try:
                self._socket = undone.enter_context(socket.create_connection(address, timeout=waits.connect))
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if tls is not None:
                    self._socket = tls.wrap_socket(self._socket, server_hostname=tls_name or address[0])
            except OSError as failure:
                raise ReceiverUnreachable(f"no connection ({failure.strerror or type(failure).__name__})") from failure
            undone.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def send(self, message: bytes) -> Message:
        """Send a message; the acknowledgement that comes for it. Where it comes in two (enhanced mode), that of the
        application if it is asked for and the message was accepted. Raises ReceiverLost."""
        asked = parsed(message, self._assumed).header
        try:
            self._socket.settimeout(self._waits.answer)
            self._socket.sendall(framed(message))
            answer = self._answer(asked.control_id)
            if answer.value("MSA-1") == "CA" and asked.application in ("AL", "SU", "ER"):
                answer = self._application(asked.control_id, answer, sure=asked.application != "ER")
        except OSError as failure:
            raise ReceiverLost(f"the connection was lost ({failure.strerror or type(failure).__name__})") from failure
        return answer

    def _application(self, control_id: str, accepted: Message, *, sure: bool) -> Message:
        try:
            return self._answer(control_id)
        except ReceiverLost:
            if sure:
                raise
            return accepted  # an application that is content says nothing where only errors are asked for

    def _answer(self, control_id: str) -> Message:
        limit = time.monotonic() + self._waits.answer
        while True:
            while not self._waiting:
                self._socket.settimeout(max(limit - time.monotonic(), 0.001))
                self._hear()
            try:
                answer = parsed(self._waiting.popleft(), self._assumed)
            except MessageError as wrong:
                raise ReceiverLost(f"the answer is no HL7 ({wrong.comment})") from wrong
            # an answer to what was sent before somebody lost patience is none to this
            if answer.value("MSA-2") in (control_id, "") and answer.first("MSA").raw(1):
                return answer

    def _hear(self) -> None:
        try:
            data = self._socket.recv(_CHUNK)
        except TimeoutError as late:
            raise ReceiverLost("no answer in time") from late
        if not data:
            raise ReceiverLost("the receiver closed the connection without an answer")
        try:
            self._waiting.extend(self._frames.feed(data))
        except FrameTooLong as large:
            raise ReceiverLost("the answer is too long") from large
