"""Files (PS3.10 7): preamble, file meta information, and the receipt facts that our own files carry in it.

What we write is exact: preamble zeroed, group length right, Explicit VR Little Endian. What we read may be anything
that the field calls a DICOM file, down to a bare data set.
"""

import json
import struct
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from isocenter.dicom.dataset import DataSet, Element, encode_element, string_of
from isocenter.dicom.headers import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    LITTLE,
    Encoding,
    Header,
    MalformedDataSet,
    Window,
)
from isocenter.dicom.headers import (
    read_header as read_element_header,
)
from isocenter.dicom.swapping import swapped
from isocenter.dicom.uids import (
    EXPLICIT_BE,
    EXPLICIT_LE,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    IMPLICIT_LE,
    PRIVATE_CREATOR,
)

__all__ = [
    "PRIVATE_CREATOR",
    "Compressed",
    "FileHeader",
    "Receipt",
    "file_header",
    "outgoing_header",
    "read_header",
    "read_receipt",
    "stored_header",
]

PREAMBLE: Final = bytes(128)
MAGIC: Final = b"DICM"
GROUP_LENGTH: Final = 0x00020000
VERSION: Final = 0x00020001
SOP_CLASS: Final = 0x00020002
SOP_INSTANCE: Final = 0x00020003
TRANSFER_SYNTAX: Final = 0x00020010
IMPLEMENTATION_CLASS: Final = 0x00020012
IMPLEMENTATION_VERSION: Final = 0x00020013
SOURCE_AET: Final = 0x00020016
SENDING_AET: Final = 0x00020017
RECEIVING_AET: Final = 0x00020018
PRIVATE_INFORMATION_CREATOR: Final = 0x00020100
PRIVATE_INFORMATION: Final = 0x00020102
_DIGEST_LENGTH: Final = 64


class Received(NamedTuple):
    """What a data set was before we changed it as it came in: its first `length` bytes had the SHA-256 `digest`; the
    rest of it is what is stored from byte `stored` of the data set."""

    length: int
    stored: int
    digest: str


class Compressed(NamedTuple):
    """What an object was before it was compressed in the store without loss. Times in microseconds UTC."""

    original_key: str
    """The object of the store that it was."""
    digest: str
    """SHA-256 of that one's data set."""
    syntax: str
    size: int
    """Bytes of that data set."""
    pixels: str
    """Digest of the decoded samples (`imaging.proving`), which are the same in both."""
    shows: str
    """Digest by which copies of it are recognised that differ elsewhere (`archive.likeness`)."""
    rest: str
    """SHA-256 of what followed `Received.stored`; '' where it was stored as received."""
    at: int
    """When it was compressed."""
    until: int
    """Until then the other one is kept."""


class Receipt(NamedTuple):
    """How an object came to us. `received_at` is UTC in microseconds, `digest` the SHA-256 of the data set as stored,
    which is as received but where `received` says otherwise (hexadecimal; '' while unknown), `address` the peer's."""

    sending_aet: str
    receiving_aet: str
    address: str
    received_at: int
    digest: str
    policy: str = ""
    """What the receiving AE did with duplicates, where that was not to keep the first."""
    received: Received | None = None
    """What was received, where that is not what is stored."""
    compressed: tuple[Compressed, ...] = ()
    """What it was before we compressed it, the first form first."""


class FileHeader(NamedTuple):
    """What stands in front of a file's data set, which begins at `offset`. `syntax` is a guess where the file doesn't
    say; the UIDs are '' then."""

    sop_class: str
    sop_instance: str
    syntax: str
    offset: int
    elements: DataSet


# --- writing


def file_header(
    sop_class: str,
    sop_instance: str,
    syntax: str,
    *,
    source_aet: str = "",
    sending_aet: str = "",
    receiving_aet: str = "",
    private: bytes | None = None,
) -> bytes:
    """Preamble and file meta information; the data set follows. `private` goes into (0002,0102)."""
    group = _classed(sop_class) + _text(SOP_INSTANCE, b"UI", sop_instance)
    group += _conveyed(syntax, source_aet, sending_aet, receiving_aet)
    if private is not None:
        private += b"\0" * (len(private) % 2)
        group += _CREATOR + _LONG(2, PRIVATE_INFORMATION & 0xFFFF, b"OB", 0, len(private)) + private
    return _LEAD + len(group).to_bytes(4, "little") + group


@lru_cache(maxsize=256)
def _classed(sop_class: str) -> bytes:
    """The elements before the SOP Instance UID: the same for all objects of a series."""
    return _VERSION + _text(SOP_CLASS, b"UI", sop_class)


@lru_cache(maxsize=256)
def _conveyed(syntax: str, source_aet: str, sending_aet: str, receiving_aet: str) -> bytes:
    """The elements after it: the same for all objects of an association in one syntax."""
    titles = ((SOURCE_AET, source_aet), (SENDING_AET, sending_aet), (RECEIVING_AET, receiving_aet))
    named = b"".join([_text(tag, b"AE", title) for tag, title in titles if title])
    return _text(TRANSFER_SYNTAX, b"UI", syntax) + _IMPLEMENTATION + named


@lru_cache(maxsize=256)
def _told(address: str, sending_aet: str, receiving_aet: str, policy: str) -> bytes:
    """The receipt facts that are the same for all objects of an association, without the braces."""
    facts = {"address": address, "sending_aet": sending_aet, "receiving_aet": receiving_aet}
    if policy:
        facts["policy"] = policy
    return _FACTS.encode(facts)[1:-1]


def _text(tag: int, vr: bytes, value: str) -> bytes:
    """A text element; encode_element in a third of the time, since every stored object needs some twenty of them."""
    encoded = value.encode("ascii", "replace")
    if len(encoded) % 2:
        encoded += b"\0" if vr == b"UI" else b" "
    return _SHORT(2, tag & 0xFFFF, vr, len(encoded)) + encoded


_LONG: Final = struct.Struct("<HH2sHI").pack
_SHORT: Final = struct.Struct("<HH2sH").pack
_LEAD: Final = PREAMBLE + MAGIC + _SHORT(2, GROUP_LENGTH & 0xFFFF, b"UL", 4)
_VERSION: Final = encode_element(VERSION, "OB", b"\0\1", EXPLICIT_LE)
_IMPLEMENTATION: Final = _text(IMPLEMENTATION_CLASS, b"UI", IMPLEMENTATION_CLASS_UID) + _text(
    IMPLEMENTATION_VERSION, b"SH", IMPLEMENTATION_VERSION_NAME
)
_FACTS: Final = msgspec.json.Encoder()
_CREATOR: Final = _text(PRIVATE_INFORMATION_CREATOR, b"UI", PRIVATE_CREATOR)


def outgoing_header(sop_class: str, sop_instance: str, syntax: str, source_aet: str = "") -> bytes:
    """The header of a file that leaves us: no receipt facts."""
    return file_header(sop_class, sop_instance, syntax, source_aet=source_aet)


def stored_header(sop_class: str, sop_instance: str, syntax: str, receipt: Receipt) -> bytes:
    """The header of a file in our store. Its length does not depend on the digest, so that it can be written after the
    data set whose place it must leave."""
    digest = _FACTS.encode(receipt.digest.ljust(_DIGEST_LENGTH)[:_DIGEST_LENGTH])
    told = _told(receipt.address, receipt.sending_aet, receipt.receiving_aet, receipt.policy)
    more: dict[str, Received | tuple[Compressed, ...]] = {}
    if receipt.received:
        more["received"] = receipt.received
    if receipt.compressed:
        more["compressed"] = receipt.compressed
    last = b"," + _FACTS.encode(more)[1:] if more else b"}"
    private = b'{"digest":%b,"received_at":%d,%b%b' % (digest, receipt.received_at, told, last)
    return file_header(
        sop_class,
        sop_instance,
        syntax,
        source_aet=receipt.sending_aet,
        sending_aet=receipt.sending_aet,
        receiving_aet=receipt.receiving_aet,
        private=private + b" " * (len(private) % 2),
    )


def read_receipt(header: FileHeader) -> Receipt | None:
    """The receipt facts of a file of ours; None where there are none that can be read."""
    creator, facts = string_of(header.elements, PRIVATE_INFORMATION_CREATOR), header.elements.get(PRIVATE_INFORMATION)
    if creator != PRIVATE_CREATOR or facts is None or not isinstance(facts.value, bytes):
        return None
    try:
        read = json.loads(facts.value)
        return Receipt(
            str(read["sending_aet"]),
            str(read["receiving_aet"]),
            str(read["address"]),
            int(read["received_at"]),
            str(read["digest"]).strip(),
            str(read.get("policy", "")),
            _received(read.get("received")),
            _compressed(read.get("compressed")),
        )
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None


def _received(told: Any) -> Received | None:
    return None if told is None else Received(int(told[0]), int(told[1]), str(told[2]))


def _compressed(told: Any) -> tuple[Compressed, ...]:
    return msgspec.convert(told or (), tuple[Compressed, ...])


# --- reading


def read_header(data: bytes, *, whole: bool = True) -> FileHeader:
    """The header of the file that begins with `data`.

    Copes with a missing preamble, a group length that is missing or wrong, meta information in another encoding than
    Explicit VR Little Endian, none at all, and a transfer syntax that is not told. Raises MalformedDataSet where
    nothing looks like DICOM, and with whole=False NeedMore where the meta information goes on behind `data`.
    """
    window = Window.over(data, whole=whole)
    start = 132 if data[128:132] == MAGIC else 4 if data[:4] == MAGIC else 0
    elements, offset = _group(window, start, 0x0002)
    offset = _group(window, offset, 0x0000)[1]
    syntax = string_of(elements, TRANSFER_SYNTAX)
    if not syntax:
        syntax = _guess(window, offset, sure=bool(start or elements))
    return FileHeader(string_of(elements, SOP_CLASS), string_of(elements, SOP_INSTANCE), syntax, offset, elements)


def _group(window: Window, offset: int, group: int) -> tuple[DataSet, int]:
    """The elements of one leading group, told by their tags and not by the group length; and what lies behind."""
    elements: DataSet = {}
    encoding = _encoding(window, offset, group)
    while encoding is not None and not window.ended(offset):
        tag, vr, length, start, _ = header = read_element_header(window, offset, encoding)
        if tag >> 16 != group:
            break
        elements[tag] = Element(vr, _value(window, header, encoding))
        offset = start + length
    return elements, offset


def _value(window: Window, header: Header, encoding: Encoding) -> bytes:
    if header.length < 0:
        raise MalformedDataSet("file meta information of undefined length", header.offset)
    value = window.bytes_at(header.offset, header.length)
    return value if encoding.little else swapped(header.vr, value)


def _encoding(window: Window, offset: int, group: int) -> Encoding | None:
    """How the elements of a leading group are written; None if there is no such group."""
    if window.ended(offset):
        return None
    lead = window.bytes_at(offset, 8)
    little = int.from_bytes(lead[:2], "little") == group
    if not little and int.from_bytes(lead[:2], "big") != group:
        return None
    explicit = int.from_bytes(lead[4:6], "little") in LITTLE.names
    if little:
        return EXPLICIT_LITTLE if explicit else IMPLICIT_LITTLE
    return EXPLICIT_BIG if explicit else None


def _guess(window: Window, offset: int, *, sure: bool) -> str:
    """The transfer syntax that the data set's first element shows. Where nothing else said that this is DICOM (not
    `sure`) the element must be a likely one."""
    if window.ended(offset):
        if sure:
            return IMPLICIT_LE
        raise MalformedDataSet("not a DICOM file", offset)
    lead = window.bytes_at(offset, 8)
    little, big = int.from_bytes(lead[:2], "little"), int.from_bytes(lead[:2], "big")
    if int.from_bytes(lead[4:6], "little") in LITTLE.names:
        return EXPLICIT_LE if little <= big else EXPLICIT_BE
    if not sure and (little > 0x0020 or int.from_bytes(lead[4:], "little") >= 1 << 16):
        raise MalformedDataSet("not a DICOM file", offset)
    return IMPLICIT_LE
