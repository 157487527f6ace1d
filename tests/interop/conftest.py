"""Whole servers for the peers' tests, each with its log and a folder of its own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from isocenter.config import Peer
from peer_programs import configured
from servers import Server

Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a server that knows the given peers."""
    with ExitStack() as stack:

        def start(*peers: Peer, ae: str = "") -> Server:
            return stack.enter_context(Server(configured(tmp_path / "data", *peers, ae=ae)))

        yield start
