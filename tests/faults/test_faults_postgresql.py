"""PostgreSQL crashes and comes back while four senders store: they wait or are told A700, and no success is false."""

from collections.abc import Callable, Iterator

import pytest

from databases import Cluster
from faults.contents import check
from faults.test_faults_kill import all_sound
from senders import Book, Senders, echo
from servers import Server

OUT_OF_RESOURCES = 0xA700


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL of the test's own, which syncs as a real one does."""
    made = Cluster(durable=True)
    yield made
    made.remove()


def crash_under_load(server: Server, cluster: Cluster, book: Book, times: int) -> None:
    """Each crash is as a kill; the start that follows recovers."""
    with Senders(lambda: server.dicom_port, book) as senders:
        for _ in range(times):
            book.await_acknowledged(60)
            cluster.stop("immediate")
            cluster.start()
            book.await_acknowledged(60)
    assert senders.broken == 0
    assert set(book.statuses) <= {0, OUT_OF_RESOURCES}


def test_everything_acknowledged_survives_crashes_of_postgresql(
    make_server: Callable[..., Server], cluster: Cluster, book: Book
) -> None:
    server = make_server(settings={"database": cluster.create()}).start()
    crash_under_load(server, cluster, book, times=3)
    check(server, book)
    assert server.stop() == 0
    all_sound(server.data)


@pytest.mark.req("M-STORE-10")
def test_while_postgresql_is_away_the_sender_is_told(
    make_server: Callable[..., Server], cluster: Cluster, book: Book
) -> None:
    server = make_server(settings={"database": cluster.create(), "index__patience": 2}).start()
    with Senders(lambda: server.dicom_port, book) as senders:
        book.await_acknowledged(40)
        cluster.stop("immediate")
        book.await_refused(4)
        assert echo(server.dicom_port) == 0
        assert server.get("/health/live")[0] == 200
        assert server.get("/health/ready")[0] == 503
        cluster.start()
        book.await_acknowledged(40)
    assert senders.broken == 0
    assert set(book.statuses) == {0, OUT_OF_RESOURCES}
    check(server, book)


def test_server_and_postgresql_killed_together(
    make_server: Callable[..., Server], cluster: Cluster, book: Book
) -> None:
    server = make_server(settings={"database": cluster.create()}).start()
    with Senders(lambda: server.dicom_port, book):
        book.await_acknowledged(100)
        cluster.stop("immediate")
        server.kill()
    cluster.start()
    server.start()
    check(server, book)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_soak_crashes_of_postgresql(make_server: Callable[..., Server], cluster: Cluster, book: Book) -> None:
    server = make_server(settings={"database": cluster.create()}).start()
    for _ in range(10):
        crash_under_load(server, cluster, book, times=5)
        check(server, book)
