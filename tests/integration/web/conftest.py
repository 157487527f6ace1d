"""Archives behind a real HTTP port."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from web_archive import Archive, served

Open = Callable[..., tuple[httpx.Client, Archive]]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens archives with settings of the test's choice."""
    closing: list[Callable[[], object]] = []

    def start(**settings: Any) -> tuple[httpx.Client, Archive]:
        folder = tmp_path / str(len(closing))
        folder.mkdir()
        archive = Archive(folder, **settings)
        context = served(archive)
        client = context.__enter__()
        closing.append(lambda: (context.__exit__(None, None, None), archive.close()))
        return client, archive

    try:
        yield start
    finally:
        for close in reversed(closing):
            close()


@pytest.fixture
def web(opened: Open) -> tuple[httpx.Client, Archive]:
    """One archive with the defaults."""
    return opened()
