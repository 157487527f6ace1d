"""What a worker process is asked for, and what it answers: a message of msgpack in front of a frame's bytes."""

from typing import Final, NamedTuple, TypeVar

import msgspec

from isocenter.errors import Reason
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.recolouring import Recolour
from isocenter.imaging.stored import Stored
from isocenter.workers.channel import Buffer

_LENGTH: Final = 4
_Message = TypeVar("_Message")


class Lossy(NamedTuple):
    """How much a coder that loses may lose."""

    quality: int = 90
    """Of JPEG, 1 to 100."""
    near: int = 2
    """Of JPEG-LS: how far a sample may be off."""
    psnr: int = 60
    """Of JPEG 2000, in decibels of the range of all bits."""
    step: float = 0.0005
    """Of HTJ2K: the quantization step, as a part of the range of all bits."""


class Recode(NamedTuple):
    """Take a frame of transfer syntax `source` to `target`; to a native one it comes decoded, little endian, samples of
    a pixel together."""

    source: str
    target: str
    pixels: Pixels
    lossy: Lossy = Lossy()
    recolour: Recolour | None = None
    """What is done with the decoded samples before they are written."""
    stored: Stored | None = None
    """Where the frame is to be read, if it does not follow."""


class Outcome(NamedTuple):
    """What came of it: what describes the decoded frame, or why there is none."""

    pixels: Pixels | None
    reason: Reason | None = None
    comment: str = ""


def packed(message: object, payload: Buffer = b"") -> tuple[bytes, Buffer]:
    """The parts that are sent."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(_LENGTH, "little") + body, payload


def unpacked(data: bytearray, kind: type[_Message]) -> tuple[_Message, memoryview]:
    """The message and what follows it, which is not copied. Raises msgspec.DecodeError."""
    body, payload = parted(data)
    return msgspec.msgpack.decode(body, type=kind), payload


def parted(data: bytearray) -> tuple[memoryview, memoryview]:
    """The message as it is encoded, and what follows it."""
    view = memoryview(data)
    end = _LENGTH + int.from_bytes(view[:_LENGTH], "little")
    return view[_LENGTH:end], view[end:]
