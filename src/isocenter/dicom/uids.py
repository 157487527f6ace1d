"""UIDs (PS3.6 A): what a transfer syntax means for its reader, names of classes, and UIDs of our own.

The registry lies beside this module as text, a line a UID: value, kind, keyword, name, R if retired.
"""

import re
import uuid
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from isocenter import __version__

IMPLICIT_LE: Final = "1.2.840.10008.1.2"
EXPLICIT_LE: Final = "1.2.840.10008.1.2.1"
ENCAPSULATED_UNCOMPRESSED_LE: Final = "1.2.840.10008.1.2.1.98"
DEFLATED_LE: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_BE: Final = "1.2.840.10008.1.2.2"
JPEG_BASELINE: Final = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED: Final = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS: Final = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1: Final = "1.2.840.10008.1.2.4.70"
JPEG_LS_LOSSLESS: Final = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR_LOSSLESS: Final = "1.2.840.10008.1.2.4.81"
JPEG_2000_LOSSLESS: Final = "1.2.840.10008.1.2.4.90"
JPEG_2000: Final = "1.2.840.10008.1.2.4.91"
MPEG2_MAIN: Final = "1.2.840.10008.1.2.4.100"
MPEG4_HIGH_41: Final = "1.2.840.10008.1.2.4.102"
HTJ2K_LOSSLESS: Final = "1.2.840.10008.1.2.4.201"
HTJ2K_LOSSLESS_RPCL: Final = "1.2.840.10008.1.2.4.202"
HTJ2K: Final = "1.2.840.10008.1.2.4.203"
RLE_LOSSLESS: Final = "1.2.840.10008.1.2.5"
PAPYRUS_IMPLICIT_LE: Final = "1.2.840.10008.1.20"
GE_PRIVATE_IMPLICIT_BE_PIXELS: Final = "1.2.840.113619.5.2"
"""Implicit VR Little Endian, except that pixel data is big endian. Private, of GE."""
DEFLATED_EXPLICIT_LE: Final = DEFLATED_LE

APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"
VERIFICATION: Final = "1.2.840.10008.1.1"
BASIC_STUDY_CONTENT_NOTIFICATION: Final = "1.2.840.10008.1.9"
STORAGE_COMMITMENT_PUSH: Final = "1.2.840.10008.1.20.1"
STORAGE_COMMITMENT_PUSH_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
STORAGE_COMMITMENT_PULL: Final = "1.2.840.10008.1.20.2"
PROCEDURAL_EVENT_LOGGING: Final = "1.2.840.10008.1.40"
SUBSTANCE_ADMINISTRATION_LOGGING: Final = "1.2.840.10008.1.42"
MEDIA_STORAGE_DIRECTORY: Final = "1.2.840.10008.1.3.10"
MODALITY_PERFORMED_PROCEDURE_STEP: Final = "1.2.840.10008.3.1.2.3.3"
MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE: Final = "1.2.840.10008.3.1.2.3.4"
MODALITY_PERFORMED_PROCEDURE_STEP_NOTIFICATION: Final = "1.2.840.10008.3.1.2.3.5"
PATIENT_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.1.1"
PATIENT_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.1.2"
PATIENT_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.2.3"
PATIENT_STUDY_ONLY_FIND: Final = "1.2.840.10008.5.1.4.1.2.3.1"
PATIENT_STUDY_ONLY_MOVE: Final = "1.2.840.10008.5.1.4.1.2.3.2"
PATIENT_STUDY_ONLY_GET: Final = "1.2.840.10008.5.1.4.1.2.3.3"
COMPOSITE_INSTANCE_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.4.2"
COMPOSITE_INSTANCE_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.4.3"
COMPOSITE_INSTANCE_WITHOUT_BULK_GET: Final = "1.2.840.10008.5.1.4.1.2.5.3"
MODALITY_WORKLIST_FIND: Final = "1.2.840.10008.5.1.4.31"
INSTANCE_AVAILABILITY_NOTIFICATION: Final = "1.2.840.10008.5.1.4.33"
CT_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.4"
SECONDARY_CAPTURE_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.7"

IMPLEMENTATION_CLASS_UID: Final = "2.25.39793162473970783532059390073623263475"
IMPLEMENTATION_VERSION_NAME: Final = f"ISOCENTER_{__version__}"[:16]
"""Changes with each release (X-COM-03)."""
PRIVATE_CREATOR: Final = "2.25.232407796067208012568081198155768144241"
"""Private Information Creator UID (0002,0100) of the receipt facts that we write."""


class Uid(NamedTuple):
    """A UID of PS3.6 A. `kind` is the registry's word: `SOP Class`, `Transfer Syntax`, `Meta SOP Class`, ..."""

    uid: str
    kind: str
    keyword: str
    name: str
    retired: bool


class TransferSyntax(NamedTuple):
    """How a data set of this transfer syntax is encoded (PS3.5 10 and annex A)."""

    uid: str
    name: str
    keyword: str
    implicit: bool
    little: bool
    deflated: bool
    encapsulated: bool
    """Pixel data comes as fragments, or may."""
    lossy: bool
    """Information may have been lost; syntaxes that allow both are counted as lossy."""
    video: bool
    big_pixels: bool = False
    """Native pixel data is big endian though the rest is little endian."""


_REGULAR: Final = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*").fullmatch
_LOSSY = frozenset(
    f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 52, 53, 54, 55, 56, 59, 60, 61, 62, 63, 64, 81, 91, 93, 111, 112, 203)
)
_VIDEO_PREFIXES = tuple(f"1.2.840.10008.1.2.4.{n}" for n in range(100, 109))
_NOT_ENCAPSULATED = frozenset(
    [
        IMPLICIT_LE,
        EXPLICIT_LE,
        EXPLICIT_BE,
        DEFLATED_LE,
        PAPYRUS_IMPLICIT_LE,
        GE_PRIVATE_IMPLICIT_BE_PIXELS,
        # no pixel data at all: a provider URL instead (PS3.5 A.6, A.7), or another medium altogether
        "1.2.840.10008.1.2.4.94",
        "1.2.840.10008.1.2.4.95",
        "1.2.840.10008.1.2.4.204",
        "1.2.840.10008.1.2.4.205",
        "1.2.840.10008.1.2.6.1",
        "1.2.840.10008.1.2.6.2",
        "1.2.840.10008.1.2.7.1",
        "1.2.840.10008.1.2.7.2",
        "1.2.840.10008.1.2.7.3",
    ]
)
_DEFLATED = frozenset([DEFLATED_LE, "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"])
_IMPLICIT = frozenset([IMPLICIT_LE, PAPYRUS_IMPLICIT_LE, GE_PRIVATE_IMPLICIT_BE_PIXELS])
# newer than the registry beside this module, or private
_FURTHER = (
    ("1.2.840.10008.1.2.4.110", "JPEGXLLossless", "JPEG XL Lossless"),
    ("1.2.840.10008.1.2.4.111", "JPEGXLJPEGRecompression", "JPEG XL JPEG Recompression"),
    ("1.2.840.10008.1.2.4.112", "JPEGXL", "JPEG XL"),
    ("1.2.840.10008.1.2.8.1", "DeflatedImageFrameCompression", "Deflated Image Frame Compression"),
    (GE_PRIVATE_IMPLICIT_BE_PIXELS, "GEPrivateImplicitVRBigEndianPixels", "GE Private Implicit VR Big Endian"),
)


@cache
def registry() -> dict[str, Uid]:
    """Every UID of PS3.6 A that is known here."""
    found = {}
    for line in files("isocenter.dicom").joinpath("data/uids.tsv").read_text("ascii").splitlines():
        uid, kind, keyword, name, retired = line.split("\t")
        found[uid] = Uid(uid, kind, keyword, name or uid, bool(retired))
    for uid, keyword, name in _FURTHER:
        found.setdefault(uid, Uid(uid, "Transfer Syntax", keyword, name, False))
    return found


@cache
def transfer_syntaxes() -> dict[str, TransferSyntax]:
    """Every transfer syntax that is known, by UID."""
    return {uid: _describe(uid, e.name, e.keyword) for uid, e in registry().items() if e.kind == "Transfer Syntax"}


def transfer_syntax(uid: str) -> TransferSyntax:
    """What `uid` says about the encoding; an unknown one is taken as encapsulated, in Explicit VR Little Endian
    (PS3.5 A.4, as every compressed syntax is)."""
    return transfer_syntaxes().get(uid) or _describe(uid, uid, "")


def _describe(uid: str, name: str, keyword: str) -> TransferSyntax:
    video = uid.startswith(_VIDEO_PREFIXES)
    return TransferSyntax(
        uid=uid,
        name=name,
        keyword=keyword,
        implicit=uid in _IMPLICIT,
        little=uid != EXPLICIT_BE,
        deflated=uid in _DEFLATED,
        encapsulated=uid not in _NOT_ENCAPSULATED,
        lossy=video or uid in _LOSSY,
        video=video,
        big_pixels=uid in (EXPLICIT_BE, GE_PRIVATE_IMPLICIT_BE_PIXELS),
    )


def name_of(uid: str) -> str:
    """The registered name of `uid`, or the UID itself."""
    entry = registry().get(uid)
    return entry.name if entry else uid


def keyword_of(uid: str) -> str:
    """The registered keyword of `uid`, or ''."""
    entry = registry().get(uid)
    return entry.keyword if entry else ""


@cache
def _by_keyword() -> dict[str, str]:
    return {entry.keyword: uid for uid, entry in registry().items() if entry.keyword}


def uid_of(keyword: str) -> str | None:
    """The UID with this keyword (`CTImageStorage`), or None."""
    return _by_keyword().get(keyword)


def new_uid() -> str:
    """A UID that nothing else has: a random UUID under 2.25 (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid4().int}"


def derived_uid(*names: str) -> str:
    """The UID of what is made of `names`: always the same, so that what is made twice is one thing (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, chr(10).join(names)).int}"


def is_regular(uid: str) -> bool:
    """Whether `uid` keeps the rules of PS3.5 9.1: at most 64 characters, numbers without leading zeros."""
    return len(uid) <= 64 and _REGULAR(uid) is not None
