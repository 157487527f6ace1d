"""The program's side: answer requests from standard input on standard output."""

import os
import select
import signal
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from isocenter.workers.channel import Buffer, Channel, widen

Answer: TypeAlias = Callable[[bytearray], Sequence[Buffer]]
"""The parts of the answer to a request."""

_SPARE: Final = 5
"""Seconds beyond a request's own limit, so that the asking side, which knows why, ends this process first."""


def serve(answer: Answer, idle: float, patience: float = 0.0, ahead: Callable[[], None] | None = None) -> None:
    """Answer until the input ends or nothing has come for `idle` seconds.

    An interrupt at the terminal is for the server, which then closes our input. Whatever else writes to standard output
    is led to standard error. With `patience` a request that takes longer (seconds) ends the process even if nobody is
    left who waits: no handler is run, since a codec that hangs would never let it.

    `ahead` is done first where nothing waits yet: the process was started before it is needed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    incoming, outgoing = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    channel = Channel(incoming, outgoing)
    widen(incoming)
    widen(outgoing)
    if ahead is not None and not select.select([incoming], [], [], 0)[0]:
        ahead()
    while select.select([incoming], [], [], idle)[0]:
        signal.alarm(int(patience) + _SPARE if patience else 0)
        body = channel.receive()
        if body is None:
            return
        channel.send(answer(body))
        signal.alarm(0)
