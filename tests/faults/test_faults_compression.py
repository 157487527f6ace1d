"""SIGKILL at every step of a compression: the instance is there afterwards, once, and shows the same."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from archives import running, study_uid
from compressing_archives import GREY, image
from databases import sqlite_url
from imaging_objects import frames_in, native_frames
from inline_engine import Inline
from isocenter import database
from isocenter.archive.deletion import Deletions
from isocenter.config import Settings
from isocenter.database import facts
from isocenter.dicom import uids
from isocenter.index import tables
from isocenter.index.writer import LocalWriter
from isocenter.jobs import Queue, Runner
from isocenter.jobs.removal import carry_out
from isocenter.lifecycle.choosing import rules_to
from isocenter.lifecycle.compressing import Compressor, now
from isocenter.lifecycle.working import KIND, Work, enqueue
from isocenter.server import startup
from isocenter.store.filesystem import FilesystemStore
from isocenter.store.verify import verify

__all__ = ["sqlite_url"]

_CALLS = frozenset({"open", "reserve", "begin", "write", "finish_data", "seal", "commit", "settle", "file"})
_MOST = 60


class Fuse:
    """Kills this process when it burns for the n-th time; 0: never."""

    def __init__(self, left: int) -> None:
        self._left = left

    def burn(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class Fused:
    """Something that burns a fuse at each of its calls."""

    def __init__(self, what: Any, fuse: Fuse) -> None:
        self._what, self._fuse = what, fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._what, name)
        if name not in _CALLS:
            return found

        def call(*arguments: Any) -> Any:
            self._fuse.burn()
            result = found(*arguments)
            if name in ("commit", "settle"):
                self._fuse.burn()  # else the next call is as good
            return Fused(result, self._fuse) if name == "reserve" else result

        return call


class Held(NamedTuple):
    """An installation on a folder."""

    settings: Settings
    store: FilesystemStore
    index: database.Database
    writer: LocalWriter


@contextmanager
def opened(folder: Path) -> Iterator[Held]:
    """The archive in `folder`, as a server's start leaves it."""
    settings = Settings(data=folder, free_space_floor=0)
    with ExitStack() as stack:
        store = FilesystemStore(settings.store_root, floor_bytes=0)
        stack.callback(store.close)
        index = stack.enter_context(closing(database.open(settings.database_url)))
        writer = stack.enter_context(closing(LocalWriter(index)))
        yield Held(settings, store, index, writer)


def compress(held: Held, fuse: Fuse) -> None:
    store, writer = Fused(held.store, fuse), Fused(held.writer, fuse)
    compressor = Compressor(store, writer, Inline(), keep=60.0)
    deletions = Deletions(held.index, held.store, held.writer)
    handler = Work(held.index, held.store, rules_to("JPEGLSLossless"), compressor, deletions).handle
    queue = Queue(held.index)
    enqueue(queue, study_uid(), at_once=True)
    Runner(queue, {KIND: handler}).run_once()


def killed_at(folder: Path, step: int) -> bool:
    """Compress in a process that is killed at a step; False if it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            with opened(folder) as held:
                compress(held, Fuse(step))
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def start(folder: Path) -> None:
    """What a server does before it serves."""
    settings = Settings(data=folder, free_space_floor=0)
    store = FilesystemStore(settings.store_root, floor_bytes=0)
    with store.exclusive():
        startup.prepare(settings, store)
    store.close()


def in_force(held: Held) -> Any:
    """The row of the one instance, after a look at what it shows."""
    with held.index.reading() as connection:
        (row,) = connection.execute(tables.instance.select()).all()
    with held.store.open(row.store_key) as stored:
        ((shown, _),) = frames_in(stored.pread(row.size, row.offset), row.syntax)
    ((wanted,), _) = native_frames(GREY)
    assert np.array_equal(shown, wanted)
    return row


@pytest.fixture
def template(tmp_path: Path, sqlite_url: str) -> Path:
    """An archive with one image, stopped."""
    folder = tmp_path / "data"
    folder.mkdir()
    database.migrate(f"sqlite:///{folder / 'index.db'}")
    with running(folder, f"sqlite:///{folder / 'index.db'}") as archive:
        archive.send(image(1))
        facts.claim(archive.database, archive.store.archive_id)
    return folder


def test_killed_at_any_step(tmp_path: Path, template: Path) -> None:
    after_kill = set()
    for step in range(1, _MOST):
        folder = tmp_path / f"step{step}"
        shutil.copytree(template, folder)
        was_killed = killed_at(folder, step)
        start(folder)
        with opened(folder) as held:
            after_kill.add(in_force(held).syntax)
            compress(held, Fuse(0))
            row = in_force(held)
            assert row.syntax == uids.JPEG_LS_LOSSLESS
            carry_out(held.index, held.store, now() + 3_600_000_000)
            assert list(held.store.keys()) == [row.store_key], f"step {step} left something"
            assert [found.verdict for found in verify(held.store)] == ["sound"]
        shutil.rmtree(folder)
        if not was_killed:
            break
    assert not was_killed, "there are more steps than were tried"
    assert step > 12
    assert after_kill == {uids.EXPLICIT_LE, uids.JPEG_LS_LOSSLESS}
