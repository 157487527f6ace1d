"""What ingest hands to the index: an arrival with its values decoded and folded, and what became of it.

Plain tuples, since they cross a process border once an object.
"""

from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """What the index made of an arrival (DESIGN.md section 4, duplicates)."""

    STORED = "stored"
    """New; now in force."""
    EQUAL = "equal"
    """An object with the same data set is in force: nothing changes, the received copy is marked for removal."""
    DIFFERS = "differs"
    """The identity exists with another data set and `Arrival.likeness` was not given: compare, then submit again."""
    VERSION = "version"
    """Kept as a version of the object in force: same pixels."""
    CONFLICT = "conflict"
    """Kept and flagged: the same identity, other content."""
    REPLACED = "replaced"
    """In force now; the earlier object is kept as a superseded version (policy `replace`)."""
    REJECTED = "rejected"
    """Not kept (policy `reject`): answer 0111."""


class Likeness(StrEnum):
    """How an arrival compares with the object in force of the same identity, found by reading both."""

    UNKNOWN = ""
    SAME_PIXELS = "same-pixels"
    DIFFERENT = "different"


class DuplicatePolicy(StrEnum):
    """What an AE does with a second object of the same SOP Instance UID."""

    KEEP_FIRST = "keep-first"
    KEEP_FIRST_SUPPLEMENT = "keep-first-supplement"
    REPLACE = "replace"
    NEW_UID = "new-uid"
    REJECT = "reject"


class Arrival(NamedTuple):
    """One stored object as the index sees it. `patient`, `study`, `series`, `instance` map column names of
    `index.tables` to values; `attributes` holds rows (level, path, item, value, fold)."""

    store_key: str
    digest: str
    size: int
    offset: int
    received_at: int
    source_aet: str
    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class: str
    syntax: str
    patient: dict[str, str]
    study: dict[str, str]
    series: dict[str, str | int | None]
    instance: dict[str, str | int | bytes | None]
    attributes: tuple[tuple[str, str, int, str, str], ...] = ()
    policy: str = DuplicatePolicy.KEEP_FIRST
    likeness: str = Likeness.UNKNOWN
    flags: tuple[str, ...] = ()
    """Conflicts known before the index is asked, such as `irregular-uid`."""
    accessions: tuple[tuple[str, str], ...] = ()
    """(accession, issuer) pairs beyond the first."""
    patient_ids: tuple[tuple[str, str], ...] = ()
    """(id, issuer) pairs of Other Patient IDs."""


class Outcome(NamedTuple):
    """What became of one arrival. `existing_key` is the store key of the object in force, where the verdict is about
    one; `conflicts` lists the kinds of conflict rows that were opened."""

    verdict: str
    existing_key: str = ""
    conflicts: tuple[str, ...] = ()
