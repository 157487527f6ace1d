"""Packs: derived data under a name, replaced as a whole and never synced, since it can be derived again."""

import hashlib
import os
import secrets
from collections.abc import Iterable

from isocenter.store.api import Buffer
from isocenter.store.failures import keeping
from isocenter.store.layout import FILE_MODE, FOLDER_MODE, NEW_FILE, Layout
from isocenter.store.opened import OpenFile
from isocenter.store.reservations import remove_quietly


class Packs:
    """The folder `packs/` of a store. Names come checked."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def put(self, name: str, chunks: Iterable[Buffer]) -> int:
        """Write all chunks, then replace what was there in one step. Raises Retriable; nothing changes then."""
        fresh = f"{self._layout.new_packs}/{secrets.token_hex(12)}"
        with keeping():
            try:
                size = _write(fresh, chunks)
                self._rename(fresh, self._path(name))
            except BaseException:
                remove_quietly([fresh])
                raise
        return size

    def open(self, name: str) -> OpenFile:
        """The pack. Raises Refused(NOT_FOUND)."""
        return OpenFile(name, self._path(name))

    def remove(self, name: str) -> bool:
        """Whether there was one."""
        try:
            os.unlink(self._path(name))
        except FileNotFoundError:
            return False
        return True

    def clean(self) -> None:
        """Remove what earlier processes began and did not finish."""
        remove_quietly(f"{self._layout.new_packs}/{name}" for name in os.listdir(self._layout.new_packs))

    def _path(self, name: str) -> str:
        return f"{self._layout.packs}/{hashlib.sha256(name.encode()).hexdigest()[:2]}/{name}"

    def _rename(self, fresh: str, path: str) -> None:
        try:
            os.rename(fresh, path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), FOLDER_MODE, exist_ok=True)
            os.rename(fresh, path)


def _write(path: str, chunks: Iterable[Buffer]) -> int:
    with open(os.open(path, NEW_FILE, FILE_MODE), "wb", buffering=0) as file:
        size = 0
        for chunk in chunks:
            rest = memoryview(chunk).cast("B")
            size += len(rest)
            while rest:
                rest = rest[file.write(rest) :]
    return size
