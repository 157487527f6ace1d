"""WADO-WS over HTTP: what the three operations answer, and what is said where they can't."""

import gzip
import io
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEGLSLossless

import soap_messages as soap
from isocenter.errors import Reason, Retriable
from soap_messages import FAILURE, PARTIAL, SUCCESS, Answer, Asked, ask, named
from web_archive import Archive, image, opened_archive, send

Web = tuple[httpx.Client, Archive]
NATIVE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"


def picture(number: int, **values: Any) -> Any:
    """A CT image that there is something to see on."""
    pixels = (np.add.outer(np.arange(32), np.arange(48)) * 12 + number).astype(np.uint16)
    made = image(number, study="ws", Rows=32, Columns=48, PixelData=pixels.tobytes(), **values)
    made.NumberOfFrames = values.get("NumberOfFrames", 1)
    return made


ONE, TWO = picture(1), picture(2)
FRAMES = picture(3, NumberOfFrames=2)
FRAMES.PixelData = ONE.PixelData + TWO.PixelData
IMPLICIT = picture(4, syntax=ImplicitVRLittleEndian)
REPORT = image(5, study="ws", series="sr", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")
for _name in ("Rows", "Columns", "PixelData"):
    delattr(REPORT, _name)
REPORT.file_meta.MediaStorageSOPClassUID = REPORT.SOPClassUID
PDF = image(6, study="ws", series="pdf", SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1")
for _name in ("Rows", "Columns", "PixelData"):
    delattr(PDF, _name)
PDF.file_meta.MediaStorageSOPClassUID = PDF.SOPClassUID
PDF.MIMETypeOfEncapsulatedDocument, PDF.EncapsulatedDocument = "application/pdf", b"%PDF-1.4 \n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Archive]]:
    with opened_archive(tmp_path_factory.mktemp("ws")) as (client, archive):
        send(client, ONE, TWO, FRAMES, IMPLICIT, REPORT, PDF, image(7, study="other"))
        yield soap.address(archive), archive


# --- with zeep, from the WSDL


@pytest.mark.req("I-WS-01", "I-WS-05", "I-WEB-04")
@pytest.mark.parametrize("port", ["ImagingDocumentSource_Port_Soap12", "ImagingDocumentSource_Port_Soap11"])
def test_zeep_retrieves_documents(site: tuple[str, Archive], port: str) -> None:
    where, _ = site
    client = soap.client_of(where, port)
    answer = client.ImagingDocumentSource_RetrieveImagingDocumentSet(
        StudyRequest=soap.studies(named(ONE), named(TWO)), TransferSyntaxUIDList={"TransferSyntaxUID": [soap.EXPLICIT]}
    )
    assert answer.RegistryResponse.status == SUCCESS
    found = {each.DocumentUniqueId: dcmread(io.BytesIO(each.Document)) for each in answer.DocumentResponse}
    assert {uid: each.PixelData for uid, each in found.items()} == {
        each.SOPInstanceUID: each.PixelData for each in (ONE, TWO)
    }
    assert {each.mimeType for each in answer.DocumentResponse} == {"application/dicom"}


@pytest.mark.req("I-WS-01", "I-WS-03")
def test_zeep_retrieves_rendered_documents(site: tuple[str, Archive]) -> None:
    where, _ = site
    answer = soap.client_of(where).ImagingDocumentSource_RetrieveRenderedImagingDocumentSet(
        StudyRequest=soap.studies(
            named(ONE), element="RenderedDocumentRequest", ContentTypeList={"ContentType": ["image/jpeg"]}
        )
    )
    (one,) = answer.RenderedDocumentResponse
    assert (one.mimeType, one.SourceDocumentUniqueId) == ("image/jpeg", ONE.SOPInstanceUID)
    assert Image.open(io.BytesIO(one.Document)).size == (48, 32)


@pytest.mark.req("I-WS-01", "I-WS-04")
def test_zeep_retrieves_metadata(site: tuple[str, Archive]) -> None:
    where, _ = site
    answer = soap.client_of(where).ImagingDocumentSource_RetrieveImagingDocumentSetInformation(
        StudyRequest=soap.studies(named(ONE), XPath=["//DicomAttribute[@keyword='PatientID']", "count(//Nothing)"])
    )
    (one,) = answer.DocumentInformationResponse
    first, second = one.XPathResponseList.XPathResponse
    assert first[0].findtext(f"{NATIVE}Value") == "P1"
    assert second == "0"


# --- Retrieve Imaging Document Set


def test_a_document_leaves_as_it_is_stored_where_that_is_taken(site: tuple[str, Archive]) -> None:
    found = ask(site[0], soap.documents(named(ONE), syntaxes=[JPEGLSLossless, soap.EXPLICIT]))
    ((kind, file),) = found.contents
    assert kind == "application/dicom"
    assert dcmread(io.BytesIO(file)).file_meta.TransferSyntaxUID == soap.EXPLICIT


def test_a_document_is_converted_or_transcoded_into_what_is_taken(site: tuple[str, Archive]) -> None:
    found = ask(site[0], soap.documents(named(IMPLICIT), named(ONE), syntaxes=[ImplicitVRLittleEndian, JPEGLSLossless]))
    assert found.outcome == SUCCESS
    for original, (_, file) in zip((IMPLICIT, ONE), found.contents, strict=True):
        one = dcmread(io.BytesIO(file))
        assert one.file_meta.TransferSyntaxUID == JPEGLSLossless
        assert np.array_equal(one.pixel_array, original.pixel_array)


@pytest.mark.req("I-WEB-06")
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_nothing_leaves_in_what_ps3_18_bars(site: tuple[str, Archive], syntax: str) -> None:
    found = ask(site[0], soap.documents(named(IMPLICIT), syntaxes=[syntax]))
    assert (found.outcome, found.errors) == (FAILURE, [("urn:dicom:wado:0006", IMPLICIT.SOPInstanceUID)])
    assert not found.contents


def test_a_syntax_that_can_not_be_had_is_told(site: tuple[str, Archive]) -> None:
    found = ask(site[0], soap.documents(named(ONE), syntaxes=["1.2.840.10008.1.2.4.100"]))
    assert found.errors == [("urn:dicom:wado:0007", ONE.SOPInstanceUID)]


NOWHERE = "1.2.3.4.5"
_OTHER = image(7, study="other")
LOST = [
    (Asked(NOWHERE, NOWHERE, NOWHERE), "urn:dicom:wado:0015"),
    (Asked(ONE.StudyInstanceUID, NOWHERE, NOWHERE), "urn:dicom:wado:0016"),
    (Asked(ONE.StudyInstanceUID, ONE.SeriesInstanceUID, NOWHERE), "urn:dicom:wado:0017"),
    (Asked(ONE.StudyInstanceUID, NOWHERE, ONE.SOPInstanceUID), "urn:dicom:wado:0010"),
    (Asked(_OTHER.StudyInstanceUID, _OTHER.SeriesInstanceUID, ONE.SOPInstanceUID), "urn:dicom:wado:0010"),
]


@pytest.mark.parametrize(("asked", "code"), LOST, ids=lambda each: each if isinstance(each, str) else "")
def test_what_is_not_there_is_told_document_by_document(site: tuple[str, Archive], asked: Asked, code: str) -> None:
    found = ask(site[0], soap.information(asked, named(ONE)))
    assert (found.status, found.outcome, found.errors) == (200, PARTIAL, [(code, asked.document)])
    assert found.texts("DocumentUniqueId") == [ONE.SOPInstanceUID]


def test_an_unknown_document_of_an_ihe_request_has_the_code_of_ihe(site: tuple[str, Archive]) -> None:
    lost = Asked(ONE.StudyInstanceUID, ONE.SeriesInstanceUID, NOWHERE)
    found = ask(site[0], soap.documents(lost, named(TWO)))
    assert (found.outcome, found.errors) == (PARTIAL, [("XDSDocumentUniqueIdError", NOWHERE)])
    assert len(found.contents) == 1


def test_an_object_that_is_gone_is_told(opened: Callable[..., Web]) -> None:
    client, archive = opened()
    send(client, ONE)
    (key,) = archive.store.keys()
    archive.store.remove(key)
    found = ask(soap.address(archive), soap.documents(named(ONE)))
    assert (found.outcome, found.errors) == (FAILURE, [("urn:dicom:wado:0004", ONE.SOPInstanceUID)])


def test_another_repository_is_told(opened: Callable[..., Web]) -> None:
    client, archive = opened(repository="1.2.3")
    send(client, ONE)
    found = ask(soap.address(archive), soap.documents(named(ONE)))
    assert found.errors == [("XDSUnknownRepositoryId", ONE.SOPInstanceUID)]
    body = soap.documents(named(ONE)).replace(soap.REPOSITORY, "1.2.3")
    assert ask(soap.address(archive), body).outcome == SUCCESS


@pytest.mark.req("I-WS-02")
@pytest.mark.parametrize("body", [soap.rendered, soap.information], ids=["rendered", "information"])
def test_nothing_identifying_leaves_where_anonymity_is_asked_for(
    site: tuple[str, Archive], body: Callable[[Asked], str]
) -> None:
    found = ask(site[0], body(named(ONE, "<r:Anonymize>yes</r:Anonymize>")))
    assert (found.outcome, found.errors) == (FAILURE, [("urn:dicom:wado:0002", ONE.SOPInstanceUID)])
    assert "Ødegård" not in found.http.text


def test_community_and_repository_come_back(site: tuple[str, Archive]) -> None:
    asked = named(ONE, "<i:HomeCommunityId>urn:oid:1.2.9</i:HomeCommunityId>")
    found = ask(site[0], soap.documents(asked))
    assert found.texts("HomeCommunityId") == ["urn:oid:1.2.9"]
    assert found.texts("RepositoryUniqueId") == [soap.REPOSITORY]


# --- Retrieve Rendered Imaging Document Set


def _rendered(site: tuple[str, Archive], made: Any, *types: str, **parameters: str) -> Answer:
    listed = "".join(f"<r:ContentType>{each}</r:ContentType>" for each in types or ("image/png",))
    more = "".join(f"<r:{name}>{text}</r:{name}>" for name, text in parameters.items())
    return ask(site[0], soap.rendered(named(made, f"{more}<r:ContentTypeList>{listed}</r:ContentTypeList>")))


def _pixels(found: Answer) -> Any:
    ((_, data),) = found.contents
    return np.asarray(Image.open(io.BytesIO(data)).convert("L"))


def test_the_parameters_of_a_picture(site: tuple[str, Archive]) -> None:
    assert _pixels(_rendered(site, ONE)).shape == (32, 48)
    smaller = _rendered(site, ONE, Rows="16", Columns="24")
    assert _pixels(smaller).shape == (16, 24)
    assert (smaller.texts("Rows"), smaller.texts("Columns")) == (["16"], ["24"])
    assert _pixels(_rendered(site, ONE, Region="0,0,0.5,0.5")).shape == (16, 24)
    corners = "<r:Xmin>0</r:Xmin><r:Ymin>0</r:Ymin><r:Xmax>0.5</r:Xmax><r:Ymax>0.5</r:Ymax>"
    assert _pixels(_rendered(site, ONE, Region=corners)).shape == (16, 24)
    dark = _pixels(_rendered(site, ONE, WindowCenter="10000", WindowWidth="10"))
    assert dark.max() == 0
    first, second = (_pixels(_rendered(site, FRAMES, FrameNumber=n)) for n in "12")
    assert np.array_equal(first, _pixels(_rendered(site, ONE)))
    assert np.array_equal(second, _pixels(_rendered(site, TWO)))
    small, large = (_rendered(site, ONE, "image/jpeg", ImageQuality=n).contents[0][1] for n in ("1", "100"))
    assert len(small) < len(large)


@pytest.mark.req("I-WS-03")
def test_the_first_media_type_that_can_be_had_is_taken(site: tuple[str, Archive]) -> None:
    ((kind, file),) = _rendered(site, ONE, "application/pdf", "application/dicom", "image/jpeg").contents
    assert kind == "application/dicom"
    assert dcmread(io.BytesIO(file)).PixelData == ONE.PixelData
    ((kind, file),) = _rendered(site, PDF, "image/jpeg", "application/pdf").contents
    assert (kind, file) == ("application/pdf", PDF.EncapsulatedDocument)


@pytest.mark.parametrize(
    ("made", "kind", "parameters", "code"),
    [
        (REPORT, "image/jpeg", {}, "urn:dicom:wado:0007"),
        (PDF, "image/jpeg", {}, "urn:dicom:wado:0007"),
        (ONE, "text/html", {}, "urn:dicom:wado:0007"),
        (FRAMES, "image/jpeg", {"FrameNumber": "3"}, "urn:dicom:wado:0018"),
        (ONE, "image/jpeg", {"FrameNumber": "x"}, "urn:dicom:wado:0012"),
        (ONE, "image/jpeg", {"ImageQuality": "101"}, "urn:dicom:wado:0012"),
        (ONE, "image/jpeg", {"Rows": "-1"}, "urn:dicom:wado:0012"),
        (ONE, "image/jpeg", {"WindowWidth": "10"}, "urn:dicom:wado:0012"),
        (ONE, "image/jpeg", {"PresentationUID": "1.2", "PresentationSeriesUID": "1.3"}, "urn:dicom:wado:0019"),
    ],
)
def test_what_can_not_be_shown_is_told(
    site: tuple[str, Archive], made: Any, kind: str, parameters: dict[str, str], code: str
) -> None:
    found = _rendered(site, made, kind, **parameters)
    assert (found.status, found.outcome, found.errors) == (200, FAILURE, [(code, made.SOPInstanceUID)])


def test_the_former_namespace_is_taken(site: tuple[str, Archive]) -> None:
    namespace = "urn:dicom:ws:wado:2011"
    found = ask(site[0], soap.rendered(named(ONE), namespace=namespace))
    assert found.contents[0][0] == "image/jpeg"
    assert any(each.tag.startswith(f"{{{namespace}}}") for each in found.envelope.iter())


# --- Retrieve Imaging Document Set Metadata


@pytest.mark.req("I-WS-04")
def test_metadata_leaves_bulk_data_out(site: tuple[str, Archive]) -> None:
    found = ask(site[0], soap.information(named(ONE)))
    (model,) = found.envelope.iter(f"{NATIVE}NativeDicomModel")
    representations = {each.get("vr") for each in model.iter(f"{NATIVE}DicomAttribute")}
    assert {"PN", "UI", "DA", "US"} <= representations
    assert not representations & {"OB", "OW", "UN", "UT", "OD", "OF"}
    assert "Ødegård" in found.texts("FamilyName")


@pytest.mark.parametrize(
    ("xpath", "expected"),
    [
        ("/NativeDicomModel/DicomAttribute[@keyword='PatientID']/Value/text()", "P1"),
        ("//n:DicomAttribute[@tag='00080060']/n:Value/text()", "CT"),
        ("count(//DicomAttribute[@tag='00280010'])", "1"),
        ("//DicomAttribute/@keyword = 'Modality'", "true"),
        ("//Nothing", ""),
    ],
)
def test_xpaths_select(site: tuple[str, Archive], xpath: str, expected: str) -> None:
    element = f"<r:XPath xmlns:n='{NATIVE[1:-1]}'>{soap.escape(xpath)}</r:XPath>"
    assert ask(site[0], soap.information(named(ONE, element))).texts("XPathResponse") == [expected]
    assert ask(site[0], soap.information(named(ONE), outside=element)).texts("XPathResponse") == [expected]


def test_an_xpath_that_is_none_is_told(site: tuple[str, Archive]) -> None:
    for wrong in ("///", "x:y", "document('file:///etc/passwd')", "$v"):
        found = ask(site[0], soap.information(named(ONE, f"<r:XPath>{wrong}</r:XPath>"), named(TWO)))
        assert found.errors == [("urn:dicom:wado:0012", ONE.SOPInstanceUID)]
        assert found.texts("DocumentUniqueId") == [TWO.SOPInstanceUID]


def test_both_names_of_the_operation_are_taken(site: tuple[str, Archive]) -> None:
    found = ask(site[0], soap.information(named(ONE), name="RetrieveImagingDocumentSetMetadataRequest"))
    (answer,) = found.envelope[-1]
    assert answer.tag == f"{{{soap.WADO}}}RetrieveImagingDocumentSetMetadataResponse"


# --- SOAP, WS-Addressing, MTOM


def test_addressing_is_answered_in_kind(site: tuple[str, Archive]) -> None:
    header = (
        "<a:Action s:mustUnderstand='1'>urn:ihe:rad:2009:RetrieveImagingDocumentSet</a:Action>"
        "<a:MessageID>urn:uuid:7&amp;x</a:MessageID><a:To s:mustUnderstand='true'>http://x</a:To>"
        f"<a:ReplyTo><a:Address>{soap.WSA}/anonymous</a:Address></a:ReplyTo>"
    )
    found = ask(site[0], soap.documents(named(ONE)), header)
    assert found.texts("RelatesTo") == ["urn:uuid:7&x"]
    assert found.texts("Action") == ["urn:ihe:iti:2007:RetrieveDocumentSetResponse"]
    assert ask(site[0], soap.documents(named(ONE))).texts("Action") == []


@pytest.mark.req("I-WEB-02")
@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("<x:Security xmlns:x='urn:x' s:mustUnderstand='1'/>", "must be understood"),
        ("<a:ReplyTo><a:Address>http://192.0.2.1/</a:Address></a:ReplyTo>", "own connection"),
        ("<a:Action>urn:other:Operation</a:Action>", "action"),
    ],
)
@pytest.mark.parametrize("version", [soap.SOAP_1_1, soap.SOAP_1_2])
def test_headers_that_can_not_be_heeded(site: tuple[str, Archive], header: str, said: str, version: str) -> None:
    found = ask(site[0], soap.documents(named(ONE)), header, version)
    assert found.status == 400
    assert said in found.fault
    assert found.http.headers["content-type"] == soap.TYPES[version]
    assert found.envelope.tag == f"{{{version}}}Envelope"


def test_a_request_may_be_a_package(site: tuple[str, Archive]) -> None:
    text = soap.envelope(soap.documents(named(ONE))).encode()
    body = (
        b"--B\r\nContent-ID: <other>\r\n\r\nnot this\r\n--B\r\nContent-Type: application/xop+xml\r\nContent-ID: <root>"
        b"\r\n\r\n%b\r\n--B--\r\n" % text
    )
    kind = (
        'multipart/related; boundary=B; type="application/xop+xml"; start="<root>"; start-info="application/soap+xml"'
    )
    assert soap.post(site[0], body, kind).outcome == SUCCESS
    assert soap.post(site[0], body, kind.replace("<root>", "<none>")).status == 400


def test_other_methods_and_types(site: tuple[str, Archive]) -> None:
    where, _ = site
    assert httpx.options(where).headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert httpx.put(where).status_code == 405
    assert httpx.get(f"{where}/more").status_code == 404
    description = httpx.get(f"{where}?wsdl")
    assert description.headers["content-type"] == "text/xml; charset=utf-8"
    assert where in description.text
    assert soap.post(where, b"x", "image/png").status == 415
    forwarded = httpx.get(f"{where}?wsdl", headers={"Forwarded": "proto=https;host=pacs.example.org"})
    assert "https://pacs.example.org/wado-ws" in forwarded.text


def test_entities_are_refused_and_fetch_nothing(site: tuple[str, Archive]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        elsewhere = f"http://127.0.0.1:{listener.getsockname()[1]}/x.dtd"
        body = soap.envelope(soap.documents(named(ONE))).replace(ONE.SOPInstanceUID, "&x;")
        for subset in (f'[<!ENTITY x SYSTEM "{elsewhere}">]', '[<!ENTITY x "1">]', f'SYSTEM "{elsewhere}"'):
            found = soap.post(site[0], f"<!DOCTYPE e {subset}>{body}".encode())
            assert (found.status, found.fault) == (400, "a document type declaration is not taken")
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("coding", ["", "gzip"])
def test_a_message_that_is_too_long_is_refused_early(site: tuple[str, Archive], coding: str) -> None:
    text = b"<a>" + bytes(17 << 20)
    content = gzip.compress(text) if coding else text
    found = soap.post(site[0], content, **({"Content-Encoding": coding} if coding else {}))
    assert found.status == 413
    assert "too large" in found.fault or "larger" in found.fault


def test_a_message_may_be_compressed(site: tuple[str, Archive]) -> None:
    content = gzip.compress(soap.envelope(soap.documents(named(ONE))).encode())
    assert soap.post(site[0], content, **{"Content-Encoding": "gzip"}).outcome == SUCCESS
    assert soap.post(site[0], content, **{"Content-Encoding": "br"}).status == 415
    assert soap.post(site[0], content[:-9], **{"Content-Encoding": "gzip"}).status == 400


def test_too_many_requests_are_a_fault(opened: Callable[..., Web]) -> None:
    client, archive = opened()
    send(client, ONE)
    lane = archive.context.lanes.render
    room, lane._room = lane._room, 0
    found = ask(soap.address(archive), soap.rendered(named(ONE)))
    lane._room = room
    assert (found.status, found.http.headers["retry-after"]) == (503, "5")
    assert found.texts("Value")[0].endswith("Receiver")


def test_a_database_that_is_away_is_a_fault(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    _, archive = web

    def fail(*_: object) -> None:
        raise Retriable(Reason.OUT_OF_RESOURCES, "the database does not answer")

    monkeypatch.setattr("isocenter.web.wado_ws.documents.locate", fail)
    found = ask(soap.address(archive), soap.documents(named(ONE)))
    assert (found.status, found.fault) == (503, "the database does not answer")
