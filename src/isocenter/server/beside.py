"""The archive for a command that files objects or changes them: beside a running server, or without one.

An SQLite index has one owner. Where a server runs, the command sends it what it wants filed; where none does, the
command holds the store meanwhile, so that none can start. On PostgreSQL any process files.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from isocenter import database
from isocenter.archive.ingest import Ingest
from isocenter.config import Settings
from isocenter.errors import ConfigurationError
from isocenter.index.keys import wanted
from isocenter.index.remote import RemoteWriter
from isocenter.index.writer import LocalWriter, Writer
from isocenter.server.archive import Archive, index_socket
from isocenter.server.places import open_store, sockets_folder, sqlite_file
from isocenter.store.filesystem import FilesystemStore


@contextmanager
def archive_beside(settings: Settings) -> Iterator[Archive]:
    """The archive of `settings`, until the end of the block. ConfigurationError where there is none, or where it is of
    another version."""
    if not (settings.store_root / "archive.json").exists():
        raise ConfigurationError(f"data: there is no archive in {settings.data}")
    if settings.sqlite and not sqlite_file(settings).exists():
        raise ConfigurationError(f"database: there is no {sqlite_file(settings)}")
    with ExitStack() as stack:
        store = open_store(settings)
        stack.callback(store.close)
        alone = settings.sqlite and _alone(store, stack)
        database.check_schema(settings.database_url)
        index = database.open(settings.database_url, pool_size=2, durable=settings.durability == "power")
        stack.callback(index.close)
        served = settings.sqlite and not alone
        writer: Writer = RemoteWriter(index_socket(sockets_folder(settings))) if served else LocalWriter(index)
        stack.callback(writer.close)
        ingest = Ingest(store, writer, wanted=wanted(settings.index.attributes), rejections=settings.rejection)
        yield Archive(store, index, writer, ingest, ExitStack())


def _alone(store: FilesystemStore, stack: ExitStack) -> bool:
    """Hold the store, unless a server does."""
    try:
        stack.enter_context(store.exclusive())
    except ConfigurationError:
        return False
    return True
