"""Where things lie in the folder of a store, and how names become durable.

archive.json          archive id and version of the layout
lock                  held by the server that runs on the store
objects/ab/cd/<key>   complete objects, and reserved names that are still empty or being filled
spool/<pid>.<random>  the names of one batch of reservations; empty when every one is settled
exceptions/           <key> and <key>.json: bytes that can't be served, and why; <key>.times: how often they came
exceptions.lock       held while something is put there or taken away
journal/<day>/        one small file a record
packs/<xx>/<name>     derived data; packs/new/ holds those being written
"""

import fcntl
import os
import struct
import threading
from contextlib import suppress

FOLDER_MODE = 0o750
FILE_MODE = 0o640
NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC

_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS and FS_IOC_SETFLAGS of 64-bit Linux
_TOP_FOLDER = 0x00020000  # FS_TOPDIR_FL

ROOMS = ("objects", "spool", "exceptions", "journal", "packs", "packs/new")


def sync_folder(path: str) -> None:
    """Make the names in a folder durable."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def scatter_folders(path: str) -> None:
    """Ask ext4 to put the folders made in `path` into block groups far apart (as `chattr +T`).

    By default they share their parent's groups, and there ext4 walks over every inode that was deleted within the last
    minutes for each file it creates: measured up to 1.4 ms a file after a large deletion, 0.03 ms with scattered
    folders. Other file systems say no, which is no error."""
    with suppress(OSError):  # no such attribute on this file system
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            flags = struct.unpack("i", fcntl.ioctl(folder, _GET_FLAGS, bytes(4)))[0]
            fcntl.ioctl(folder, _SET_FLAGS, struct.pack("i", flags | _TOP_FOLDER))
        finally:
            os.close(folder)


def write_new(path: str, content: bytes, *, durable: bool) -> None:
    """Create a file with `content`. Its folder is the caller's to sync. Raises FileExistsError and other OSErrors."""
    file = os.open(path, NEW_FILE, FILE_MODE)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(file, rest) :]
        if durable:
            os.fsync(file)
    finally:
        os.close(file)


class Layout:
    """The paths below one root. Keys and names reach it checked (`api.checked_key`)."""

    def __init__(self, root: str, *, durable: bool, shared: str = "") -> None:
        """`shared`: the root whose exceptions area and journal this one uses; '' for its own."""
        self.root = os.path.abspath(root)
        self.durable = durable
        self._known: set[str] = set()
        self._lock = threading.Lock()
        self.objects, self.spool, self.exceptions, self.journal, self.packs, self.new_packs = (
            f"{self.root}/{room}" for room in ROOMS
        )
        self.archive = f"{self.root}/archive.json"
        self.lock = f"{self.root}/lock"
        self.exceptions_lock = f"{self.root}/exceptions.lock"
        if shared:
            beside = Layout(shared, durable=durable)
            self.exceptions, self.exceptions_lock = beside.exceptions, beside.exceptions_lock
            self.journal = beside.journal

    def make_rooms(self) -> None:
        """Create the root and its folders where they are missing."""
        missing = []
        path = self.root
        while not os.path.isdir(path):
            missing.append(path)
            path = os.path.dirname(path)
        for path in reversed(missing):
            self.make_folder(path)
        for room in ROOMS:
            self.make_folder(f"{self.root}/{room}", scatter=room in ("objects", "packs"))

    def make_folder(self, path: str, *, scatter: bool = False) -> None:
        """Create a folder (its parent exists) and make its name durable; once a process, then free.

        With `scatter` its own folders will lie apart (see `scatter_folders`). The parent is synced even if the folder
        was there: another process may have made it and not synced it yet."""
        if path in self._known:
            return
        with self._lock:
            with suppress(FileExistsError):  # another thread or process was first
                os.mkdir(path, FOLDER_MODE)
                if scatter:
                    scatter_folders(path)
            if self.durable:
                sync_folder(os.path.dirname(path))
            self._known.add(path)

    def sync(self, folder: str) -> None:
        """Make the names in `folder` durable, if the store is to be."""
        if self.durable:
            sync_folder(folder)

    def leaf(self, key: str) -> str:
        """The folder of an object."""
        return f"{self.objects}/{key[:2]}/{key[2:4]}"

    def make_leaf(self, key: str) -> str:
        """The folder of an object, created and durable."""
        self.make_folder(f"{self.objects}/{key[:2]}", scatter=True)
        leaf = self.leaf(key)
        self.make_folder(leaf)
        return leaf

    def object(self, key: str) -> str:
        """The file of an object."""
        return f"{self.objects}/{key[:2]}/{key[2:4]}/{key}"

    def exception(self, key: str) -> str:
        """The file of what was set aside; its note has `.json` behind, how often it came `.times`."""
        return f"{self.exceptions}/{key}"
