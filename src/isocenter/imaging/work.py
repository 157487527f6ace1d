"""The worker process: decodes and encodes frames within bounds of its own. Run as
`python -m isocenter.imaging.work MEMORY PATIENCE`: bytes beyond what it starts with, seconds for a frame at most.
"""

import resource
import sys
from typing import Final

import msgspec

from isocenter.errors import IsocenterError, Reason
from isocenter.imaging.decoding import decoded
from isocenter.imaging.encoding import encoded
from isocenter.imaging.recode import Outcome, Recode, packed, unpacked
from isocenter.workers.channel import Buffer
from isocenter.workers.serving import serve

IDLE: Final = 30.0


def recode(request: Recode, data: memoryview) -> tuple[Outcome, bytes]:
    """One frame."""
    try:
        array, pixels = decoded(data, request.source, request.pixels)
        return Outcome(pixels), encoded(array, pixels, request.target, request.lossy)
    except IsocenterError as refused:
        return Outcome(None, refused.reason, refused.comment), b""
    except MemoryError:
        return Outcome(None, Reason.TOO_LARGE, "the frame takes more memory than a decoder may have"), b""
    except Exception as failure:
        # whatever a codec raises is about this frame; its words may hold anything, so only its kind is told
        return Outcome(None, Reason.CANNOT_UNDERSTAND, f"the frame can't be decoded ({type(failure).__name__})"), b""


def answer(body: bytearray) -> tuple[Buffer, ...]:
    """The answer to one request."""
    try:
        request, data = unpacked(body, Recode)
    except (msgspec.MsgspecError, ValueError):
        return packed(Outcome(None, Reason.BAD_REQUEST, "no request"))
    return packed(*recode(request, data))


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
    limit_memory(memory)
    serve(answer, IDLE, patience)


if __name__ == "__main__":
    main()
