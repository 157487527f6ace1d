"""The seven protocol data units of the upper layer and the items inside them (PS3.8 9.3, PS3.7 D.3).

Everything here is bytes to frozen values and back, without input or output. Items that nobody has defined are skipped,
values that contradict their own lengths raise `MalformedPdu`.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from isocenter.dicom.uids import APPLICATION_CONTEXT, IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

A_ASSOCIATE_RQ: Final = 1
A_ASSOCIATE_AC: Final = 2
A_ASSOCIATE_RJ: Final = 3
P_DATA_TF: Final = 4
A_RELEASE_RQ: Final = 5
A_RELEASE_RP: Final = 6
A_ABORT: Final = 7

ASSOCIATE_LIMIT: Final = 1 << 20
"""Longest A-ASSOCIATE-RQ or -AC that is read; 128 contexts of 18 syntaxes fill 64 KiB."""
SHORT_LIMIT: Final = 256
"""Longest variable field of the others, which the standard fixes at 4."""

_HEADER: Final = struct.Struct(">BxI")
_ITEM: Final = struct.Struct(">BxH")
_SHORT: Final = struct.Struct(">H")
_FIXED: Final = struct.Struct(">H2x16s16s32x")


class MalformedPdu(ValueError):
    """A PDU contradicts itself; `reason` is the reason for an A-ABORT of the provider (PS3.8 9.3.8)."""

    def __init__(self, what: str, reason: int = 6) -> None:
        super().__init__(what)
        self.reason = reason


class Result(IntEnum):
    """What became of a proposed presentation context (PS3.8 9.3.3.2)."""

    ACCEPTANCE = 0
    USER_REJECTION = 1
    NO_REASON = 2
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


@dataclass(frozen=True, slots=True)
class Role:
    """SCP/SCU role selection for a SOP class: what the requestor proposes to be, or may be (PS3.7 D.3.3.4)."""

    scu: bool
    scp: bool


@dataclass(frozen=True, slots=True)
class CommonExtended:
    """SOP class common extended negotiation (PS3.7 D.3.3.6)."""

    sop_class: str
    service_class: str
    related: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UserIdentity:
    """User identity of a request (PS3.7 D.3.3.7). Kinds: 1 name, 2 name and passcode, 3 Kerberos, 4 SAML, 5 JWT."""

    kind: int
    primary: bytes = field(repr=False)
    secondary: bytes = field(default=b"", repr=False)
    response_wanted: bool = False


@dataclass(frozen=True, slots=True)
class UserInformation:
    """The user information item, common to request and acceptance (PS3.8 D.1, PS3.7 D.3.3)."""

    max_pdu: int = 0
    """Longest P-DATA-TF variable field that the sender of this takes; 0: any."""
    implementation_class: str = IMPLEMENTATION_CLASS_UID
    implementation_version: str = IMPLEMENTATION_VERSION_NAME
    window: tuple[int, int] | None = None
    """Operations (invoked, performed) by the requestor at once; None: not negotiated, (1, 1); 0: any number."""
    roles: dict[str, Role] = field(default_factory=dict)
    extended: dict[str, bytes] = field(default_factory=dict)
    """Service class application information by SOP class."""
    common_extended: tuple[CommonExtended, ...] = ()
    user_identity: UserIdentity | None = None
    """Only in a request."""
    identity_response: bytes | None = None
    """Only in an acceptance: the server's answer to a user identity; None: no such item."""


PLAIN: Final = UserInformation()
"""Says who we are and nothing more."""


@dataclass(frozen=True, slots=True)
class ContextProposal:
    """A presentation context of a request: odd `id`, abstract syntax and transfer syntaxes in the order proposed."""

    id: int
    abstract: str
    syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ContextResult:
    """A presentation context of an acceptance. `syntax` means something only where it was accepted."""

    id: int
    result: int
    syntax: str = ""


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """A-ASSOCIATE-RQ (PS3.8 9.3.2)."""

    called: str
    calling: str
    contexts: tuple[ContextProposal, ...]
    user: UserInformation = PLAIN
    application_context: str = APPLICATION_CONTEXT
    version: int = 1


@dataclass(frozen=True, slots=True)
class AssociateAccept:
    """A-ASSOCIATE-AC (PS3.8 9.3.3). The titles repeat the request's and aren't looked at."""

    contexts: tuple[ContextResult, ...]
    user: UserInformation = PLAIN
    called: str = ""
    calling: str = ""
    application_context: str = APPLICATION_CONTEXT
    version: int = 1


@dataclass(frozen=True, slots=True)
class AssociateReject:
    """A-ASSOCIATE-RJ (PS3.8 9.3.4): result 1 permanent, 2 transient; source and reason as the table there."""

    result: int
    source: int
    reason: int


@dataclass(frozen=True, slots=True)
class Abort:
    """A-ABORT (PS3.8 9.3.8): source 0 service user, 2 service provider; the reason counts for the provider only."""

    source: int
    reason: int = 0


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """A-RELEASE-RQ (PS3.8 9.3.6)."""


@dataclass(frozen=True, slots=True)
class ReleaseReply:
    """A-RELEASE-RP (PS3.8 9.3.7)."""


@dataclass(frozen=True, slots=True)
class Data:
    """P-DATA-TF (PS3.8 9.3.5) as values (context id, message control header, fragment). The wire is read by
    `upper_layer` and written by `outbound`, in place; this is for tests and scripted peers."""

    values: tuple[tuple[int, int, bytes], ...]


Pdu = AssociateRequest | AssociateAccept | AssociateReject | Data | ReleaseRequest | ReleaseReply | Abort


def length_limit(kind: int, max_pdu: int) -> int:
    """Longest variable field of a PDU of `kind` that is read, or -1 for a kind that doesn't exist (PS3.8 9.3.1)."""
    if kind in (A_ASSOCIATE_RQ, A_ASSOCIATE_AC):
        return ASSOCIATE_LIMIT
    if kind == P_DATA_TF:
        return max_pdu
    return SHORT_LIMIT if A_ASSOCIATE_RJ <= kind <= A_ABORT else -1


# ---- writing


def encode(pdu: Pdu) -> bytes:
    """The PDU on the wire. Text that is no ASCII or too long raises ValueError."""
    match pdu:
        case AssociateRequest():
            return _framed(A_ASSOCIATE_RQ, _associate(pdu, map(_proposal, pdu.contexts)))
        case AssociateAccept():
            return _framed(A_ASSOCIATE_AC, _associate(pdu, map(_result, pdu.contexts)))
        case AssociateReject(result, source, reason):
            return _framed(A_ASSOCIATE_RJ, bytes((0, result, source, reason)))
        case Data(values):
            return _framed(P_DATA_TF, b"".join(struct.pack(">IBB", len(v) + 2, i, c) + v for i, c, v in values))
        case ReleaseRequest():
            return _framed(A_RELEASE_RQ, bytes(4))
        case ReleaseReply():
            return _framed(A_RELEASE_RP, bytes(4))
        case Abort(source, reason):
            return _framed(A_ABORT, bytes((0, 0, source, reason)))


def _framed(kind: int, body: bytes) -> bytes:
    return _HEADER.pack(kind, len(body)) + body


def _item(kind: int, body: bytes) -> bytes:
    return _ITEM.pack(kind, len(body)) + body


def _counted(value: bytes) -> bytes:
    return _SHORT.pack(len(value)) + value


def _title(value: str) -> bytes:
    raw = value.encode("ascii")
    if len(raw) > 16:
        raise ValueError("an AE title has at most 16 characters")
    return raw.ljust(16)


def _associate(pdu: AssociateRequest | AssociateAccept, contexts: Iterable[bytes]) -> bytes:
    fixed = _FIXED.pack(pdu.version, _title(pdu.called), _title(pdu.calling))
    application = _item(0x10, pdu.application_context.encode("ascii"))
    return b"".join((fixed, application, *contexts, _item(0x50, b"".join(_user_items(pdu.user)))))


def _proposal(context: ContextProposal) -> bytes:
    syntaxes = b"".join(_item(0x40, uid.encode("ascii")) for uid in context.syntaxes)
    return _item(0x20, bytes((context.id, 0, 0, 0)) + _item(0x30, context.abstract.encode("ascii")) + syntaxes)


def _result(context: ContextResult) -> bytes:
    return _item(0x21, bytes((context.id, 0, context.result, 0)) + _item(0x40, context.syntax.encode("ascii")))


def _user_items(user: UserInformation) -> Iterator[bytes]:
    yield _item(0x51, struct.pack(">I", user.max_pdu))
    yield _item(0x52, user.implementation_class.encode("ascii"))
    if user.window is not None:
        yield _item(0x53, struct.pack(">HH", *user.window))
    for uid, role in user.roles.items():
        yield _item(0x54, _counted(uid.encode("ascii")) + bytes((role.scu, role.scp)))
    if user.implementation_version:
        yield _item(0x55, user.implementation_version.encode("ascii"))
    for uid, information in user.extended.items():
        yield _item(0x56, _counted(uid.encode("ascii")) + information)
    for common in user.common_extended:
        related = b"".join(_counted(uid.encode("ascii")) for uid in common.related)
        names = _counted(common.sop_class.encode("ascii")) + _counted(common.service_class.encode("ascii"))
        yield _item(0x57, names + _counted(related))
    if (identity := user.user_identity) is not None:
        head = bytes((identity.kind, identity.response_wanted))
        yield _item(0x58, head + _counted(identity.primary) + _counted(identity.secondary))
    if user.identity_response is not None:
        yield _item(0x59, _counted(user.identity_response))
