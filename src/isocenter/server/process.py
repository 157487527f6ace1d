"""Forking: what a child must do first, and how it says that it is ready."""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec

from isocenter import telemetry
from isocenter.errors import ConfigurationError, IsocenterError, Reason, Refused

log = telemetry.logger("server.process")

_PR_SET_PDEATHSIG = 1
_HOLES = (1 << 16, 1 << 14, 1 << 12, 1 << 10, 512, 256, 128, 64, 24)
"""Bytes of the pieces that holes of the heap are filled with."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None

_OURS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

FAILED_TO_START = 70
"""Exit status of a worker that ended with an error of its own."""


def fork(run: Callable[[], None], *, cleanup: Callable[[], None] | None = None) -> int:
    """Fork a child that does `run` and ends; its process id. `cleanup` lets go in the child of what is the parent's.

    The parent must be single-threaded. The child dies with the parent and takes no part in the terminal's Ctrl-C;
    SIGTERM ends it until `run` decides otherwise (`termination`).
    """
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    held = signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)
    pid = os.fork()
    if not pid:
        _live(parent, run, cleanup)
    signal.pthread_sigmask(signal.SIG_SETMASK, held)
    return pid


def _live(parent: int, run: Callable[[], None], cleanup: Callable[[], None] | None) -> NoReturn:
    status = FAILED_TO_START
    try:
        _die_with(parent)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
        if cleanup is not None:
            cleanup()
        run()
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except IsocenterError as error:
        log.error("process.failed", reason=str(error.reason), comment=error.comment)
    except BaseException:
        log.error("process.failed", exc_info=True)
    finally:
        with contextlib.suppress(Exception):  # nobody may be reading any more
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _die_with(parent: int) -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(FAILED_TO_START)


class Failure(msgspec.Struct):
    """How the work of `call` failed."""

    comment: str
    reason: Reason = Reason.PROCESSING_FAILURE
    configuration: bool = False


def call(run: Callable[[], Any]) -> Any:
    """What `run` returns (plain values), done in a child, so that what it imports and opens never was in this process.

    Raises ConfigurationError or Refused as the child did, with its comment.
    """
    reader, writer = os.pipe()

    def body() -> None:
        os.close(reader)
        _write_all(writer, _answer(run))

    pid = fork(body)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(pid, 0)
    if not answer:
        raise Refused(Reason.PROCESSING_FAILURE, f"the process ended with {os.waitstatus_to_exitcode(status)}")
    failure, result = msgspec.msgpack.decode(answer, type=tuple[Failure | None, Any])
    if failure is None:
        return result
    raise ConfigurationError(failure.comment) if failure.configuration else Refused(failure.reason, failure.comment)


def _answer(run: Callable[[], Any]) -> bytes:
    try:
        return msgspec.msgpack.encode((None, run()))
    except ConfigurationError as error:
        return msgspec.msgpack.encode((Failure(error.comment, error.reason, configuration=True), None))
    except IsocenterError as error:
        return msgspec.msgpack.encode((Failure(error.comment, error.reason), None))


def _write_all(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as pipe:
        pipe.write(data)


class Termination:
    """SIGTERM as something to wait for. Made before a worker's first thread, so that no thread is interrupted by it."""

    def __init__(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))

    def wait(self) -> None:
        """Sleep until the supervisor asks for the end. Uses no processor time."""
        signal.sigwait((signal.SIGTERM,))


def guarded(run: Callable[[], None]) -> Callable[[], None]:
    """`run` for a thread that the process can't do without: if it fails, the process ends and is started again."""

    def loop() -> None:
        try:
            run()
        except BaseException:
            log.error("process.thread-failed", exc_info=True)
            os._exit(FAILED_TO_START)

    return loop


def keep_freed(most: int = 8 << 20) -> None:
    """Keep `most` bytes of freed memory for the next use: where each request takes and frees buffers of a megabyte,
    giving them back to the system and having them zeroed again costs more than filling them."""
    if _libc is not None and hasattr(_libc, "mallopt"):
        _libc.mallopt(_M_TRIM_THRESHOLD, most)
        _libc.mallopt(_M_MMAP_THRESHOLD, most // 2)


def limit_arenas(arenas: int = 2) -> None:
    """Keep glibc from giving each thread a heap of its own (as MALLOC_ARENA_MAX does before a program starts)."""
    if _libc is not None and hasattr(_libc, "mallopt"):
        _libc.mallopt(_M_ARENA_MAX, arenas)


class _Heap(ctypes.Structure):
    """`struct mallinfo2` of glibc."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks"),
            *("uordblks", "fordblks", "keepcost"),
        )
    ]


def fill_holes() -> None:
    """Fill what lies free between the blocks of the heap, for good: some half a megabyte after the imports.

    Children that fill it, each for itself, would each copy the pages around, three megabytes in every one of them; so
    they begin with pages of their own."""
    if _libc is None or not hasattr(_libc, "mallinfo2"):
        return
    _libc.mallinfo2.restype, _libc.malloc.restype = _Heap, ctypes.c_void_p
    for size in _HOLES:
        while True:
            before = _libc.mallinfo2()
            if before.fordblks - before.keepcost < size:
                break
            _libc.malloc(ctypes.c_size_t(size))
            after = _libc.mallinfo2()
            if after.keepcost < before.keepcost or after.arena > before.arena:
                break  # it went behind all blocks: no hole is so large
