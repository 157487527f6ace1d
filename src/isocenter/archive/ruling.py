"""The rules on sending, applied to stored objects as they leave.

ruling = Ruling(coercion, "ISO_IR 192")
ruling.changes(read, size, (syntax, sop_class), edits)      the edits, and over them what the rules change
"""

import time
from typing import Final

from isocenter.dicom.elements import Read
from isocenter.dicom.overlay import Changes, merged
from isocenter.dicom.scan import scan_file
from isocenter.rules import Coercion, View

_NOTHING: Final[Changes] = {}


class Ruling:
    """The rules for one transaction. `character_set` is assumed of objects that name none; `at` (microseconds since
    1970, UTC) is told as the time of the changes, 0 for that of each."""

    def __init__(self, coercion: Coercion, character_set: str = "", at: int = 0) -> None:
        self._coercion, self._character_set, self._at = coercion, character_set, at
        self._last: tuple[str, Changes] = ("", _NOTHING)

    def changes(
        self, read: Read, size: int, kind: tuple[str, str], laid: Changes | None = None, *, key: str = ""
    ) -> Changes:
        """`laid` and what the rules change about the object with that laid over it. `kind`: its transfer syntax and SOP
        class. The object that was asked for last under the same `key` is not gone through again.

        Raises Refused where a rule can't be applied, MalformedDataSet where the object can't be read."""
        before, changes = self._last
        if not key or key != before:
            changes = merged(laid, self._applied(read, size, kind, laid or _NOTHING))
            self._last = key, changes
        return changes

    def _applied(self, read: Read, size: int, kind: tuple[str, str], laid: Changes) -> Changes:
        syntax, sop_class = kind

        def pread(n: int, at: int) -> bytes:
            return read(at, n)

        tags = self._coercion.tags
        header = scan_file(pread, size, syntax, tags)
        view = View(
            header.elements,
            tags,
            header.encoding,
            assumed=self._character_set,
            fetch=lambda more: scan_file(pread, size, syntax, more).elements,
            facts=self._coercion.facts,
            laid=laid,
        )
        return self._coercion.apply(view, sop_class, self._at or time.time_ns() // 1000).changes
