"""Making a rejection note: a Key Object Selection document of TID 2010 whose title rejects what it names.

It is stored like any other object, and does what a note that was received does.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Final, NamedTuple

from isocenter.declarations.rejections import KEY_OBJECT_SELECTION, MODIFIERS, SCHEME, Title
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, Element, encode, sequence, text, uid

UTF_8: Final = "ISO_IR 192"
_UTF_8: Final = (UTF_8,)


class Named(NamedTuple):
    """An instance that a note names."""

    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class: str
    image: bool


class Subject(NamedTuple):
    """The study that a note belongs to, with its patient."""

    study_uid: str
    patient_name: str
    patient_id: str
    issuer: str
    birth_date: str
    sex: str
    study_date: str
    study_time: str
    study_id: str
    accession: str
    referring_name: str


class Note(NamedTuple):
    """A note, encoded in Explicit VR Little Endian."""

    sop_uid: str
    series_uid: str
    data: bytes


def note(
    title: Title, subject: Subject, named: Sequence[Named], at: int, *, modifier: str = "", comment: str = ""
) -> Note:
    """The note of `title` about `named`, made at `at` (microseconds UTC). `modifier`: a code of CID 7011."""
    sop_uid, series_uid = uids.new_uid(), uids.new_uid()
    when = datetime.fromtimestamp(at / 1e6, UTC)
    data_set: DataSet = {
        0x00080005: text("CS", UTF_8),
        0x00080016: uid(KEY_OBJECT_SELECTION),
        0x00080018: uid(sop_uid),
        0x00080023: text("DA", f"{when:%Y%m%d}"),
        0x00080033: text("TM", f"{when:%H%M%S}"),
        0x00080060: text("CS", "KO"),
        0x00080070: text("LO", "ISOCENTER"),
        0x00080201: text("SH", "+0000"),
        0x00081111: sequence(),
        0x0020000E: uid(series_uid),
        0x00200011: text("IS", "1"),
        0x00200013: text("IS", "1"),
        0x0040A375: sequence(*_evidence(named)),
        **_subject(subject),
        **_content(title, named, modifier, comment),
    }
    return Note(sop_uid, series_uid, encode(data_set, uids.EXPLICIT_LE))


def _subject(subject: Subject) -> DataSet:
    texts = (
        (0x00080020, "DA", subject.study_date),
        (0x00080030, "TM", subject.study_time),
        (0x00080050, "SH", subject.accession),
        (0x00080090, "PN", subject.referring_name),
        (0x00100010, "PN", subject.patient_name),
        (0x00100020, "LO", subject.patient_id),
        (0x00100030, "DA", subject.birth_date),
        (0x00100040, "CS", subject.sex),
        (0x00200010, "SH", subject.study_id),
    )
    found: DataSet = {tag: text(vr, value, _UTF_8) for tag, vr, value in texts}
    if subject.issuer:
        found[0x00100021] = text("LO", subject.issuer, _UTF_8)
    return {**found, 0x0020000D: uid(subject.study_uid)}


def _evidence(named: Sequence[Named]) -> Iterable[DataSet]:
    """Study, series, instance (PS3.3 C.17.2.1)."""
    for study_uid, of_study in groupby(sorted(named), key=lambda one: one.study_uid):
        series: list[DataSet] = []
        for series_uid, of_series in groupby(of_study, key=lambda one: one.series_uid):
            references = [{0x00081150: uid(one.sop_class), 0x00081155: uid(one.sop_uid)} for one in of_series]
            series.append({0x0020000E: uid(series_uid), 0x00081199: sequence(*references)})
        yield {0x0020000D: uid(study_uid), 0x00081115: sequence(*series)}


def _content(title: Title, named: Sequence[Named], modifier: str, comment: str) -> DataSet:
    """The document's content (PS3.16 TID 2010)."""
    items: list[DataSet] = []
    if modifier:
        name = _code("113011", "Document Title Modifier")
        items.append(_item("HAS CONCEPT MOD", "CODE", name, {0x0040A168: _code(modifier, MODIFIERS[modifier])}))
    if comment:
        name = _code("113012", "Key Object Description")
        items.append(_item("CONTAINS", "TEXT", name, {0x0040A160: text("UT", comment, _UTF_8)}))
    for one in sorted(named):
        reference = sequence({0x00081150: uid(one.sop_class), 0x00081155: uid(one.sop_uid)})
        items.append(_item("CONTAINS", "IMAGE" if one.image else "COMPOSITE", None, {0x00081199: reference}))
    return {
        0x0040A040: text("CS", "CONTAINER"),
        0x0040A043: _code(title.code, title.meaning),
        0x0040A050: text("CS", "SEPARATE"),
        0x0040A504: sequence({0x00080105: text("CS", "DCMR"), 0x0040DB00: text("CS", "2010")}),
        0x0040A730: sequence(*items),
    }


def _item(relation: str, kind: str, name: Element | None, value: DataSet) -> DataSet:
    found: DataSet = {0x0040A010: text("CS", relation), 0x0040A040: text("CS", kind), **value}
    return found if name is None else {**found, 0x0040A043: name}


def _code(code: str, meaning: str) -> Element:
    return sequence({0x00080100: text("SH", code), 0x00080102: text("SH", SCHEME), 0x00080104: text("LO", meaning)})
