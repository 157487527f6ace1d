"""The settings of notifications: when a study counts as complete, and whom that and other events are told."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from isocenter.config.kinds import Frozen, Positive, Seconds, Secret, Title, Whole

Occasion = Literal["first", "quiet", "complete", "committed", "removed"]
"""When a notice is sent: at the first object of a new study, when a study has received nothing for a while, when it is
complete, when storage commitment of its instances has been reported, or when instances were deleted or rejected, or
brought back."""

HookEvent = Literal[
    "complete",
    "new-study",
    "step-created",
    "step-completed",
    "step-discontinued",
    "scheduled",
    "unscheduled",
    "committed",
    "notified",
    "edited",
    "rejected",
    "restored",
    "deleted",
]
"""What a web hook can be told."""


class Completeness(Frozen, frozen=True, kw_only=True):
    """When a study counts as complete (docs/notifications.md). It is looked after where anything is to be told of it: a
    notice, a web hook or an HL7 destination; or `always`."""

    always: bool = False
    """Studies are looked after even where nobody is told."""
    quiet: Annotated[float, msgspec.Meta(ge=1)] = 60.0
    """It has received nothing for so long."""
    steps: bool = False
    """A study with procedure steps is complete as soon as all of them have ended and all instances that they name are
    here, and not before."""
    counts: bool = False
    """A study of which an Instance Availability or Basic Study Content Notification was received is complete as soon as
    all instances that they name are here, and not before."""
    request: bool = False
    """The studies of a STOW-RS request that was answered with success are complete."""
    longest: Seconds = 5400.0
    """What `steps` and `counts` wait for is waited for so long after the last object; then it counts as complete."""


class Notice(Frozen, frozen=True, kw_only=True):
    """Peers that are told of studies over DICOM."""

    kind: Literal["study-content", "availability"]
    """Basic Study Content Notification (I-BSCN, retired), or Instance Availability Notification (PS3.4 R)."""
    to: tuple[Title, ...]
    """Titles of peers with an address; any number."""
    ae: str = ""
    """The AE of ours that tells, and where the instances can be retrieved from. Empty: the first."""
    when: tuple[Occasion, ...] = ()
    """On which occasions. None given: `quiet` for study content, `complete` and `removed` for availability."""
    quiet: Annotated[float, msgspec.Meta(ge=1)] = 60.0
    """Of the occasion `quiet`: so long nothing came for the study; each object starts the time anew (I-BSCN-02)."""
    retries: Whole = 20
    """Further tries after one that failed; then it lies there until somebody looks (`isocenter notices`)."""
    retry_delay: Seconds = 30.0
    """Before the first of them; doubled each time, up to an hour."""

    def __post_init__(self) -> None:
        """Raises ValueError for what this kind can't tell."""
        if self.kind == "study-content" and "removed" in self.when:
            raise ValueError("study content can't tell that instances were removed")

    @property
    def occasions(self) -> tuple[Occasion, ...]:
        """`when` with its default filled in."""
        return self.when or (("quiet",) if self.kind == "study-content" else ("complete", "removed"))


class WebHook(Frozen, frozen=True, kw_only=True):
    """A web server that is told of events by HTTP POST (docs/notifications.md)."""

    url: Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/]+(/\S*)?$")]
    """Where to."""
    name: str = ""
    """What lists and the log call it; empty: the URL without what follows its path."""
    events: tuple[HookEvent, ...] = ("complete",)
    """What it is told."""
    secret: Secret = ""
    """The key of the signature; empty: none."""
    patient: bool = False
    """Name, identifier and birth date of the patient are sent too. If not, UIDs, accession number and counts alone."""
    trusted: Path | None = None
    """Certificates in PEM of the authorities that the server's certificate may lead to; not given: the system's."""
    timeout: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """Until its answer is there."""
    retries: Whole = 20
    """As for notices."""
    retry_delay: Seconds = 30.0
    """As for notices."""

    @property
    def title(self) -> str:
        """`name` with its default filled in: without what a URL may hide behind its path, or a password."""
        if self.name:
            return self.name
        scheme, _, rest = self.url.partition("?")[0].partition("://")
        host, slash, path = rest.partition("/")
        return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


class Notices(Frozen, frozen=True, kw_only=True):
    """What holds for all notifications."""

    connections: Positive = 4
    """Destinations that are told at once (I-ASSOC-06); one that is slow holds up no more than its own."""
    keep: Seconds = 30 * 86400.0
    """What was told, and what others told us, is remembered for so long."""
    study_content_status: Literal[0, 1, 2, 3] | None = None
    """The answer to a Basic Study Content Notification: 0000, or 0003 where the images that it names are not looked for
    (I-GAP-18). Not given: as the AE's preset has it."""
