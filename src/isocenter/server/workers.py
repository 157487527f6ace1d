"""What each kind of worker does after its fork. Heavy modules are imported there and only where they are needed."""

import threading
import time

from isocenter.archive.deletion import Deletions
from isocenter.archive.rejection import rejecting
from isocenter.dimse import Acceptor
from isocenter.exchange import commitment_upkeep
from isocenter.exchange.peers import Peers
from isocenter.exchange.turns import Turns
from isocenter.jobs import Queue, Runner, indexing, removal
from isocenter.registry.watching import Watch
from isocenter.security import tls
from isocenter.server import (
    committing,
    compressing,
    messaging,
    metrics,
    notifying,
    packing,
    pushing,
    reconciling,
    registering,
    stepping,
    workitems,
)
from isocenter.server.archive import open_archive
from isocenter.server.board import Kind, State
from isocenter.server.policy import ArchivePolicy, Places, network_settings
from isocenter.server.process import Termination, guarded
from isocenter.server.services import service_map
from isocenter.server.sharing import Shares
from isocenter.server.supervisor import Role, Worker
from isocenter.workflow.workitems import delivering
from isocenter.workflow.worklist import purging

_POOL_DICOM = 8
_POOL_JOBS = 4
_CALLS = 3
"""Jobs that talk to peers at once, other than those that send."""
_STEPS = 2
"""Jobs that pass procedure steps on at once."""
_SENDINGS = 6
"""Jobs that send at once."""
_LOOK = 0.02


def dicom(worker: Worker) -> None:
    """Accepts associations and performs their requests; one of these owns an SQLite index."""
    worker.listeners.http.close()
    worker.listeners.close_hl7()
    end = Termination()
    settings = worker.settings
    metrics.publish(worker.folder, worker.slot, worker.name)
    archive = open_archive(worker, pool_size=_POOL_DICOM, may_own=True)
    policy = ArchivePolicy(settings, Watch(settings, archive.database), ports=worker.listeners.own_ports)
    listeners, secure = worker.listeners.all_dicom, worker.listeners.secure
    acceptor = Acceptor(
        policy,
        service_map(archive, policy, settings),
        network_settings(settings),
        counter=Places(settings, worker.board, worker.slot, policy.directory, worker.listeners.own_ports),
        sharing=Shares(worker.board, worker.slot, lambda: archive.owns_index),
        ssl_context=tls.server_context(settings.tls) if secure else None,
    )
    accept = guarded(lambda: acceptor.serve(*listeners, secure=secure))
    threading.Thread(target=accept, name="accept", daemon=True).start()
    worker.ready()
    end.wait()
    acceptor.drain(settings.processes.drain)
    worker.listeners.close_dicom()
    if settings.sqlite:
        _outlast(worker)
    archive.close()


def _outlast(worker: Worker) -> None:
    """Wait while others still file into the index and no other process is there to take it over."""
    while True:
        others = [entry for entry in worker.board.entries() if entry.slot != worker.slot]
        succeeded = any(entry.kind == Kind.DICOM and entry.state == State.READY for entry in others)
        if succeeded or all(entry.kind == Kind.DICOM for entry in others):
            return
        time.sleep(_LOOK)


def web(worker: Worker) -> None:
    """Serves HTTP."""
    from isocenter.server import web_worker

    web_worker.run(worker)


def hl7(worker: Worker) -> None:
    """Takes HL7 messages."""
    from isocenter.server import hl7_worker

    hl7_worker.run(worker)


def jobs(worker: Worker) -> None:
    """Carries out background work."""
    worker.listeners.close()
    end = Termination()
    metrics.publish(worker.folder, worker.slot, worker.name)
    archive = open_archive(worker, pool_size=_POOL_JOBS)
    queue = Queue(archive.database)
    packer = packing.Packer(archive, worker.settings)
    handlers = {
        removal.KIND: removal.handler(archive.database, archive.store),
        packing.KIND: packer.handle,
        indexing.KIND: indexing.handler(
            archive.database,
            archive.store,
            worker.settings.index.attributes,
            character_set=worker.settings.aes[0].character_set,
            settle=worker.settings.processes.drain,
        ),
    }
    deletions = Deletions(archive.database, archive.store, archive.writer)
    handlers[rejecting.KIND] = rejecting.handler(archive.database, deletions, worker.settings.rejection)
    handlers[commitment_upkeep.KIND] = committing.upkeep(archive)
    handlers[purging.KIND] = purging.handler(archive.database, worker.settings.worklist)
    handlers[delivering.UPKEEP] = workitems.upkeep(archive.database, worker.settings)
    handlers |= compressing.following(archive, worker.settings, queue)
    handlers |= messaging.purging(archive, worker.settings)
    handlers |= notifying.follower(archive, worker.settings)
    handlers |= registering.following(archive)

    def begin() -> None:
        if worker.settings.sqlite:
            committing.release_dead(queue)
        for kind in handlers:
            queue.enqueue(kind, unique_key=kind)
        stepping.begin(queue)

    runner = Runner(queue, handlers, threads=2, begin=begin)
    # what waits for peers has threads of its own, so that a slow one holds up nothing but what is meant for it
    directory = Watch(worker.settings, archive.database)
    peers = Peers(worker.settings, directory, Turns(worker.settings.run_folder))
    calling = {
        **committing.handlers(archive, worker.settings, directory, peers),
        **workitems.handlers(archive.database, worker.settings, directory, peers),
    }
    calls = Runner(queue, calling, threads=_CALLS)
    reconciliation = reconciling.runner(archive, worker.settings, directory, peers, queue)
    steps = Runner(queue, stepping.handlers(archive, directory, peers), threads=_STEPS)
    sendings = Runner(queue, pushing.handlers(archive, worker.settings, directory, peers), threads=_SENDINGS)
    messages = messaging.runner(archive, worker.settings, queue)
    notices = notifying.runner(archive, worker.settings, queue, directory, peers)
    at_once = worker.settings.compression.studies
    compression = Runner(queue, compressing.handlers(archive, worker.settings), threads=at_once)
    for each in (runner, calls, steps, sendings, messages, reconciliation, notices, compression):
        each.start()
    worker.ready()
    end.wait()
    parting = workitems.parting(archive.database, worker.settings, calls.wake) if worker.board.closing else None
    for each in (runner, steps, sendings, messages, reconciliation, notices, compression):
        each.stop(worker.settings.processes.drain)
    if parting is not None:
        parting.await_told()
    calls.stop(worker.settings.processes.drain)
    packer.close()
    archive.close()


ROLES: dict[Kind, Role] = {Kind.DICOM: dicom, Kind.WEB: web, Kind.JOBS: jobs, Kind.HL7: hl7}
