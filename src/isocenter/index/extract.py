"""From a header scan to the row that the index keeps: values decoded, trimmed, folded, frames located.

Objects of a series share most of what is indexed; that part is worked out once and remembered by its raw bytes.
"""

import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from isocenter.declarations.non_patient import MODEL_OF
from isocenter.declarations.rejections import KEY_OBJECT_SELECTION
from isocenter.dicom import charset, uids
from isocenter.dicom.dataset import DataSet, bytes_of, items
from isocenter.dicom.elements import Encoding, MalformedDataSet
from isocenter.dicom.folding import FOLD_LENGTH, fold
from isocenter.dicom.scan import RawElement, Sample, Scan
from isocenter.errors import Reason, Refused
from isocenter.index import frames, keys
from isocenter.index.further import NOTHING, Row, fold_group, further_at
from isocenter.index.keys import INDEXED, STANDARD, Wanted
from isocenter.index.non_patient_columns import columns_of
from isocenter.index.records import Arrival, DuplicatePolicy
from isocenter.index.rejection_notes import Names, note_in

__all__ = ["INDEXED", "arrival"]

Elements: TypeAlias = Mapping[int, RawElement]
Pairs: TypeAlias = tuple[tuple[int, RawElement], ...]
Columns: TypeAlias = dict[str, str | int | bytes | None]

_LONGEST_UID = 256
"""Characters; PS3.5 9.1 allows 64, and longer ones occur. Beyond this it is no UID."""
_LONGEST_TEXT = 1024
_REMEMBERED = 1 << 16
"""Bytes of shared values beyond which they are not remembered."""
UTF_8 = b"ISO_IR 192"
_SHAPING = frozenset({keys.ROWS, keys.COLUMNS, keys.SAMPLES, keys.BITS_ALLOCATED, keys.FRAMES, keys.PHOTOMETRIC})
_NON_PATIENT = frozenset(uid.encode("ascii") for uid in MODEL_OF)
_INDEXED_COLUMNS = frozenset({"study_date", "study_id", "accession", "birth_date", "step_start_date"})


class _Shared(NamedTuple):
    """What an object has in common with its series."""

    study_uid: str
    series_uid: str
    patient: dict[str, str]
    study: dict[str, str]
    series: dict[str, str | int | None]
    rows: tuple[Row, ...]
    accessions: tuple[tuple[str, str], ...]
    patient_ids: tuple[tuple[str, str], ...]
    regular: bool


def arrival(
    scan: Scan,
    *,
    store_key: str,
    digest: str,
    size: int,
    offset: int,
    received_at: int,
    source_aet: str,
    issuer: str = "",
    character_set: str = "",
    policy: str = DuplicatePolicy.KEEP_FIRST,
    read: Callable[[int, int], bytes] | None = None,
    wanted: Wanted = STANDARD,
    received: bool = False,
) -> Arrival:
    """What the index is told of a stored object whose header scan is `scan`.

    `received`: rules changed it as it came in. `issuer` (of Patient ID) and `character_set` stand in where the object
    names none. `read(n, offset)` gives bytes of the data set; without it the frames of encapsulated pixel data are not
    located. Raises Refused where a UID is missing or no UID.
    """
    if wanted.creators:
        scan = scan._replace(elements=keys.of_creators(wanted, scan.elements), alike=None)
    elements = scan.elements
    raw = elements.get(keys.SPECIFIC_CHARACTER_SET)
    declared = raw.value.strip(b" \0") if raw is not None else b""
    declared = declared or character_set.encode("ascii", "replace")
    named = elements.get(keys.SOP_CLASS)
    if named is not None and named.value.strip(b"\0 ") in _NON_PATIENT:
        own = columns_of(scan, _uid(elements, keys.SOP_CLASS), size, read, declared)
        alone = _alone(scan, own, store_key, digest, size, offset, received_at, source_aet, policy)
        return alone._replace(received=received)
    shared = _shared_by(scan, declared, issuer, wanted)
    sop_uid = _uid(elements, keys.SOP_INSTANCE)
    instance, rows = _instance(scan, declared, size, read, wanted)
    sop_class = _uid(elements, keys.SOP_CLASS)
    rejection: int = 0
    rejected: Names = ()
    if sop_class == KEY_OBJECT_SELECTION and read is not None:
        rejection, rejected = note_in(read, size, scan.syntax)
    return Arrival(
        store_key=store_key,
        digest=digest,
        size=size,
        offset=offset,
        received_at=received_at,
        source_aet=source_aet,
        study_uid=shared.study_uid,
        series_uid=shared.series_uid,
        sop_uid=sop_uid,
        sop_class=sop_class,
        syntax=scan.syntax,
        patient=shared.patient,
        study=shared.study,
        series=shared.series,
        instance=instance,
        attributes=shared.rows + rows if rows else shared.rows,
        policy=policy,
        flags=() if shared.regular and uids.is_regular(sop_uid) else ("irregular-uid",),
        accessions=shared.accessions,
        patient_ids=shared.patient_ids,
        rejection=rejection,
        rejected=rejected,
        received=received,
    )


def _alone(
    scan: Scan,
    own: dict[str, str | int | bytes | None],
    store_key: str,
    digest: str,
    size: int,
    offset: int,
    received_at: int,
    source_aet: str,
    policy: str,
) -> Arrival:
    """What is told of an instance that belongs to no patient: neither study nor series."""
    sop_uid = _uid(scan.elements, keys.SOP_INSTANCE)
    return Arrival(
        store_key=store_key,
        digest=digest,
        size=size,
        offset=offset,
        received_at=received_at,
        source_aet=source_aet,
        study_uid="",
        series_uid="",
        sop_uid=sop_uid,
        sop_class=_uid(scan.elements, keys.SOP_CLASS),
        syntax=scan.syntax,
        patient={"identity": ""},
        study={},
        series={},
        instance=own,
        policy=policy,
        flags=() if uids.is_regular(sop_uid) else ("irregular-uid",),
    )


def _shared_by(scan: Scan, declared: bytes, issuer: str, wanted: Wanted) -> _Shared:
    """Of one that is like others only the values that differ are looked at."""
    if scan.alike is not None:
        varied = tuple([pair for pair in scan.alike.values.items() if pair[0] in wanted.shared])
        return _shared_in(scan.alike.sample, varied, declared, issuer, wanted)
    pairs = tuple([pair for pair in scan.elements.items() if pair[0] in wanted.shared])
    work = _shared if sum([len(e.value) for _, e in pairs]) <= _REMEMBERED else _shared.__wrapped__
    return work(pairs, scan.encoding, declared, issuer, wanted)


@lru_cache(maxsize=64)
def _shared_in(sample: Sample, varied: Pairs, declared: bytes, issuer: str, wanted: Wanted) -> _Shared:
    elements = {**sample.scan.elements, **dict(varied)}
    return _shared_by(sample.scan._replace(elements=elements), declared, issuer, wanted)


@lru_cache(maxsize=64)
def _shared(pairs: Pairs, encoding: Encoding, declared: bytes, default_issuer: str, wanted: Wanted) -> _Shared:
    elements = dict(pairs)
    study_uid, series_uid = _uid(elements, keys.STUDY), _uid(elements, keys.SERIES)
    found = {level: further_at(level, wanted, elements, encoding, declared) for level in "PSE"}
    levels: dict[str, dict[str, str]] = {level: {"attributes": found[level].json} for level in "PSE"}
    for level, table in (("P", keys.PATIENT_TEXT), ("S", keys.STUDY_TEXT), ("E", keys.SERIES_TEXT)):
        _texts(levels[level], level, table, elements, declared)
    for tag, (level, column, stem) in keys.NAMES.items():
        _name(levels[level], column, stem, _text(elements, tag, declared))
    patient, study = levels["P"], levels["S"]
    _identify(patient, elements, declared, default_issuer, study_uid)
    study["accession_issuer"] = _accession_issuer(elements, encoding, declared)
    number = levels["E"]["series_number"]
    series: dict[str, str | int | None] = {**levels["E"], "series_number_value": _number(number)}
    return _Shared(
        study_uid,
        series_uid,
        patient,
        study,
        series,
        found["P"].rows + found["S"].rows + found["E"].rows,
        _accessions(elements, encoding, declared, study["accession"]),
        _patient_ids(elements, encoding, declared, patient["issuer"]),
        uids.is_regular(study_uid) and uids.is_regular(series_uid),
    )


def columns(level: str, elements: Elements) -> dict[str, str | int | None]:
    """The columns of patient (P), study (S) or series (E) that the `elements`, in UTF-8, come to."""
    tables = {"P": keys.PATIENT_TEXT, "S": keys.STUDY_TEXT, "E": keys.SERIES_TEXT}
    found: dict[str, str] = {}
    table = {tag: column for tag, column in tables[level].items() if tag in elements}
    _texts(found, level, table, elements, UTF_8)
    for tag, (owner, column, stem) in keys.NAMES.items():
        if owner == level and tag in elements:
            _name(found, column, stem, _text(elements, tag, UTF_8))
    whole: dict[str, str | int | None] = {**found}
    if "series_number" in found:
        whole["series_number_value"] = _number(found["series_number"])
    return whole


def _texts(into: dict[str, str], level: str, table: Mapping[int, str], elements: Elements, declared: bytes) -> None:
    for tag, column in table.items():
        value = _text(elements, tag, declared)
        into[column] = value[:FOLD_LENGTH] if column in _INDEXED_COLUMNS else value
        if (level, column) in keys.FOLDED:
            into[f"{column}_fold"] = fold(value)


def _name(into: dict[str, str], column: str, stem: str, text: str) -> None:
    """A person name and its folded groups; of several values the first is the one to match."""
    into[column] = text
    groups = [*text.split("\\", 1)[0].split("=", 3)[:3], "", "", ""]
    into[f"{stem}_fold"] = fold_group(groups[0])
    if stem != "performing":
        into[f"{stem}_ideographic_fold"] = fold_group(groups[1])
        into[f"{stem}_phonetic_fold"] = fold_group(groups[2])


def _identify(
    patient: dict[str, str], elements: Elements, declared: bytes, default_issuer: str, study_uid: str
) -> None:
    """Id, issuer and identity. Without a Patient ID each study has a patient of its own."""
    patient_id = _text(elements, keys.PATIENT_ID, declared)[:FOLD_LENGTH]
    issuer = (_text(elements, keys.ISSUER, declared) or default_issuer)[:FOLD_LENGTH]
    patient["patient_id"], patient["issuer"] = patient_id, issuer
    patient["identity"] = f"{issuer}\\{patient_id}" if patient_id else f"\\\\{study_uid}"


def _uid(elements: Elements, tag: int) -> str:
    element = elements.get(tag)
    uid = element.value.decode("latin-1").strip("\0 ").replace("\0", "") if element is not None else ""
    if not uid:
        raise Refused(Reason.CANNOT_UNDERSTAND, f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is missing")
    if len(uid) > _LONGEST_UID:
        raise Refused(Reason.CANNOT_UNDERSTAND, f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is too long for a UID")
    return uid


def _text(elements: Elements, tag: int, declared: bytes) -> str:
    """All values of an element as one text, decoded and trimmed."""
    element = elements.get(tag)
    if element is None or not element.value:
        return ""
    text = charset.decode(element.value[: 4 * _LONGEST_TEXT], element.vr, declared).strip(" \0")
    return (text.replace("\0", "") if "\0" in text else text)[:_LONGEST_TEXT]


def _number(text: str) -> int | None:
    """The value of an IS, null where it is none or beyond 64 bits."""
    try:
        number = int(text) if len(text) <= 20 else None
    except ValueError:
        return None
    return number if number is not None and -(1 << 63) <= number < 1 << 63 else None


def _items(elements: Elements, tag: int, encoding: Encoding) -> tuple[DataSet, ...]:
    element = elements.get(tag)
    if element is None:
        return ()
    try:
        return items(element.value, encoding)
    except MalformedDataSet:
        return ()


def _item_text(item: DataSet, tag: int, declared: bytes, vr: str = "LO") -> str:
    text = charset.decode(bytes_of(item, tag), vr, bytes_of(item, keys.SPECIFIC_CHARACTER_SET) or declared)
    return text.replace("\0", "").strip()[:FOLD_LENGTH]


def _entity(issuers: tuple[DataSet, ...], declared: bytes) -> str:
    """The issuer that an item of HL7v2 Hierarchic Designator names (PS3.3 10.14)."""
    for item in issuers[:1]:
        return _item_text(item, keys.LOCAL_ENTITY, declared) or _item_text(item, keys.UNIVERSAL_ENTITY, declared)
    return ""


def _accession_issuer(elements: Elements, encoding: Encoding, declared: bytes) -> str:
    return _entity(_items(elements, keys.ACCESSION_ISSUER, encoding), declared)


def _accessions(elements: Elements, encoding: Encoding, declared: bytes, first: str) -> tuple[tuple[str, str], ...]:
    """Further accession numbers: an object may answer several requests."""
    found: dict[tuple[str, str], None] = {}
    for item in _items(elements, keys.REQUESTS, encoding):
        accession = _item_text(item, keys.ACCESSION, declared, "SH")
        if accession and accession != first:
            issuer = item.get(keys.ACCESSION_ISSUER)
            inner = issuer.value if issuer is not None and isinstance(issuer.value, tuple) else ()
            found[accession, _entity(inner, declared)] = None
    return tuple(found)


def _patient_ids(elements: Elements, encoding: Encoding, declared: bytes, issuer: str) -> tuple[tuple[str, str], ...]:
    """Other Patient IDs: of the sequence with their issuers, of the retired plain attribute with the patient's."""
    found: dict[tuple[str, str], None] = {}
    for item in _items(elements, keys.OTHER_ID_SEQUENCE, encoding):
        value = _item_text(item, keys.PATIENT_ID, declared)
        if value:
            found[value, _item_text(item, keys.ISSUER, declared)] = None
    for value in _text(elements, keys.OTHER_IDS, declared).split("\\"):
        if value.strip():
            found[value.strip()[:FOLD_LENGTH], issuer] = None
    return tuple(found)


class _Own(NamedTuple):
    """What an object's own attributes come to, but for the places of its frames."""

    columns: Columns
    shape: frames.Shape
    rows: tuple[Row, ...]


def _instance(
    scan: Scan, declared: bytes, size: int, read: Callable[[int, int], bytes] | None, wanted: Wanted
) -> tuple[Columns, tuple[Row, ...]]:
    """The columns of the object itself, and rows for its further attributes."""
    columns, shape, rows = _own_like(scan, declared, wanted) or _own(scan, declared, wanted)
    columns["frame_table"] = frames.locate(scan, shape, size, read)
    return columns, rows


def _own_like(scan: Scan, declared: bytes, wanted: Wanted) -> _Own | None:
    """By what was made of those that it is like; None where more differs than a few texts."""
    if scan.alike is None:
        return None
    values = scan.alike.values
    own = _own_in(scan.alike.sample, declared, wanted)
    if own is None or not _SHAPING.isdisjoint(values):
        return None
    columns = own.columns.copy()
    for tag in values.keys() & keys.INSTANCE_TEXT.keys():
        column = keys.INSTANCE_TEXT[tag]
        text = columns[column] = _text(values, tag, declared)
        if column == "instance_number":
            columns["instance_number_value"] = _number(text)
    return own._replace(columns=columns)


@lru_cache(maxsize=64)
def _own_in(sample: Sample, declared: bytes, wanted: Wanted) -> _Own | None:
    """Of the object that others are like; None where such have further attributes."""
    further = not wanted.further["I"].keys().isdisjoint(sample.scan.elements)
    return None if further else _own(sample.scan, declared, wanted)


def _own(scan: Scan, declared: bytes, wanted: Wanted) -> _Own:
    elements = scan.elements
    found = NOTHING
    if not wanted.further["I"].keys().isdisjoint(elements):
        found = further_at("I", wanted, elements, scan.encoding, declared)
    columns: Columns = {column: _text(elements, tag, declared) for tag, column in keys.INSTANCE_TEXT.items()}
    little = scan.encoding.little
    rows, cols = _us(elements, keys.ROWS, little), _us(elements, keys.COLUMNS, little)
    bits = _us(elements, keys.BITS_ALLOCATED, little)
    count = _number(_text(elements, keys.FRAMES, declared))
    shape = frames.Shape(
        rows=rows or 0,
        columns=cols or 0,
        samples=_us(elements, keys.SAMPLES, little) or 1,
        bits=bits or 0,
        frames=count or 1,
        subsampled=_text(elements, keys.PHOTOMETRIC, declared).endswith("_422"),
    )
    columns.update(
        instance_number_value=_number(str(columns["instance_number"])),
        rows=rows,
        columns=cols,
        bits_allocated=bits if bits is not None and bits < 1 << 15 else None,
        frames=count if count is not None and -(1 << 31) <= count < 1 << 31 else None,
        attributes=found.json,
        availability="ONLINE",
    )
    return _Own(columns, shape, found.rows)


def _us(elements: Elements, tag: int, little: bool) -> int | None:
    element = elements.get(tag)
    if element is None or len(element.value) < 2:
        return None
    return int(struct.unpack_from("<H" if little else ">H", element.value)[0])
