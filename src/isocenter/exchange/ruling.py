"""The rules on sending, applied to objects as they leave."""

import os
import time
from contextlib import ExitStack
from typing import Final

from isocenter.dicom.elements import Read
from isocenter.dicom.overlay import Changes, merged
from isocenter.dicom.scan import scan_file
from isocenter.exchange.sending import Opened, Opener, Sendable
from isocenter.rules import Coercion, View

_NOTHING: Final[Changes] = {}


def ruled(opened: Opener, coercion: Coercion | None, character_set: str = "") -> Opener:
    """`opened` with the rules on sending; `character_set` is assumed of objects that name none."""
    return opened if coercion is None else _Ruled(opened, coercion, character_set)


class _Ruled:
    """Applies the rules to what another opener opens; see `exchange.sending.Opener`."""

    def __init__(self, opened: Opener, coercion: Coercion, character_set: str) -> None:
        self._opened, self._coercion, self._character_set = opened, coercion, character_set

    def __call__(self, item: Sendable, stack: ExitStack) -> Opened:
        """Raises Refused where the rules can't be applied."""
        found = self._opened(item, stack)
        read = read_of(found)

        def pread(n: int, at: int) -> bytes:
            return read(at, n)

        tags = self._coercion.tags
        header = scan_file(pread, found.size, item.syntax, tags)
        view = View(
            header.elements,
            tags,
            header.encoding,
            assumed=self._character_set,
            fetch=lambda more: scan_file(pread, found.size, item.syntax, more).elements,
            facts=self._coercion.facts,
            laid=found.changes or _NOTHING,
        )
        outcome = self._coercion.apply(view, item.sop_class, time.time_ns() // 1000)
        if not outcome.changes:
            return found
        return found._replace(changes=merged(found.changes, outcome.changes))


def read_of(found: Opened) -> Read:
    """Reads an opened data set by position."""

    def read(offset: int, n: int) -> bytes:
        return os.pread(found.fd, min(n, max(found.size - offset, 0)), found.offset + offset)

    return read
