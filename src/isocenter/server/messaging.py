"""HL7, wired: what takes messages in, and the jobs that send others, process some again and forget old ones."""

import socket
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, NamedTuple

from isocenter.config import Settings
from isocenter.jobs import Queue, Runner
from isocenter.jobs.runner import Again, Handler, Running
from isocenter.security import tls
from isocenter.server import committing, workflow
from isocenter.server.archive import Archive
from isocenter.workflow.messages.keeping import Messages, now
from isocenter.workflow.messages.outbox import SEND, Outbox
from isocenter.workflow.messages.processing import Processor
from isocenter.workflow.messages.receiving import Receiver
from isocenter.workflow.messages.replaying import REPLAY, Replayer
from isocenter.workflow.messages.sending import Sender
from isocenter.workflow.orders import forgetting as orders
from isocenter.workflow.patients import forgetting as patients

PURGE: Final = "hl7-purge"
_DAY: Final = 86_400
_SENDINGS: Final = 8
"""Destinations that are sent to at once."""


class Reception(NamedTuple):
    """What takes messages in."""

    messages: Messages
    processor: Processor
    receiver: Receiver


def reception(archive: Archive, settings: Settings) -> Reception:
    """What a process needs that takes messages, or processes them again."""
    messages = Messages(archive.database, node(settings))
    processor = Processor(messages)
    outbox = Outbox(archive.database, settings.hl7)
    receiver = Receiver(settings.hl7, processor, workflow.handlers(archive, settings), outbox)
    return Reception(messages, processor, receiver)


def node(settings: Settings) -> str:
    """This installation on this machine, where several share a database."""
    return f"{socket.gethostname()}:{settings.data.absolute()}"


def runner(archive: Archive, settings: Settings, queue: Queue) -> Runner:
    """What carries out the jobs that send messages, a thread a destination; and those that process some again, where
    no process of this installation takes messages."""
    threads = min(len(settings.hl7.destinations), _SENDINGS) + 1
    outbox = Outbox(archive.database, settings.hl7, queue)

    def context() -> ssl.SSLContext:
        return tls.client_context(settings.tls, check_name=settings.tls.check_names)

    handlers: dict[str, Handler] = {SEND: Sender(outbox, settings.hl7, context).handle}
    if not settings.hl7_listens:
        handlers |= replaying(lambda: reception(archive, settings))

    def begin() -> None:
        for destination in outbox.waiting():
            queue.enqueue(SEND, {"destination": destination}, unique_key=destination)

    return Runner(queue, handlers, threads=threads, begin=begin)


def replays(archive: Archive, settings: Settings, taking: Reception) -> Runner:
    """What carries out the jobs that process messages again, in the process that takes messages: each waits for its
    turn among those of its feed that come in."""
    queue = Queue(archive.database)
    begin = partial(committing.release_dead, queue) if settings.sqlite else None
    return Runner(queue, replaying(lambda: taking), begin=begin)


def replaying(taking: Callable[[], Reception]) -> Mapping[str, Handler]:
    """The handler of the jobs that process messages again."""

    def handle(running: Running) -> Again | None:
        found = taking()
        return Replayer(found.messages, found.processor, found.receiver).handle(running)

    return {REPLAY: handle}


def purging(archive: Archive, settings: Settings) -> Mapping[str, Handler]:
    """The handler of the daily job that forgets old messages, and what was noted of their orders and patients."""
    hl7, messages, outbox = settings.hl7, Messages(archive.database), Outbox(archive.database, settings.hl7)

    def purge(running: Running) -> Again:
        def going_on() -> bool:
            return not running.cancelled() and not running.stopping

        while messages.purge(_before(hl7.keep)) and going_on():
            pass
        outbox.purge(_before(hl7.keep))
        while hl7.keep_events and patients.forget(archive.database, _before(hl7.keep_events)) and going_on():
            pass
        if hl7.keep_orders:
            orders.forget(archive.database, _before(hl7.keep_orders), going_on)
        return Again(_DAY)

    return {PURGE: purge}


def _before(days: int) -> int:
    """So many days ago, in microseconds UTC."""
    return now() - days * _DAY * 1_000_000
