"""SIGKILL while four senders store: what was acknowledged is there afterwards, and nothing is there in halves."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.contents import check
from isocenter.store.filesystem import FilesystemStore
from isocenter.store.verify import verify
from senders import Book, Senders, WebSenders
from servers import OWNER, Server, until

KINDS = (OWNER, "dicom", "web", "jobs")


def store_and_kill(server: Server, book: Book, acknowledged: int) -> None:
    """Kill all processes as soon as so many more objects are acknowledged, in the midst of the next."""
    with Senders(lambda: server.dicom_port, book):
        book.await_acknowledged(acknowledged)
        server.kill()


def rounds(server: Server, book: Book, seed: int, n: int) -> None:
    """Kill at random moments, every other time once more in the midst of the start that follows."""
    chance = random.Random(seed)
    for turn in range(n):
        store_and_kill(server, book, chance.randint(1, 250))
        if turn % 2:
            server.begin()
            event = chance.choice(("store.recovered", "process.started"))
            until(lambda name=event: any(True for _ in server.events(name)), told=event)
            server.kill()
        server.start()
        check(server, book)


def all_sound(data: Path) -> None:
    """Every complete object in the store of a stopped server is what was received; nothing was set aside."""
    store = FilesystemStore(data / "store")
    assert {finding.verdict for finding in verify(store)} <= {"sound"}
    assert not list(store.exceptions())
    store.close()


@pytest.mark.req("M-STORE-02", "M-STORE-09", "I-STORE-05")
def test_everything_acknowledged_survives_kills_of_all_processes(server: Server, book: Book) -> None:
    rounds(server, book, seed=1, n=3)
    assert server.stop() == 0
    all_sound(server.data)


def test_without_syncs_kills_are_survived_too(make_server: Callable[..., Server], book: Book) -> None:
    rounds(make_server(settings={"durability": "process"}).start(), book, seed=2, n=1)


@pytest.mark.parametrize("kind", KINDS)
def test_everything_acknowledged_survives_kills_of_one_kind(server: Server, book: Book, kind: str) -> None:
    kill_kind_under_load(server, book, kind, times=1)
    assert server.stop() == 0
    all_sound(server.data)


def kill_kind_under_load(server: Server, book: Book, kind: str, times: int) -> None:
    """The supervisor starts them again, senders go on, and all is there without a restart of the server."""
    chance = random.Random(kind)
    with Senders(lambda: server.dicom_port, book) as senders:
        for _ in range(times):
            book.await_acknowledged(chance.randint(20, 150))
            killed = server.kill_kind(kind)
            server.await_restart(kind, killed)
            book.await_acknowledged(50)
    assert senders.broken == 0 or kind in ("dicom", OWNER), "only a dicom process takes associations with it"
    check(server, book)


def test_what_came_over_http_survives_too(server: Server, book: Book) -> None:
    with WebSenders(lambda: server.http_port, book, threads=2), Senders(lambda: server.dicom_port, book, threads=1):
        book.await_acknowledged(60)
        server.kill_kind("web")
        server.await_restart("web")
        book.await_acknowledged(60)
        server.kill_kind(OWNER)
        server.await_restart(OWNER)
        book.await_acknowledged(60)
        server.kill()
    server.start()
    check(server, book)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(10))
def test_soak_kills_of_all_processes(server: Server, book: Book, seed: int) -> None:
    rounds(server, book, seed=100 + seed, n=10)
    assert server.stop() == 0
    all_sound(server.data)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
def test_soak_kills_of_one_kind(make_server: Callable[..., Server], book: Book, kind: str) -> None:
    """The pause before a restart doubles with each that comes soon, so that it has to begin very short here."""
    server = make_server(settings={"processes__restart_delay": 0.0001}).start()
    for _ in range(4):
        kill_kind_under_load(server, book, kind, times=4)
    assert server.stop() == 0
    all_sound(server.data)
