"""Where the parts of an installation lie: its folders, the file of its index, its sockets, its store."""

import json
import os
import stat
import tempfile
from pathlib import Path

from isocenter.config import Settings
from isocenter.errors import ConfigurationError
from isocenter.store.filesystem import FilesystemStore

HELD = "held"
"""The folder in the store's where studies wait for reconciliation."""
_SOCKETS = "sockets.json"
_LONGEST_SOCKET = 90
"""A unix socket's path has room for 107 bytes; names in the run folder stay below the difference."""


def open_store(settings: Settings) -> FilesystemStore:
    """The store of this installation. Each process opens its own."""
    return FilesystemStore(settings.store_root, durability=settings.durability, floor_bytes=settings.free_space_floor)


def sqlite_file(settings: Settings) -> Path:
    """The file of an SQLite index."""
    return Path(settings.database_url.partition("///")[2].partition("?")[0])


def make_data_folder(settings: Settings) -> None:
    """The data folder, for this user alone."""
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"data: cannot make {settings.data}: {error.strerror}") from error
    if not os.access(settings.data, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigurationError(f"data: {settings.data} can't be written")


def make_run_folder(settings: Settings) -> Path:
    """Where sockets and `ports.json` lie: `run` in the data folder. Emptied, since the caller holds the store.

    Where that path is too long for a socket, the sockets lie in a private folder under the system's temporary one.
    """
    folder = settings.run_folder
    folder.mkdir(mode=0o700, exist_ok=True)
    _empty(folder)
    if len(os.fsencode(folder.absolute())) <= _LONGEST_SOCKET:
        return folder.absolute()
    elsewhere = Path(tempfile.mkdtemp(prefix="isocenter-"))
    (folder / _SOCKETS).write_text(json.dumps(str(elsewhere)))
    return elsewhere


def sockets_folder(settings: Settings) -> Path:
    """Where the running server's sockets lie, as `make_run_folder` chose it."""
    try:
        return Path(json.loads((settings.run_folder / _SOCKETS).read_text()))
    except (OSError, ValueError):
        return settings.run_folder.absolute()


def remove_run_folder(settings: Settings, folder: Path) -> None:
    """Leave nothing behind that says that a server runs."""
    for place in {folder, settings.run_folder}:
        _empty(place)
    if folder != settings.run_folder.absolute():
        folder.rmdir()


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if stat.S_ISSOCK(entry.lstat().st_mode) or entry.suffix in (".json", ".new"):
            entry.unlink(missing_ok=True)
