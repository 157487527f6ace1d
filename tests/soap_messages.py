"""WADO-WS requests and answers as text, and a zeep client of the service. For tests."""

from collections.abc import Mapping, Sequence
from email import message_from_bytes
from email.message import Message
from typing import Any, NamedTuple
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import httpx
from pydicom.dataset import Dataset

from web_archive import Archive

SOAP_1_1 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_1_2 = "http://www.w3.org/2003/05/soap-envelope"
TYPES = {SOAP_1_1: "text/xml; charset=utf-8", SOAP_1_2: "application/soap+xml; charset=utf-8"}
WSA = "http://www.w3.org/2005/08/addressing"
IHE = "urn:ihe:iti:xds-b:2007"
RAD = "urn:ihe:rad:xdsi-b:2009"
WADO = "urn:dicom:wado:ws:2011"
RS = "urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0"
SUCCESS = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Success"
PARTIAL = "urn:ihe:iti:2007:ResponseStatusType:PartialSuccess"
FAILURE = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Failure"
EXPLICIT = "1.2.840.10008.1.2.1"
REPOSITORY = "1.3.6.1.4.1.21367.13"


def address(archive: Archive) -> str:
    """Where the service is."""
    return archive.root.removesuffix("/dicom-web") + "/wado-ws"


class Asked(NamedTuple):
    """One document of a request."""

    study: str
    series: str
    document: str
    more: str = ""
    """Further elements, in XML."""


def named(made: Dataset, more: str = "") -> Asked:
    """The document of an object."""
    return Asked(made.StudyInstanceUID, made.SeriesInstanceUID, made.SOPInstanceUID, more)


def envelope(body: str, header: str = "", soap: str = SOAP_1_2) -> str:
    """A message."""
    blocks = f"<s:Header>{header}</s:Header>" if header else ""
    return f'<s:Envelope xmlns:s="{soap}" xmlns:a="{WSA}">{blocks}<s:Body>{body}</s:Body></s:Envelope>'


def documents(*asked: Asked, syntaxes: Sequence[str] = (EXPLICIT,)) -> str:
    """The body of Retrieve Imaging Document Set."""
    listed = "".join(f"<r:TransferSyntaxUID>{each}</r:TransferSyntaxUID>" for each in syntaxes)
    inside = _studies(asked, "i:DocumentRequest") + f"<r:TransferSyntaxUIDList>{listed}</r:TransferSyntaxUIDList>"
    name = "RetrieveImagingDocumentSetRequest"
    return f'<r:{name} xmlns:r="{RAD}" xmlns:i="{IHE}">{inside}</r:{name}>'


def rendered(*asked: Asked, namespace: str = WADO) -> str:
    """The body of Retrieve Rendered Imaging Document Set."""
    name = "RetrieveRenderedImagingDocumentSetRequest"
    studies = _studies(asked, "r:RenderedDocumentRequest")
    return f'<r:{name} xmlns:r="{namespace}" xmlns:i="{IHE}">{studies}</r:{name}>'


def information(*asked: Asked, name: str = "RetrieveImagingDocumentSetInformationRequest", outside: str = "") -> str:
    """The body of Retrieve Imaging Document Set Metadata."""
    return f'<r:{name} xmlns:r="{WADO}" xmlns:i="{IHE}">{_studies(asked, "r:DocumentRequest")}{outside}</r:{name}>'


def _studies(asked: Sequence[Asked], element: str) -> str:
    return "".join(
        f'<r:StudyRequest studyInstanceUID="{each.study}">'
        f'<r:SeriesRequest seriesInstanceUID="{each.series}">'
        f"<{element}><i:RepositoryUniqueId>{REPOSITORY}</i:RepositoryUniqueId>"
        f"<i:DocumentUniqueId>{escape(each.document)}</i:DocumentUniqueId>{each.more}</{element}>"
        f"</r:SeriesRequest></r:StudyRequest>"
        for each in asked
    )


class Answer(NamedTuple):
    """An answer, taken apart."""

    status: int
    envelope: ElementTree.Element
    parts: Mapping[str, Message]
    """The further parts of a package, by Content-ID."""
    http: httpx.Response

    @property
    def outcome(self) -> str:
        """The status of the RegistryResponse."""
        return next(self.envelope.iter(f"{{{RS}}}RegistryResponse")).get("status", "")

    @property
    def errors(self) -> list[tuple[str, str]]:
        """(error code, document) of each RegistryError."""
        found = self.envelope.iter(f"{{{RS}}}RegistryError")
        return [(each.get("errorCode", ""), each.get("location", "")) for each in found]

    @property
    def contents(self) -> list[tuple[str, bytes]]:
        """(media type, bytes) of what the Document elements refer to."""
        found = []
        for each in self.envelope.iter(f"{{{IHE}}}Document"):
            part = self.parts[each[0].get("href", "").removeprefix("cid:")]
            found.append((part.get_content_type(), part.get_payload(decode=True)))
        return found

    def texts(self, name: str) -> list[str]:
        """The texts of the elements of this local name."""
        return [each.text or "" for each in self.envelope.iter() if each.tag.rpartition("}")[2] == name]

    @property
    def fault(self) -> str:
        """What a fault says is wrong."""
        (found,) = self.texts("Text") or self.texts("faultstring")
        return found


def ask(where: str, body: str, header: str = "", soap: str = SOAP_1_2, **headers: str) -> Answer:
    """Send a body."""
    return post(where, envelope(body, header, soap).encode(), TYPES[soap], **headers)


def post(where: str, content: bytes, kind: str = TYPES[SOAP_1_2], **headers: str) -> Answer:
    """Send a message as it is."""
    answer = httpx.post(where, content=content, headers={"Content-Type": kind, **headers}, timeout=60)
    return taken_apart(answer)


def taken_apart(answer: httpx.Response) -> Answer:
    """An answer, whether it is a package or a message alone."""
    kind = answer.headers["content-type"]
    if not kind.startswith("multipart/related"):
        return Answer(answer.status_code, ElementTree.fromstring(answer.content), {}, answer)
    whole = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + answer.content)
    root, *rest = whole.get_payload()
    assert isinstance(root, Message)
    parts = {str(each["Content-ID"]).strip("<>"): each for each in rest if isinstance(each, Message)}
    text = root.get_payload(decode=True)
    assert isinstance(text, bytes)
    return Answer(answer.status_code, ElementTree.fromstring(text), parts, answer)


def client_of(where: str, port: str = "ImagingDocumentSource_Port_Soap12") -> Any:
    """A zeep service proxy made by the WSDL."""
    from zeep import Client

    return Client(f"{where}?wsdl").bind("ImagingDocumentSource_Service", port)


def studies(*asked: Asked, element: str = "DocumentRequest", **more: Any) -> list[dict[str, Any]]:
    """The StudyRequest elements as zeep takes them."""
    return [
        {
            "studyInstanceUID": each.study,
            "SeriesRequest": [
                {
                    "seriesInstanceUID": each.series,
                    element: [{"RepositoryUniqueId": REPOSITORY, "DocumentUniqueId": each.document, **more}],
                }
            ],
        }
        for each in asked
    ]
