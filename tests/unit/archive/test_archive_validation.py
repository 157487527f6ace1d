"""The validation levels of an AE: what each finds fault with, and what it must not."""

import json
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from subprocess import run

import dicom_validator
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archives import CT, made
from isocenter.archive.validation.iod import required_attributes
from isocenter.archive.validation.levels import Incoming, Inspection, inspection_of, supported_character_set
from isocenter.archive.validation.values import minimal
from isocenter.archive.validation.workers import Tables
from isocenter.config import HostedAE
from isocenter.declarations import iods, sop_classes
from isocenter.dicom import uids
from isocenter.dicom.charset import encode as encode_text
from isocenter.dicom.dataset import DataSet, Element, decode, encode, text, uid
from isocenter.dicom.dictionary import entry_of, tag_of
from isocenter.dicom.headers import MalformedDataSet
from isocenter.dicom.scan import scan
from isocenter.errors import ConfigurationError, Reason, Refused, Retriable
from isocenter.index.extract import INDEXED
from material import REPOSITORY

NATIVE = [uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE, uids.DEFLATED_LE]


def incoming(elements: DataSet, syntax: str = uids.EXPLICIT_LE, character_set: str = "") -> Incoming:
    data = encode(elements, syntax)
    return Incoming(scan(data, syntax, INDEXED), lambda n, at: data[at : at + n], len(data), character_set)


def plain(**changes: Element | None) -> DataSet:
    """A data set that `minimal` has nothing against, with changes by keyword."""
    elements = decode(made(pixels=b"").data, uids.EXPLICIT_LE)
    for keyword, element in changes.items():
        tag = tag_of(keyword)
        assert tag is not None
        elements.pop(tag, None)
        if element is not None:
            elements[tag] = element
    return elements


def complete(sop_class: str) -> DataSet:
    """A data set with all that the modules of a class ask for, each sequence with an item."""
    return _completed(plain(SOPClassUID=uid(sop_class)), sop_class, ())


def _completed(elements: DataSet, sop_class: str, around: tuple[int, ...]) -> DataSet:
    needed = iods.requirements_of(sop_class)
    nested = {path[len(around)] for path in needed if len(path) > len(around) and path[: len(around)] == around}
    for tag in nested:
        elements[tag] = Element("SQ", (_completed({}, sop_class, (*around, tag)),))
    for tag, required in needed.get(around, {}).items():
        entry = entry_of(tag)
        assert entry is not None
        if tag not in elements or not elements[tag].value:
            elements[tag] = _filled(entry.vr[:2]) if required.type == 1 else _empty(entry.vr[:2])
    return elements


def without(elements: DataSet, around: tuple[int, ...], tag: int, put: Element | None = None) -> DataSet:
    """`elements` less what lies within the first items of some sequences, or with something else in its place."""
    changed = {each: element for each, element in elements.items() if around or each != tag}
    if around:
        (item,) = elements[around[0]].value
        assert isinstance(item, dict)
        changed[around[0]] = Element("SQ", (without(item, around[1:], tag, put),))
    elif put is not None:
        changed[tag] = put
    return changed


def _filled(vr: str) -> Element:
    if vr == "SQ":
        return Element(vr, (plain(),))
    values = {"UI": b"1.2.3", "DA": b"20240229", "TM": b"120000", "DT": b"20240229120000",
              "IS": b"1", "DS": b"1.5", "US": b"\1\0", "SS": b"\1\0", "UL": b"\1\0\0\0", "FD": bytes(8),
              "OB": b"\1\2", "AT": b"\x18\0\x63\x10"}  # fmt: skip
    return Element(vr, values.get(vr, b"TEXT"))


def _empty(vr: str) -> Element:
    return Element(vr, () if vr == "SQ" else b"")


@pytest.mark.parametrize("syntax", NATIVE)
def test_nothing_is_wrong_with_a_good_one(syntax: str) -> None:
    assert minimal(incoming(plain(), syntax)) == []


WRONG: list[tuple[str, Element | None, str]] = [
    ("PatientName", None, "is missing"),
    ("PatientID", None, "is missing"),
    ("Modality", None, "is missing"),
    ("Modality", text("CS", ""), "is empty"),
    ("Modality", text("CS", "ct"), "is no legal CS"),
    ("StudyInstanceUID", uid("1.02.3"), "is no legal UID"),
    ("FrameOfReferenceUID", uid("1." + "2" * 64), "is no legal UID"),
    ("StudyDate", text("DA", "20240230x"), "is no legal DA"),
    ("StudyDate", text("DA", "20241301"), "is no legal DA"),
    ("StudyTime", text("TM", "2460"), "is no legal TM"),
    ("AcquisitionDateTime", text("DT", "2024-02-29"), "is no legal DT"),
    ("SeriesNumber", text("IS", "1.5"), "is no legal IS"),
    ("SliceThickness", text("DS", "1,5"), "is no legal DS"),
    ("SliceThickness", text("DS", "1.23456789012345678"), "is no legal DS"),
    ("RetrieveAETitle", text("AE", "SEVENTEEN LETTERS"), "is no legal AE"),
    ("PatientAge", text("AS", "42"), "is no legal AS"),
    ("AccessionNumber", text("SH", "x" * 17), "is longer than 16 characters"),
    ("StudyDescription", text("LO", "x" * 65), "is longer than 64 characters"),
    ("PatientName", text("PN", "x" * 65), "is longer than 64 characters"),
    ("Rows", Element("US", b"\1\0\2\0\3\0"), ""),
    ("FrameIncrementPointer", Element("AT", b"\1\0\2\0\3\0"), "is no whole number of AT values"),
]


@pytest.mark.req("I-STORE-08")
@pytest.mark.parametrize(("keyword", "value", "problem"), WRONG)
@pytest.mark.parametrize("syntax", [uids.EXPLICIT_LE, uids.EXPLICIT_BE])
def test_what_minimal_finds(keyword: str, value: Element | None, problem: str, syntax: str) -> None:
    tag = tag_of(keyword)
    assert tag is not None
    found = minimal(incoming(plain(**{keyword: value}), syntax))
    assert found == ([f"({tag >> 16:04X},{tag & 0xFFFF:04X}) {keyword} {problem}"] if problem else [])


RIGHT = [
    ("StudyDate", text("DA", "2024.02.29")),
    ("StudyDate", text("DA", "")),
    ("StudyTime", text("TM", "10:11:12")),
    ("StudyTime", text("TM", "235960.123456")),
    ("PatientName", text("PN", "=".join(["x" * 64] * 3))),
    ("OtherPatientNames", text("PN", "\\".join(["x" * 64] * 3))),
    ("AccessionNumber", text("SH", "Müller" * 2 + "1234", "ISO_IR 192")),
    ("StudyComments", text("LT", "a\\b" * 3000)),
    ("WindowCenter", text("DS", "-1.5E+3\\+40\\.5\\3.")),
    ("ImageType", text("CS", "ORIGINAL\\PRIMARY\\\\AXIAL")),
]


@pytest.mark.parametrize(("keyword", "value"), RIGHT)
def test_what_minimal_must_not_find(keyword: str, value: Element) -> None:
    assert minimal(incoming(plain(**{keyword: value}), character_set="ISO_IR 192")) == []


def test_lengths_are_counted_in_characters_of_the_set_in_force() -> None:
    kanji = encode_text("山" * 16, "\\ISO 2022 IR 87", vr="SH")
    item = {0x00080005: text("CS", "\\ISO 2022 IR 87"), 0x00080050: Element("SH", kanji)}
    assert len(kanji) > 32
    assert minimal(incoming(plain(RequestAttributesSequence=Element("SQ", (item,))))) == []
    # what comes after the item is in the outer set again
    late = plain(RequestAttributesSequence=Element("SQ", (item,)), ConfidentialityCode=Element("LO", kanji))
    assert minimal(incoming(late)) == []
    too_long = Element("SQ", ({**item, 0x00080050: Element("SH", encode_text("山" * 17, "\\ISO 2022 IR 87"))},))
    assert minimal(incoming(plain(RequestAttributesSequence=too_long))) == [
        "(0008,0050) AccessionNumber is longer than 16 characters"
    ]


def test_private_elements_are_their_makers_own() -> None:
    assert minimal(incoming(plain() | {0x00190010: text("LO", "X"), 0x00191001: text("CS", "what ever it is!")})) == []


def test_findings_are_few_and_without_values() -> None:
    wrong = plain(**{keyword: value for keyword, value, _ in WRONG if value is not None})
    found = minimal(incoming(wrong))
    assert 1 < len(found) <= 9
    assert not any("SEVENTEEN" in each or "xxxx" in each for each in found)


@pytest.mark.req("I-STORE-08")
@pytest.mark.parametrize("sop_class", sorted(iods.checked_classes()))
def test_a_class_needs_what_its_modules_need(sop_class: str) -> None:
    assert sop_classes.is_storage(sop_class)
    assert required_attributes(incoming(complete(sop_class))) == []
    bare = required_attributes(incoming({0x00080016: uid(sop_class)}))
    needed = iods.requirements_of(sop_class)[()]
    assert len(bare) == len(needed) - 1
    assert {each.rpartition(", ")[2] for each in bare} <= {required.module for required in needed.values()}


FURTHER = ["2", "66.4", "104.1"]
"""Classes of many kinds."""


@pytest.mark.req("I-STORE-08")
@pytest.mark.parametrize("sop_class", [f"1.2.840.10008.5.1.4.1.1.{each}" for each in FURTHER])
def test_each_requirement_is_missed(sop_class: str) -> None:
    whole = complete(sop_class)
    for around, needed in iods.requirements_of(sop_class).items():
        for tag, required in needed.items():
            if tag == 0x00080016 and not around:
                continue
            name = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
            (lacking, *others) = required_attributes(incoming(without(whole, around, tag)))
            assert not others
            assert lacking.startswith(f"{name} ")
            assert " is missing" in lacking
            assert lacking.endswith(f", {required.module}")
            assert (" in (" in lacking) == bool(around)
            entry = entry_of(tag)
            assert entry is not None
            empty = required_attributes(incoming(without(whole, around, tag, _empty(entry.vr[:2]))))
            assert len(empty) == (required.type == 1)
            assert all(" is empty" in each for each in empty)


def test_the_table_is_that_of_the_standard() -> None:
    """As `tools/iod_tables.py` makes it; that needs highdicom, whose tables it reads."""
    pytest.importorskip("highdicom")
    made = run(
        [sys.executable, "tools/iod_tables.py", "--check"], cwd=REPOSITORY, capture_output=True, timeout=60, check=False
    )
    assert made.returncode == 0, made.stderr


def test_what_classes_without_a_line_need() -> None:
    named = {"Patient", "General Study", "General Series", "SOP Common"}
    assert set(iods.modules_of("1.2.840.10008.5.1.4.1.1.601.1")) == {*named, "Image Pixel"}
    assert iods.modules_of("1.2.840.10008.5.1.4.1.1.501.1") == ("SOP Common",)
    assert iods.modules_of("1.2.3") == ()
    for sop_class in sop_classes.storage_classes():
        iods.requirements_of(sop_class)


@pytest.mark.req("I-CHAR-06", "I-STORE-10")
def test_unknown_character_sets() -> None:
    for right in ("ISO_IR 100", "ISO-IR-100", "\\ISO 2022 IR 87", "UTF-8", ""):
        assert supported_character_set(incoming(plain(SpecificCharacterSet=text("CS", right)))) == ()
    for wrong in ("KLINGON", "ISO_IR 100\\KLINGON"):
        with pytest.raises(Refused, match="Character Set is not supported") as refused:
            supported_character_set(incoming(plain(SpecificCharacterSet=text("CS", wrong))))
        assert refused.value.reason is Reason.CANNOT_UNDERSTAND


def test_which_checks_an_ae_makes() -> None:
    assert inspection_of(HostedAE()) is None
    tables: Callable[[Incoming], list[str]] = lambda _incoming: []  # noqa: E731
    levels = {"minimal": (minimal,), "iod": (minimal, required_attributes, tables)}
    for level, checks in levels.items():
        assert inspection_of(HostedAE(validation=level), tables) == Inspection(checks)  # type: ignore[arg-type]
    assert inspection_of(HostedAE(validation="iod")) == Inspection((minimal, required_attributes))
    strict = HostedAE(unknown_character_set="refuse", validation="minimal", validation_failure="refuse")
    assert inspection_of(strict) == Inspection((supported_character_set, minimal), refuse=True)


def test_the_remark_fits_an_error_comment() -> None:
    wrong = incoming(plain(PatientName=None, PatientID=None, StudyDescription=text("LO", "x" * 65)))
    assert Inspection((minimal, minimal)).remark(wrong) == "(0010,0010) PatientName is missing (+2)"
    assert len(Inspection((lambda _: ["x" * 80, "y"],)).remark(wrong)) == 64
    assert Inspection((minimal,), refuse=True).remark(incoming(plain())) == ""
    with pytest.raises(Refused, match="PatientName is missing") as refused:
        Inspection((minimal,), refuse=True).remark(wrong)
    assert refused.value.reason is Reason.SOP_CLASS_MISMATCH


@cache
def _nested(syntax: str) -> bytes:
    return encode(complete(CT) | {0x00400275: Element("SQ", (plain(),))}, syntax)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), syntax=st.sampled_from(NATIVE))
def test_damaged_data_sets_have_findings_or_are_refused(data: st.DataObject, syntax: str) -> None:
    raw = bytearray(_nested(syntax))
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(MalformedDataSet):  # nothing else may be raised
        damaged = _of(bytes(raw), syntax)
        for check in (minimal, required_attributes, supported_character_set):
            with suppress(Refused):  # nothing else may be raised
                assert all(each.isascii() and "�" not in each for each in check(damaged))


# --- the whole standard's tables


@pytest.fixture
def standard(tmp_path: Path) -> Path:
    """A folder of tables in dicom-validator's form, of a small standard of our own: Patient, and a CT Image that must
    have a Slice Location where it has an Instance Number."""
    folder = tmp_path / "standard" / "2025c" / "json"
    folder.mkdir(parents=True)
    names = ["PatientName", "PatientID", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID",
             "StudyDate", "Modality", "StudyDescription", "SeriesNumber", "InstanceNumber", "SliceLocation",
             "PixelData", "Rows", "Columns", "BitsAllocated"]  # fmt: skip
    tags = {name: f"({tag_of(name) or 0:08X})" for name in names}
    tags = {name: f"({tag[1:5]},{tag[5:9]})" for name, tag in tags.items()}
    condition = {"type": "MU", "index": 0, "op": "+", "tag": tags["InstanceNumber"]}
    patient = {tags["PatientName"]: {"name": "Patient's Name", "type": "2"},
               tags["PatientID"]: {"name": "Patient ID", "type": "2"}}  # fmt: skip
    ct = {tags[name]: {"name": name, "type": "3"} for name in names if not name.startswith("Patient")}
    ct[tags["SliceLocation"]] = {"name": "Slice Location", "type": "1C", "cond": condition}
    files = {
        "dict_info": {tag: {"name": name, "vr": "LO", "vm": "1", "prop": ""} for name, tag in tags.items()},
        "module_info": {"C.1": patient, "C.2": ct},
        "iod_info": {CT: {"title": "CT", "modules": {"Patient": {"ref": "C.1", "use": "M"},
                                                     "CT Image": {"ref": "C.2", "use": "M"}},
                          "group_macros": {}}},
        "uid_info": {},
    }  # fmt: skip
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "version").write_text(dicom_validator.__version__)
    return folder.parents[1]


def _of(data: bytes, syntax: str) -> Incoming:
    return Incoming(scan(data, syntax, INDEXED), lambda n, at: data[at : at + n], len(data))


@pytest.mark.req("I-STORE-08")
def test_the_standards_tables_in_a_process_of_their_own(standard: Path) -> None:
    tables = Tables(standard, limit=1)
    try:
        for syntax in (uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE, uids.JPEG_BASELINE):
            assert tables(_of(made(syntax=syntax, SliceLocation="1.5").data, syntax)) == []
            assert tables(_of(made(syntax=syntax).data, syntax)) == ["(0020,1041) SliceLocation is missing, CT Image"]
        bare = made(without=[0x00100020], SliceLocation="1", PatientSex="F")
        assert sorted(tables(_of(bare.data, uids.EXPLICIT_LE))) == [
            "(0010,0020) PatientID is missing, Patient",
            "(0010,0040) PatientSex is not part of this class, General",
        ]
    finally:
        tables.close()


def test_tables_that_can_not_be_read(tmp_path: Path, standard: Path, caplog: pytest.LogCaptureFixture) -> None:
    (standard / "2025c" / "json" / "version").write_text("0.0.1")
    for folder, why in ((tmp_path / "none", "there are no tables"), (standard, "of another version")):
        with closing(Tables(folder, limit=1)) as unusable, pytest.raises(Retriable, match="validation") as failed:
            unusable(_of(made().data, uids.EXPLICIT_LE))
        assert why in str(failed.value.__cause__)
    assert "validation.failed" in caplog.text


def test_a_folder_without_tables_is_refused_at_the_start(tmp_path: Path, standard: Path) -> None:
    from isocenter.config import Settings
    from isocenter.config.loading import check

    check(Settings(standard=str(standard)))
    with pytest.raises(ConfigurationError, match="standard: there are no tables"):
        check(Settings(standard=str(tmp_path / "nothing")))
