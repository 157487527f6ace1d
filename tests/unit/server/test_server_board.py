"""The page of shared memory that the processes count themselves in."""

import os
import threading
import time

import pytest

from isocenter.server.barrier import Barrier
from isocenter.server.board import Board, Kind, State


def test_a_worker_counts_itself_in_and_out() -> None:
    board = Board(4, 3)
    board.open(0, Kind.DICOM, 0)
    tally = board.tally(0)
    first = tally.enter(0, "10.0.0.1")
    second = tally.enter(1, "10.0.0.1")
    assert first is not None
    assert second is not None
    assert board.total() == 2
    assert board.matching(ae=0) == 1
    assert board.matching(address="10.0.0.1") == 2
    assert board.matching(ae=1, address="10.0.0.2") == 0
    tally.leave(first)
    assert board.total() == 1
    assert board.matching(ae=0) == 0


@pytest.mark.req("I-ASSOC-32")
def test_a_worker_has_no_more_places_than_the_limit() -> None:
    board = Board(1, 2)
    tally = board.tally(0)
    assert tally.enter(0, "a") is not None
    assert tally.enter(0, "a") is not None
    assert tally.enter(0, "a") is None


def test_clearing_a_dead_worker_gives_its_associations_back() -> None:
    board = Board(2, 3)
    for slot in (0, 1):
        board.open(slot, Kind.DICOM, 0)
        board.tally(slot).enter(0, "a")
    board.clear(0)
    assert board.total() == 1
    assert board.free_slot() == 0
    assert [e.slot for e in board.entries()] == [1]


def test_readiness_counts_by_kind() -> None:
    board = Board(3, 1)
    board.open(0, Kind.DICOM, 0)
    board.open(1, Kind.WEB, 2)
    board.mark(1, State.READY)
    assert not board.ready({Kind.DICOM: 1, Kind.WEB: 1})
    board.mark(0, State.READY)
    assert board.ready({Kind.DICOM: 1, Kind.WEB: 1})
    assert [e.restarts for e in board.entries()] == [0, 2]


def test_a_child_writes_what_the_parent_reads() -> None:
    board = Board(1, 2)
    board.open(0, Kind.DICOM, 0)
    pid = os.fork()
    if not pid:
        board.tally(0).enter(0, "a")
        os._exit(0)
    os.waitpid(pid, 0)
    assert board.total() == 1


def test_what_is_acknowledged_and_not_filed_is_known_to_all() -> None:
    board = Board(3, 1)
    account = board.account(1)
    assert board.settled()
    account.acknowledged()
    account.acknowledged()
    account.filed(1)
    assert not board.settled()
    wanted = board.lagging()
    assert wanted == {1: 2}
    assert not board.caught_up(wanted)
    account.acknowledged()
    account.filed(1)
    assert board.caught_up(wanted), "what came later is not waited for"
    assert not board.settled()
    account.filed(1)
    assert board.settled()


def test_what_a_dead_worker_left_is_waited_for_until_it_is_inherited() -> None:
    board = Board(3, 1)
    board.account(1).acknowledged()
    wanted = board.lagging()
    board.orphaned(1)
    board.clear(1)
    assert not board.caught_up(wanted)
    assert not board.settled()
    board.inherit(2)
    assert board.has_inherited(2)
    assert not board.has_inherited(1)
    board.orphaned(0)
    assert board.caught_up(wanted)
    assert board.settled()
    board.clear(2)
    assert not board.has_inherited(2)


def test_a_reader_waits_for_what_was_acknowledged_before() -> None:
    board = Board(2, 1)
    barrier, account = Barrier(board), board.account(0)
    barrier.wait()
    assert not account.hurried()
    account.acknowledged()
    read = threading.Event()

    def reading() -> None:
        barrier.wait()
        read.set()

    reader = threading.Thread(target=reading)
    reader.start()
    assert not read.wait(0.05)
    assert account.hurried()
    assert not account.hurried(), "it is told once"
    account.filed(1)
    assert read.wait(10)
    reader.join()


def test_a_reader_does_not_wait_for_ever_and_the_next_not_as_long() -> None:
    board = Board(2, 1)
    barrier = Barrier(board, patience=0.3)
    board.account(0).acknowledged()
    started = time.monotonic()
    barrier.wait()
    first = time.monotonic() - started
    barrier.wait()
    assert first >= 0.3 > time.monotonic() - started - first
