"""A program for `workers.Pool` in tests: does what the first byte of a request says."""

import ctypes
import os
import sys
import threading
from collections.abc import Sequence

from isocenter.workers.channel import Buffer
from isocenter.workers.serving import serve


def answer(body: bytearray) -> Sequence[Buffer]:
    """The process id and the request turned round, or one of the ways in which it can go wrong."""
    if body[:1] == b"!":
        ctypes.string_at(0)
    if body[:1] == b"?":
        threading.Event().wait()
    if body[:1] == b".":
        os._exit(0)
    if body[:1] == b">":
        print("this must not get in between", flush=True)
    if body[:1] == b"#":
        return [bytes(1 << 20)]
    return [str(os.getpid()).encode("ascii"), b" ", bytes(reversed(body))]


if __name__ == "__main__":
    serve(answer, float(sys.argv[1]))
