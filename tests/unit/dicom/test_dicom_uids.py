"""UIDs: transfer syntax facts against pydicom's, the rules of PS3.5 9.1, UIDs of our own."""

import csv

import pydicom.uid
import pytest
from hypothesis import given
from hypothesis import strategies as st

import isocenter
from isocenter.dicom import uids
from material import REQUIREMENTS

# of these pydicom says otherwise: what it calls encapsulated holds no pixel data at all
DEFLATED = {"1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}  # PS3.5 A.7, A.13
WITHOUT_PIXELS = {
    "1.2.840.10008.1.2.4.204",
    "1.2.840.10008.1.2.4.205",
    "1.2.840.10008.1.2.7.1",
    "1.2.840.10008.1.2.7.2",
    "1.2.840.10008.1.2.7.3",
}


@pytest.mark.parametrize("theirs", pydicom.uid.AllTransferSyntaxes, ids=lambda uid: uid.keyword)
def test_transfer_syntaxes_are_as_pydicom_says(theirs: pydicom.uid.UID) -> None:
    ours = uids.transfer_syntax(theirs)
    assert (ours.implicit, ours.little) == (theirs.is_implicit_VR, theirs.is_little_endian)
    assert ours.deflated == (theirs.is_deflated or theirs in DEFLATED)
    assert ours.encapsulated == (theirs.is_encapsulated and theirs not in WITHOUT_PIXELS)
    assert (ours.name, ours.keyword) == (theirs.name.removesuffix(" (Retired)"), theirs.keyword)


@pytest.mark.parametrize("table", ["iconnect", "intellibridge", "marie", "sendtopacs"])
def test_every_transfer_syntax_of_the_catalogue_is_known(table: str) -> None:
    with (REQUIREMENTS / f"{table}_transfer_syntaxes.csv").open(encoding="utf-8", newline="") as rows:
        listed = {row["uid"].strip() for row in csv.DictReader(rows) if row["uid"].strip()[:2] in ("1.", "2.")}
    assert listed
    assert sorted(listed - uids.transfer_syntaxes().keys()) == []


@pytest.mark.req("P-ASSOC-02", "X-COM-03")
def test_the_implementation_names_its_release() -> None:
    assert uids.IMPLEMENTATION_VERSION_NAME.startswith(f"ISOCENTER_{isocenter.__version__}"[:16])


def test_private_and_retired_syntaxes() -> None:
    ge = uids.transfer_syntax(uids.GE_PRIVATE_IMPLICIT_BE_PIXELS)
    assert (ge.implicit, ge.little, ge.big_pixels, ge.encapsulated) == (True, True, True, False)
    papyrus = uids.transfer_syntax(uids.PAPYRUS_IMPLICIT_LE)
    assert (papyrus.implicit, papyrus.little, papyrus.encapsulated) == (True, True, False)


def test_an_unknown_syntax_is_taken_as_encapsulated() -> None:
    unknown = uids.transfer_syntax("1.2.3.4")
    assert unknown == uids.TransferSyntax("1.2.3.4", "1.2.3.4", "", False, True, False, True, False, False)


@pytest.mark.parametrize(
    ("uid", "lossy", "video"),
    [
        (uids.JPEG_BASELINE, True, False),
        (uids.JPEG_LOSSLESS_SV1, False, False),
        (uids.JPEG_2000, True, False),
        (uids.JPEG_2000_LOSSLESS, False, False),
        (uids.HTJ2K, True, False),
        (uids.HTJ2K_LOSSLESS_RPCL, False, False),
        (uids.MPEG2_MAIN, True, True),
        ("1.2.840.10008.1.2.4.108", True, True),
        ("1.2.840.10008.1.2.4.102.1", True, True),
        (uids.RLE_LOSSLESS, False, False),
        (uids.EXPLICIT_LE, False, False),
    ],
)
def test_what_loses_information(uid: str, lossy: bool, video: bool) -> None:
    syntax = uids.transfer_syntax(uid)
    assert (syntax.lossy, syntax.video) == (lossy, video)


def test_every_constant_is_registered() -> None:
    registered = uids.registry()
    ours = {uids.IMPLEMENTATION_CLASS_UID, uids.PRIVATE_CREATOR}
    constants = [v for k, v in vars(uids).items() if k.isupper() and isinstance(v, str) and v[:2] in ("1.", "2.")]
    assert len(constants) > 40
    assert [uid for uid in constants if uid not in registered and uid not in ours] == []
    assert all(map(uids.is_regular, constants))
    assert len(uids.IMPLEMENTATION_VERSION_NAME) <= 16


def test_names_and_keywords() -> None:
    assert uids.name_of(uids.VERIFICATION) == "Verification SOP Class"
    assert uids.keyword_of(uids.CT_IMAGE_STORAGE) == "CTImageStorage"
    assert uids.uid_of("CTImageStorage") == uids.CT_IMAGE_STORAGE
    assert (uids.name_of("1.2.3"), uids.keyword_of("1.2.3"), uids.uid_of("Nothing")) == ("1.2.3", "", None)


@pytest.mark.parametrize("uid", ["1.2.3", "0.0", "2.25.1", "1." + "9" * 62])
def test_regular(uid: str) -> None:
    assert uids.is_regular(uid)


@pytest.mark.parametrize(
    "uid", ["", "1..2", ".1", "1.", "1.02", "1.2a", "1.2 ", "1.²", "1." + "9" * 63, "1.2\0", "../1"]
)
def test_irregular(uid: str) -> None:
    assert not uids.is_regular(uid)


@given(st.text(alphabet="0129.x", max_size=70))
def test_regular_as_pydicom_says(uid: str) -> None:
    assert uids.is_regular(uid) == (pydicom.uid.UID(uid).is_valid and bool(uid))


def test_new_uids() -> None:
    made = {uids.new_uid() for _ in range(100)}
    assert len(made) == 100
    assert all(uids.is_regular(uid) and uid.startswith("2.25.") for uid in made)
