"""Which SOP classes beside storage a hosted AE answers, in which roles: what the negotiator offers and the conformance
statement prints.

An AE offers a class whose `service` is among its `services`; a known peer gets it if `allow` has it too. Storage
classes are in `sop_classes`, since any number of them may be accepted.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from isocenter.declarations import non_patient, workitem
from isocenter.dicom import uids

RELATIONAL: Final = "relational"
"""The one extra that an AE's settings may take away."""
_OF_RETRIEVALS: Final = (RELATIONAL,)
_OF_WORKLISTS: Final = ("combined_date_time", "fuzzy_names")
_OF_QUERIES: Final = (RELATIONAL, *_OF_WORKLISTS)


class Offering(NamedTuple):
    """One class. The roles are those that the peer, who requests the association, may have."""

    service: str
    """The permission that opens it; '' for one that is always there."""
    uid: str
    scu: bool = True
    scp: bool = False
    extras: tuple[str, ...] = ()
    """What may be agreed on beside, as `dimse.negotiation.QueryExtras` names it (PS3.4 C.5)."""
    stored: bool = False
    """Systems of the field propose it like a storage class, so that any syntax of storage is taken (M-STORE-14,
    I-GAP-02)."""


def _all(service: str, classes: tuple[str, ...], extras: tuple[str, ...] = ()) -> tuple[Offering, ...]:
    return tuple(Offering(service, uid, extras=extras) for uid in classes)


_OFFERINGS: Final = (
    Offering("", uids.VERIFICATION),
    *_all("find", (uids.PATIENT_ROOT_FIND, uids.STUDY_ROOT_FIND, uids.PATIENT_STUDY_ONLY_FIND), _OF_QUERIES),
    *_all("move", (uids.PATIENT_ROOT_MOVE, uids.STUDY_ROOT_MOVE, uids.PATIENT_STUDY_ONLY_MOVE), _OF_RETRIEVALS),
    *_all("get", (uids.PATIENT_ROOT_GET, uids.STUDY_ROOT_GET, uids.PATIENT_STUDY_ONLY_GET), _OF_RETRIEVALS),
    *_all("move", (uids.COMPOSITE_INSTANCE_ROOT_MOVE,)),
    *_all("get", (uids.COMPOSITE_INSTANCE_ROOT_GET, uids.COMPOSITE_INSTANCE_WITHOUT_BULK_GET)),
    *_all("find", tuple(non_patient.FIND_MODELS)),
    *_all("move", tuple(non_patient.MOVE_MODELS)),
    *_all("get", tuple(non_patient.GET_MODELS)),
    # a peer asks us as SCU; one that we asked reports as SCP (PS3.4 J.3)
    Offering("commit", uids.STORAGE_COMMITMENT_PUSH, scp=True),
    Offering("notification", uids.BASIC_STUDY_CONTENT_NOTIFICATION, stored=True),
    Offering("notification", uids.INSTANCE_AVAILABILITY_NOTIFICATION),
    Offering("worklist", uids.MODALITY_WORKLIST_FIND, extras=_OF_WORKLISTS),
    *_all(
        "procedure-step",
        (uids.MODALITY_PERFORMED_PROCEDURE_STEP, uids.MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE),
    ),
    # event reports leave on associations of ours, on which we are the SCP of UPS Event
    *_all("workitem", (workitem.PUSH, workitem.WATCH, workitem.PULL, workitem.QUERY)),
)

OFFERINGS: Final[Mapping[str, Offering]] = MappingProxyType({offering.uid: offering for offering in _OFFERINGS})
"""By SOP Class UID."""

PROPOSED_SYNTAXES: Final = (uids.EXPLICIT_LE, uids.IMPLICIT_LE)
"""What the commands propose for anything but storage, in this order (P-FIND, table 12)."""
