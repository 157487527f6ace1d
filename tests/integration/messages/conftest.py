"""Databases for the tests of messages."""

from collections.abc import Iterator

import pytest

from databases import any_database, any_url, postgresql_url, sqlite_url
from isocenter import database
from isocenter.database import Database

__all__ = ["any_database", "any_url", "postgresql_database", "postgresql_url", "sqlite_database", "sqlite_url"]


@pytest.fixture
def sqlite_database(sqlite_url: str) -> Iterator[Database]:
    """An SQLite database with the schema, open: for what the kind of database has no part in."""
    opened = database.open(sqlite_url)
    yield opened
    opened.close()


@pytest.fixture
def postgresql_database(postgresql_url: str) -> Iterator[Database]:
    """A PostgreSQL database with the schema, open: for what only it can do."""
    opened = database.open(postgresql_url)
    yield opened
    opened.close()
