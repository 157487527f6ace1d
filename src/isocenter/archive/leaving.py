"""What leaves: an object as received, with the edits that cover it laid over it, and what rules on sending change where
they are for it (docs/design.md section 4, what leaves).

changes = changes_of(store, located)    None: nothing covers it
"""

from typing import Final

from isocenter.archive.covering import changes_to
from isocenter.archive.retrieval.instances import Located, Reader, reader
from isocenter.dicom.dataset import string_of
from isocenter.dicom.overlay import Changes, Overlay
from isocenter.store.api import Store

_SOP_INSTANCE: Final = 0x00080018


class Laid(Overlay):
    """An object with what is laid over it."""

    def __init__(self, opened: Reader, located: Located, changes: Changes) -> None:
        super().__init__(opened.at, located.size, located.syntax, changes)
        element = changes.get(_SOP_INSTANCE)
        self.sop_uid = string_of({_SOP_INSTANCE: element}, _SOP_INSTANCE) if element is not None else located.sop_uid
        """The SOP Instance UID that it leaves with: rules may give it another."""


def changes_of(store: Store, located: Located) -> Changes | None:
    """What changes about this object as it leaves; None for nothing. Reads its header where something covers it.

    Raises Refused(NOT_FOUND) where the object has gone, as a rule does that can't be applied, MalformedDataSet where it
    can't be read."""
    if not located.overlay:
        return None
    with reader(store, located) as opened:
        return _changes(opened, located)


def overlaid(opened: Reader, located: Located) -> Laid | None:
    """The object with its changes, None where there are none. Raises as `changes_of`."""
    changes = _changes(opened, located) if located.overlay else None
    return Laid(opened, located, changes) if changes else None


def _changes(opened: Reader, located: Located) -> Changes | None:
    changes = changes_to(located.overlay, opened.at, located.size, located.syntax, located.character_set)
    if located.ruling is not None:
        kind = located.syntax, located.sop_class
        changes = located.ruling.changes(opened.at, located.size, kind, changes, key=located.store_key)
    return changes or None
