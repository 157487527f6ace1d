"""The HL7 process: takes messages over MLLP, on the sockets that the supervisor bound, and processes some again."""

import threading
from typing import Final

from isocenter import telemetry
from isocenter.config import Settings
from isocenter.errors import Retriable
from isocenter.hl7.listening import Limits, Listener, anyone
from isocenter.security import tls
from isocenter.server import messaging, metrics
from isocenter.server.archive import open_archive
from isocenter.server.process import Termination
from isocenter.server.supervisor import Worker
from isocenter.workflow.messages.feeds import Doorkeeper
from isocenter.workflow.messages.keeping import now
from isocenter.workflow.messages.processing import Processor
from isocenter.workflow.messages.under_way import Work

log = telemetry.logger("server.hl7")

_POOL: Final = 8
_GONE: Final = 15 * 60 * 1_000_000
"""Microseconds after which a message that another node has under way is taken for left behind."""


def run(worker: Worker) -> None:
    """Take messages until SIGTERM; then answer those that have come."""
    end, settings = Termination(), worker.settings
    worker.listeners.http.close()
    worker.listeners.close_dicom()
    metrics.publish(worker.folder, worker.slot, worker.name)
    archive = open_archive(worker, pool_size=_POOL)
    reception = messaging.reception(archive, settings)
    # before anybody can send: what was received first is processed first
    left = [reception.receiver.again(arrival) for _, arrival in reception.messages.unfinished(before=now() - _GONE)]
    listeners = _listeners(worker, settings, reception)
    replays = messaging.replays(archive, settings, reception)
    threading.Thread(target=_finish, args=(reception.processor, left), name="left", daemon=True).start()
    for listener in listeners:
        listener.start()
    replays.start()
    worker.ready()
    end.wait()
    replays.stop(settings.processes.drain)
    for listener in listeners:
        listener.stop(settings.processes.drain)
    reception.processor.stop()
    worker.listeners.close_hl7()
    archive.close()


def _listeners(worker: Worker, settings: Settings, reception: messaging.Reception) -> list[Listener]:
    hl7, receiver = settings.hl7, reception.receiver
    limits = Limits(hl7.largest, hl7.connections, hl7.idle, message=hl7.message)
    known = Doorkeeper(hl7, settings.hl7_open).admits
    found = []
    if (plain := worker.listeners.hl7) is not None:
        found.append(Listener([plain], receiver.handle, limits, admits=known, too_long=receiver.refuse))
    if (secure := worker.listeners.hl7_tls) is not None:
        admits = anyone if settings.tls.client_certificate == "require" else known
        context = tls.server_context(settings.tls)
        found.append(Listener([secure], receiver.handle, limits, context, admits=admits, too_long=receiver.refuse))
    return found


def _finish(processor: Processor, left: list[Work]) -> None:
    """Process what was received, and not finished, before the last end; its senders find the answers when they send
    again."""
    for work in left:
        try:
            processor.finish(work)
        except Retriable as failure:
            log.warning("hl7.unfinished", reason=failure.comment)
    if left:
        log.info("hl7.caught-up", messages=len(left))
