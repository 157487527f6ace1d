"""What leaves: an object as received, with the edits that cover it laid over (docs/design.md section 4, what leaves).

changes = changes_of(store, located)    None: nothing covers it
"""

from isocenter.archive.covering import changes_to
from isocenter.archive.retrieval.instances import Located, Reader, reader
from isocenter.dicom.overlay import Changes, Overlay
from isocenter.store.api import Store


def changes_of(store: Store, located: Located) -> Changes | None:
    """What edits change about this object as it leaves; None for nothing. Reads its header where one covers it.

    Raises Refused(NOT_FOUND) where the object has gone, MalformedDataSet where it can't be read."""
    if not located.overlay:
        return None
    with reader(store, located) as opened:
        return changes_to(located.overlay, opened.at, located.size, located.syntax, located.character_set) or None


def overlaid(opened: Reader, located: Located) -> Overlay | None:
    """The object with its edits, None where none changes it."""
    if not located.overlay:
        return None
    changes = changes_to(located.overlay, opened.at, located.size, located.syntax, located.character_set)
    return Overlay(opened.at, located.size, located.syntax, changes) if changes else None
