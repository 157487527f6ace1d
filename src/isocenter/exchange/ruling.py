"""The rules on sending, applied to objects as they leave."""

import os
from contextlib import ExitStack

from isocenter.archive.ruling import Ruling
from isocenter.dicom.elements import Read
from isocenter.exchange.sending import Opened, Opener, Sendable
from isocenter.rules import Coercion


def ruled(opened: Opener, coercion: Coercion | None, character_set: str = "") -> Opener:
    """`opened` with the rules on sending; `character_set` is assumed of objects that name none."""
    return opened if coercion is None else _Ruled(opened, Ruling(coercion, character_set))


class _Ruled:
    """Applies the rules to what another opener opens; see `exchange.sending.Opener`."""

    def __init__(self, opened: Opener, ruling: Ruling) -> None:
        self._opened, self._ruling = opened, ruling

    def __call__(self, item: Sendable, stack: ExitStack) -> Opened:
        """Raises Refused where the rules can't be applied."""
        found = self._opened(item, stack)
        changes = self._ruling.changes(read_of(found), found.size, (item.syntax, item.sop_class), found.changes)
        return found._replace(changes=changes or None)


def read_of(found: Opened) -> Read:
    """Reads an opened data set by position."""

    def read(offset: int, n: int) -> bytes:
        return os.pread(found.fd, min(n, max(found.size - offset, 0)), found.offset + offset)

    return read
