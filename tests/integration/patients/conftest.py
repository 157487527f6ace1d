"""A hospital for the tests of patients."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from archives import running
from databases import any_url, postgresql_url, sqlite_url
from hospital import Hospital

__all__ = ["any_url", "postgresql_url", "sqlite_url"]


@pytest.fixture
def house(tmp_path: Path, sqlite_url: str) -> Iterator[Hospital]:
    """On SQLite."""
    with running(tmp_path, sqlite_url, durable=False) as archive:
        yield Hospital(archive)
