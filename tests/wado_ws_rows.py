"""The rows of the catalogue that are about WADO-WS, each with what proves it on a site of the catalogue's test.

Parameters that the source does not honour are honoured here: what its clients send works, and so does more.
"""

import io
import re
from collections.abc import Mapping
from typing import Any, Protocol

import httpx
import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

import soap_messages as soap
from soap_messages import FAILURE, SUCCESS, Answer, ask, named
from web_archive import Archive, image, send


class Site(Protocol):
    """The archive that the rows are tried on."""

    client: httpx.Client
    archive: Archive


class Row(Protocol):
    """One row of the catalogue."""

    resource: str
    values: str


_LARGE = {"Rows": 1000, "Columns": 1500, "PixelData": bytes(3_000_000)}
OBJECTS: dict[str, Dataset] = {
    "frames": image(1, study="ws", series="frames", NumberOfFrames=2, PixelData=bytes(range(96))),
    "large": image(2, study="ws", series="large", **_LARGE),
    "report": image(3, study="ws", series="report", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11"),
}
OBJECTS["report"].file_meta.MediaStorageSOPClassUID = OBJECTS["report"].SOPClassUID
for _name in ("Rows", "Columns", "PixelData"):
    delattr(OBJECTS["report"], _name)
FRAMES = OBJECTS["frames"]


def _asked(site: Site, row: Row, made: Dataset, *, syntax: str = soap.EXPLICIT, kind: str = "application/dicom",
           **parameters: str) -> Answer:  # fmt: skip
    """What the row's operation answers for an object."""
    more = "".join(f"<r:{name}>{text}</r:{name}>" for name, text in parameters.items())
    if row.resource.startswith("RetrieveImagingDocumentSetMetadata"):
        body = soap.information(named(made, more))
    elif row.resource.startswith("RetrieveRendered"):
        kinds = f"<r:ContentTypeList><r:ContentType>{kind}</r:ContentType></r:ContentTypeList>"
        body = soap.rendered(named(made, more + kinds))
    else:
        body = soap.documents(named(made), syntaxes=[syntax])
    return ask(soap.address(site.archive), body)


def _stored(site: Site, made: Dataset) -> None:
    send(site.client, made)


def _file(answer: Answer) -> Any:
    assert answer.outcome == SUCCESS, answer.errors
    ((kind, content),) = answer.contents
    assert kind == "application/dicom"
    return dcmread(io.BytesIO(content))


def _picture(answer: Answer) -> Any:
    assert answer.outcome == SUCCESS, answer.errors
    ((kind, content),) = answer.contents
    assert kind == "image/jpeg"
    return np.asarray(Image.open(io.BytesIO(content)))


def any_syntax(site: Site, row: Row, compressed: Mapping[str, Dataset]) -> None:
    for made in (FRAMES, *compressed.values()):
        _stored(site, made)
        syntax = made.file_meta.TransferSyntaxUID
        assert _file(_asked(site, row, made, syntax=syntax)).file_meta.TransferSyntaxUID == syntax


def any_class(site: Site, row: Row) -> None:
    _stored(site, OBJECTS["report"])
    assert _file(_asked(site, row, OBJECTS["report"])).SOPClassUID == OBJECTS["report"].SOPClassUID


def any_size(site: Site, row: Row) -> None:
    _stored(site, OBJECTS["large"])
    assert _file(_asked(site, row, OBJECTS["large"])).PixelData == OBJECTS["large"].PixelData
    if "Rendered" in row.resource:
        assert _picture(_asked(site, row, OBJECTS["large"], kind="image/jpeg")).shape == (1000, 1500)


def never_anonymized(site: Site, row: Row) -> None:
    """Who asks for it is told; RAD-69 has no way to ask."""
    _stored(site, FRAMES)
    answer = _asked(site, row, FRAMES, Anonymize="yes")
    if row.resource == "RetrieveImagingDocumentSet":
        assert _file(answer).PatientName == FRAMES.PatientName
    else:
        assert (answer.outcome, answer.errors) == (FAILURE, [("urn:dicom:wado:0002", FRAMES.SOPInstanceUID)])


def both_formats(site: Site, row: Row) -> None:
    _stored(site, FRAMES)
    assert _file(_asked(site, row, FRAMES, kind="application/dicom")).PixelData == FRAMES.PixelData
    assert _picture(_asked(site, row, FRAMES, kind="image/jpeg")).shape == (4, 6)


PARAMETERS = {
    "Rows": {"Rows": "2"},
    "Columns": {"Columns": "3"},
    "Region": {"Region": "0,0,0.5,0.5"},
    "Window": {"WindowCenter": "40", "WindowWidth": "400"},
    "Annotation": {"Annotation": "patient"},
}


def a_picture_all_the_same(site: Site, row: Any) -> None:
    """What the source passes over gives a picture there, and the picture that is asked for here."""
    _stored(site, FRAMES)
    parameters = next(found for name, found in PARAMETERS.items() if row.parameter.startswith(name))
    shape = _picture(_asked(site, row, FRAMES, kind="image/jpeg", **parameters)).shape
    assert shape[:2] == ((2, 3) if set(parameters) & {"Rows", "Columns", "Region"} else (4, 6))


def one_frame(site: Site, row: Row) -> None:
    _stored(site, FRAMES)
    first, second = (_picture(_asked(site, row, FRAMES, kind="image/jpeg", FrameNumber=n)) for n in "12")
    assert first.shape == second.shape
    assert _asked(site, row, FRAMES, kind="image/jpeg", FrameNumber="3").outcome == FAILURE


def quality(site: Site, row: Row) -> None:
    _stored(site, FRAMES)
    answers = [_asked(site, row, FRAMES, kind="image/jpeg", ImageQuality=each) for each in ("1", "55", "100")]
    assert [len(each.contents) for each in answers] == [1, 1, 1]
    assert _asked(site, row, FRAMES, kind="image/jpeg", ImageQuality="0").outcome == FAILURE


def jpeg(site: Site, row: Row) -> None:
    _stored(site, FRAMES)
    ((_, content),) = _asked(site, row, FRAMES, kind="image/jpeg").contents
    assert content.startswith(b"\xff\xd8\xff")


def without_bulk_data(site: Site, row: Row) -> None:
    _stored(site, FRAMES)
    left_out = set(re.findall(r"\b[A-Z]{2}\b", row.values.partition(":")[2]))
    assert len(left_out) == 6
    answer = _asked(site, row, FRAMES)
    assert answer.outcome == SUCCESS
    found = {each.get("vr") for each in answer.envelope.iter() if each.tag.endswith("DicomAttribute")}
    assert "PN" in found
    assert not found & left_out


def nothing_else(site: Site, row: Row) -> None:
    answer = ask(soap.address(site.archive), f"<r:SomethingElse xmlns:r='{soap.WADO}'/>")
    assert (answer.status, answer.texts("Value")) == (400, ["soap:Sender"])


def answered_at_once(site: Site, row: Row) -> None:
    _stored(site, FRAMES)
    header = "<a:ReplyTo><a:Address>http://192.0.2.1/later</a:Address></a:ReplyTo>"
    answer = ask(soap.address(site.archive), soap.documents(named(FRAMES)), header)
    assert (answer.status, answer.texts("Value")) == (400, ["soap:Sender", "wsa:OnlyAnonymousAddressSupported"])


def described(site: Site, row: Row) -> None:
    answer = httpx.get(soap.address(site.archive) + "?wsdl")
    assert answer.headers["content-type"].startswith("text/xml")
    for name in ("Set", "SetInformation"):
        assert f"ImagingDocumentSource_RetrieveImagingDocument{name}" in answer.text


_RENDERED = r"RetrieveRendered.*"
_OBJECTS = r"Retrieve(Rendered)?ImagingDocumentSet( \(.*)?"
PROVEN = [
    ("WADO_WS", _OBJECTS, "SOP Class", any_class),
    ("WADO_WS", _OBJECTS, "Size", any_size),
    ("WADO_WS", ".*", "Anonymization", never_anonymized),
    ("WADO_WS", _RENDERED, "Rendered formats available", both_formats),
    ("WADO_WS", _RENDERED, "Rows|Columns|Region|Windows? (Centers?|Width)|Annotation", a_picture_all_the_same),
    ("WADO_WS", _RENDERED, "Frame Number", one_frame),
    ("WADO_WS", _RENDERED, "Image Quality", quality),
    ("WADO_WS", _RENDERED, "Compression available|Other", jpeg),
    ("WADO_WS", "RetrieveImagingDocumentSetMetadata.*", "Other", without_bulk_data),
    ("WADO_WS", "All operations", "PS3.18 options", nothing_else),
    ("WADO_WS", "All operations", "asynchronous response", answered_at_once),
    ("WADO_WS", r".*\?wsdl", "wsdl", described),
]
"""Service, resource and parameter as patterns, and what proves them; transfer syntaxes are the catalogue test's."""
SYNTAXES = ("WADO_WS", _OBJECTS, "Transfer Syntaxes Supported")
