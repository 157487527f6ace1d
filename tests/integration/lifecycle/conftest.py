"""One engine for all tests of compression: its processes are started once."""

from collections.abc import Iterator

import pytest

from databases import postgresql_url, sqlite_url
from isocenter.imaging.engine import Bounds, Engine

__all__ = ["postgresql_url", "sqlite_url"]


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    made = Engine(Bounds(frame=64 << 20, memory=1 << 30, patience=30.0), 2)
    yield made
    made.close()
