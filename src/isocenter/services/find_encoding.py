"""Rows of a search as C-FIND identifiers: an encoder made once for a query, in which all but the values is ready.

An answer holds the keys that were asked for, Query/Retrieve Level, Retrieve AE Title and Instance Availability
(PS3.4 C.4.1.1.3.2), and Specific Character Set where its text needs one: the requester's if that has the characters,
else ISO_IR 192.
"""

import struct
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple

import msgspec

from isocenter.archive.query import Field, Kind, Layout, Query
from isocenter.declarations.query_keys import Path
from isocenter.dicom import charset
from isocenter.dicom.charset import TEXT_VRS, UTF_8, CharacterSet, character_set
from isocenter.dicom.dataset import DataSet, Element, encode_element
from isocenter.dicom.deflate import deflate
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.person_name import GROUPS
from isocenter.dicom.uids import transfer_syntax
from isocenter.index.matching_returns import distinct

SPECIFIC_CHARACTER_SET = 0x00080005
QUERY_RETRIEVE_LEVEL = 0x00080052
RETRIEVE_AE_TITLE = 0x00080054
INSTANCE_AVAILABILITY = 0x00080056

Values = Sequence[Any]
Emit = Callable[[Values], bytes]
Encoder = Callable[[Sequence[Values]], list[bytes]]

_OURS = frozenset({SPECIFIC_CHARACTER_SET, QUERY_RETRIEVE_LEVEL, RETRIEVE_AE_TITLE})
_PARAGRAPHS, _ROMAJI = frozenset({"LT", "ST", "UT"}), ("ISO_IR 13", "ISO 2022 IR 13")
_SHORT = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UI"})
"""Text whose headers may be made beforehand."""
_READY = 128
"""Value lengths for which headers are made beforehand."""
_REMEMBERED = 512
_PACKED = {"US": "<H", "SS": "<h", "UL": "<I", "SL": "<i", "UV": "<Q", "SV": "<q", "FL": "<f", "FD": "<d"}


class _Coding(NamedTuple):
    """How text becomes bytes in one answer."""

    syntax: str
    terms: CharacterSet | None
    """None: everything is ASCII."""
    name: Callable[[str], str] | None = None
    """Gives the form of person names; None: as they are."""

    def text(self, vr: str, value: str) -> bytes:
        """`value` encoded. Raises UnicodeEncodeError where the character set lacks a character."""
        if value.isascii():
            return value.encode("ascii")
        if vr not in TEXT_VRS or self.terms is None:
            return value.encode("ascii", "replace")
        if "¥" in value and vr not in _PARAGRAPHS and self.terms.terms[0] in _ROMAJI:
            raise UnicodeEncodeError("ascii", value, 0, 1, "the yen sign would become a delimiter")
        return charset.encode(value, self.terms, vr=vr)


def answer_encoder(
    query: Query,
    layout: Layout,
    syntax: str,
    *,
    retrieve_aet: str,
    declared: CharacterSet | None = None,
    asked: DataSet | None = None,
    name: Callable[[str], str] | None = None,
) -> Encoder:
    """An encoder of pages of rows into identifiers in transfer syntax `syntax`.

    `declared` is the requester's character set, `asked` its identifier, which knows the VR of keys we don't; `name`
    gives the form of person names.
    """
    constants = {QUERY_RETRIEVE_LEVEL: ("CS", str(query.level)), RETRIEVE_AE_TITLE: ("AE", retrieve_aet)}
    if (availability := layout.field(INSTANCE_AVAILABILITY)) is None or availability.kind is not Kind.TEXT:
        constants[INSTANCE_AVAILABILITY] = ("CS", "ONLINE")
    return row_encoder(layout, syntax, constants, declared=declared, asked=asked, name=name)


def row_encoder(
    layout: Layout,
    syntax: str,
    constants: dict[int, tuple[str, str]],
    *,
    declared: CharacterSet | None = None,
    asked: DataSet | None = None,
    name: Callable[[str], str] | None = None,
) -> Encoder:
    """The same for rows of any search; `constants` by tag are the VR and value of what every answer holds."""
    codings = [_Coding(syntax, None, name), _Coding(syntax, character_set(UTF_8), name)]
    if declared is not None and declared.terms not in ((UTF_8,), ("ISO_IR 6",)):
        codings.insert(1, _Coding(syntax, declared, name))
    emitters = [cache(partial(_emitters, layout, constants, coding, asked or {})) for coding in codings]
    texts = sorted({field.position for field in layout.fields if field.kind in (Kind.TEXT, Kind.JSON)})
    encode = partial(_encode_row, texts, emitters[0](), emitters[1:])
    if transfer_syntax(syntax).deflated:
        return lambda rows: [deflate(encode(row)) for row in rows]
    return lambda rows: [encode(row) for row in rows]


def _encode_row(texts: list[int], plain: list[Emit], others: Sequence[Callable[[], list[Emit]]], row: Values) -> bytes:
    if "".join([row[i] for i in texts]).isascii():
        return b"".join([emit(row) for emit in plain])
    for emitters in others[:-1]:
        try:
            return b"".join([emit(row) for emit in emitters()])
        except UnicodeEncodeError:
            continue  # the next set can say more
    return b"".join([emit(row) for emit in others[-1]()])


def _emitters(layout: Layout, constants: dict[int, tuple[str, str]], coding: _Coding, asked: DataSet) -> list[Emit]:
    """What writes each element, by ascending tag."""
    if coding.terms is not None:
        constants = {**constants, SPECIFIC_CHARACTER_SET: ("CS", _named(coding.terms))}
    documents = _Documents()
    found = {f.tag: _emitter(f, coding, asked, documents) for f in layout.fields if f.tag not in _OURS}
    found |= {tag: _constant(tag, vr, value, coding) for tag, (vr, value) in constants.items()}
    return [found[tag] for tag in sorted(found)]


def _named(terms: CharacterSet) -> str:
    """The value of (0008,0005): with code extensions, the default repertoire is an empty first value."""
    first, *others = terms.terms
    return "\\".join(["" if others and first == "ISO_IR 6" else first, *others])


def _emitter(field: Field, coding: _Coding, asked: DataSet, documents: "_Documents") -> Emit:
    match field.kind:
        case Kind.TEXT:
            return _text(field, coding)
        case Kind.NUMBER:
            return _remembering(field.position, partial(_number, field, coding))
        case Kind.GATHERED:
            return _remembering(field.position, lambda value: _joined(field, coding, value))
        case Kind.JSON:
            return partial(_attribute, field, coding, documents)
        case Kind.SERVICE | Kind.EMPTY:
            vr = asked[field.tag].vr if field.tag in asked else field.vr
            return _always(encode_element(field.tag, vr, () if vr == "SQ" else b"", coding.syntax))


def _constant(tag: int, vr: str, value: str, coding: _Coding) -> Emit:
    return _always(encode_element(tag, vr, value.encode("ascii", "replace"), coding.syntax))


def _always(encoded: bytes) -> Emit:
    return lambda row: encoded


def _text(field: Field, coding: _Coding) -> Emit:
    """The hot one: a header by length from a list, the value, and padding if its length is odd."""
    tag, vr, at = field.tag, field.vr, field.position
    syntax, encode = coding.syntax, coding.text
    if vr == "PN" and coding.name is not None:
        return _formed_name(field, coding, coding.name)
    heads = _heads(tag, vr, syntax)
    pad = b"\0" if vr == "UI" else b" "
    ascii_only = coding.terms is None

    def emit(row: Values) -> bytes:
        text = row[at]
        value = text.encode() if ascii_only else encode(vr, text)
        length = len(value)
        if length & 1:
            value += pad
            length += 1
        if length < _READY:
            return heads[length >> 1] + value
        return encode_element(tag, vr, value, syntax)

    return emit


def _formed_name(field: Field, coding: _Coding, form: Callable[[str], str]) -> Emit:
    def encode(value: str) -> bytes:
        text = "\\".join(form(name) for name in value.split("\\"))
        return encode_element(field.tag, "PN", coding.text("PN", text), coding.syntax)

    return _remembering(field.position, encode)


@lru_cache(maxsize=_REMEMBERED)
def _heads(tag: int, vr: str, syntax: str) -> list[bytes]:
    """What stands before a value, by half its length."""
    return [encode_element(tag, vr, bytes(n), syntax)[: -n or None] for n in range(0, _READY, 2)]


def _remembering(position: int, encode: Callable[[Any], bytes]) -> Emit:
    """For values that repeat from row to row."""
    known: dict[Any, bytes] = {}

    def emit(row: Values) -> bytes:
        value = row[position]
        found = known.get(value)
        if found is None:
            found = encode(value)
            if len(known) < _REMEMBERED:
                known[value] = found
        return found

    return emit


def _number(field: Field, coding: _Coding, value: int | None) -> bytes:
    if value is None:
        raw = b""
    elif field.vr in _PACKED:
        raw = struct.pack(_PACKED[field.vr], value)
    else:
        raw = str(value).encode("ascii")
    return encode_element(field.tag, field.vr, raw, coding.syntax)


def _joined(field: Field, coding: _Coding, value: str) -> bytes:
    text = "\\".join(distinct(value))
    return encode_element(field.tag, field.vr, text.encode("ascii", "replace"), coding.syntax)


# --- further attributes


class _Documents:
    """The DICOM JSON of one row, parsed once however many elements are taken from it."""

    def __init__(self) -> None:
        self._parsed: dict[int, tuple[str, dict[str, Any]]] = {}

    def attribute(self, position: int, text: str, tag: int) -> dict[str, Any]:
        """The attribute `tag` of the document `text`, which stands at `position`; {} if it is not there."""
        known = self._parsed.get(position)
        if known is None or known[0] is not text:
            known = (text, msgspec.json.decode(text) if text else {})
            self._parsed[position] = known
        found: dict[str, Any] = known[1].get(f"{tag:08X}", {})
        return found


def _attribute(field: Field, coding: _Coding, documents: _Documents, row: Values) -> bytes:
    found = documents.attribute(field.position, row[field.position], field.tag)
    vr = found.get("vr", field.vr)
    if vr == "SQ":
        items = tuple(_item(item, field.wanted, coding) for item in found.get("Value", ()))
        return encode_element(field.tag, "SQ", items, coding.syntax)
    value = _raw(vr, found.get("Value", ()), coding)
    encode = _headed if vr in _SHORT else encode_element
    return encode(field.tag, vr, value, coding.syntax)


def _headed(tag: int, vr: str, value: bytes, syntax: str) -> bytes:
    """A text element, by a header from the list."""
    if len(value) & 1:
        value += b"\0" if vr == "UI" else b" "
    length = len(value)
    return _heads(tag, vr, syntax)[length >> 1] + value if length < _READY else encode_element(tag, vr, value, syntax)


def _item(item: dict[str, Any], wanted: Sequence[Path], coding: _Coding) -> DataSet:
    """An item with the elements asked for, or with all of them."""
    if not wanted:
        return {int(tag, 16): _element(attribute, (), coding) for tag, attribute in item.items()}
    inner: dict[int, list[Path]] = {}
    for path in wanted:
        inner.setdefault(path[0], []).append(path[1:])
    return {
        tag: _element(item.get(f"{tag:08X}", {"vr": vr_of(tag)}), [path for path in paths if path], coding)
        for tag, paths in inner.items()
    }


def _element(attribute: dict[str, Any], wanted: Sequence[Path], coding: _Coding) -> Element:
    vr = attribute["vr"]
    if vr == "SQ":
        return Element("SQ", tuple(_item(item, wanted, coding) for item in attribute.get("Value", ())))
    return Element(vr, _raw(vr, attribute.get("Value", ()), coding))


def _raw(vr: str, values: Sequence[Any], coding: _Coding) -> bytes:
    """The value of a DICOM JSON attribute, as in a data set (little endian)."""
    if vr in _PACKED:
        return b"".join(struct.pack(_PACKED[vr], value) for value in values if value is not None)
    if vr == "PN":
        names = ["=".join((value or {}).get(group, "") for group in GROUPS).rstrip("=") for value in values]
        return coding.text(vr, "\\".join(map(coding.name, names) if coding.name else names))
    return coding.text(vr, "\\".join("" if value is None else str(value) for value in values))
