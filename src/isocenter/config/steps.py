"""The settings of performed procedure steps: what an AE makes of what modalities report (PS3.4 F)."""

from typing import Annotated, Literal

import msgspec

from isocenter.config.kinds import Frozen, Seconds, Title, Whole

StateSet = Literal["", "SCHEDULED", "ARRIVED", "READY", "STARTED", "DEPARTED", "COMPLETED", "CANCELLED", "DISCONTINUED"]
"""A state of a worklist item; empty: it stays as it is."""

Code = Annotated[str, msgspec.Meta(pattern=r"^([^\^]+\^[^\^]+\^[^\^]+)?$")]
"""A code as `value^scheme^meaning`; empty for none."""


class StationSteps(Frozen, frozen=True, kw_only=True):
    """What differs for the steps of some stations, by Performed Station AE Title (X-RIS-34)."""

    titles: tuple[Title, ...]
    """The stations."""
    started: StateSet | None = None
    """As `mpps.started` of the AE. Not given: the AE's."""
    completed: StateSet | None = None
    """As `mpps.completed` of the AE. Not given: the AE's."""
    discontinued: StateSet | None = None
    """As `mpps.discontinued` of the AE. Not given: the AE's."""
    trauma: bool | None = None
    """As `mpps.trauma` of the AE. Not given: the AE's."""


class ProcedureSteps(Frozen, frozen=True, kw_only=True):
    """Modality performed procedure steps, as an AE takes them in and passes them on."""

    checks: Literal["flag", "refuse"] = "flag"
    """A message that lacks attributes or values that PS3.4 requires: it is accepted and the step says what is amiss,
    since a refused message stops a modality; or it is refused with 0120, 0121 or 0106."""
    close_invalid: bool = False
    """A message that is refused with 0106 ends its association, by A-ABORT after the answer (P-MPPS-04)."""
    known: Literal["refuse", "supplement"] = "refuse"
    """An N-CREATE of a SOP Instance UID that is known: 0111, or what the step lacks is taken from it (M-MPPS-03)."""
    unmatched: Literal["exception", "accept"] = "exception"
    """A step that names an order which the worklist does not hold waits for a person as an exception (X-RIS-32), or is
    taken as it is."""
    coercion: bool = False
    """Names, identifiers and descriptions of a step take the worklist's values where they differ (X-RIS-37), also in
    what is passed on."""
    study_uid: Literal["keep", "take"] = "keep"
    """Study Instance UID of a worklist item whose step names another study: it stays, or becomes the step's, in which
    the images are."""
    started: StateSet = "STARTED"
    """State that the worklist items of a step take on as it begins."""
    completed: StateSet = "COMPLETED"
    """State that they take on as it is completed."""
    discontinued: StateSet = "DISCONTINUED"
    """State that they take on as it is discontinued."""
    stations: tuple[StationSteps, ...] = ()
    """What differs by station; the first entry that names it counts."""
    trauma: bool = False
    """For a known patient without Accession Number and Requested Procedure ID a procedure is ordered (X-RIS-41)."""
    trauma_procedure: Code = ""
    """The procedure that is ordered where the step has no Procedure Code Sequence."""
    trauma_patients: Annotated[tuple[str, ...], msgspec.Meta(max_length=2)] = ()
    """First and last Patient ID of a range that registration never gives: with `trauma` such a patient needs not be
    known (X-RIS-42)."""
    forward: tuple[Title, ...] = ()
    """Peers that each message is passed on to, in its order, until they accept it (I-MPPS-02)."""
    forward_refused: bool = False
    """Messages for a known step that are refused here are passed on as well (I-GAP-13)."""
    notify: tuple[Title, ...] = ()
    """Peers that are told of each step by N-EVENT-REPORT (PS3.4 F.9)."""
    retries: Whole = 5
    """Further tries where a peer refuses a message; then it waits for a person. One that can't be reached is tried
    without end."""
    retry_delay: Seconds = 30.0
    """Before the first further try; it doubles up to an hour."""
    kept: Whole = 0
    """Days after its last message that a step is kept; 0: without limit (X-RIS-30)."""

    def at(self, station: str) -> "ProcedureSteps":
        """As it holds for the steps of `station`."""
        own = next((each for each in self.stations if station in each.titles), None)
        if own is None:
            return self
        names = ("started", "completed", "discontinued", "trauma")
        return msgspec.structs.replace(
            self, **{name: getattr(own, name) for name in names if getattr(own, name) is not None}
        )
