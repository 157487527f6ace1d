"""Archives behind a real HTTP port."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from web_archive import Archive, opened_archive

Open = Callable[..., tuple[httpx.Client, Archive]]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens archives with settings of the test's choice."""
    with ExitStack() as stack:

        def start(**settings: Any) -> tuple[httpx.Client, Archive]:
            folder = tmp_path / str(len(list(tmp_path.iterdir())))
            folder.mkdir()
            return stack.enter_context(opened_archive(folder, **settings))

        yield start


@pytest.fixture
def web(opened: Open) -> tuple[httpx.Client, Archive]:
    """One archive with the defaults."""
    return opened()
