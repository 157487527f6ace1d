"""An index that is older than the store: nothing is deleted, everything is adopted, and nobody has to ask for it."""

import http.client
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from faults.conftest import MakeServer
from faults.contents import check
from faults.test_faults_kill import all_sound
from senders import Book, sample, send
from servers import PATIENCE, Server


def put_back(server: Server, copy: Path | None) -> None:
    """The index of a stopped server becomes `copy`, or is lost."""
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        (server.data / name).unlink(missing_ok=True)
    if copy is not None:
        shutil.copy(copy, server.data / "index.db")


def copy_while_running(server: Server, to: Path) -> None:
    """A snapshot, as any backup program of SQLite makes it."""
    with closing(sqlite3.connect(server.data / "index.db")) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)


def delete(server: Server, path: str) -> int:
    """HTTP DELETE; the status."""
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=PATIENCE)
    with closing(connection):
        connection.request("DELETE", path)
        return connection.getresponse().status


def objects_of(server: Server) -> set[str]:
    """The names of the complete objects in the store."""
    files = (path for path in (server.data / "store" / "objects").rglob("*") if path.is_file())
    return {path.name for path in files if path.stat().st_size}


def test_an_index_of_an_earlier_start_is_brought_up_to_date(server: Server, book: Book, tmp_path: Path) -> None:
    send(server.dicom_port, book, [sample(n, run=900) for n in range(30)])
    assert server.stop() == 0
    shutil.copy(server.data / "index.db", tmp_path / "copy.db")
    server.start()
    send(server.dicom_port, book, [sample(n, run=900) for n in range(30, 130)])
    assert server.stop() == 0
    before = objects_of(server)
    put_back(server, tmp_path / "copy.db")
    server.start()
    assert check(server, book) == 0
    assert objects_of(server) == before
    assert server.stop() == 0
    all_sound(server.data)


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_an_index_of_the_same_start_is_brought_up_to_date(server: Server, book: Book, tmp_path: Path, end: str) -> None:
    """More objects than the store remembers as just received, so that only a comparison finds them all."""
    send(server.dicom_port, book, [sample(n, run=901) for n in range(30)])
    copy_while_running(server, tmp_path / "copy.db")
    send(server.dicom_port, book, [sample(n, run=901) for n in range(30, 700)])
    if end == "stopped":
        assert server.stop() == 0
    else:
        server.kill()
    before = objects_of(server)
    put_back(server, tmp_path / "copy.db")
    server.start()
    assert check(server, book) == 0
    assert objects_of(server) == before


@pytest.mark.parametrize("left", ["nothing", "the log"])
def test_a_raw_copy_of_the_file_is_brought_up_to_date(server: Server, book: Book, tmp_path: Path, left: str) -> None:
    """The file alone, copied while the server ran; put back over the dead server's own, whose write-ahead log may have
    been left where it was."""
    send(server.dicom_port, book, [sample(n, run=904) for n in range(300)])
    shutil.copy(server.data / "index.db", tmp_path / "copy.db")
    send(server.dicom_port, book, [sample(n, run=904) for n in range(300, 1500)])
    server.kill()
    before = objects_of(server)
    if left == "nothing":
        put_back(server, tmp_path / "copy.db")
    else:
        shutil.copy(tmp_path / "copy.db", server.data / "index.db")
    server.start()
    assert check(server, book) == 0
    assert objects_of(server) == before
    assert server.stop() == 0
    all_sound(server.data)


def test_what_was_deleted_and_sent_again_survives_an_older_index(
    make_server: MakeServer, book: Book, tmp_path: Path
) -> None:
    server = make_server(settings={"http__allow_delete": True}).start()
    samples = [sample(n, run=905) for n in range(40)]
    send(server.dicom_port, book, samples)
    copy_while_running(server, tmp_path / "copy.db")
    assert delete(server, f"/dicom-web/studies/{samples[0].study}") < 300
    send(server.dicom_port, book, samples[:20])
    book.acknowledged -= {one.instance for one in samples[20:]}
    server.kill()
    put_back(server, tmp_path / "copy.db")
    server.start()
    assert check(server, book) == 0


def test_a_lost_index_is_made_anew(server: Server, book: Book) -> None:
    send(server.dicom_port, book, [sample(n, run=902) for n in range(120)])
    assert server.stop() == 0
    put_back(server, None)
    server.start()
    assert check(server, book) == 0


def test_an_older_index_does_not_bring_back_what_was_not_kept(server: Server, book: Book, tmp_path: Path) -> None:
    """The same objects sent again are acknowledged and nothing changes, also after the adoption of both copies."""
    samples = [sample(n, run=903) for n in range(20)]
    send(server.dicom_port, book, samples[:10])
    assert server.stop() == 0
    shutil.copy(server.data / "index.db", tmp_path / "copy.db")
    server.start()
    send(server.dicom_port, book, samples)
    assert server.stop() == 0
    put_back(server, tmp_path / "copy.db")
    server.start()
    assert check(server, book) == 0
