"""The settings of the worklist: how an AE answers queries of it, what a peer sees, and how long entries are kept."""

from typing import Literal

from isocenter.config.kinds import Frozen, Seconds, Whole
from isocenter.declarations.worklist import KeySet

StepState = Literal["SCHEDULED", "ARRIVED", "READY", "STARTED", "DEPARTED", "COMPLETED", "CANCELLED", "DISCONTINUED"]


class WorklistView(Frozen, frozen=True, kw_only=True):
    """Which entries of the worklist a peer sees, whatever it asks for."""

    modalities: tuple[str, ...] = ()
    """Entries of these modalities; `*` and `?` are wildcards. None listed: of any."""
    stations: tuple[str, ...] = ()
    """Entries scheduled for one of these Scheduled Station AE Titles, with wildcards; those without a station are not
    among them. None listed: for any."""


class WorklistAnswers(WorklistView, frozen=True, kw_only=True):
    """How an AE answers worklist queries (PS3.4 K), and which entries it has; what a peer may see is narrower still
    where `[[peer]]` says so."""

    own_station: bool = False
    """A peer sees the entries of the station whose AE title is the peer's own."""
    keys: KeySet = "all"
    """The keys that are matched and returned: all, or those of one of the catalogues (I-WLM-05, M-MWL-04 to 06,
    P-MWL-15, X-RIS-15)."""
    unsupported: Literal["warn", "empty", "refuse"] = "warn"
    """A key that is not supported: returned empty with status FF01; with FF00, as if it were (P-MWL-04); or the query
    is refused with A900 where the information model has no such key, and answered with FF01 where it has (X-RIS-17)."""
    limit: Whole = 0
    """The most matches; a query with more is refused. 0: any number."""
    until: Literal["", StepState] = ""
    """State from which on an entry is no longer found, unless the query names its state (X-RIS-13). Empty: once it is
    completed, cancelled or discontinued."""
    time_with_date: bool = False
    """A start time is matched only where a start date is asked for too (P-MWL-07)."""
    station_name: Literal["own", "title"] = "own"
    """Scheduled Station Name as the entry has it, or a copy of Scheduled Station AE Title (P-MWL-08)."""
    status: Literal["own", "scheduled"] = "own"
    """Scheduled Procedure Step Status as the entry has it, or always SCHEDULED (P-MWL-09)."""
    character_set: str = ""
    """Specific Character Set of answers whose text needs one (P-MWL-05); where it lacks a character, ISO_IR 192. Empty:
    that of the query."""


class WorklistUpkeep(Frozen, frozen=True, kw_only=True):
    """How long entries of the worklist are kept."""

    keep_over: Seconds = 30 * 86400.0
    """An entry that is completed, cancelled or discontinued is taken out so long after its last change; 0: never."""
    keep_due: Seconds = 0.0
    """Any other is taken out so long after its scheduled start (X-RIS-13: 2880 minutes, 172800 seconds); 0: never."""
    purge_every: Seconds = 3600.0
    """How often it is looked for them."""
