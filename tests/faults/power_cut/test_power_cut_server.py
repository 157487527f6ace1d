"""The whole server under power cuts: what it acknowledged is there afterwards, although all that no process had synced
is lost, or half of it."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.contents import check, listed
from faults.power_cut.twin import PowerCut
from senders import Book, Senders, try_to_retrieve
from servers import Server, until

FAILURES = (0xA700, 0x0110)
"""Out of resources; or, where the object was synced and the index was not, a processing failure."""


@pytest.fixture
def cut(tmp_path: Path, power_cut_shim: Path) -> PowerCut:
    return PowerCut(tmp_path / "data", power_cut_shim)


def cut_under_load(server: Server, cut: PowerCut, book: Book, acknowledged: int, torn: random.Random | None) -> None:
    """Power goes when so many more objects are acknowledged."""
    with Senders(lambda: server.dicom_port, book):
        book.await_acknowledged(acknowledged)
        server.kill()
    cut.cut(torn)


def rounds(server: Server, cut: PowerCut, book: Book, seed: int, n: int, *, torn: bool) -> None:
    """Cut at random moments, every other time once more in the midst of the start that follows."""
    chance = random.Random(seed)
    for turn in range(n):
        cut_under_load(server, cut, book, chance.randint(1, 150), chance if torn else None)
        if turn % 2:
            server.begin()
            event = chance.choice(("store.recovered", "process.started"))
            until(lambda name=event: any(True for _ in server.events(name)), told=event)
            server.kill()
            cut.cut(chance if torn else None)
        server.start()
        check(server, book)


@pytest.mark.parametrize("torn", [False, True], ids=["strict", "torn"])
def test_everything_acknowledged_survives_power_cuts(
    make_server: Callable[..., Server], cut: PowerCut, book: Book, torn: bool
) -> None:
    server = make_server(cut.root, preload=cut.environment).start()
    rounds(server, cut, book, seed=1, n=2, torn=torn)


def test_without_syncs_the_cut_does_lose_objects(make_server: Callable[..., Server], cut: PowerCut, book: Book) -> None:
    """Durability `process` promises nothing here; were all there, this file would prove nothing."""
    server = make_server(cut.root, preload=cut.environment, settings={"durability": "process"}).start()
    cut_under_load(server, cut, book, 50, None)
    server.start()
    there: set[str] = set()
    for study in listed(server.dicom_port):
        there |= try_to_retrieve(server.dicom_port, study)[1].keys()
    assert book.acknowledged - there


def test_a_disk_that_fails_to_sync_is_told(make_server: Callable[..., Server], cut: PowerCut, book: Book) -> None:
    """No success while syncs fail, no harm to what was acknowledged before, and it goes on when they work again."""
    server = make_server(cut.root, preload=cut.environment).start()
    with Senders(lambda: server.dicom_port, book) as senders:
        book.await_acknowledged(50)
        cut.fail_syncs()
        book.await_refused(8)  # each sender has had an answer of before, and one since
        known = len(book.acknowledged)
        book.await_refused(20)
        assert len(book.acknowledged) == known
        cut.fail_syncs(False)
        book.await_acknowledged(50)
        assert senders.broken == 0
        server.kill()
    assert set(book.statuses) <= {0, *FAILURES}
    cut.cut()
    server.start()
    check(server, book)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("torn", [False, True], ids=["strict", "torn"])
@pytest.mark.parametrize("seed", range(5))
def test_soak_power_cuts(make_server: Callable[..., Server], cut: PowerCut, book: Book, torn: bool, seed: int) -> None:
    server = make_server(cut.root, preload=cut.environment).start()
    rounds(server, cut, book, seed=100 + seed, n=8, torn=torn)
