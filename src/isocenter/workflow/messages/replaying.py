"""Messages that a person has processed again: each takes its place behind those of its feed that are there already,
and those that come later wait for it."""

import time
from collections.abc import Sequence
from typing import Final

from isocenter.database import Database
from isocenter.errors import Retriable
from isocenter.jobs import Queue
from isocenter.jobs.runner import Again, Running
from isocenter.workflow.messages.keeping import Messages
from isocenter.workflow.messages.processing import Processor
from isocenter.workflow.messages.receiving import Receiver

REPLAY: Final = "hl7-replay"
"""The kind of the job."""
_PAUSE: Final = 30.0
_TELL: Final = 1.0
"""Seconds between reports of how far it has come: each is a commit, as each message is."""


def ask(database: Database, ids: Sequence[int]) -> int:
    """Have messages processed again by the running server, or by the next; the job's id."""
    with database.writing() as connection:
        Messages(database).again(connection, ids)
        return Queue(database).add(connection, REPLAY, {"ids": sorted(set(ids))})


class Replayer:
    """The handler of `REPLAY`."""

    def __init__(self, messages: Messages, processor: Processor, receiver: Receiver) -> None:
        self._messages, self._processor, self._receiver = messages, processor, receiver

    def handle(self, running: Running) -> Again | None:
        """Process the messages in the order in which they came first; those that are done by now are passed over."""
        refused = done = 0
        told = time.monotonic()
        for _, arrival in self._messages.arrivals(running.payload.get("ids", ())):
            if running.cancelled() or running.stopping:
                return Again(0.0)
            work = self._receiver.again(arrival)
            try:
                self._processor.finish(work)
            except Retriable as away:
                return Again(_PAUSE, away.comment)
            refused, done = refused + (work.fault is not None), done + 1
            if time.monotonic() - told >= _TELL:
                running.progress(_reached(done, refused))
                told = time.monotonic()
        running.progress(_reached(done, refused))
        return None


def _reached(done: int, refused: int) -> str:
    return f"{done} processed, {refused} of them refused"
