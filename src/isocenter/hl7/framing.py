"""MLLP: messages in a stream of bytes (HL7 transport specification, MLLP release 1 and 2), without a socket."""

from typing import Final

START: Final = b"\x0b"
END: Final = b"\x1c\r"
_END_BLOCK: Final = 0x1C
_BEGINNING: Final = 4096


class FrameTooLong(Exception):
    """A message that is larger than is taken; the connection can't be used any more."""

    def __init__(self, beginning: bytes = b"") -> None:
        super().__init__()
        self.beginning = beginning
        """Of the message."""


class Unframing:
    """Takes bytes as they come, gives messages. What stands between messages is passed over (keep-alive bytes, line
    ends); a start in the middle of a message begins it anew, since a sender that was cut off starts over."""

    def __init__(self, longest: int) -> None:
        """`longest`: bytes of the largest message that is taken."""
        self._longest = longest
        self._held = bytearray()
        self._inside = False
        self._looked = 0
        self.passed_over = 0
        """Bytes outside of messages so far."""

    @property
    def under_way(self) -> bool:
        """A message has begun and not ended."""
        return self._inside

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """The messages that are whole now. Raises FrameTooLong."""
        self._held += data
        found = []
        while (message := self._next()) is not None:
            found.append(message)
        return found

    def _next(self) -> bytes | None:
        held = self._held
        if not self._inside:
            start = held.find(START)
            self.passed_over += len(held) if start < 0 else start
            del held[: len(held) if start < 0 else start + 1]
            if start < 0:
                return None
            self._inside, self._looked = True, 0
        end = held.find(_END_BLOCK, self._looked)
        if end < 0 or end == len(held) - 1:
            # the carriage return behind an end may be still under way
            self._looked = len(held) if end < 0 else end
            if (len(held) if end < 0 else end) > self._longest:
                raise FrameTooLong(bytes(held[:_BEGINNING]))
            return None
        if end > self._longest:
            raise FrameTooLong(bytes(held[:_BEGINNING]))
        message = bytes(held[:end])
        del held[: end + (2 if held[end + 1] == END[1] else 1)]
        self._inside = False
        return message.rpartition(START)[2]


def framed(message: bytes) -> bytes:
    """A message as it is sent. It may not hold the bytes that end it."""
    return START + message.replace(bytes([_END_BLOCK]), b" ") + END
