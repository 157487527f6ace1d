"""The header scan of an object that arrives: as soon as its header is there, while the rest still comes."""

import sys
from typing import Final

from isocenter.dicom.elements import MalformedDataSet
from isocenter.dicom.forms import Forms
from isocenter.dicom.scan import NeedMore, Scan, scan, scan_file
from isocenter.store.api import Spool

_PREFIX: Final = 1 << 16
"""Bytes of a data set that nearly always hold its whole header."""
_LONGEST_PREFIX: Final = 1 << 20
"""A header that goes on beyond this is scanned at the end, in pieces."""


class Scanning:
    """Scans what a spool has for `wanted`. `forms`: of the objects that came before."""

    __slots__ = ("_forms", "_found", "_spool", "_syntax", "_wanted", "at")

    def __init__(self, spool: Spool, forms: Forms, syntax: str, wanted: frozenset[int]) -> None:
        self._spool, self._forms, self._syntax, self._wanted = spool, forms, syntax, wanted
        self._found: Scan | None = None
        self.at = forms.reach or _PREFIX
        """Bytes that are to be there before `look` is worth its while."""

    def know(self, found: Scan | None) -> None:
        """Take what is known already; None: what was found is of no more use."""
        self._found, self.at = found, _PREFIX if found is None else sys.maxsize

    def look(self) -> None:
        """Scan the beginning. What fails here fails again in `whole`, which says so. Raises Retriable."""
        length, self.at = self.at, sys.maxsize
        beginning = self._spool.pread(length, 0)
        self._found = self._forms.scan(beginning, sys.maxsize, self._syntax, self._wanted)
        if self._found is not None:
            return
        if length < _PREFIX:
            self.at = _PREFIX
            return
        try:
            self._found = scan(beginning, self._syntax, self._wanted, whole=False)
        except NeedMore:
            if length < _LONGEST_PREFIX:
                self.at = length * 4
        except MalformedDataSet:
            return
        else:
            self._forms.learn(self._spool.pread, self._found, self._wanted)

    def whole(self) -> Scan:
        """What is found in the whole object. Raises MalformedDataSet, Retriable."""
        spool, found = self._spool, self._found
        if found is None:
            found = scan_file(spool.pread, spool.size, self._syntax, self._wanted)
            self._forms.learn(spool.pread, found, self._wanted)
        elif found.pixel is not None and found.pixel.offset + found.pixel.length > spool.size:
            found = found._replace(truncated=True)  # which the beginning could not tell
        self._found = found
        return found
