"""DICOMDIR: the directory of a file-set, written from the DICOM JSON objects of its instances (PS3.3 F, PS3.10 8.6).

Patients, studies, series and instances in the order in which they are met; an instance of a class that no directory
record type is defined for, and that is no image, is left out, as F.5 leaves nothing else.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Final, NamedTuple

from isocenter.dicom.dataset import DataSet, Element, encode_element, encode_item, text, uid, ul, us
from isocenter.dicom.json_reading import element_of, text_of
from isocenter.dicom.part10 import outgoing_header
from isocenter.dicom.uids import EXPLICIT_LE, MEDIA_STORAGE_DIRECTORY, new_uid

_UTF_8: Final = "ISO_IR 192"
_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
_TYPES: Final = (
    ("88.59", "KEY OBJECT DOC"), ("88.", "SR DOCUMENT"), ("11.", "PRESENTATION"), ("481.2", "RT DOSE"),
    ("481.3", "RT STRUCTURE SET"), ("481.5", "RT PLAN"), ("481.8", "RT PLAN"), ("481.4", "RT TREAT RECORD"),
    ("481.6", "RT TREAT RECORD"), ("481.7", "RT TREAT RECORD"), ("481.9", "RT TREAT RECORD"), ("104.", "ENCAP DOC"),
    ("9.", "WAVEFORM"), ("4.2", "SPECTROSCOPY"), ("66", "RAW DATA"), ("66.1", "REGISTRATION"), ("66.2", "FIDUCIAL"),
    ("66.3", "REGISTRATION"), ("66.5", "SURFACE"), ("66.6", "TRACT"), ("67", "VALUE MAP"),
    ("77.1.5.3", "STEREOMETRIC"), ("68.1", "SURFACE SCAN"), ("68.2", "SURFACE SCAN"), ("78.", "MEASUREMENT"),
    ("79.1", "MEASUREMENT"), ("80.1", "MEASUREMENT"),
)  # fmt: skip
"""Storage classes by what follows the common root, exactly or as a beginning that ends in a dot; others are images."""
_TOP: Final = {
    "PATIENT": ("00100020", {"00100010": "PN", "00100020": "LO"}),
    "STUDY": ("0020000D", {"00080020": "DA", "00080030": "TM", "00081030": "LO", "0020000D": "UI", "00200010": "SH",
                           "00080050": "SH"}),
    "SERIES": ("0020000E", {"00080060": "CS", "0020000E": "UI", "00200011": "IS"}),
}  # fmt: skip
"""Record types above the instances: what tells one from another, and the keys (F.5.1 to F.5.3)."""
_LEAF: Final = (
    "00080012", "00080013", "00080023", "00080033", "0008002A", "00081115", "00200013", "00280008", "00280010",
    "00280011", "0040A030", "0040A043", "0040A491", "0040A493", "00420010", "00420012", "00700080", "00700081",
    "00700082", "00700083", "00700084", "30060002", "30060008", "30060009", "300A0002", "300A0006", "300A0007",
    "3004000A",
)  # fmt: skip
"""Keys of the instances' record types (F.5.4 and on): each where the object has it."""
WANTED: Final = frozenset({"00080016", "00080018", *_LEAF, *(tag for _, keys in _TOP.values() for tag in keys)})
"""Attributes that records are made of."""
_INSTEAD: Final = {"00100020": "UNKNOWN", "00080020": "19000101", "00080030": "000000", "00200010": "1",
                   "00080060": "OT", "00200011": "0", "00200013": "0"}  # fmt: skip
"""What a record must say (type 1), though the object leaves it empty."""
_NEXT_AT, _LOWER_AT = 16, 38
"""Where the offsets (0004,1400) and (0004,1420) lie in an encoded record, from its item's start."""
_IN_USE: Final = 0xFFFF

Model = Mapping[str, Any]


class Entry(NamedTuple):
    """One file: the components of its File ID, its transfer syntax and its DICOM JSON object (`WANTED` is enough)."""

    file_id: tuple[str, ...]
    syntax: str
    model: Model


class _Node:
    """A record and those below it."""

    def __init__(self, record: DataSet) -> None:
        self.item = bytearray(encode_item(record, EXPLICIT_LE)) if record else bytearray()
        self.below: dict[str, _Node] = {}
        self.at = 0

    def all(self) -> "Iterator[_Node]":
        """The records below, each followed by its own."""
        for node in self.below.values():
            yield node
            yield from node.all()


def directory(entries: Iterable[Entry]) -> bytes:
    """The DICOMDIR as a file."""
    root = _Node({})
    for entry in entries:
        kind = _type(entry.model)
        if kind:
            _add(root, entry, kind)
    return _file(root)


def _type(model: Model) -> str:
    sop_class = text_of(model.get("00080016"))
    rest = sop_class.removeprefix(_STORAGE)
    for beginning, kind in _TYPES:
        if rest == beginning or (beginning.endswith(".") and rest.startswith(beginning)):
            return kind
    return "IMAGE" if "00280010" in model else ""


def _add(root: _Node, entry: Entry, kind: str) -> None:
    node = root
    for level, (unique, keys) in _TOP.items():
        name = text_of(entry.model.get(unique))
        found = node.below.get(name)
        if found is None:
            members = {tag: entry.model.get(tag, {"vr": vr}) for tag, vr in keys.items()}
            found = node.below[name] = _Node(_record(level, members))
        node = found
    members = {tag: entry.model[tag] for tag in _LEAF if tag in entry.model}
    members.setdefault("00200013", {"vr": "IS"})
    record = _record(kind, members)
    sop_uid = text_of(entry.model.get("00080018"))
    record[0x00041500] = text("CS", "\\".join(entry.file_id))
    record[0x00041510] = uid(text_of(entry.model.get("00080016")))
    record[0x00041511] = uid(sop_uid)
    record[0x00041512] = uid(entry.syntax)
    node.below[sop_uid] = _Node(record)


def _record(kind: str, members: Mapping[str, Model]) -> DataSet:
    record: DataSet = {
        0x00041400: ul(0),
        0x00041410: us(_IN_USE),
        0x00041420: ul(0),
        0x00041430: text("CS", kind),
        0x00080005: text("CS", _UTF_8),
    }
    for tag, member in members.items():
        record[int(tag, 16)] = _element(tag, member)
    return record


def _element(tag: str, member: Model) -> Element:
    try:
        element = element_of(member, _UTF_8)
    except ValueError:  # too large to stand in the metadata, or not what its VR says
        element = Element(str(member.get("vr") or "UN"), b"")
    if not element.value and tag in _INSTEAD:
        return text(element.vr, _INSTEAD[tag])
    return element


def _file(root: _Node) -> bytes:
    head = outgoing_header(MEDIA_STORAGE_DIRECTORY, new_uid(), EXPLICIT_LE)
    lead = encode_element(0x00041130, "CS", b"", EXPLICIT_LE)
    pointers = len(head) + len(lead)
    # two offsets, the consistency flag, and the sequence's header of twelve bytes
    first = pointers + 12 + 12 + 10 + 12
    at = first
    nodes = list(root.all())
    for node in nodes:
        node.at = at
        at += len(node.item)
    for above in (root, *nodes):
        below = list(above.below.values())
        if below and above is not root:
            struct.pack_into("<I", above.item, _LOWER_AT, below[0].at)
        for node, following in pairwise(below):
            struct.pack_into("<I", node.item, _NEXT_AT, following.at)
    tops = list(root.below.values())
    ends = (tops[0].at, tops[-1].at) if tops else (0, 0)
    body = b"".join(bytes(node.item) for node in nodes)
    own = encode_element(0x00041200, "UL", struct.pack("<I", ends[0]), EXPLICIT_LE)
    own += encode_element(0x00041202, "UL", struct.pack("<I", ends[1]), EXPLICIT_LE)
    own += encode_element(0x00041212, "US", b"\0\0", EXPLICIT_LE)
    own += struct.pack("<HH2sHI", 0x0004, 0x1220, b"SQ", 0, len(body))
    return head + lead + own + body
