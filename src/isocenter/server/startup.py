"""What happens before the first worker: the folder, the schema, the match of store and index, what a crash left.

All of it runs in a child of its own (`process.call`), so that the supervisor never opens the database nor imports
what only a migration needs.
"""

import json
import os
import stat
import tempfile
import uuid
from collections.abc import Iterable
from contextlib import closing
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy.exc import DatabaseError

from isocenter import telemetry
from isocenter.archive.likeness import likeness
from isocenter.config import HostedAE, Peer, Settings
from isocenter.database import Database, facts
from isocenter.dicom.part10 import Receipt
from isocenter.errors import ConfigurationError, Refused
from isocenter.index import rebuild
from isocenter.index.keys import wanted
from isocenter.index.writer import LocalWriter
from isocenter.jobs import indexing
from isocenter.registry import stored
from isocenter.registry.roster import merged, titles_of
from isocenter.server import integrity, salvaging, tokens, workitems
from isocenter.store.api import Store
from isocenter.store.filesystem import FilesystemStore

log = telemetry.logger("server.startup")

_LAST_STOP = "last-stop"
HELD = "held"
"""The folder in the store's where studies wait for reconciliation."""
_SOCKETS = "sockets.json"
_LONGEST_SOCKET = 90
"""A unix socket's path has room for 107 bytes; names in the run folder stay below the difference."""


def open_store(settings: Settings) -> FilesystemStore:
    """The store of this installation. Each process opens its own."""
    return FilesystemStore(settings.store_root, durability=settings.durability, floor_bytes=settings.free_space_floor)


def sqlite_file(settings: Settings) -> Path:
    """The file of an SQLite index."""
    return Path(settings.database_url.partition("///")[2].partition("?")[0])


def make_data_folder(settings: Settings) -> None:
    """The data folder, for this user alone."""
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"data: cannot make {settings.data}: {error.strerror}") from error
    if not os.access(settings.data, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigurationError(f"data: {settings.data} can't be written")


def make_run_folder(settings: Settings) -> Path:
    """Where sockets and `ports.json` lie: `run` in the data folder. Emptied, since the caller holds the store.

    Where that path is too long for a socket, the sockets lie in a private folder under the system's temporary one.
    """
    folder = settings.run_folder
    folder.mkdir(mode=0o700, exist_ok=True)
    _empty(folder)
    if len(os.fsencode(folder.absolute())) <= _LONGEST_SOCKET:
        return folder.absolute()
    elsewhere = Path(tempfile.mkdtemp(prefix="isocenter-"))
    (folder / _SOCKETS).write_text(json.dumps(str(elsewhere)))
    return elsewhere


def sockets_folder(settings: Settings) -> Path:
    """Where the running server's sockets lie, as `make_run_folder` chose it."""
    try:
        return Path(json.loads((settings.run_folder / _SOCKETS).read_text()))
    except (OSError, ValueError):
        return settings.run_folder.absolute()


def remove_run_folder(settings: Settings, folder: Path) -> None:
    """Leave nothing behind that says that a server runs."""
    for place in {folder, settings.run_folder}:
        _empty(place)
    if folder != settings.run_folder.absolute():
        folder.rmdir()


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if stat.S_ISSOCK(entry.lstat().st_mode) or entry.suffix in (".json", ".new"):
            entry.unlink(missing_ok=True)


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
        if damaged is not None:
            salvaging.salvage(damaged, index)
        held = _merged(settings, index)
        _adopt_held(settings, held, index)
        workitems.restarted(index, held)
    finally:
        index.close()
    return {
        "token": None if settings.http.token else tokens.make(settings.data),
        "adopted": adopted,
        **_plain(held),
    }


def registered(settings: Settings) -> dict[str, Any]:
    """The AEs and peers that hold now (`with_registry`). ConfigurationError where the database can't be read."""
    from isocenter import database

    with closing(database.open(settings.database_url, pool_size=1)) as index:
        try:
            return _plain(_merged(settings, index))
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


def _merged(settings: Settings, index: Database) -> Settings:
    with index.reading(snapshot=True) as connection:
        return merged(settings, stored.read(connection)).settings


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
        from isocenter.server import reconciling  # it builds upon this module

        reconciling.adopt(settings, held, index)


def assumptions(settings: Settings, index: Database) -> rebuild.Assume:
    """What is configured for the sender of an object that is adopted, in the settings or in `index`.

    That is looked up with the first object: what makes the index anew brings back its AEs and peers before.
    """

    configured = cache(lambda: _merged(settings, index))
    indexed = wanted(settings.index.attributes)

    def assume(receipt: Receipt) -> rebuild.Assumed:
        titled = configured().peers_titled(receipt.sending_aet)
        ae = configured().ae(receipt.receiving_aet) or configured().aes[0]
        if not titled:
            return rebuild.Assumed("", ae.character_set, indexed)
        here = [peer for peer in titled if receipt.address in (peer.host, *peer.addresses)]
        peer = (here or titled)[0]
        return rebuild.Assumed(peer.issuer, peer.character_set or ae.character_set, indexed)

    return assume


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
