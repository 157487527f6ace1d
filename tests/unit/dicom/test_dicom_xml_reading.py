"""Native DICOM Model documents, read back to what they were written from."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocenter.dicom import xml_model, xml_reading
from isocenter.errors import Refused

texts = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff^=\\"), max_size=8)
# blanks around a component mean nothing (PS3.5 6.2.1), and are not written
components = texts.filter(lambda text: bool(text) and text == text.strip())
names = st.builds(lambda family, given_name: {"Alphabetic": f"{family}^{given_name}"}, components, components)
attributes = st.one_of(
    st.builds(lambda values: {"vr": "LO", "Value": values}, st.lists(texts, min_size=1, max_size=3)),
    st.builds(lambda values: {"vr": "US", "Value": values}, st.lists(st.integers(0, 65535), min_size=1, max_size=3)),
    st.builds(lambda values: {"vr": "PN", "Value": values}, st.lists(names, min_size=1, max_size=2)),
    st.just({"vr": "OB", "InlineBinary": "AAEC"}),
    st.just({"vr": "OW", "BulkDataURI": "https://example.org/a?b=1&c"}),
    st.just({"vr": "DA"}),
)
tags = st.sampled_from(["00080020", "00100010", "00281052", "7FE00010", "0008103E"])
models: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.dictionaries(tags, attributes, max_size=4),
    lambda inner: st.builds(
        lambda items, rest: {**rest, "00081140": {"vr": "SQ", "Value": items}},
        st.lists(inner, min_size=1, max_size=2),
        st.dictionaries(tags, attributes, max_size=2),
    ),
    max_leaves=4,
)


@settings(max_examples=50, deadline=None)
@given(models)
def test_a_model_survives_its_document(model: dict[str, Any]) -> None:
    assert xml_reading.read(xml_model.of_object(model)) == _as_text(model)


def _as_text(value: Any) -> Any:
    """Numbers stay the text that they are in XML."""
    if isinstance(value, dict):
        return {name: _as_text(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_as_text(each) for each in value]
    return str(value)


def test_private_elements_keep_their_block() -> None:
    model = {"00090010": {"vr": "LO", "Value": ["ACME"]}, "00091001": {"vr": "LO", "Value": ["x"]},
             "00090011": {"vr": "LO", "Value": ["OTHER"]}, "00091102": {"vr": "LO", "Value": ["y"]}}  # fmt: skip
    document = xml_model.of_object(model)
    assert b'tag="00090001" privateCreator="ACME"' in document
    assert xml_reading.read(document) == model
    alone = b'<NativeDicomModel><DicomAttribute tag="00090001" privateCreator="NEW" vr="LO"/></NativeDicomModel>'
    assert xml_reading.read(alone) == {"00090010": {"vr": "LO", "Value": ["NEW"]}, "00091001": {"vr": "LO"}}


@pytest.mark.parametrize(
    "document",
    [
        b"", b"x", b"<a/>", b"<NativeDicomModel>", b"<NativeDicomModel><DicomAttribute/></NativeDicomModel>",
        b'<NativeDicomModel><DicomAttribute tag="0008002G"/></NativeDicomModel>',
        b'<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><NativeDicomModel>&d;</NativeDicomModel>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><NativeDicomModel/>',
        b'<?xml version="1.0" encoding="x-none"?><NativeDicomModel/>',
        b'<?xml version="1.0" encoding="gbk"?><NativeDicomModel/>',
        b"<NativeDicomModel>" + b"<Item>" * 10_000,
    ],
)  # fmt: skip
def test_what_is_none_is_refused(document: bytes) -> None:
    with pytest.raises(Refused):
        xml_reading.read(document)


@given(st.binary(max_size=100).map(lambda inner: b"<NativeDicomModel>" + inner + b"</NativeDicomModel>"))
def test_nothing_else_is_raised(document: bytes) -> None:
    try:
        xml_reading.read(document)
    except Refused:
        return


PIECES = [b"<Item>", b"</Item>", b"<Value>", b"</Value>", b"<DicomAttribute tag='00081140' vr='SQ'>", b"<Alphabetic>",
          b"</DicomAttribute>", b"<PersonName>", b"</PersonName>", b"</Alphabetic>", b"<FamilyName>x</FamilyName>",
          b"<BulkData/>", b"<InlineBinary>AA</InlineBinary>", b"<NativeDicomModel>",
          b"</NativeDicomModel>"]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join))
def test_elements_in_any_place(inner: bytes) -> None:
    test_nothing_else_is_raised.hypothesis.inner_test(b"<NativeDicomModel>" + inner + b"</NativeDicomModel>")  # type: ignore[attr-defined]


def test_elements_nested_the_wrong_way() -> None:
    for outer in PIECES:
        for inner in PIECES:
            name = outer.strip(b"</>").split()[0]
            document = b"<NativeDicomModel>" + outer + inner + b"</" + name + b"></NativeDicomModel>"
            try:
                xml_reading.read(document)
            except Refused:
                continue  # nothing else may be raised
