"""A stored object de-identified (PS3.15 E), with the edits that cover it; and what speaks against it.

with reader(store, located) as opened:
    refuse(opened, located)                       raises Refused where its pixels may show who the patient is
    found = deidentified(opened, located, profile)
"""

from typing import Final, NamedTuple

from isocenter.archive.leaving import overlaid
from isocenter.archive.retrieval.instances import Located, Reader
from isocenter.dicom.deidentify import Profile, finding
from isocenter.dicom.deidentify_table import Option
from isocenter.dicom.overlay import Edited
from isocenter.dicom.scan import scan_file
from isocenter.dicom.uids import EXPLICIT_LE, transfer_syntax
from isocenter.errors import Reason, Refused

_BURNED_IN, _VISUAL_FEATURES = 0x00280301, 0x00280302
_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
_DOCUMENTS: Final = _STORAGE + "104."
_BURNING: Final = frozenset(
    _STORAGE + tail
    for tail in (
        "3", "3.1", "6", "6.1", "6.2",
        "7", "7.1", "7.2", "7.3", "7.4", "29", "30",
        "77.1.1", "77.1.1.1", "77.1.2", "77.1.2.1", "77.1.4", "77.1.4.1",
    )
)  # fmt: skip
"""Classes whose pixels often have the patient's name in them, or show a face: ultrasound, secondary capture, hardcopy,
endoscopy, microscopy and photography."""


class Deidentified(NamedTuple):
    """An object as it may leave: its SOP Instance UID and its data set."""

    sop_uid: str
    edited: Edited


def obstacle(opened: Reader, located: Located) -> str:
    """What in the object de-identification leaves as it is though it may tell who the patient is; '' for nothing."""
    if located.sop_class.startswith(_DOCUMENTS):
        return "an encapsulated document can't be de-identified"
    wanted = frozenset({_BURNED_IN, _VISUAL_FEATURES})
    found = scan_file(opened.pread, opened.size, located.syntax, wanted).elements
    burned, features = (
        found[tag].value.strip(b" \0").upper() if tag in found else b"" for tag in (_BURNED_IN, _VISUAL_FEATURES)
    )
    if burned == b"YES":
        return "the object says that its pixels have annotations burned in"
    if features == b"YES":
        return "the object says that its pixels show the patient's features"
    if burned != b"NO" and located.sop_class in _BURNING:
        return "objects of this class often have annotations burned in, and this one doesn't say that it has none"
    return ""


def refuse(opened: Reader, located: Located) -> None:
    """Raises Refused(NOT_AUTHORIZED) where there is an obstacle."""
    found = obstacle(opened, located)
    if found:
        raise Refused(Reason.NOT_AUTHORIZED, f"not de-identified: {found}")


def deidentified(opened: Reader, located: Located, profile: Profile) -> Deidentified:
    """The object, read while `opened` is open. A deflated one comes in Explicit VR Little Endian. Raises
    MalformedDataSet where it can't be read."""
    deflated = transfer_syntax(located.syntax).deflated
    laid = overlaid(opened, located)
    own = located._replace(sop_uid=laid.sop_uid) if laid is not None else located
    edited = laid or Edited(opened.at, located.size, located.syntax, lambda _: ())
    made = edited.edited(finding(EXPLICIT_LE if deflated else located.syntax, profile))
    return Deidentified(sop_uid(own, profile), made)


def sop_uid(located: Located, profile: Profile) -> str:
    """The SOP Instance UID that the object has then."""
    if Option.UIDS in profile.keep:
        return located.sop_uid
    return profile.pseudonyms.uid(located.sop_uid.encode("latin-1", "replace")).decode("ascii", "replace")
