"""What an object is about, where it is no image: the icon that stands for it."""

from typing import Final

from isocenter.dicom.uids import transfer_syntax

IMAGE, DOCUMENT, REPORT, VIDEO, WAVEFORM, MODEL, PLAN, PRESENTATION, OTHER = (
    "image", "document", "report", "video", "waveform", "model", "plan", "presentation", "other",
)  # fmt: skip
SUBJECTS: Final = (IMAGE, DOCUMENT, REPORT, VIDEO, WAVEFORM, MODEL, PLAN, PRESENTATION, OTHER)

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
_BEGINNINGS: Final = (
    ("104.3", MODEL),
    ("104.4", MODEL),
    ("104.5", MODEL),
    ("104.", DOCUMENT),
    ("88.", REPORT),
    ("9.", WAVEFORM),
    ("11.", PRESENTATION),
    ("481.", PLAN),
    ("66", MODEL),
    ("68", MODEL),
)
_VIDEOS: Final = ("77.1.1.1", "77.1.2.1", "77.1.4.1")


def subject_of(sop_class: str, syntax: str) -> str:
    """The subject of an object by its SOP class, and its transfer syntax, which may be a video's."""
    rest = sop_class.removeprefix(_STORAGE)
    if transfer_syntax(syntax).video or rest in _VIDEOS:
        return VIDEO
    return next((subject for start, subject in _BEGINNINGS if rest.startswith(start)), OTHER)
