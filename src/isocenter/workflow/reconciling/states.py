"""Where a study stands that is to be reconciled, and what the worklist said of it."""

from enum import StrEnum
from typing import Final


class Place(StrEnum):
    """Where the study's objects are."""

    HELD = "held"
    """In the store of what is held: no query finds them."""
    ARCHIVE = "archive"
    """In the archive: only its attributes are in question."""


class State(StrEnum):
    """What is to be done about a study."""

    ARRIVING = "arriving"
    """Its objects come in, or a worklist is still to be asked."""
    OPEN = "open"
    """A person has to decide."""
    REVIEW = "review"
    """One confident match; a person has to confirm it (I-ACT-32)."""
    RELEASED = "released"
    """Decided: its objects go to the archive, those too that come later; or its attributes were corrected there."""
    REJECTED = "rejected"
    """Decided: its objects go to the exceptions area, those too that come later."""


UNDECIDED: Final = frozenset({State.ARRIVING, State.OPEN, State.REVIEW})


class Finding(StrEnum):
    """What came of the question to the worklists."""

    NOT_ASKED = ""
    MATCHED = "matched"
    """One confident match."""
    NONE = "none"
    """No item fits."""
    SEVERAL = "several"
    """More than one does."""
    CONTRADICTS = "contradicts"
    """One fits, but something that should agree does not (`reconciling.agree`)."""
    INCOMPLETE = "incomplete"
    """The study lacks what is needed to look for it (`reconciling.needed`)."""
    MIXED = "mixed"
    """Its objects name several patients."""
    UNREACHABLE = "unreachable"
    """A worklist did not answer, as often as it was tried, or it refused the question."""
