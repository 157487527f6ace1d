"""`isocenter hl7 send` and `isocenter hl7 listen`."""

import json
import os
import queue
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple, Self
from uuid import uuid4

import typer

from isocenter.cli.ending import Exit, say
from isocenter.cli.files import walk
from isocenter.cli.progress import bar
from isocenter.config import Tls
from isocenter.errors import ConfigurationError, Reason, Retriable
from isocenter.hl7.acknowledgement import Answered, acknowledgement, condition_of, way_of
from isocenter.hl7.calling import Caller, ReceiverLost, ReceiverUnreachable, Waits
from isocenter.hl7.errors import Condition, MessageError
from isocenter.hl7.listening import Listener
from isocenter.hl7.message import Message, parsed
from isocenter.security.tls import client_context

_PORT: Final = 2575
_FIRST_PAUSE: Final = 0.5
_BEGINNING: Final = re.compile(rb"^(?=MSH)", re.MULTILINE)
_WRAPPING: Final = b"\x0b\x1c\r\n \t"
_CONTROL_ID: Final = 20
"""Characters of a control ID that every version has room for."""
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True)
class Target:
    """Where messages go."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    tls_name: str
    wait: float
    charset: str

    @classmethod
    def written(cls, text: str, tls: Tls | None, tls_name: str, wait: float, charset: str) -> Self:
        """What HOST:PORT means. Raises ConfigurationError."""
        found = re.fullmatch(r"(\[[^\]]+\]|[^:\[\]]+)(?::(\d{1,5}))?", text)
        port = int(found[2] or _PORT) if found else 0
        if found is None or not 0 < port < 65536:
            raise ConfigurationError(f"{text!r} is no HOST:PORT")
        context = client_context(tls, check_name=True) if tls is not None else None
        return cls(found[1].strip("[]"), port, context, tls_name, wait, charset)

    def connect(self) -> Caller:
        """A connection. Raises ReceiverUnreachable."""
        address, waits = (self.host, self.port), Waits(answer=self.wait)
        return Caller(address, waits=waits, tls=self.tls, tls_name=self.tls_name, assumed=self.charset)


class _Queued(NamedTuple):
    name: str
    data: bytes
    control_id: str


class _Told(NamedTuple):
    name: str
    control_id: str
    code: str
    text: str


def send(target: Target, paths: Sequence[Path], *, renumber: bool, retries: int, as_json: bool) -> Exit:
    """Send what the files hold, in their order. A message that is refused holds up none; where a receiver can't be
    reached it ends, and says what was not sent."""
    waiting = list(_read(paths, target.charset, renumber=renumber))
    told: list[_Told] = []
    with bar("sending") as advance:
        failure = _send_all(target, waiting, told, retries, lambda: advance(len(told), len(waiting)))
    refused = [each for each in told if each.code not in ("AA", "CA")]
    unsent = [each.name for each in waiting[len(told) :]]
    if as_json:
        typer.echo(json.dumps({"messages": [each._asdict() for each in told], "not_sent": unsent, "error": failure}))
    else:
        for each in refused:
            typer.echo(f"{each.name}: {each.code or 'no code'} for {each.control_id}: {each.text}")
        typer.echo(f"{len(told) - len(refused)} of {len(waiting)} messages accepted, {len(refused)} refused")
    if failure:
        say(f"error: {failure}; {len(unsent)} messages not sent, from {unsent[0]} on")
        return Exit.NO_PEER
    return Exit.SOME_FAILED if refused else Exit.OK


def messages_in(paths: Sequence[Path], charset: str) -> Iterator[tuple[str, bytes]]:
    """The messages that files and folders hold, each with how it is told from the others. Raises ConfigurationError."""
    return ((queued.name, queued.data) for queued in _read(paths, charset, renumber=False))


def _send_all(
    target: Target, waiting: Sequence[_Queued], told: list[_Told], retries: int, advance: Callable[[], None]
) -> str:
    tries, pause = 0, _FIRST_PAUSE
    while True:
        before = len(told)
        try:
            with target.connect() as caller:
                while len(told) < len(waiting):
                    queued = waiting[len(told)]
                    code, text = condition_of(caller.send(queued.data))
                    told.append(_Told(queued.name, queued.control_id, code or "", text))
                    advance()
            return ""
        except (ReceiverUnreachable, ReceiverLost) as lost:
            tries, pause = (1, _FIRST_PAUSE) if len(told) > before else (tries + 1, pause)
            if tries > retries:
                return lost.comment
            time.sleep(pause)
            pause *= 2


def _read(paths: Sequence[Path], charset: str, *, renumber: bool) -> Iterator[_Queued]:
    for path in walk(paths):
        try:
            content = path.read_bytes()
        except OSError as failure:
            raise ConfigurationError(f"{path}: {failure.strerror}") from failure
        lines = content.replace(b"\x0b", b"\n").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        pieces = [piece for piece in _BEGINNING.split(lines) if piece.startswith(b"MSH")]
        if not pieces:
            raise ConfigurationError(f"{path}: there is no message in it")
        for number, piece in enumerate(pieces, 1):
            name = f"{path}[{number}]" if len(pieces) > 1 else str(path)
            data = piece.strip(_WRAPPING).replace(b"\n", b"\r") + b"\r"
            if renumber:
                data = _numbered(data, uuid4().hex[:_CONTROL_ID].encode())
            try:
                yield _Queued(name, data, parsed(data, charset).header.control_id)
            except MessageError as wrong:
                raise ConfigurationError(f"{name}: {wrong.comment}") from wrong


def _numbered(data: bytes, control_id: bytes) -> bytes:
    """The message under another control ID (MSH-10), otherwise byte for byte."""
    header, end, rest = data.partition(b"\r")
    separator = header[3:4]
    fields = header.split(separator)
    fields += [b""] * (10 - len(fields))
    fields[9] = control_id
    return separator.join(fields) + end + rest


# --- receiving


@dataclass(frozen=True)
class Keeping:
    """What `listen` does with a message."""

    folder: Path | None
    answer: str
    charset: str

    def __post_init__(self) -> None:
        if self.answer not in ("AA", "AE", "AR"):
            raise ConfigurationError("--answer is AA, AE or AR")
        if self.folder is not None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as failure:
                raise ConfigurationError(f"{self.folder}: {failure.strerror}") from failure

    def keep(self, data: bytes, control_id: str) -> None:
        """Write it down, so that it is on the disk before it is answered."""
        if self.folder is None:
            return
        stem = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{_UNSAFE.sub('_', control_id)[:40]}"
        with (self.folder / f"{stem}.hl7").open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def listen(address: tuple[str, int], keep: Keeping, count: int, *, as_json: bool) -> Exit:
    """Answer messages until `count` have come, or the user ends it."""
    came: queue.Queue[dict[str, object]] = queue.Queue()

    def handle(data: bytes, sender: tuple[str, int]) -> list[bytes]:
        try:
            message = parsed(data, keep.charset)
        except MessageError as wrong:
            came.put({"from": sender[0], "bytes": len(data), "error": wrong.comment})
            keep.keep(data, "unreadable")
            return _told_unreadable(wrong)
        header = message.header
        keep.keep(data, header.control_id)
        kind = f"{header.message}^{header.event}" if header.event else header.message
        came.put({"from": sender[0], "message": kind, "control_id": header.control_id, "bytes": len(data)})
        return _answers(message, keep.answer)

    try:
        sock = socket.create_server(address, family=socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    except OSError as failure:
        raise Retriable(Reason.OUT_OF_RESOURCES, f"can't listen there ({failure.strerror})") from failure
    with sock:
        listener = Listener([sock], handle)
        listener.start()
        say(f"listening on {address[0]} port {sock.getsockname()[1]}")
        try:
            for number, facts in enumerate(iter(came.get, None), 1):
                typer.echo(json.dumps(facts) if as_json else "  ".join(str(value) for value in facts.values()))
                if number == count:
                    return Exit.OK
        finally:
            listener.stop()
    return Exit.OK


def _answers(message: Message, code: str) -> list[bytes]:
    faults = {
        "AE": MessageError(Condition.INTERNAL, "this receiver was asked to say so"),
        "AR": MessageError(Condition.UNSUPPORTED_MESSAGE, "this receiver was asked to say so"),
    }
    answered, now = Answered(faults.get(code)), datetime.now(UTC)
    way = way_of(message, failed=code != "AA")
    wanted = [accepting for accepting, due in ((True, way.accept), (False, way.application)) if due]
    return [
        acknowledgement(message, answered, now=now, control_id=uuid4().hex[:_CONTROL_ID], accepting=accepting).encoded()
        for accepting in wanted
    ]


def _told_unreadable(wrong: MessageError) -> list[bytes]:
    """What can't be read has no sender and no control ID that could be named."""
    nobody = parsed(b"MSH|^~\\&|||||||||P|2.5\r")
    now = datetime.now(UTC)
    return [acknowledgement(nobody, Answered(wrong), now=now, control_id=uuid4().hex[:_CONTROL_ID]).encoded()]
