"""The places that a peer has for our associations, over threads and processes."""

import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from isocenter.config import Peer
from isocenter.errors import Retriable
from isocenter.exchange.turns import Turns

PEER = Peer(title="WS", host="10.0.0.1", associations=2)
HOLD = """
import sys
from pathlib import Path
from isocenter.config import Peer
from isocenter.exchange.turns import Turns
with Turns(Path(sys.argv[1])).taken(Peer(title="WS", host="10.0.0.1", associations=2), 30):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.req("I-ASSOC-06")
def test_no_more_than_the_peer_may_have(tmp_path: Path) -> None:
    turns = Turns(tmp_path)
    with ExitStack() as stack:
        stack.enter_context(turns.taken(PEER, 0))
        stack.enter_context(Turns(tmp_path).taken(PEER, 0))
        with pytest.raises(Retriable, match="WS has all its associations"):
            stack.enter_context(turns.taken(PEER, 0))
        stack.enter_context(turns.taken(Peer(title="WS", host="10.0.0.2"), 0))
    with turns.taken(PEER, 0):
        pass


@pytest.mark.req("I-ASSOC-06")
def test_another_process_counts_and_gives_back_when_it_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with Turns(tmp_path).taken(PEER, 0):
            with pytest.raises(Retriable), Turns(tmp_path).taken(PEER, 0):
                pass
            other.kill()
            other.wait()
            with Turns(tmp_path).taken(PEER, 30):
                pass


def test_who_waits_has_a_place_once_there_is_one(tmp_path: Path) -> None:
    turns, got = Turns(tmp_path), threading.Event()
    one = Peer(title="WS", associations=1)

    def wait() -> None:
        with turns.taken(one, 30):
            got.set()

    with turns.taken(one, 0):
        thread = threading.Thread(target=wait)
        thread.start()
        assert not got.is_set()
    assert got.wait(30)
    thread.join()


def test_no_title_becomes_part_of_a_path(tmp_path: Path) -> None:
    with Turns(tmp_path).taken(Peer(title="../../AWAY", host="a/b"), 0):
        (path,) = (tmp_path / "outbound").iterdir()
        assert "AWAY" not in path.name


def test_a_folder_that_can_not_be_made_is_a_lack_of_resources(tmp_path: Path) -> None:
    (tmp_path / "outbound").write_text("in the way")
    with pytest.raises(Retriable), Turns(tmp_path).taken(PEER, 0):
        pass
