"""What happens before the first worker: the folder, the schema, the match of store and index, what a crash left.

All of it runs in a child of its own (`process.call`), so that the supervisor never opens the database nor imports
what only a migration needs.
"""

import uuid
from collections.abc import Iterable, Mapping
from contextlib import closing
from itertools import chain
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy.exc import DatabaseError

from isocenter import telemetry
from isocenter.archive.likeness import likeness
from isocenter.config import HostedAE, Peer, Settings
from isocenter.database import Database, facts
from isocenter.errors import ConfigurationError, Refused
from isocenter.index import rebuild
from isocenter.index.writer import LocalWriter
from isocenter.jobs import indexing
from isocenter.registry.roster import titles_of
from isocenter.server import integrity, salvaging, tokens, workitems
from isocenter.server.assumed import assumptions, with_stored
from isocenter.server.places import HELD, sqlite_file
from isocenter.store.api import Store
from isocenter.store.filesystem import FilesystemStore
from isocenter.workflow.workitems.events import Kept

log = telemetry.logger("server.startup")

_LAST_STOP = "last-stop"


def prepare(settings: Settings, store: FilesystemStore) -> dict[str, Any]:
    """Bring store and index to a state that workers can serve. Gives the token if it is new, what was adopted, and the
    AEs and peers that hold (`with_registry`).

    The caller holds the store.
    """
    from isocenter import database

    damaged = None
    if settings.sqlite and not _is_usable(settings, store):
        damaged = integrity.put_aside(sqlite_file(settings))
    database.migrate(settings.database_url)
    index = database.open(settings.database_url, pool_size=2)
    try:
        with index.reading() as connection:
            fresh = not facts.read(connection, "archive_id")
        facts.claim(index, store.archive_id)
        adopted = _reconcile(settings, store, index, fresh=fresh)
        found = salvaging.salvage(damaged, index) if damaged is not None else {}
        workitems.findable(index, salvaged=bool(found))
        held = with_stored(settings, index)
        _adopt_held(settings, held, index)
        workitems.restarted(index, held, _kept(found, fresh=fresh))
    finally:
        index.close()
    return {
        "token": None if settings.http.token else tokens.make(settings.data),
        "adopted": adopted,
        **_plain(held),
    }


def _kept(salvaged: Mapping[str, int], *, fresh: bool) -> Kept:
    """What is left of the unified worklist, where the index had to be made anew."""
    subscribed = bool({"workitem_watch", "workitem_subscription"} & salvaged.keys())
    return Kept(not fresh or subscribed, not fresh or "workitem" in salvaged)


def registered(settings: Settings) -> dict[str, Any]:
    """The AEs and peers that hold now (`with_registry`). ConfigurationError where the database can't be read."""
    from isocenter import database

    with closing(database.open(settings.database_url, pool_size=1)) as index:
        try:
            return _plain(with_stored(settings, index))
        except DatabaseError as error:
            raise ConfigurationError(f"database: it can't be read ({type(error).__name__})") from error


def _plain(held: Settings) -> dict[str, Any]:
    return {"aes": msgspec.to_builtins(held.aes), "peers": msgspec.to_builtins(held.peers)}


def with_registry(settings: Settings, prepared: dict[str, Any]) -> Settings:
    """The settings, with the AEs and peers among them that are stored, as `prepare` or `registered` found them."""
    return replace(
        settings,
        aes=msgspec.convert(prepared["aes"], tuple[HostedAE, ...]),
        peers=msgspec.convert(prepared["peers"], tuple[Peer, ...]),
    )


def stored_aes(settings: Settings, held: Settings) -> frozenset[str]:
    """The titles of the AEs of `held` that only the database names."""
    return frozenset(ae.title for ae in held.aes) - titles_of(settings)["ae"]


def _is_usable(settings: Settings, store: Store) -> bool:
    """Whether an SQLite file, if there is one, is whole: looked at where it was not stopped together with the store."""
    from isocenter import database

    if not sqlite_file(settings).exists():
        return True
    with closing(database.open(settings.database_url, pool_size=1)) as index:
        try:
            if _in_step(store, index):
                return True
        except DatabaseError as error:
            if integrity.is_broken(error):
                return False
            log.info("index.unread", fault=type(error).__name__)  # it may not have its tables yet
        return integrity.is_whole(index)


def _reconcile(settings: Settings, store: FilesystemStore, index: Database, *, fresh: bool) -> int:
    """Give the index what only the store knows: what a crash left between the two, or everything if the index may not
    be the one that served this store last (restored, or lost)."""
    recovered = store.recover().recovered
    if fresh:
        adopted = _rebuild(settings, store, index)
    elif not _in_step(store, index):
        adopted = _catch_up(settings, store, index)
    else:
        adopted = _adopt(settings, store, index, recovered)
    store.settle(recovered)
    store.remove_pack(_LAST_STOP)
    return adopted


def _rebuild(settings: Settings, store: FilesystemStore, index: Database) -> int:
    """A new index over a store that holds something already: its journal counts as much as its objects."""
    if next(chain(store.keys(), store.journal()), None) is None:
        return 0
    log.warning("index.lost")
    report = rebuild.rebuild(store, index, compare=likeness, assume=assumptions(settings, index))
    indexing.note_indexed(index, settings.index.attributes)
    return report.verdicts.total()


def _catch_up(settings: Settings, store: FilesystemStore, index: Database) -> int:
    """The index may be older than the store."""
    log.warning("index.compared", reason="no clean stop of this index and this store")
    report = rebuild.catch_up(store, index, compare=likeness, assume=assumptions(settings, index))
    if report.journal:
        log.warning("journal.applied", records=report.journal)
    return report.verdicts.total()


def _adopt(settings: Settings, store: FilesystemStore, index: Database, keys: Iterable[str]) -> int:
    with closing(LocalWriter(index)) as writer:
        report = rebuild.adopt(store, writer, keys, compare=likeness, assume=assumptions(settings, index))
    return report.verdicts.total()


def _adopt_held(settings: Settings, held: Settings, index: Database) -> None:
    """What waits for reconciliation is known too. `held`: the settings with the stored AEs."""
    if (settings.store_root / HELD).exists():
        from isocenter.server import reconciling  # only where something is held: it has much to import

        reconciling.adopt(settings, held, index)


def _in_step(store: Store, index: Database) -> bool:
    """Whether this index and this store were stopped together, and no server has run on the store since."""
    with index.reading() as connection:
        noted = facts.read(connection, _LAST_STOP)
    try:
        with store.open_pack(_LAST_STOP) as pack:
            return bool(noted) and pack.pread(64, 0).decode("ascii", "replace") == noted
    except Refused:
        return False


def note_stop(settings: Settings, store: Store) -> None:
    """Both remember that they were in step when the server stopped; the store's mark goes at the next start.

    So an index that was copied before, or while the server ran, is known as an older one. Without a clean stop the two
    are compared object by object. The caller holds the store. Raises Retriable where there is no space.
    """
    from isocenter import database

    stop = uuid.uuid4().hex
    with closing(database.open(settings.database_url, pool_size=1)) as index:
        with index.writing() as connection:
            facts.write(connection, _LAST_STOP, stop)
        store.put_pack(_LAST_STOP, [stop.encode()])
