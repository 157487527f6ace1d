"""What is known of an object that arrives, and of one that was stored."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from isocenter.archive.repeating import Recurring
from isocenter.archive.validation.levels import Inspection
from isocenter.index.records import DuplicatePolicy
from isocenter.rules import Coercion, Outcome


@dataclass(frozen=True, slots=True)
class Origin:
    """Who sent an object to whom. `address` is the peer's IP address; AE titles as negotiated ('' over HTTP)."""

    calling: str
    called: str
    address: str
    issuer: str = ""
    """Issuer of Patient ID assumed where the object names none."""
    character_set: str = ""
    """Specific Character Set assumed where the object names none (I-CHAR-04)."""
    policy: DuplicatePolicy = DuplicatePolicy.KEEP_FIRST
    inspection: Inspection | None = None
    """What is looked at before an object is kept; None: nothing beyond its identity."""
    coercion: Coercion | None = None
    """What is changed of an object before it is kept; None: nothing."""
    may_reject: bool = True
    """Its rejection notes count; if not, they are refused."""
    recurring: Recurring = field(default_factory=Recurring, compare=False, repr=False)
    """What is known of its objects."""


UNCHANGED: Final = Outcome({})


class Stored(NamedTuple):
    """What was stored, as the index filed it. `sop_uid` is another than was sent under the policy `new-uid`."""

    verdict: str
    study_uid: str
    series_uid: str
    sop_uid: str
    store_key: str
    size: int
    remark: str = ""
    """What the data set is found fault with, though it is kept (B007)."""
    outcome: Outcome = UNCHANGED
    """What rules changed of it."""
