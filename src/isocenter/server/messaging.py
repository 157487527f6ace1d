"""HL7, wired: what takes messages in, and the jobs that send others, process some again and forget old ones."""

import socket
import ssl
from collections.abc import Mapping
from typing import Final, NamedTuple

from isocenter.config import Settings
from isocenter.jobs import Queue, Runner
from isocenter.jobs.runner import Again, Handler, Running
from isocenter.security import tls
from isocenter.server import workflow
from isocenter.server.archive import Archive
from isocenter.workflow.messages.keeping import Messages, now
from isocenter.workflow.messages.outbox import SEND, Outbox
from isocenter.workflow.messages.processing import Processor
from isocenter.workflow.messages.receiving import Receiver
from isocenter.workflow.messages.replaying import REPLAY, Replayer
from isocenter.workflow.messages.sending import Sender

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
    """What carries out the jobs that send messages, a thread a destination, and those that process some again."""
    threads = min(len(settings.hl7.destinations), _SENDINGS) + 1
    return Runner(queue, {**sending(archive, settings, queue), **replaying(archive, settings)}, threads=threads)


def sending(archive: Archive, settings: Settings, queue: Queue) -> Mapping[str, Handler]:
    """The handler of the jobs that send, with a job for each destination that something waits for."""
    outbox = Outbox(archive.database, settings.hl7, queue)

    def context() -> ssl.SSLContext:
        return tls.client_context(settings.tls, check_name=settings.tls.check_names)

    for destination in outbox.waiting():
        queue.enqueue(SEND, {"destination": destination}, unique_key=destination)
    return {SEND: Sender(outbox, settings.hl7, context).handle}


def replaying(archive: Archive, settings: Settings) -> Mapping[str, Handler]:
    """The handler of the jobs that process messages again."""

    def replayer() -> Replayer:
        made = reception(archive, settings)
        return Replayer(made.messages, made.processor, made.receiver)

    return {REPLAY: lambda running: replayer().handle(running)}


def purging(archive: Archive, settings: Settings) -> Mapping[str, Handler]:
    """The handler of the daily job that forgets old messages."""
    messages, outbox = Messages(archive.database), Outbox(archive.database, settings.hl7)

    def purge(running: Running) -> Again:
        before = now() - settings.hl7.keep * _DAY * 1_000_000
        while messages.purge(before) and not running.cancelled() and not running.stopping:
            pass
        outbox.purge(before)
        return Again(_DAY)

    return {PURGE: purge}
