"""Archives to search in."""

from collections.abc import Iterator

import pytest

from databases import any_url, postgresql_url, sqlite_url
from find_samples import Archive
from isocenter import database

__all__ = ["any_url", "archive", "postgresql_url", "sqlite_url"]


@pytest.fixture
def archive(any_url: str) -> Iterator[Archive]:
    """An empty archive on each database in turn."""
    opened = database.open(any_url)
    made = Archive(opened)
    yield made
    made.close()
    opened.close()
