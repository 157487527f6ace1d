"""The transactions of every HTTP service, as data: what PS3.18 calls each method of each resource, what it takes and
what it answers. The capabilities document is made of it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from isocenter.declarations.non_patient import RESOURCES
from isocenter.imaging.picture import MEDIA_TYPES
from isocenter.web import media
from isocenter.web.dicomweb.frame_media import ENCODED
from isocenter.web.picture_parameters import RENDERING, THUMBNAIL
from isocenter.web.wado_uri.parameters import PARAMETERS

WADL: Final = "application/vnd.sun.wadl+xml"
OPENAPI: Final = "application/vnd.oai.openapi+json"
STATEMENT: Final = ("text/html", "text/markdown", "application/pdf")
"""Media types of the conformance statement."""


class Transaction(NamedTuple):
    """One method of a resource: its name in PS3.18, what it takes and what it answers."""

    name: str
    takes: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()


def _parts(*kinds: str) -> tuple[str, ...]:
    return tuple(f'{media.MULTIPART}; type="{kind}"' for kind in kinds)


_MODELS = (media.JSON, media.XML)
_DESCRIBED = (media.JSON, *_parts(media.XML))
_STORED = (*_parts(media.DICOM, media.JSON, media.XML), media.DICOM, *_MODELS)
_OBJECTS = (*_parts(media.DICOM), media.DICOM, "application/zip")
_OCTETS = (media.OCTETS, *_parts(media.OCTETS))
_FRAMES = (media.OCTETS, *ENCODED)
_SEARCHING = ("includefield", "limit", "offset", "fuzzymatching", "emptyvaluematching", "multiplevaluematching")

_STORE = Transaction("Store Instances", _STORED, _MODELS)
_DELETE = Transaction("Delete")


def _search(what: str) -> Transaction:
    return Transaction(f"Search for {what}", (), _DESCRIBED, _SEARCHING)


def _retrieve(what: str) -> Transaction:
    return Transaction(f"Retrieve {what}", (), _OBJECTS, ("accept",))


_BY_RESOURCE: Final[Mapping[tuple[str, str], Transaction]] = MappingProxyType(
    {
        ("GET", ""): Transaction("Retrieve Capabilities", (), (WADL, OPENAPI, *STATEMENT)),
        ("GET", "conformance"): Transaction("Retrieve Conformance Statement", (), STATEMENT),
        ("GET", "patients"): _search("Patients"),
        ("GET", "studies"): _search("Studies"),
        ("GET", "series"): _search("Series"),
        ("GET", "instances"): _search("Instances"),
        ("GET", "{study}"): _retrieve("Study"),
        ("GET", "{series}"): _retrieve("Series"),
        ("GET", "{instance}"): _retrieve("Instance"),
        ("GET", "metadata"): Transaction("Retrieve Metadata", (), _DESCRIBED, ("accept",)),
        ("GET", "{frames}"): Transaction("Retrieve Frames", (), (*_parts(*_FRAMES), *_FRAMES), ("accept",)),
        ("GET", "pixeldata"): Transaction("Retrieve Pixel Data", (), _parts(*_FRAMES), ("accept",)),
        ("GET", "bulkdata"): Transaction("Retrieve Bulk Data", (), _parts(media.OCTETS), ("accept",)),
        ("GET", "{bulk+}"): Transaction("Retrieve Bulk Data", (), _OCTETS, ("accept",)),
        ("GET", "rendered"): Transaction(
            "Retrieve Rendered", (), (*MEDIA_TYPES, *_parts(*MEDIA_TYPES)), ("accept", *RENDERING)
        ),
        ("GET", "thumbnail"): Transaction("Retrieve Thumbnail", (), MEDIA_TYPES, ("accept", *THUMBNAIL)),
        ("POST", "studies"): _STORE,
        ("POST", "{study}"): _STORE,
        ("DELETE", "{study}"): _DELETE,
        ("DELETE", "{series}"): _DELETE,
        ("DELETE", "{instance}"): _DELETE,
        ("POST", "{code}"): Transaction("Reject", (), (media.PLAIN_JSON,), ("reason",)),
        ("POST", "{transaction}"): Transaction("Request Storage Commitment", _MODELS, _MODELS),
        ("GET", "{transaction}"): Transaction("Check Storage Commitment Result", (), _MODELS),
    }
)
"""Transactions by method and last segment of the resource's path."""

_WORKLIST: Final[Mapping[tuple[str, str], Transaction]] = MappingProxyType(
    {
        ("GET", "workitems"): Transaction("Search for Workitems", (), _DESCRIBED, _SEARCHING),
        ("POST", "workitems"): Transaction("Create Workitem", _MODELS, (), ("workitem",)),
        ("GET", "{workitem}"): Transaction("Retrieve Workitem", (), _DESCRIBED, ("accept",)),
        ("POST", "{workitem}"): Transaction("Update Workitem", _MODELS, (), ("transaction-uid",)),
        ("PUT", "state"): Transaction("Change Workitem State", _MODELS),
        ("POST", "cancelrequest"): Transaction("Request Cancellation", _MODELS, (), ("requester",)),
        ("POST", "{aetitle}"): Transaction("Subscribe", (), (), ("deletionlock", "filter")),
        ("DELETE", "{aetitle}"): Transaction("Unsubscribe"),
        ("POST", "suspend"): Transaction("Suspend Global Subscription"),
        ("POST", "ticket"): Transaction("Issue Notification Connection Ticket", (), (media.PLAIN_JSON,)),
        ("GET", "{aetitle}"): Transaction("Open Notification Connection (WebSocket)", (), _MODELS),
    }
)
"""Those of PS3.18 11.3 and 8.10.4, likewise; tickets are ours."""

_NPI = "Non-Patient Instances"
_NON_PATIENT: Final[Mapping[tuple[str, bool], Transaction]] = MappingProxyType(
    {
        ("GET", False): _search(_NPI),
        ("GET", True): Transaction(
            f"Retrieve {_NPI}", (), (media.JSON, media.DICOM, *_parts(media.DICOM, media.XML)), ("accept",)
        ),
        ("POST", False): Transaction(f"Store {_NPI}", _STORED, _MODELS),
        ("POST", True): Transaction(f"Store {_NPI}", _STORED, _MODELS),
        ("DELETE", True): Transaction(f"Delete {_NPI}"),
    }
)
"""Those of PS3.18 12.3 by method and by whether one instance is named; deletion is ours."""


class Service(NamedTuple):
    """A service that stands beside DICOMweb: its one resource and its methods."""

    path: str
    methods: Sequence[tuple[str, Transaction]]


_SOAP = ("application/soap+xml", "text/xml", *_parts("application/xop+xml"))
BESIDE: Final = (
    Service("/wado", (("GET", Transaction("Retrieve (URI)", (), (media.DICOM, *MEDIA_TYPES), PARAMETERS)),)),
    Service(
        "/wado-ws",
        (
            ("GET", Transaction("Retrieve Service Description", (), ("text/xml",), ("wsdl",))),
            ("POST", Transaction("Retrieve (WS)", _SOAP, _SOAP[::-1])),
        ),
    ),
)
"""The services whose roots are not the DICOMweb one."""


def transaction(method: str, path: str) -> Transaction:
    """What is done by a method of the DICOMweb resource `path`, names in braces where it varies."""
    first, _, rest = path.strip("/").partition("/")
    last = path.rstrip("/").rpartition("/")[2]
    if first in RESOURCES and last != "{bulk+}":
        return _NON_PATIENT[method, bool(rest)]
    if first in ("workitems", "subscribers"):
        return _WORKLIST[method, last]
    return _BY_RESOURCE[method, last]
