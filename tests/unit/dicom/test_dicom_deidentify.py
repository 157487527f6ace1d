"""De-identification by PS3.15 E: the table, actions, sequences, pseudonyms, and that nothing identifying is left."""

import struct
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.dicom.dataset import DataSet, Element, decode, encode, items_of, sequence, string_of, text, uid
from isocenter.dicom.deidentify import Profile, changes, cleaned, finding
from isocenter.dicom.deidentify_table import Action, Option, table, treatment_of
from isocenter.dicom.dictionary import tag_of, vr_of, vr_table
from isocenter.dicom.headers import MalformedDataSet, Window
from isocenter.dicom.overlay import Edited, Overlay
from isocenter.dicom.pseudonyms import Pseudonyms, moved
from isocenter.dicom.uids import DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, JPEG_BASELINE, is_regular

PROFILE = Profile(b"a secret")
NAME, ID, ROOT = "Zwingli^Huldrych", "ZH-1531", "1.2.826.0.1.3680043.10.999.77"
CT = "1.2.840.10008.5.1.4.1.1.2"
_TEXT = f"of {NAME.partition('^')[0].upper()}"
_VALUES = {
    "AE": "ZWINGLI", "AS": "047Y", "CS": "ONE", "DA": "15311011", "DS": "1.5", "DT": "15311011101500", "IS": "7",
    "LO": _TEXT, "LT": _TEXT, "PN": NAME, "SH": "Zwingli", "ST": _TEXT, "TM": "101500", "UC": _TEXT,
    "UR": "http://zwingli.example", "UT": _TEXT,
}  # fmt: skip
_NOT_LEFT = (b"zwingli", b"huldrych", b"zh-1531", ROOT.encode(), b"15311011", b"047y", b"private")
_DATES = ("StudyDate", "SeriesTime", "AcquisitionDateTime", "PatientBirthDate")


def tag(keyword: str) -> int:
    found = tag_of(keyword)
    assert found is not None
    return found


def element(where: int) -> Element:
    """A value of this attribute that tells who the patient is, as far as its VR can."""
    vr = vr_of(where)
    if where == tag("PatientID"):
        return text(vr, ID)
    if where == tag("PatientName"):
        return text(vr, NAME)
    if vr == "UI":
        return uid(f"{ROOT}.{where}" if treatment_of(where).action != Action.KEEP else CT)
    if vr in _VALUES:
        return text(vr, _VALUES[vr])
    return Element(vr, struct.pack("<d", 1.0)) if vr != "SQ" else sequence()


@cache
def everything() -> DataSet:
    """Every attribute of the dictionary, and within every sequence some more; private ones besides."""
    some = [tag(name) for name in ("PatientName", "StudyDate", "SOPInstanceUID", "CodeMeaning", "TextValue")]
    inner: DataSet = {where: element(where) for where in some} | {0x00091001: text("LO", "private")}
    middle = inner | {tag("ConceptNameCodeSequence"): sequence(inner)}
    made: DataSet = {0x00090010: text("LO", "private"), 0x00091001: Element("UN", b"private!")}
    for where, vr in vr_table().items():
        if 0x0008 <= where >> 16 < 0xFFFA and where & 0xFFFF and where != tag("PixelData"):
            made[where] = sequence(middle) if vr == "SQ" else element(where)
    made[tag("PixelData")] = Element("OW", bytes(64))
    made[0x60003000], made[0x50001001] = Element("OW", b"private!"), Element("US", b"\1\0")
    return made


def deidentified(data: bytes, syntax: str, profile: Profile = PROFILE) -> bytes:
    """The data set as it would leave."""
    plain = Edited(lambda at, n: data[at : at + n], len(data), syntax, lambda _: ())
    made = plain.edited(finding(EXPLICIT_LE if syntax == DEFLATED_LE else syntax, profile))
    return b"".join(made.pieces())


# --- nothing is left


@pytest.mark.parametrize("syntax", [EXPLICIT_LE, IMPLICIT_LE, EXPLICIT_BE, DEFLATED_LE])
def test_nothing_identifying_is_left_of_any_attribute(syntax: str) -> None:
    left = deidentified(encode(everything(), syntax), syntax)
    lower = left.lower()
    assert [word for word in _NOT_LEFT if word in lower] == []
    found = decode(left, EXPLICIT_LE if syntax == DEFLATED_LE else syntax)
    assert all(not each >> 16 & 1 for each in found)
    assert found[tag("PixelData")] == everything()[tag("PixelData")]


def test_in_memory_and_in_passing_are_the_same() -> None:
    data = encode(everything(), EXPLICIT_LE)
    assert deidentified(data, EXPLICIT_LE) == encode(cleaned(everything(), PROFILE), EXPLICIT_LE)


def test_pixel_data_in_fragments_passes_through() -> None:
    """And what stands behind it goes."""
    head = encode({tag("PatientName"): text("PN", NAME)}, EXPLICIT_LE)
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF)
    pixels += struct.pack("<HHI", 0xFFFE, 0xE000, 0) + struct.pack("<HHI", 0xFFFE, 0xE000, 4) + b"\xff\xd8\xff\xd9"
    pixels += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    behind = encode({tag("DataSetTrailingPadding"): Element("OB", b"private!")}, EXPLICIT_LE)
    left = deidentified(head + pixels + behind, JPEG_BASELINE)
    assert left.endswith(pixels)
    assert b"Zwingli" not in left


def test_a_sequence_that_can_not_be_read_goes() -> None:
    where = tag("SharedFunctionalGroupsSequence")
    broken = struct.pack("<HH2sHI", where >> 16, where & 0xFFFF, b"SQ", 0, 12) + b"Zwingli wrote"[:12]
    left = deidentified(broken, EXPLICIT_LE)
    assert where not in decode(left, EXPLICIT_LE)


def test_a_broken_top_level_is_told() -> None:
    data = struct.pack("<HH2sH", 0x10, 0x10, b"PN", 400) + b"Zwingli"
    with pytest.raises(MalformedDataSet):
        changes(Window(lambda at, n: data[at : at + n], len(data)), EXPLICIT_LE, PROFILE)


_words = st.text(st.characters(min_codepoint=0x41, max_codepoint=0x7A), min_size=4, max_size=12).filter(str.isalpha)


@given(
    name=_words, number=st.integers(10**6, 10**9), carriers=st.lists(st.sampled_from(sorted(vr_table())), max_size=12)
)
def test_nothing_of_any_patient_is_left(name: str, number: int, carriers: list[int]) -> None:
    """Wherever the name, the id and UIDs of an object are written, at the top or within, they are gone."""
    known: DataSet = {tag("PatientName"): text("PN", name), tag("PatientID"): text("LO", str(number))}
    for where in carriers:
        vr = vr_of(where)
        if vr in ("LO", "LT", "PN", "SH", "ST", "UC", "UT") and where & 0xFFFF and where >> 16 >= 8:
            known.setdefault(where, text(vr, f"{name} {number}"))
        elif vr == "UI" and treatment_of(where).action != Action.KEEP and where >> 16 >= 8:
            known.setdefault(where, uid(f"1.2.{number}"))
    shared = tag("SharedFunctionalGroupsSequence")
    whole = known | {shared: sequence(dict(known))}
    left = deidentified(encode(whole, EXPLICIT_LE), EXPLICIT_LE)
    stated = encode(cleaned({}, PROFILE), EXPLICIT_LE)  # "Basic" may be somebody's name
    if name.lower().encode() not in stated.lower() and name.lower() != "removed":
        assert name.encode() not in left
    assert str(number).encode() not in left
    assert items_of(decode(left, EXPLICIT_LE), shared)


# --- what it says of itself


def test_it_says_what_was_done() -> None:
    found = cleaned({}, PROFILE)
    assert string_of(found, tag("PatientIdentityRemoved")) == "YES"
    assert string_of(found, tag("LongitudinalTemporalInformationModified")) == "REMOVED"
    codes = [string_of(each, tag("CodeValue")) for each in items_of(found, tag("DeidentificationMethodCodeSequence"))]
    assert codes == ["113100"]


@pytest.mark.parametrize(
    ("option", "code", "keyword"),
    [
        (Option.UIDS, "113110", "StudyInstanceUID"),
        (Option.DEVICE, "113109", "DeviceSerialNumber"),
        (Option.INSTITUTION, "113112", "InstitutionName"),
        (Option.CHARACTERISTICS, "113108", "PatientAge"),
        (Option.DATES, "113106", "StudyDate"),
    ],
)
def test_options_keep_what_they_are_for(option: Option, code: str, keyword: str) -> None:
    value = {"DA": "20240131", "UI": ROOT, "AS": "047Y"}.get(vr_of(tag(keyword)), "ACME")
    before: DataSet = {tag(keyword): text(vr_of(tag(keyword)), value)}
    kept = cleaned(before, Profile(b"s", frozenset({option})))
    assert string_of(kept, tag(keyword)) == value
    codes = [string_of(each, tag("CodeValue")) for each in items_of(kept, tag("DeidentificationMethodCodeSequence"))]
    assert codes == ["113100", code]
    others = Profile(b"s", frozenset(set(Option) - {option}))
    assert string_of(cleaned(before, others), tag(keyword)) != value


# --- pseudonyms


def test_objects_of_a_study_stay_together() -> None:
    first, second = (
        cleaned({tag("StudyInstanceUID"): uid(ROOT), tag("SOPInstanceUID"): uid(f"{ROOT}.{n}"),
                 tag("PatientID"): text("LO", ID)}, PROFILE)
        for n in (1, 2)
    )  # fmt: skip
    for keyword in ("StudyInstanceUID", "PatientID"):
        assert first[tag(keyword)] == second[tag(keyword)]
        assert string_of(first, tag(keyword)) not in ("", ROOT, ID)
    assert first[tag("SOPInstanceUID")] != second[tag("SOPInstanceUID")]
    other = cleaned({tag("StudyInstanceUID"): uid(ROOT)}, Profile(b"another secret"))
    assert other[tag("StudyInstanceUID")] != first[tag("StudyInstanceUID")]


def test_references_follow_the_instances() -> None:
    """A reference is replaced by the UID that its instance gets; classes and registered UIDs stay."""
    reference: DataSet = {tag("ReferencedSOPClassUID"): uid("1.2.840.10008.5.1.4.1.1.2"),
                          tag("ReferencedSOPInstanceUID"): uid(ROOT)}  # fmt: skip
    made = cleaned({tag("SOPInstanceUID"): uid(ROOT), tag("ReferencedImageSequence"): sequence(reference)}, PROFILE)
    (left,) = items_of(made, tag("ReferencedImageSequence"))
    assert left[tag("ReferencedSOPClassUID")] == reference[tag("ReferencedSOPClassUID")]
    assert left[tag("ReferencedSOPInstanceUID")] == made[tag("SOPInstanceUID")]


@given(st.from_regex(r"[1-9]\d{0,4}(\.[1-9]\d{0,9}){1,5}", fullmatch=True))
def test_new_uids_are_regular(original: str) -> None:
    made = Pseudonyms(b"s").uid(original.encode()).decode()
    assert is_regular(made)
    assert made != original


def test_a_profile_has_a_secret() -> None:
    with pytest.raises(ValueError, match="secret"):
        Pseudonyms(b"")


def test_dates_move_together() -> None:
    profile = Profile(b"s", dates="shift")
    before: DataSet = {tag("PatientID"): text("LO", ID)} | {tag(name): element(tag(name)) for name in _DATES}
    before[tag("SeriesDate")] = text("DA", "15311012")
    after = cleaned(before, profile)
    assert string_of(after, tag("SeriesTime")) == "101500"
    assert string_of(after, tag("PatientBirthDate")) == ""
    study, series = (string_of(after, tag(name)) for name in ("StudyDate", "SeriesDate"))
    assert study != "15311011"
    assert moved("DA", series.encode(), 1) == study.encode()
    assert string_of(after, tag("AcquisitionDateTime")) == study + "101500"
    assert string_of(after, tag("LongitudinalTemporalInformationModified")) == "MODIFIED"


@pytest.mark.parametrize(
    ("vr", "value", "expected"),
    [
        ("DA", b"20240301", b"20240229"),
        ("DA", b"2024.03.01", b"20240229"),
        ("DA", b"20240301\\20240302 ", b"20240229\\20240301"),
        ("DT", b"20240301101500.25+0100", b"20240229101500.25+0100"),
        ("DT", b"202403", b"202402"),
        ("TM", b"101500", b"101500"),
        ("DA", b"00010101", None),
        ("DA", b"unknown", None),
        ("DA", b"", b""),
    ],
)
def test_moving_a_date_by_a_day(vr: str, value: bytes, expected: bytes | None) -> None:
    assert moved(vr, value, 1) == expected


# --- the table


def test_the_table_is_as_large_as_the_standards() -> None:
    assert len(table()) > 550


@pytest.mark.parametrize(
    ("keyword", "action"),
    [
        ("PatientName", Action.DUMMY),
        ("PatientBirthDate", Action.EMPTY),
        ("OtherPatientIDs", Action.REMOVE),
        ("SOPInstanceUID", Action.REPLACE_UIDS),
        ("SOPClassUID", Action.KEEP),
        ("ReferencedImageSequence", Action.REPLACE_UIDS),
        ("SelectorUIValue", Action.REPLACE_UIDS),
        ("EvaluatorName", Action.EMPTY),
        ("StudyArrivalDate", Action.REMOVE),
        ("Rows", Action.KEEP),
        ("CommandGroupLength", Action.KEEP),
    ],
)
def test_treatments(keyword: str, action: Action) -> None:
    assert treatment_of(tag(keyword)).action == action


@pytest.mark.parametrize("where", [0x00091001, 0x00100011 + 0x5000, 0x50003000, 0x60003000, 0x60220022])
def test_what_is_private_unknown_or_drawn_goes(where: int) -> None:
    assert treatment_of(where).action == Action.REMOVE


def test_an_empty_value_stays_empty() -> None:
    before: DataSet = {tag("ContentSequence"): sequence(), tag("SeriesDate"): text("DA", "")}
    after = cleaned(before, PROFILE)
    assert {where: after[where] for where in before} == before


def test_changes_are_for_any_overlay() -> None:
    data = encode({tag("PatientName"): text("PN", NAME), tag("Modality"): text("CS", "CT")}, EXPLICIT_LE)
    made = changes(Window(lambda at, n: data[at : at + n], len(data)), EXPLICIT_LE, PROFILE)
    assert tag("Modality") not in made
    left = Overlay(lambda at, n: data[at : at + n], len(data), EXPLICIT_LE, made)
    assert b"".join(left.pieces()) == encode(cleaned(decode(data, EXPLICIT_LE), PROFILE), EXPLICIT_LE)
