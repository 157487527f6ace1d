"""Whether a data set is what its sender called it, and says where it belongs."""

from isocenter.declarations.non_patient import MODEL_OF
from isocenter.dicom.scan import Scan
from isocenter.errors import Reason, Refused

_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_STUDY, _SERIES = 0x0020000D, 0x0020000E


def check(found: Scan, sop_class: str, sop_instance: str) -> None:
    """The data set's identity against the command's (I-STORE-ST-04, I-STORE-ST-06). Raises Refused."""
    if (own := _uid(found, _SOP_CLASS)) != sop_class:
        how = "differs from the command's" if own else "is missing"
        raise Refused(Reason.SOP_CLASS_MISMATCH, f"SOP Class UID of the data set {how}")
    if (own := _uid(found, _SOP_INSTANCE)) != sop_instance:
        how = "differs from the command's" if own else "is missing"
        raise Refused(Reason.SOP_INSTANCE_MISMATCH, f"SOP Instance UID of the data set {how}")
    if not (_uid(found, _STUDY) and _uid(found, _SERIES)) and sop_class not in MODEL_OF:
        raise Refused(Reason.CANNOT_UNDERSTAND, "Study or Series Instance UID is missing")


def _uid(found: Scan, tag: int) -> str:
    element = found.elements.get(tag)
    return element.value.decode("ascii", "replace").strip("\0 ") if element else ""
