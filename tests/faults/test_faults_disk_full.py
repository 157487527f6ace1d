"""The disk fills up while four senders store: they are told A700, nothing acknowledged is lost, and with space again
the same server goes on."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from faults.contents import check
from faults.test_faults_kill import all_sound
from senders import Book, Senders, echo, sample, send
from servers import Server

OUT_OF_RESOURCES = 0xA700


class SmallDisk:
    """A memory file system of so many megabytes at `path`."""

    def __init__(self, path: Path, megabytes: int) -> None:
        self.path = path
        path.mkdir()
        mount, self._unmount = shutil.which("mount"), shutil.which("umount")
        if os.geteuid() != 0 or mount is None or self._unmount is None:
            pytest.skip("mounting a small file system needs root")
        self._mount = mount
        done = self._run(mount, "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", path)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")

    def grow(self, megabytes: int) -> None:
        """More space for the same files."""
        assert not self._run(self._mount, "-o", f"remount,size={megabytes}m", self.path).returncode

    def fill(self) -> None:
        """Leave not a page free."""
        with (self.path / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):  # until it is full
            while ballast.write(bytes(4096)):
                pass

    def close(self) -> None:
        """Gone, with all files."""
        assert self._unmount is not None
        self._run(self._unmount, "-l", self.path)

    @staticmethod
    def _run(*command: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([str(part) for part in command], capture_output=True, check=False)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "disk", 24)
    yield disk
    disk.close()


@pytest.mark.req("M-STORE-10")
def test_a_full_disk_is_told_and_nothing_is_lost(
    small_disk: SmallDisk, make_server: Callable[..., Server], book: Book
) -> None:
    server = make_server(small_disk.path).start()
    with Senders(lambda: server.dicom_port, book) as senders:
        for size in (40, 96):
            book.await_refused(30)
            assert echo(server.dicom_port) == 0
            small_disk.grow(size)
            book.await_acknowledged(50)
    assert senders.broken == 0, "a full disk ends no association"
    assert set(book.statuses) == {0, OUT_OF_RESOURCES}
    check(server, book)
    # and the index, and a restart, agree
    assert server.stop() == 0
    server.start()
    check(server, book)
    assert server.stop() == 0
    all_sound(server.data)
    server.kill()


def test_a_server_starts_on_a_full_disk(small_disk: SmallDisk, make_server: Callable[..., Server], book: Book) -> None:
    """What it holds can be retrieved although nothing can be written."""
    server = make_server(small_disk.path).start()
    with Senders(lambda: server.dicom_port, book):
        book.await_refused(30)
    server.kill()
    small_disk.fill()
    server.start()
    check(server, book)
    small_disk.grow(64)
    send(server.dicom_port, book, [sample(n, run=920) for n in range(20)])
    assert book.statuses[0] >= 20
    check(server, book)
    server.kill()


def test_the_floor_is_told_and_lifted_by_a_reload(
    make_server: Callable[..., Server], book: Book, tmp_path: Path
) -> None:
    """The same without a small disk: more must stay free than there is."""
    config = tmp_path / "isocenter.toml"
    config.write_text(f"free_space_floor = {1 << 60}\n")
    server = make_server(settings={"config": config}, unset=("free_space_floor",)).start()
    samples = [sample(n, run=921) for n in range(10)]
    send(server.dicom_port, book, samples)
    assert book.statuses == {OUT_OF_RESOURCES: 10}
    assert server.get("/health/ready")[0] == 503
    config.write_text("free_space_floor = 0\n")
    server.reload()
    send(server.dicom_port, book, samples)
    assert book.statuses == {OUT_OF_RESOURCES: 10, 0: 10}
    assert check(server, book) == 0
