"""Which rule decides on an object, and what is wrong with a rule."""

from typing import Any

import pytest

from isocenter.config.loading import build
from isocenter.dicom import uids
from isocenter.dicom.elements import EXPLICIT_LITTLE
from isocenter.dicom.jumping import RawElement
from isocenter.errors import ConfigurationError
from isocenter.lifecycle.choosing import Facts, Opened, Rules, compiled, rules_to
from isocenter.rules.view import View

CT = Facts(uids.CT_IMAGE_STORAGE, "CT", uids.EXPLICIT_LE, "SCANNER1")
IMAGE_TYPE = 0x00080008


def rules(*written: dict[str, Any]) -> Rules:
    return compiled(build({"compress": list(written)}))


def opened() -> Opened:
    raw = RawElement("CS", rb"DERIVED\SECONDARY ")
    return Opened("STORE", View({IMAGE_TYPE: raw}, frozenset([IMAGE_TYPE]), EXPLICIT_LITTLE))


def never() -> Opened:
    raise AssertionError("the object needed not be opened")


def target(found: Rules, facts: Facts = CT, look: Any = never) -> str | None:
    """Where an object goes; '' where a rule says that it stays, None where there is none for it."""
    rule = found.first(facts, look)
    if rule is None:
        return None
    return rule.way.target if rule.way else ""


J2K = {"to": "JPEG2000Lossless"}


@pytest.mark.req("M-STORE-03")
@pytest.mark.parametrize(
    ("condition", "fits"),
    [
        ({}, True),
        ({"modalities": ["MR", "CT"]}, True),
        ({"modalities": ["MR"]}, False),
        ({"classes": ["CTImageStorage"]}, True),
        ({"classes": [uids.MR_IMAGE_STORAGE]}, False),
        ({"calling": ["SCAN*"]}, True),
        ({"calling": ["OTHER"]}, False),
        ({"stored": ["ExplicitVRLittleEndian"]}, True),
        ({"stored": ["JPEGLossless", uids.RLE_LOSSLESS]}, False),
    ],
)
def test_a_condition_on_what_the_index_knows(condition: dict[str, Any], fits: bool) -> None:
    assert target(rules({**J2K, **condition})) == (uids.JPEG_2000_LOSSLESS if fits else None)


@pytest.mark.req("M-STORE-03")
@pytest.mark.parametrize(
    ("condition", "fits"),
    [
        ({"called": ["STORE"]}, True),
        ({"called": ["OTHER", "X*"]}, False),
        ({"where": [{"attribute": "ImageType", "equals": "DERIVED"}]}, True),
        ({"where": [{"attribute": "ImageType", "equals": "ORIGINAL"}]}, False),
        ({"where": [{"attribute": "ImageType", "like": "SEC*"}, {"attribute": "PatientID", "absent": True}]}, True),
    ],
)
def test_a_condition_on_what_the_object_holds(condition: dict[str, Any], fits: bool) -> None:
    assert target(rules({**J2K, **condition}), look=opened) == (uids.JPEG_2000_LOSSLESS if fits else None)


@pytest.mark.req("I-STORE-06", "I-STORE-07")
def test_what_is_compressed_already_stays_unless_a_rule_names_it() -> None:
    for syntax in (uids.JPEG_BASELINE, uids.JPEG_EXTENDED, uids.JPEG_LOSSLESS_SV1, uids.RLE_LOSSLESS):
        assert target(rules(J2K), CT._replace(syntax=syntax)) is None
    for syntax in (uids.IMPLICIT_LE, uids.EXPLICIT_LE, uids.EXPLICIT_BE, uids.DEFLATED_LE):
        assert target(rules(J2K), CT._replace(syntax=syntax)) == uids.JPEG_2000_LOSSLESS


def test_the_first_rule_that_fits_decides() -> None:
    found = rules({"modalities": ["MG"], "to": ""}, {"modalities": ["CT"], "to": "JPEGLSLossless"}, J2K)
    assert target(found) == uids.JPEG_LS_LOSSLESS
    assert target(found, CT._replace(modality="MG")) == "", "it stays as it is"
    assert target(found, CT._replace(modality="US")) == uids.JPEG_2000_LOSSLESS


@pytest.mark.req("M-DWSTORE-02")
def test_a_form_that_is_larger_where_that_is_wanted() -> None:
    compressed = {"stored": ["JPEG2000Lossless"]}
    found = rules(
        {**compressed, "modalities": ["CT"], "to": "ExplicitVRLittleEndian"},
        {**compressed, "modalities": ["MR"], "to": "HTJ2KLosslessRPCL", "larger": True},
        {**compressed, "to": "JPEGLSLossless"},
    )
    assert [rule.way and rule.way.larger for rule in found.rules] == [True, True, False]
    assert target(found, CT._replace(syntax=uids.JPEG_2000_LOSSLESS)) == uids.EXPLICIT_LE


def test_times() -> None:
    found = rules({**J2K, "settled": 5, "age": 3600}, {**J2K, "settled": 30})
    assert found.soonest == 30
    assert compiled(build({})).soonest == 0
    assert not compiled(build({}))


def test_a_lossy_way() -> None:
    lossy = {"quality": 70, "original": "delete", "least": 40}
    (rule,) = rules({"to": "JPEGBaseline8Bit", "lossy": lossy}).rules
    assert rule.way is not None
    assert rule.way.lossy is not None
    assert (rule.way.target, rule.way.lossy.quality, rule.way.least, rule.way.delete) == (
        uids.JPEG_BASELINE, 70, 40.0, True
    )  # fmt: skip


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"to": "Jpeg"}, "compress[0].to: 'Jpeg' is neither a UID nor the keyword of a transfer syntax"),
        ({"to": "ImplicitVRLittleEndian"}, "compress[0].to: objects are not compressed into ImplicitVRLittleEndian"),
        ({"to": "ExplicitVRLittleEndian"}, "compress[0].stored: name the transfer syntaxes"),
        ({"to": "MPEG2MPML"}, "compress[0].to: objects are not compressed into MPEG2MPML"),
        ({"to": "JPEGBaseline8Bit"}, "compress[0].to: JPEGBaseline8Bit loses information"),
        ({**J2K, "classes": ["CTImage"]}, "compress[0].classes: 'CTImage' is neither"),
        ({**J2K, "stored": ["raw"]}, "compress[0].stored: 'raw' is neither"),
        ({**J2K, "where": [{"attribute": "ImageType"}]}, "compress[0].where[0]: ImageType: one of"),
        ({**J2K, "quality": 5}, "quality"),
    ],
)
def test_what_is_wrong_is_named(written: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        rules(written)
    assert said in caught.value.comment


def test_one_transfer_syntax_for_all() -> None:
    assert target(rules_to("HTJ2KLosslessRPCL")) == uids.HTJ2K_LOSSLESS_RPCL
    with pytest.raises(ConfigurationError) as caught:
        rules_to("JPEG2000")
    assert caught.value.comment.startswith("--to: JPEG2000 loses information")
