"""The databases that these tests use, and archives on them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from databases import any_database, any_url, empty_url, postgresql_url, sqlite_url
from filed_archive import Archive
from isocenter.database import Database
from isocenter.store.filesystem import FilesystemStore
from isocenter.store.memory import MemoryStore

__all__ = ["any_database", "any_url", "archive", "empty_url", "postgresql_url", "sqlite_url"]


@pytest.fixture(params=["folder", "memory"])
def archive(request: pytest.FixtureRequest, tmp_path: Path, any_database: Database) -> Iterator[Archive]:
    """An empty archive: each store with each database."""
    store = FilesystemStore(tmp_path / "store") if request.param == "folder" else MemoryStore()
    made = Archive(store, any_database)
    yield made
    made.writer.close()
    made.store.close()
