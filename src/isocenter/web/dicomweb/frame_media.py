"""Media types of frames (PS3.18 8.7.3.3 to 8.7.3.5), and which one a client gets."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from isocenter.dicom.uids import EXPLICIT_LE, RLE_LOSSLESS, transfer_syntax
from isocenter.web import media
from isocenter.web.media import MediaType

_JPEG = "1.2.840.10008.1.2.4."
_TYPES = {
    RLE_LOSSLESS: "image/dicom-rle",
    **{_JPEG + n: "image/jpeg" for n in ("50", "51", "52", "53", "54", "55", "56", "57", "58", "59", "60", "70")},
    **{_JPEG + n: "image/jls" for n in ("80", "81")},
    **{_JPEG + n: "image/jp2" for n in ("90", "91")},
    **{_JPEG + n: "image/jpx" for n in ("92", "93")},
    **{_JPEG + n: "image/jphc" for n in ("201", "202", "203")},
    **{_JPEG + n: "image/jxl" for n in ("110", "111", "112")},
    **{_JPEG + n: "video/mpeg" for n in ("100", "100.1", "101", "101.1")},
}
# as older editions and products write them (I-RS-02, I-GAP)
_ALIASES = {
    "image/dicom+jpeg": "image/jpeg",
    "image/dicom+jp2": "image/jp2",
    "image/dicom+jpx": "image/jpx",
    "image/dicom+jpeg-ls": "image/jls",
    "image/x-jls": "image/jls",
    "image/dicom+rle": "image/dicom-rle",
    "image/x-dicom-rle": "image/dicom-rle",
    "image/rle": "image/dicom-rle",
    "image/j2k": "image/jp2",
    "image/jph": "image/jphc",
}

ENCODED: Final = ("image/jpeg", "image/dicom-rle", "image/jls", "image/jp2", "image/jphc")
"""The types of images that frames are encoded in for a client that asks."""


def type_of(syntax: str) -> str:
    """The media type of frames in a transfer syntax."""
    facts = transfer_syntax(syntax)
    if not facts.encapsulated:
        return media.OCTETS
    return _TYPES.get(syntax, "video/mp4" if facts.video else media.OCTETS)


_DEFAULTS = {
    media.OCTETS: EXPLICIT_LE,
    "image/jpeg": _JPEG + "70",
    "image/dicom-rle": RLE_LOSSLESS,
    "image/jls": _JPEG + "80",
    "image/jp2": _JPEG + "90",
    "image/jpx": _JPEG + "92",
    "image/jphc": _JPEG + "201",
    "image/jxl": _JPEG + "110",
    "video/mpeg": _JPEG + "100",
    "video/mp4": _JPEG + "102",
}
"""The transfer syntax of a media type that names none (PS3.18 table 8.7.3-5 and its neighbours)."""


def syntax_of(name: str, told: Sequence[str] = ()) -> str:
    """The transfer syntax of frames in a media type: one of `told` that fits it, else the default; '' for no type of
    frames."""
    kind = _ALIASES.get(name, name)
    return next((uid for uid in told if type_of(uid) == kind), _DEFAULTS.get(kind, ""))


class FrameForm(NamedTuple):
    """How frames come: in parts or one by itself, as which media type, in which transfer syntax."""

    multipart: bool
    kind: str
    syntax: str


Reach = Callable[[str], bool]
"""Whether frames can be had in a transfer syntax other than their own."""


def choose(
    accepted: Sequence[MediaType], syntax: str, count: int, reach: Reach, *, together: bool = False
) -> FrameForm | None:
    """The form for `count` frames in `syntax` (Explicit VR Little Endian for native ones); None where Accept names
    nothing that they can be had in. `together`: uncompressed ones may follow each other as one value.

    `application/octet-stream` without a transfer syntax means uncompressed; with `*`, as OHIF asks, as stored. A type
    of images without one means as stored where that is of this type, else its default transfer syntax.
    """
    if not accepted:
        return FrameForm(True, type_of(syntax), syntax)
    for wished in accepted:
        name = _ALIASES.get(wished.root, wished.root)
        multipart = wished.multipart or wished.name in ("*/*", "*", "multipart/*")
        if not multipart and count > 1 and not together:
            continue
        found = _form(name, wished.syntax, syntax, reach)
        if found is not None and (multipart or count == 1 or found[1] == EXPLICIT_LE):
            return FrameForm(multipart, *found)
    return None


def _form(name: str, wanted: str, stored: str, reach: Reach) -> tuple[str, str] | None:
    """(media type, transfer syntax) of frames as `name`, in `wanted`."""
    own, anything = type_of(stored), name in ("*/*", "*")
    if wanted in ("", "*", stored) and (anything or (name != media.OCTETS and media.covers(name, own))):
        return own, stored
    if media.covers(name, media.OCTETS) and not anything:
        if wanted in ("*", stored) or (wanted in ("", EXPLICIT_LE) and stored == EXPLICIT_LE):
            return media.OCTETS, stored
        if wanted in ("", EXPLICIT_LE) or type_of(wanted) == media.OCTETS:
            target = wanted or EXPLICIT_LE
            return (media.OCTETS, target) if reach(target) else None
    target = wanted if wanted not in ("", "*") else "" if anything else _DEFAULTS.get(name, "")
    if not target or not (anything or media.covers(name, type_of(target))):
        return None
    return (type_of(target), target) if reach(target) else None
