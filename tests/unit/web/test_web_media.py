"""Content-Type and Accept as clients write them."""

import pytest

from isocenter.web import media


def test_reads_quoted_and_unquoted_parameters() -> None:
    for text in (
        'multipart/related; type="application/dicom"; boundary=XX; transfer-syntax=1.2.3',
        "Multipart/Related;type=application/dicom;boundary=XX;transfer-syntax=1.2.3",
        'multipart/related; boundary="XX" ; type=application/dicom ; transfer-syntax="1.2.3" ; start="<a;b>"',
    ):
        found = media.parse(text)
        assert found is not None
        assert (found.name, found.root, found.syntax) == ("multipart/related", "application/dicom", "1.2.3")
        assert found.parameters["boundary"] == "XX"


def test_orders_what_is_accepted() -> None:
    found = media.accepted(["text/html;q=0.2, application/json;q=0.9", "application/dicom+json, image/png;q=0"])
    assert [one.name for one in found] == ["application/dicom+json", "application/json", "text/html"]


def test_the_parameter_counts_as_well() -> None:
    assert [one.name for one in media.accepted([], "application/dicom+xml")] == ["application/dicom+xml"]


def test_an_ohif_header_is_understood() -> None:
    (found,) = media.accepted(["multipart/related; type=application/octet-stream; transfer-syntax=*"])
    assert found.multipart
    assert (found.root, found.syntax) == ("application/octet-stream", "*")


@pytest.mark.parametrize("text", ["", ";", ",,,", "=", '"', ";;=;,", "\x00"])
def test_nonsense_is_no_type(text: str) -> None:
    assert media.accepted([text]) in ([], [media.MediaType("\x00", {})])


def test_ranges_cover_types() -> None:
    assert media.covers("*/*", "a/b")
    assert media.covers("a/*", "a/b")
    assert media.covers("a/b", "a/b")
    assert not media.covers("a/*", "b/b")
