"""Servers for the fault tests; whatever a test does to one, its log must not name a patient."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from senders import SECRETS, Book
from servers import Server

MakeServer = Callable[..., Server]


@pytest.fixture
def book() -> Book:
    """What the test sends."""
    return Book()


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[MakeServer]:
    """Makes servers on `tmp_path / "data"` or another folder; kills them in the end and reads their logs."""
    made: list[Server] = []

    def make(data: Path | None = None, **options: Any) -> Server:
        made.append(Server(data or tmp_path / "data", **options))
        return made[-1]

    yield make
    for server in made:
        server.kill()
    for server in made:
        log = server.whole_log()
        assert not [secret for secret in SECRETS if secret in log], "the log names a patient"
        assert "Traceback" not in log, f"the server printed a stack:\n{log[log.index('Traceback') :][:3000]}"


@pytest.fixture
def server(make_server: MakeServer) -> Server:
    """A server that runs."""
    return make_server().start()
