"""What each kind of worker does after its fork. Heavy modules are imported there and only where they are needed."""

import threading

from isocenter import database
from isocenter.config import Settings
from isocenter.dimse import Acceptor
from isocenter.index import remote
from isocenter.index.writer import LocalWriter
from isocenter.jobs import Queue, Runner, removal
from isocenter.server import metrics, packing
from isocenter.server.archive import index_socket, open_archive
from isocenter.server.board import Kind
from isocenter.server.policy import ArchivePolicy, Places, network_settings
from isocenter.server.process import Termination, guarded
from isocenter.server.services import service_map
from isocenter.server.supervisor import Role, Worker

_POOL_DICOM = 8
_POOL_JOBS = 2


def counts(settings: Settings) -> dict[Kind, int]:
    """How many workers of each kind an installation has."""
    wanted = {Kind.DICOM: settings.processes.dicom, Kind.WEB: 1, Kind.JOBS: 1}
    return {Kind.INDEX: 1, **wanted} if settings.sqlite else wanted


def index(worker: Worker) -> None:
    """Owns an SQLite index: files what the other processes send."""
    worker.listeners.close()
    end = Termination()
    metrics.publish(worker.folder, worker.slot, worker.name)
    durable = worker.settings.durability == "power"
    held = database.open(worker.settings.database_url, pool_size=1, durable=durable)
    writer = LocalWriter(held, intake=remote.Server(index_socket(worker.folder)))
    worker.ready()
    end.wait()
    writer.close()
    held.close()


def dicom(worker: Worker) -> None:
    """Accepts associations and performs their requests."""
    worker.listeners.http.close()
    end = Termination()
    settings = worker.settings
    metrics.publish(worker.folder, worker.slot, worker.name)
    archive = open_archive(worker, pool_size=_POOL_DICOM)
    policy = ArchivePolicy(settings)
    acceptor = Acceptor(
        policy,
        service_map(archive, policy, settings),
        network_settings(settings),
        counter=Places(settings, worker.board, worker.slot),
    )
    listener = worker.listeners.dicom
    threading.Thread(target=guarded(lambda: acceptor.serve(listener)), name="accept", daemon=True).start()
    worker.ready()
    end.wait()
    acceptor.drain(settings.processes.drain)
    listener.close()
    archive.close()


def web(worker: Worker) -> None:
    """Serves HTTP."""
    from isocenter.server import web_worker

    web_worker.run(worker)


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
    }
    runner = Runner(queue, handlers, threads=2)
    for kind in handlers:
        queue.enqueue(kind, unique_key=kind)
    runner.start()
    worker.ready()
    end.wait()
    runner.stop(worker.settings.processes.drain)
    packer.close()
    archive.close()


ROLES: dict[Kind, Role] = {Kind.INDEX: index, Kind.DICOM: dicom, Kind.WEB: web, Kind.JOBS: jobs}
