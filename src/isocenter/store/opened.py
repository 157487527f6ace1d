"""A file of the store, open for reading."""

import os
from types import TracebackType
from typing import Self

from isocenter.errors import Reason, Refused
from isocenter.store.failures import failure


class OpenFile:
    """See `api.StoredObject`."""

    __slots__ = ("_file", "key", "path", "size")

    def __init__(self, key: str, path: str) -> None:
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise Refused(Reason.NOT_FOUND, "no such object in the store") from error
        except OSError as error:
            raise failure(error) from error
        self.key, self.path = key, path
        self.size = os.fstat(self._file).st_size

    def fileno(self) -> int:
        """The descriptor."""
        return self._file

    def pread(self, n: int, offset: int) -> bytes:
        """Up to `n` bytes from `offset`. Raises Retriable when the disk fails."""
        try:
            data = os.pread(self._file, n, offset)
            # The kernel gives at most 2 GiB at once; shorter reads than asked for are the end of the file or that.
            while len(data) < n and offset + len(data) < self.size:
                more = os.pread(self._file, n - len(data), offset + len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            raise failure(error) from error
        return data

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            file, self._file = self._file, -1
            os.close(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_file", -1) >= 0:
            self.close()
