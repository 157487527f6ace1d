"""An object being received into a reserved file: `header_size` zeros, then the data set as it comes.

The header is written last. A file whose header is all zeros was never an object, so no name has to change and no folder
has to be synced when one is complete.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress

from isocenter.errors import Reason, Retriable
from isocenter.store.api import MARK, Buffer, checked_header
from isocenter.store.failures import failure
from isocenter.store.opened import OpenFile
from isocenter.store.reservations import Pool, Slot, remove_quietly
from isocenter.store.space import Floor
from isocenter.store.writeback import start_writeback

MOST_VECTORS = 1024
"""IOV_MAX of Linux."""

PAGE = 4096

STRIDE = 1 << 18
LONGEST_STRIDE = 1 << 20
"""Bytes after which write-back starts while an object comes in; the stride doubles up to the longest one.

Measured (bench/store.py --strides): 256 KiB cuts what is left for the sync of a 0.5 MB object from 0.78 to 0.52 ms. For
16 MB that wait is 12 ms without early write-back and 0.9 ms with 1 MiB, at 23 ms of CPU each; short strides cost 28."""


class FileSpool:
    """See `api.Spool`."""

    def __init__(self, slot: Slot, pool: Pool, floor: Floor, *, durable: bool, stride: int = STRIDE) -> None:
        try:
            self._file = os.open(slot.path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise failure(error) from error
        self._slot = slot
        self._pool = pool
        self._floor = floor
        self._durable = durable
        self._stride = stride
        self._header_size = 0
        self._size = 0
        self._written_back = 0
        self._hash = hashlib.sha256()
        self._broken = False
        self._sealed = False
        self._committed = False

    @property
    def key(self) -> str:
        """The key that the object will have."""
        return self._slot.key

    @property
    def size(self) -> int:
        """Bytes of data written so far."""
        return self._size

    @property
    def digest(self) -> str:
        """SHA-256 of the data written so far."""
        return self._hash.hexdigest()

    @property
    def header_size(self) -> int:
        """Bytes left free before the data."""
        return self._header_size

    @property
    def path(self) -> str:
        """Its file."""
        return self._slot.path

    def begin(self, header_size: int) -> None:
        """Leave room for the header."""
        if self._size or self._header_size or header_size < MARK:
            raise ValueError("begin comes once, before the data, with room for a header")
        os.lseek(self._open_file(), header_size, os.SEEK_SET)
        self._header_size = header_size

    def write(self, views: Sequence[Buffer]) -> int:
        """Append to the data."""
        if not self._header_size:
            raise ValueError("write before begin")
        file = self._open_file()
        length = 0
        for view in views:
            length += view.nbytes if isinstance(view, memoryview) else len(view)
        try:
            if len(views) > MOST_VECTORS or os.writev(file, views) != length:
                self._write_rest(file, views)
        except OSError as error:
            self._broken = True
            raise failure(error) from error
        self._size += length
        if self._size - self._written_back >= self._stride:
            self._stride_done(file)
        for view in views:  # the disk works meanwhile
            self._hash.update(view)
        return length

    def finish_data(self) -> str:
        """The data is whole."""
        return self._hash.hexdigest()

    def pread(self, n: int, offset: int) -> bytes:
        """Bytes of the data; once committed, through a descriptor for the moment."""
        if self._committed:
            with OpenFile(self.key, self._slot.path) as stored:
                return stored.pread(n, self._header_size + offset)
        try:
            return os.pread(self._open_file(), n, self._header_size + offset)
        except OSError as error:
            raise failure(error) from error

    def seal(self, header: Buffer) -> None:
        """Write the header and start write-back."""
        view = checked_header(header, self._header_size)
        file = self._open_file()
        if self._broken:
            raise Retriable(Reason.OUT_OF_RESOURCES, "the object was not written whole")
        try:
            _write_at(file, view, 0)
        except OSError as error:
            self._broken = True
            raise failure(error) from error
        self._sealed = True
        if self._durable:
            start_writeback(file, 0, 0)

    def commit(self, header: Buffer) -> None:
        """Complete the object, durably."""
        file = self._open_file()
        if not self._sealed:
            try:
                self.seal(header)
            except Retriable:
                self.discard()
                raise
        try:
            if self._durable:
                os.fdatasync(file)
        except OSError as error:
            self._broken = True
            self.discard()
            raise failure(error) from error
        self._committed = True
        self._close()

    def discard(self) -> None:
        """It never was. A name whose writes all succeeded is used again."""
        if self._file < 0:
            return
        if self._broken or not self._emptied():
            self._unmark()
            remove_quietly([self._slot.path])
            self._close()
            self._pool.settle(self._slot)
        else:
            self._close()
            self._pool.give_back(self._slot)

    def settle(self) -> None:
        """The index knows the object."""
        if not self._committed:
            raise ValueError("settle before commit")
        self._pool.settle(self._slot)

    def move(self, header: Buffer, rename: Callable[[str], None]) -> None:
        """Make what there is durable and give its file to `rename`; for the exceptions area. Raises Retriable.

        What fails to sync is still moved: these bytes are evidence, not an object."""
        file = self._open_file()
        if header:
            with suppress(OSError):  # evidence without its header is evidence still
                _write_at(file, checked_header(header, self._header_size), 0)
        with suppress(OSError):  # as the docstring says
            os.fdatasync(file)
        try:
            rename(self._slot.path)
        finally:
            self._close()
        self._pool.settle(self._slot)

    def __del__(self) -> None:
        # Dropped without an end, by an error on the way: the descriptor and the name must not leak.
        if getattr(self, "_file", -1) >= 0:
            self.discard()

    def _stride_done(self, file: int) -> None:
        try:
            self._floor.check()
        except Retriable:
            self._broken = True
            raise
        if self._durable:
            self._start_writeback(file)

    def _start_writeback(self, file: int) -> None:
        # The page that the header shares is left out: commit writes it again.
        start = max(self._header_size + self._written_back, self._header_size + PAGE) // PAGE * PAGE
        end = self._header_size + self._size
        if end > start:
            start_writeback(file, start, end - start)
        self._written_back = self._size
        self._stride = min(2 * self._stride, max(self._stride, LONGEST_STRIDE))

    def _write_rest(self, file: int, views: Sequence[Buffer]) -> None:
        """All of `views`, from where the data stood, whatever a first try wrote of it."""
        offset = self._header_size + self._size
        for view in views:
            offset += _write_at(file, memoryview(view).cast("B"), offset)
        os.lseek(file, offset, os.SEEK_SET)

    def _emptied(self) -> bool:
        try:
            os.ftruncate(self._file, 0)
        except OSError:
            return False
        return True

    def _unmark(self) -> None:
        """After a sync that failed the pages may still reach the disk: without their header they are nothing."""
        with suppress(OSError):  # recovery finds it incomplete
            _write_at(self._file, memoryview(bytes(self._header_size)), 0)

    def _open_file(self) -> int:
        if self._file < 0:
            raise ValueError("the spool has ended")
        return self._file

    def _close(self) -> None:
        if self._file >= 0:
            file, self._file = self._file, -1
            with suppress(OSError):  # an error here was one of the sync's, which has been asked
                os.close(file)


def _write_at(file: int, view: memoryview, offset: int) -> int:
    """Write all of `view` at `offset`; returns its length. Raises OSError."""
    length = len(view)
    while view:
        done = os.pwrite(file, view, offset)
        view, offset = view[done:], offset + done
    return length
