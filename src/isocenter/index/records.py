"""What the index is told: an arrival with its values decoded and folded, a deletion, a choice; and what became of it.

Plain tuples, since they cross a process border once an object.
"""

from enum import StrEnum
from typing import NamedTuple, TypeAlias

from isocenter.dicom.part10 import Compressed


class Verdict(StrEnum):
    """What the index made of an arrival (docs/design.md section 4, duplicates)."""

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
    RESENT = "resent"
    """An object that a rejection note took out of sight came again and `Arrival.resend` was not given: decide, then
    submit again. `conflicts` holds the number of the note's title."""
    REJECTED = "rejected"
    """Not kept (policy `reject`): answer 0111. The received copy is marked for removal."""
    COMPRESSED = "compressed"
    """In the place of what it was before (`Arrival.compressed`)."""
    DELETED = "deleted"
    """Of a `Deletion`: done; the objects will be removed from the store."""
    EDITED = "edited"
    """Of an `Edit`: done; `objects` says how many objects answer differently."""
    NOTED = "noted"
    """Of an `ExceptionNote`: recorded."""
    MISSING = "missing"
    """Of a `Choice` or an `Edit`: what it names is not there."""


class Likeness(StrEnum):
    """How an arrival compares with the object in force of the same identity, found by reading both."""

    UNKNOWN = ""
    EQUAL = "equal"
    """Received with the same bytes, whatever rules made of them."""
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
    rejection: int = 0
    """Of a rejection note: the number of its title (`declarations.rejections`)."""
    rejected: tuple[tuple[str, str, str], ...] = ()
    """What the note names: (Study, Series, SOP Instance UID)."""
    resend: str = ""
    """What becomes of an object that was rejected before: `hide` or `refuse`; '' asks (Verdict.RESENT)."""
    received: bool = False
    """Rules changed the object as it came in, so that its digest doesn't tell whether it came before."""
    compressed: tuple[Compressed, ...] = ()
    """What it was before it was compressed in the store: it takes the place of the last of these."""


class Deletion(NamedTuple):
    """Take a study, a series or an instance ('' for what is not named) out of the index, all versions included.

    The store's copies go later, by the removal job. The journal must hold the deletion before this is submitted.
    """

    study_uid: str
    series_uid: str = ""
    sop_uid: str = ""
    at: int = 0
    received_until: int = 0
    """Leave what was received later than this; 0 for no bound. Set where a journal is replayed."""
    not_before: int = 0
    """When the store's copies may go."""
    sop_uids: tuple[str, ...] = ()
    """Several instances of the series, in the place of `sop_uid`."""
    rejected: int = 0
    """Only what a note of this title (`declarations.rejections`) hides at that moment; 0: whatever is there."""


class Choice(NamedTuple):
    """Put the kept version whose store key is `arrival.store_key` in force; the one in force becomes a version.

    `arrival` is that of the version, extracted anew. The journal must hold the choice before this is submitted.
    """

    arrival: Arrival
    at: int


class ExceptionNote(NamedTuple):
    """An object that was set aside, for the list of exceptions (table `exception`)."""

    store_key: str
    reason: str
    comment: str
    sop_class: str
    sop_uid: str
    syntax: str
    calling: str
    called: str
    address: str
    received_at: int


class Edit(NamedTuple):
    """An explicit change to what is filed: attributes, moves, merges, splits, the return of rejected objects.

    The journal must hold the edit before this is submitted. Submitting it again changes nothing.
    """

    uid: str
    """Names this edit, here and in the journal."""
    kind: str
    """One of `index.editing.KINDS`."""
    at: int
    actor: str
    reason: str
    arguments: str
    """JSON; what the kind of edit takes."""
    reverts: str = ""
    """The edit that this one takes back."""


Record: TypeAlias = Arrival | Deletion | Choice | ExceptionNote | Edit
"""What a `Writer` takes."""


class Outcome(NamedTuple):
    """What became of one record. `existing_key` is the store key of the object in force, where the verdict is about
    one; `conflicts` lists the kinds of conflict rows that were opened."""

    verdict: str
    existing_key: str = ""
    conflicts: tuple[str, ...] = ()
    objects: int = 0
    """Of a deletion: how many stored objects it took out."""
    study_uid: str = ""
    """Of an arrival: the study where it is, if its series was moved to another than it names."""
