"""Checks of the WADO-URI rows of iconnect_dicomweb.csv, each against the archive that the rows are tried on.

Where that product offers less than PS3.18 (no window, no annotation, nothing anonymised), what its clients rely on
works, and what they would never send may work besides.
"""

import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from PIL import Image
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit, JPEGLSLossless

from web_archive import image, opened_archive, send

PATTERN = "WADO_URI"
_IMAGE = image(1, study="uri", NumberOfFrames=2, PixelData=bytes(range(96)))
_REPORT = image(2, study="uri", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")
_REPORT.file_meta.MediaStorageSOPClassUID = _REPORT.SOPClassUID
_DICOM = {"contentType": "application/dicom"}
_JPEG = {"contentType": "image/jpeg"}


def _get(site: Any, made: Any = _IMAGE, headers: dict[str, str] | None = None, **query: object) -> httpx.Response:
    send(site.client, made)
    return ask(site.client, site.archive, made, headers, **query)


def ask(client: Any, archive: Any, made: Any, headers: dict[str, str] | None = None, **query: object) -> httpx.Response:
    """A request for an object that is there."""
    where = archive.root.removesuffix("/dicom-web") + "/wado"
    named: dict[str, Any] = {
        "requestType": "WADO",
        "studyUID": made.StudyInstanceUID,
        "seriesUID": made.SeriesInstanceUID,
        "objectUID": made.SOPInstanceUID,
    }
    found: httpx.Response = client.get(where, params=named | query, headers=headers or {})
    return found


def _file(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return dcmread(io.BytesIO(answer.content))


def _pixels(answer: httpx.Response) -> bytes:
    assert answer.status_code == 200, answer.text
    return bytes(Image.open(io.BytesIO(answer.content)).tobytes())


def any_syntax(site: Any, row: Any) -> None:
    for syntax in (ExplicitVRLittleEndian, JPEGLSLossless):
        assert _file(_get(site, **_DICOM, transferSyntax=syntax)).file_meta.TransferSyntaxUID == syntax


def any_class(site: Any, row: Any) -> None:
    for made in (_IMAGE, _REPORT):
        assert _file(_get(site, made, **_DICOM)).SOPClassUID == made.SOPClassUID


def any_size(site: Any, row: Any) -> None:
    large = image(1, study="uri-large", Rows=2000, Columns=2500, PixelData=bytes(10_000_000))
    assert len(_get(site, large, **_DICOM).content) >= 10_000_000


def nothing_depends_on_anonymization(site: Any, row: Any) -> None:
    """A client that doesn't ask for it gets the object as it is."""
    assert _file(_get(site, **_DICOM)).PatientID == _IMAGE.PatientID


def nothing_depends_on_a_window(site: Any, row: Any) -> None:
    assert len(set(_pixels(_get(site, **_JPEG)))) > 1


def quality(site: Any, row: Any) -> None:
    for value in (1, 4, 5, 50, 100):
        assert _get(site, **_JPEG, imageQuality=value).headers["content-type"] == "image/jpeg"
    for value in (0, 101):
        assert _get(site, **_JPEG, imageQuality=value).status_code == 400


def a_frame(site: Any, row: Any) -> None:
    png = {"contentType": "image/png", "windowCenter": 20000, "windowWidth": 40000}
    assert _pixels(_get(site, **png, frameNumber=1)) != _pixels(_get(site, **png, frameNumber=2))


def nothing_is_drawn_unasked(site: Any, row: Any) -> None:
    png = {"contentType": "image/png", "rows": 200}
    assert _pixels(_get(site, **png)) != _pixels(_get(site, **png, annotation="patient"))


def jpeg(site: Any, row: Any) -> None:
    assert _get(site, **_JPEG).content.startswith(b"\xff\xd8\xff")


def no_further_restriction(site: Any, row: Any) -> None:
    assert _get(site, unknownParameter="x", **_JPEG).status_code == 200


def fallback(site: Any, row: Any) -> None:
    """Explicit VR Little Endian as PS3.18 says, Implicit VR Little Endian with a setting."""
    wished = {**_DICOM, "transferSyntax": JPEGBaseline8Bit}
    assert _file(_get(site, **wished)).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    with TemporaryDirectory() as folder, opened_archive(Path(folder), uri_implicit=True) as (client, archive):
        send(client, _IMAGE)
        for query in (wished, _DICOM):
            found = _file(ask(client, archive, _IMAGE, **query))
            assert found.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
            assert found.PixelData == _IMAGE.PixelData
        kept = _file(ask(client, archive, _IMAGE, **_DICOM, transferSyntax=ExplicitVRLittleEndian))
        assert kept.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def get_only(site: Any, row: Any) -> None:
    where = site.archive.root.removesuffix("/dicom-web") + "/wado"
    assert site.client.post(where).status_code == 405


def unknown_headers(site: Any, row: Any) -> None:
    assert _get(site, headers={"X-Of-Nobody": "1"}, **_JPEG).status_code == 200


def never_asynchronous(site: Any, row: Any) -> None:
    assert _get(site, headers={"Prefer": "respond-async"}, **_JPEG).status_code == 200


def of_the_standard(site: Any, row: Any) -> None:
    picture = _get(site, **_JPEG, frameNumber=1, rows=8, columns=8, region="0,0,1,1", charset="UTF-8")
    assert picture.status_code == 200
    assert ask(site.client, site.archive, _IMAGE, requestType="OTHER").status_code == 400


PROVEN = [
    (PATTERN, "Retrieve", "Transfer Syntaxes Supported", any_syntax),
    (PATTERN, "Retrieve", "SOP Class", any_class),
    (PATTERN, "Retrieve", "Size", any_size),
    (PATTERN, "Retrieve", "Anonymization", nothing_depends_on_anonymization),
    (PATTERN, "Retrieve", "Window Width", nothing_depends_on_a_window),
    (PATTERN, "Retrieve", "Image Quality", quality),
    (PATTERN, "Retrieve", "Frame Number", a_frame),
    (PATTERN, "Retrieve", "Annotation", nothing_is_drawn_unasked),
    (PATTERN, "Retrieve", "Compression available", jpeg),
    (PATTERN, "Retrieve", "Other", no_further_restriction),
    (PATTERN, "Retrieve", "transferSyntax", fallback),
    (PATTERN, "Retrieve", "HTTP method", get_only),
    (PATTERN, "Retrieve", "unknown HTTP headers", unknown_headers),
    (PATTERN, "Retrieve", "asynchronous response", never_asynchronous),
    (PATTERN, "Retrieve", "PS3.18 options", of_the_standard),
]
"""Service, resource and parameter as patterns, and what proves them."""
