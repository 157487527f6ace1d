"""The worker process: decodes and encodes frames within bounds of its own. Run as
`python -m isocenter.imaging.work MEMORY PATIENCE`: bytes beyond what it starts with, seconds for a frame at most.
"""

import resource
import sys
from typing import Final

import msgspec

from isocenter import telemetry
from isocenter.errors import IsocenterError, Reason
from isocenter.imaging.decoding import decoded
from isocenter.imaging.encoding import encoded
from isocenter.imaging.picture import Picture
from isocenter.imaging.recode import Outcome, Recode, packed, parted
from isocenter.imaging.rendering.request import Drawn, Icon, Order
from isocenter.imaging.rendering.subjects import OTHER
from isocenter.imaging.stored import fetched
from isocenter.workers.channel import Buffer
from isocenter.workers.serving import serve

log = telemetry.logger("imaging.work")

IDLE: Final = 30.0
_OURS: Final = (NameError, AttributeError, ImportError, AssertionError)
"""What no codec raises about a frame: a fault of this program, to be seen."""
_REQUESTS: Final[msgspec.msgpack.Decoder[Recode | Order]] = msgspec.msgpack.Decoder(Recode | Order)


def recode(request: Recode, data: memoryview) -> tuple[Outcome, bytes]:
    """One frame."""
    if request.stored is not None:
        data = memoryview(fetched(request.stored))
    array, pixels = decoded(data, request.source, request.pixels)
    if request.recolour is not None:
        from isocenter.imaging.colouring import recoloured  # few images need it

        array, pixels = recoloured(array, pixels, request.recolour)
    return Outcome(pixels), encoded(array, pixels, request.target, request.lossy)


def draw(order: Order, data: memoryview) -> tuple[Drawn, bytes]:
    """One picture."""
    from isocenter.imaging.rendering.drawing import done  # takes its time to load, and who transcodes has no use for it

    return done(order, data)


def failed(failure: Exception) -> tuple[Reason, str]:
    """Why there is no answer."""
    if isinstance(failure, IsocenterError):
        return failure.reason, failure.comment
    if isinstance(failure, MemoryError):
        return Reason.TOO_LARGE, "the frame takes more memory than a decoder may have"
    if isinstance(failure, _OURS):
        log.error("frame.failed", exc_info=True)
    # whatever a codec raises is about this frame; its words may hold anything, so only its kind is told
    return Reason.CANNOT_UNDERSTAND, f"the frame can't be decoded ({type(failure).__name__})"


def answer(body: bytearray) -> tuple[Buffer, ...]:
    """The answer to one request."""
    try:
        message, data = parted(body)
        request = _REQUESTS.decode(message)
    except (msgspec.MsgspecError, ValueError):
        return packed(Outcome(None, Reason.BAD_REQUEST, "no request"))
    drawing = isinstance(request, Order)
    try:
        return packed(*(draw(request, data) if isinstance(request, Order) else recode(request, data)))
    except Exception as failure:
        reason, comment = failed(failure)
        return packed(Drawn("", reason=reason, comment=comment) if drawing else Outcome(None, reason, comment))


def prepare() -> None:
    """Load what the first picture needs by drawing one: libraries load their parts when these are first used."""
    answer(bytearray(b"".join(packed(Order(icon=Icon(OTHER, Picture(width=16)))))))


def limit_memory(more: int) -> None:
    """Let this process's address space grow by `more` bytes and no further."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        held = int(statm.read().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = held + more
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard < 0 else min(wanted, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def main() -> None:
    """Serve until idle."""
    memory, patience = int(sys.argv[1]), float(sys.argv[2])
    telemetry.configure("ERROR")
    limit_memory(memory)
    serve(answer, IDLE, patience, prepare)


if __name__ == "__main__":
    main()
