"""The words of WADO-WS (PS3.18-2017a 6.4): namespaces, operations, error codes and status, as data.

Retrieve Imaging Document Set is IHE's RAD-69 (RAD TF-2 4.69), the other two are DICOM's own. PS3.18 calls the third
"Metadata" in its headings and "Information" in its elements; both are taken.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

SOAP_1_1: Final = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_1_2: Final = "http://www.w3.org/2003/05/soap-envelope"
WSA: Final = "http://www.w3.org/2005/08/addressing"
XOP: Final = "http://www.w3.org/2004/08/xop/include"
IHE: Final = "urn:ihe:iti:xds-b:2007"
RAD: Final = "urn:ihe:rad:xdsi-b:2009"
RS: Final = "urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0"
WADO: Final = "urn:dicom:wado:ws:2011"
FORMER_WADO: Final = "urn:dicom:ws:wado:2011"
"""What the supplement and the clients made after it say for `WADO`."""

SOAP_MEDIA_TYPES: Final[Mapping[str, str]] = MappingProxyType({SOAP_1_2: "application/soap+xml", SOAP_1_1: "text/xml"})
ANONYMOUS: Final = WSA + "/anonymous"
"""The WS-Addressing address that stands for the connection itself."""


class Kind(StrEnum):
    """The operations."""

    DOCUMENTS = "documents"
    RENDERED = "rendered"
    INFORMATION = "information"


class Operation(NamedTuple):
    """One operation as its request names it."""

    kind: Kind
    response: str
    """Local name of the response element."""
    namespace: str
    """Of the response element."""
    action: str
    """`wsa:Action` of the request where it names none."""


_RENDERED = ("RetrieveRenderedImagingDocumentSet", Kind.RENDERED, f"{WADO}:RetrieveRenderedImagingDocumentSet")
_INFORMATION = (
    "RetrieveImagingDocumentSetInformation",
    Kind.INFORMATION,
    "urn:wado:2011:RetrieveImagingDocumentSetInformation",
)
_METADATA = (
    "RetrieveImagingDocumentSetMetadata",
    Kind.INFORMATION,
    "urn:wado:2011:RetrieveImagingDocumentSetMetadata",
)


def _operations() -> dict[tuple[str, str], Operation]:
    found = {
        (RAD, "RetrieveImagingDocumentSetRequest"): Operation(
            Kind.DOCUMENTS, "RetrieveDocumentSetResponse", IHE, "urn:ihe:rad:2009:RetrieveImagingDocumentSet"
        )
    }
    for namespace in (WADO, FORMER_WADO):
        for name, kind, action in (_RENDERED, _INFORMATION, _METADATA):
            found[namespace, name + "Request"] = Operation(kind, name + "Response", namespace, action)
    return found


OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = MappingProxyType(_operations())
"""The operations by namespace and name of the request element."""

RETRIEVED: Final = "urn:ihe:iti:2007:RetrieveDocumentSetResponse"
"""`wsa:Action` of the answer to Retrieve Imaging Document Set (ITI-43, whose answer it is)."""


def answering(operation: Operation, action: str) -> str:
    """`wsa:Action` of the answer to a request that names `action`, or none."""
    return RETRIEVED if operation.kind is Kind.DOCUMENTS else (action or operation.action) + "Response"


_STATUS: Final = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:"
SUCCESS: Final = _STATUS + "Success"
PARTIAL_SUCCESS: Final = "urn:ihe:iti:2007:ResponseStatusType:PartialSuccess"
FAILURE: Final = _STATUS + "Failure"
_SEVERITY: Final = "urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:"
ERROR: Final = _SEVERITY + "Error"
WARNING: Final = _SEVERITY + "Warning"


class Code(StrEnum):
    """Error codes: those of PS3.18 6.4.4, and of ITI TF-3 4.2.4 where they say more."""

    NO_ANONYMIZATION = "urn:dicom:wado:0002"
    GONE = "urn:dicom:wado:0004"
    FORMAT_UNSUPPORTED = "urn:dicom:wado:0006"
    FORMAT_UNAVAILABLE = "urn:dicom:wado:0007"
    INCONSISTENT = "urn:dicom:wado:0010"
    INVALID_PARAMETER = "urn:dicom:wado:0012"
    UNSUPPORTED_PARAMETER = "urn:dicom:wado:0013"
    PROCESSING_FAILURE = "urn:dicom:wado:0014"
    NO_STUDY = "urn:dicom:wado:0015"
    NO_SERIES = "urn:dicom:wado:0016"
    NO_DOCUMENT = "urn:dicom:wado:0017"
    NO_FRAME = "urn:dicom:wado:0018"
    NO_PRESENTATION = "urn:dicom:wado:0019"
    NO_DOCUMENT_IHE = "XDSDocumentUniqueIdError"
    NO_REPOSITORY = "XDSUnknownRepositoryId"
