"""Reconciliation in the processes of a server: where what is held goes in, and the jobs that let it out."""

from functools import cache, partial

from isocenter.archive.edits.making import Edits
from isocenter.archive.ingest import Ingest
from isocenter.config import HostedAE, Settings
from isocenter.config.offered import worklists_of
from isocenter.database import Database
from isocenter.exchange.peers import Peers
from isocenter.index.keys import wanted
from isocenter.jobs import Handler, Queue, Runner
from isocenter.registry.roster import Directory
from isocenter.server.archive import Archive
from isocenter.server.assumed import assumptions
from isocenter.store.filesystem import FilesystemStore
from isocenter.workflow.reconciling import adopting, following, holding
from isocenter.workflow.reconciling.correcting import Correcting
from isocenter.workflow.reconciling.deciding import Desk
from isocenter.workflow.reconciling.handing_over import HandingOver
from isocenter.workflow.reconciling.working import Work
from isocenter.workflow.reconciling.worklists import Worklists


def held_store(settings: Settings) -> FilesystemStore:
    """The store of what is held. Each process opens its own."""
    return holding.holding_store(
        settings.store_root, durability=settings.durability, floor_bytes=settings.free_space_floor
    )


class Doors:
    """Where the objects of an AE go in: the archive's door, or one behind which they wait."""

    def __init__(self, archive: Archive, settings: Settings) -> None:
        self._archive, self._settings = archive, settings
        self._held = cache(self._opened)

    def of(self, ae: HostedAE) -> Ingest:
        """That of `ae`."""
        archive = self._archive
        if ae.role != "reconcile":
            return archive.ingest
        held, quiet = self._held(), ae.reconciling.quiet
        writer = holding.HoldingWriter(archive.database, held, archive.writer, ae.title, quiet=quiet)
        return Ingest(held, writer, wanted=wanted(self._settings.index.attributes))

    def _opened(self) -> FilesystemStore:
        held = held_store(self._settings)
        self._archive.when_closing(held.close)
        return held


def desk(archive: Archive, directory: Directory) -> Desk:
    """Where it is decided what becomes of studies."""

    return Desk(archive.database, archive.store, lambda title: ae_of(directory, title).reconciling)


def worklists(archive: Archive, settings: Settings, peers: Peers) -> Worklists:
    """Where studies are looked for."""
    return Worklists(archive.database, peers, _at_once(settings))


def work(archive: Archive, settings: Settings, directory: Directory, peers: Peers) -> Work:
    """What carries out the jobs for studies."""
    held = held_store(settings)
    archive.when_closing(held.close)
    assume = assumptions(settings, archive.database)
    handing_over = HandingOver(archive.database, held, archive.ingest, assume=assume)
    correcting = Correcting(archive.database, Edits(archive.database, archive.store, archive.writer))
    of = partial(ae_of, directory)
    return Work(
        archive.database, desk(archive, directory), worklists(archive, settings, peers), handing_over, correcting, of
    )


def runner(archive: Archive, settings: Settings, directory: Directory, peers: Peers, queue: Queue) -> Runner:
    """Carries the jobs out, in threads of its own: some wait for worklists, as many as may be asked at once."""
    feed = following.Following(archive.database, queue, lambda: directory.now().settings.aes)
    new = following.NewStudies(archive.database, archive.store, lambda title: directory.now().settings.ae(title), queue)
    handlers: dict[str, Handler] = {
        holding.KIND: work(archive, settings, directory, peers).handle,
        following.FOLLOWING: feed.handle,
        following.NEW_STUDY: new.handle,
    }

    def begin() -> None:
        queue.enqueue(following.FOLLOWING, unique_key=following.FOLLOWING)

    return Runner(queue, handlers, threads=1 + _at_once(settings), begin=begin)


def _at_once(settings: Settings) -> int:
    """How many worklists may be asked at a time (I-TWF-08); 1 where nothing is reconciled when the server starts."""
    return max((ae.reconciling.associations for ae in settings.aes if worklists_of(ae)), default=1)


def ae_of(directory: Directory, title: str) -> HostedAE:
    """An AE as it is now; as one without settings of its own where it is gone."""
    return directory.now().settings.ae(title) or HostedAE(title=title, role="reconcile")


def adopt(settings: Settings, held: Settings, index: Database) -> int:
    """Note what is held and has no row. The caller holds the store; `held`: the settings with the stored AEs."""
    store = held_store(settings)
    try:
        recovered = store.recover().recovered
        titles = [ae.title for ae in held.aes if ae.role == "reconcile"]
        adopted = adopting.adopt(store, index, titles=titles, assume=assumptions(settings, index))
        store.settle(recovered)
    finally:
        store.close()
    return adopted
