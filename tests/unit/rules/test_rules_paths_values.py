"""Paths to attributes, and values as texts."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.dicom.dataset import Element
from isocenter.rules import paths
from isocenter.rules.paths import EVERY, Step
from isocenter.rules.values import element_of, texts_of, too_long


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("PatientID", (Step(0x00100020, EVERY),)),
        ("(0010,0020)", (Step(0x00100020, EVERY),)),
        ("00100020", (Step(0x00100020, EVERY),)),
        ("FADE0010", None),
        ("RequestAttributesSequence[0].AccessionNumber", (Step(0x00400275, 0), Step(0x00080050, EVERY))),
        ("00400275[*].(0008,0050)", (Step(0x00400275, EVERY), Step(0x00080050, EVERY))),
        ("00091001", (Step(0x00091001, EVERY),)),
    ],
)
def test_paths_are_read_as_people_write_them(text: str, steps: tuple[Step, ...] | None) -> None:
    if steps is None:
        with pytest.raises(ValueError, match="not an attribute"):
            paths.parse(text)
    else:
        assert paths.parse(text).steps == steps


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no attribute"),
        ("PatientId", "no attribute 'PatientId'"),
        ("Patient ID", "no attribute"),
        ("PatientID.PatientName", "PatientID is no sequence"),
        ("PixelData", "can be looked at"),
        ("00020010", "can be looked at"),
        ("00100000", "can be looked at"),
        ("RequestAttributesSequence[x].AccessionNumber", "no attribute"),
        (".".join(["RequestAttributesSequence"] * 9), "more than 8"),
    ],
)
def test_what_is_no_path_is_told(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        paths.parse(text)


@pytest.mark.parametrize(
    ("vr", "values", "raw"),
    [
        ("LO", ("a", "b"), b"a\\b"),
        ("US", ("1", "513"), b"\1\0\1\2"),
        ("SS", ("-1",), b"\xff\xff"),
        ("FD", ("0.5",), struct.pack("<d", 0.5)),
        ("AT", ("00100020",), b"\x10\0\x20\0"),
        ("PN", ("Müller^Ä",), "Müller^Ä".encode()),
        ("ST", ("one\\two",), b"one\\two"),
        ("LO", (), b""),
    ],
)
def test_values_are_written_and_read(vr: str, values: tuple[str, ...], raw: bytes) -> None:
    element = element_of(vr, values, b"ISO_IR 192")
    assert element == Element(vr, raw)
    assert texts_of(element, b"ISO_IR 192") == values


@pytest.mark.parametrize(
    ("vr", "value"), [("US", "x"), ("US", "70000"), ("OB", "1"), ("AT", "PatientID"), ("FL", "1,5")]
)
def test_what_is_no_value_is_refused(vr: str, value: str) -> None:
    with pytest.raises(ValueError, match="VR"):
        element_of(vr, (value,), b"")


def test_padding_and_character_sets() -> None:
    assert texts_of(Element("CS", b"A \\B "), b"") == ("A", "B")
    assert texts_of(Element("PN", b"M\xfcller "), b"ISO_IR 100") == ("Müller",)
    assert texts_of(Element("OB", b"\1\2"), b"") == ()
    assert texts_of(Element("SQ", ()), b"") == ()
    assert texts_of(Element("US", b"\1\0\2"), b"") == ("1",)
    assert element_of("PN", ("Łódź",), b"ISO_IR 100").value == b"?\xf3d?"
    assert too_long("SH", "x" * 17)
    assert not too_long("UT", "x" * 1700)


@given(st.text(max_size=40), st.sampled_from(["LO", "PN", "UI", "DS", "US", "AT", "FD"]))
def test_any_text_is_a_value_or_an_error(text: str, vr: str) -> None:
    try:
        element = element_of(vr, (text,), b"ISO_IR 192")
    except ValueError:
        return
    assert isinstance(texts_of(element, b"ISO_IR 192"), tuple)
