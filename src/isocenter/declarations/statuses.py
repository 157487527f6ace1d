"""What a failure is called on the wire: (preset, service, reason) to DIMSE status, HTTP status or STOW-RS reason.

`default` and `archive` speak the codes of the archive catalogue (I-STORE-ST, I-FIND-ST, I-MOVE-ST) and PS3.4, `pacs`
and `viewer` those of M-STORE-10 and its tables 22 to 34. Every reason has an answer in every service.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from isocenter.declarations.presets import Preset
from isocenter.errors import Reason

SUCCESS: Final = 0x0000
PENDING: Final = 0xFF00
PENDING_UNSUPPORTED_KEYS: Final = 0xFF01
"""A match, though some optional key was not matched on."""
CANCELLED: Final = 0xFE00
SOME_SUBOPERATIONS_FAILED: Final = 0xB000
COERCED: Final = 0xB000
ELEMENTS_DISCARDED: Final = 0xB006
DOES_NOT_MATCH_SOP_CLASS: Final = 0xB007
"""Stored, though the data set does not quite fit its class."""


class Service(StrEnum):
    """The DIMSE services with statuses of their own."""

    ECHO = "echo"
    STORE = "store"
    FIND = "find"
    MOVE = "move"
    GET = "get"
    WORKLIST = "worklist"
    """C-FIND of the Modality Worklist Information Model (PS3.4 K.4.1.1.4)."""

    @property
    def command(self) -> str:
        """The DIMSE service by its name."""
        return "C-FIND" if self is Service.WORKLIST else f"C-{self.value.upper()}"


class Partial(StrEnum):
    """Why a query that was passed on to other archives may be incomplete (M-PROXY, table 24)."""

    ARCHIVE_UNAVAILABLE = "archive-unavailable"
    ARCHIVE_LIMIT_EXCEEDED = "archive-limit-exceeded"
    ARCHIVE_ERROR = "archive-error"


class Frames(StrEnum):
    """Why no instance could be made of some frames of another (PS3.4 Y.4)."""

    NONE_FOUND = "none-of-the-frames-found"
    NO_NEW_INSTANCE = "no-new-instance-of-this-class"
    NOT_EXTRACTED = "frames-not-extracted"
    NOT_TIMED = "frames-without-times"
    INVALID = "invalid-frame-keys"


Cause = Reason | Partial | Frames

_GENERAL: Final[dict[Cause, int]] = {
    **dict.fromkeys(Reason, 0x0110),
    Reason.OUT_OF_RESOURCES: 0xA700,
    Reason.OUT_OF_STORAGE: 0xA700,
    Reason.SOP_CLASS_NOT_SUPPORTED: 0x0122,
    Reason.NOT_AUTHORIZED: 0x0124,
    Reason.CANCELLED: CANCELLED,
}
_ECHO: Final[dict[Cause, int]] = {
    **_GENERAL,
    Reason.BAD_REQUEST: 0xC000,  # X-MOD-38
}
_STORE: Final[dict[Cause, int]] = {
    **_GENERAL,
    Reason.SOP_CLASS_MISMATCH: 0xA900,
    Reason.IDENTIFIER_MISMATCH: 0xA900,
    Reason.STUDY_MISMATCH: 0xA900,
    Reason.CANNOT_UNDERSTAND: 0xC000,
    Reason.BAD_REQUEST: 0xC000,
    Reason.SOP_INSTANCE_MISMATCH: 0xC001,
    Reason.UNABLE_TO_PROCESS: 0xC002,
    Reason.TRANSFER_SYNTAX_NOT_SUPPORTED: 0xC122,
    Reason.DUPLICATE_SOP_INSTANCE: 0x0111,
    Reason.NOT_FOUND: 0x0112,
    Reason.TOO_LARGE: 0xA700,
}
_FIND: Final[dict[Cause, int]] = {
    **_GENERAL,
    Reason.IDENTIFIER_MISMATCH: 0xA900,
    Reason.SOP_CLASS_MISMATCH: 0xA900,
    Reason.CANNOT_UNDERSTAND: 0xC000,
    Reason.BAD_REQUEST: 0xC000,
    Reason.UNABLE_TO_PROCESS: 0xC001,
    Reason.TOO_MANY_MATCHES: 0xC001,
    Reason.NOT_ACCEPTABLE: 0xC001,
    Reason.TOO_LARGE: 0xC001,
    Reason.NOT_FOUND: 0xC001,
    **dict.fromkeys(Partial, 0xC001),
}
# more matches than the AE answers are a lack of resources ; the RIS has one code for its own errors (X-RIS-17)
_WORKLIST: Final[dict[Cause, int]] = {**_FIND, Reason.TOO_MANY_MATCHES: 0xA700}
_RIS_WORKLIST: Final[dict[Cause, int]] = {**_WORKLIST, Reason.PROCESSING_FAILURE: 0xC001}
# P-MWL-10 has one failure for whatever can't be processed
_BRIDGE_WORKLIST: Final[dict[Cause, int]] = {
    **dict.fromkeys(Reason, 0xC000),
    Reason.OUT_OF_RESOURCES: 0xA700,
    Reason.TOO_MANY_MATCHES: 0xA700,
    Reason.SOP_CLASS_NOT_SUPPORTED: 0x0122,
    Reason.NOT_AUTHORIZED: 0x0124,
    Reason.CANCELLED: CANCELLED,
}
_FRAMES: Final[dict[Cause, int]] = {
    Frames.NONE_FOUND: 0xAA00,
    Frames.NO_NEW_INSTANCE: 0xAA01,
    Frames.NOT_EXTRACTED: 0xAA02,
    Frames.NOT_TIMED: 0xAA03,
    Frames.INVALID: 0xAA04,
}
_RETRIEVE: Final[dict[Cause, int]] = {
    **_FIND,
    Reason.OUT_OF_RESOURCES: 0xA702,
    Reason.OUT_OF_STORAGE: 0xA702,
    Reason.CANNOT_COUNT_MATCHES: 0xA701,
    Reason.CANNOT_PERFORM_SUBOPERATIONS: 0xA702,
    Reason.DESTINATION_UNKNOWN: 0xA801,
    **_FRAMES,
}
# M-STORE-10: one code for whatever goes wrong
_MARIE_STORE: Final[dict[Cause, int]] = {**dict.fromkeys(Reason, 0xA700), Reason.NOT_AUTHORIZED: 0x0124}
_MARIE_FIND: Final[dict[Cause, int]] = {
    **dict.fromkeys(Reason, 0xA700),
    Reason.TOO_MANY_MATCHES: 0xC001,
    Reason.IDENTIFIER_MISMATCH: 0xA900,
    Reason.SOP_CLASS_NOT_SUPPORTED: 0x0122,
    Reason.NOT_AUTHORIZED: 0x0124,
    Reason.CANCELLED: CANCELLED,
    Partial.ARCHIVE_UNAVAILABLE: 0xC002,
    Partial.ARCHIVE_LIMIT_EXCEEDED: 0xC003,
    Partial.ARCHIVE_ERROR: 0xC004,
}
# M-MWL-07: one code for whatever goes wrong
_MARIE_WORKLIST: Final[dict[Cause, int]] = {
    **dict.fromkeys(Reason, 0xA700),
    Reason.SOP_CLASS_NOT_SUPPORTED: 0x0122,
    Reason.NOT_AUTHORIZED: 0x0124,
    Reason.CANCELLED: CANCELLED,
}
_MARIE_RETRIEVE: Final[dict[Cause, int]] = {
    **_MARIE_FIND,
    Reason.CANNOT_PERFORM_SUBOPERATIONS: 0xA702,
    Reason.DESTINATION_UNKNOWN: 0xA801,
    **_FRAMES,
}

_ARCHIVE: Final[Mapping[Service, Mapping[Cause, int]]] = {
    Service.ECHO: _ECHO,
    Service.STORE: _STORE,
    Service.FIND: _FIND,
    Service.MOVE: _RETRIEVE,
    Service.GET: _RETRIEVE,
    Service.WORKLIST: _WORKLIST,
}
# more matches than the AE answers are a lack of resources there (I-FIND-ST-06, X-QR-24)
_LIMITED: Final[Mapping[Service, Mapping[Cause, int]]] = {
    **_ARCHIVE,
    Service.FIND: {**_FIND, Reason.TOO_MANY_MATCHES: 0xA700},
}
_MARIE: Final[Mapping[Service, Mapping[Cause, int]]] = {
    Service.ECHO: _ECHO,
    Service.STORE: _MARIE_STORE,
    Service.FIND: _MARIE_FIND,
    Service.MOVE: _MARIE_RETRIEVE,
    Service.GET: _MARIE_RETRIEVE,
    Service.WORKLIST: _MARIE_WORKLIST,
}
_BRIDGE: Final[Mapping[Service, Mapping[Cause, int]]] = {**_ARCHIVE, Service.WORKLIST: _BRIDGE_WORKLIST}
_RIS: Final[Mapping[Service, Mapping[Cause, int]]] = {**_ARCHIVE, Service.WORKLIST: _RIS_WORKLIST}
_DIMSE: Final[Mapping[Preset, Mapping[Service, Mapping[Cause, int]]]] = MappingProxyType(
    {
        "default": _ARCHIVE,
        "archive": _LIMITED,
        "pacs": _MARIE,
        "viewer": _MARIE,
        "workstation": _ARCHIVE,
        "query-server": _LIMITED,
        "storage-server": _ARCHIVE,
        "bridge": _BRIDGE,
        "ris": _RIS,
        "modality": _ARCHIVE,
        "import": _ARCHIVE,
        "technologist": _ARCHIVE,
    }
)


def dimse_status(service: Service, cause: Cause, preset: Preset = "default") -> int:
    """The status of a failed request; 0110 where a service knows nothing better."""
    return _DIMSE[preset][service].get(cause, 0x0110)


def pending_status(service: Service, preset: Preset = "default", *, unsupported: bool) -> int:
    """The status of a response that is not the last one. `unsupported`: the identifier has a key that is not supported;
    in a retrieval that is told only by those whose tables have it (M-MOVE-07)."""
    told = service in (Service.FIND, Service.WORKLIST) or _DIMSE[preset] is _MARIE
    return PENDING_UNSUPPORTED_KEYS if unsupported and told else PENDING


def causes_of(service: Service, status: int, preset: Preset = "default") -> frozenset[Cause]:
    """What leads to `status`, for the conformance statement."""
    return frozenset(cause for cause, code in _DIMSE[preset][service].items() if code == status)


UNAUTHENTICATED: Final = 401
"""Nobody is logged in; whoever is, but may not, gets NOT_AUTHORIZED's 403."""

_HTTP: Final = MappingProxyType(
    {
        Reason.OUT_OF_RESOURCES: 503,
        Reason.OUT_OF_STORAGE: 503,
        Reason.CANNOT_UNDERSTAND: 400,
        Reason.UNABLE_TO_PROCESS: 500,
        Reason.PROCESSING_FAILURE: 500,
        Reason.SOP_CLASS_MISMATCH: 409,
        Reason.SOP_INSTANCE_MISMATCH: 409,
        Reason.SOP_CLASS_NOT_SUPPORTED: 409,
        Reason.TRANSFER_SYNTAX_NOT_SUPPORTED: 406,
        Reason.IDENTIFIER_MISMATCH: 400,
        Reason.DUPLICATE_SOP_INSTANCE: 409,
        Reason.TOO_MANY_MATCHES: 413,
        Reason.CANNOT_COUNT_MATCHES: 503,
        Reason.CANNOT_PERFORM_SUBOPERATIONS: 500,
        Reason.DESTINATION_UNKNOWN: 400,
        Reason.STUDY_MISMATCH: 409,
        Reason.NOT_AUTHORIZED: 403,
        Reason.NOT_FOUND: 404,
        Reason.NOT_ACCEPTABLE: 406,
        Reason.BAD_REQUEST: 400,
        Reason.TOO_LARGE: 413,
        Reason.CANCELLED: 503,
    }
)
_STOW: Final[MappingProxyType[Reason, int]] = MappingProxyType(
    {
        Reason.OUT_OF_RESOURCES: 0xA700,
        Reason.OUT_OF_STORAGE: 0xA710,
        Reason.TOO_LARGE: 0xA710,
        Reason.SOP_CLASS_MISMATCH: 0xA900,
        Reason.SOP_INSTANCE_MISMATCH: 0xA900,
        Reason.IDENTIFIER_MISMATCH: 0xA900,
        Reason.CANNOT_UNDERSTAND: 0xC000,
        Reason.BAD_REQUEST: 0xC000,
        Reason.TRANSFER_SYNTAX_NOT_SUPPORTED: 0xC122,
        Reason.STUDY_MISMATCH: 0xC409,  # within Cxxx, as other archives call it
        Reason.SOP_CLASS_NOT_SUPPORTED: 0x0122,
        Reason.DUPLICATE_SOP_INSTANCE: 0x0111,
        Reason.NOT_AUTHORIZED: 0x0124,
    }
)


def http_status(reason: Reason) -> int:
    """The status of a web request that failed as a whole (I-QIDO, I-STOW-ST, PS3.18 8.5)."""
    return _HTTP[reason]


def stow_failure(reason: Reason) -> int:
    """Failure Reason (0008,1197) of one instance that was not stored (I-STOW-RS)."""
    return _STOW.get(reason, 0x0110)


def stow_status(stored: int, warned: int, failed: Iterable[Reason]) -> int:
    """The status of a STOW-RS response (I-STOW-ST): `stored` instances without and `warned` with a warning, and why the
    others failed."""
    reasons = frozenset(failed)
    if stored or warned:
        return 202 if warned or reasons else 200
    if not reasons:
        return 400
    return next((status for status, causes in _ALL_FAILED if reasons <= causes), 409)


_ALL_FAILED: Final = (
    (503, frozenset([Reason.OUT_OF_RESOURCES, Reason.OUT_OF_STORAGE, Reason.CANCELLED])),
    (403, frozenset([Reason.NOT_AUTHORIZED])),
    (400, frozenset([Reason.BAD_REQUEST])),
    (413, frozenset([Reason.TOO_LARGE])),
)
