"""Reads the protocol data units of `pdu` from bytes that a stranger sent (PS3.8 9.3, PS3.7 D.3).

Texts lose the blanks and NULs around them. Of items that may occur once the first counts. What a length promises and
the bytes don't hold raises `MalformedPdu`.
"""

import struct
from collections.abc import Iterator

from isocenter.dimse.pdu import (
    A_ABORT,
    A_ASSOCIATE_RJ,
    A_ASSOCIATE_RQ,
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    CommonExtended,
    ContextProposal,
    ContextResult,
    Data,
    MalformedPdu,
    Pdu,
    ReleaseReply,
    ReleaseRequest,
    Role,
    UserIdentity,
    UserInformation,
)

_MAX_CONTEXTS = 128
_FIXED_LENGTH = 68


def decode(kind: int, body: bytes) -> Pdu:
    """The PDU of type `kind` with the variable field `body`."""
    match kind:
        case 1 | 2:
            return _associate(kind, body)
        case 4:
            return Data(tuple(_values(body)))
        case 5:
            return ReleaseRequest()
        case 6:
            return ReleaseReply()
    if kind not in (A_ASSOCIATE_RJ, A_ABORT):
        raise MalformedPdu(f"no PDU type {kind}", reason=1)
    if len(body) < 4:
        raise MalformedPdu("PDU too short")
    return AssociateReject(body[1], body[2], body[3]) if kind == A_ASSOCIATE_RJ else Abort(body[2], body[3])


def decode_all(data: bytes) -> Iterator[Pdu]:
    """The PDUs of a whole stream, for tests and captures."""
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from(">BxI", data, at)
        if at + 6 + length > len(data):
            raise MalformedPdu("truncated PDU")
        yield decode(kind, data[at + 6 : at + 6 + length])
        at += 6 + length


def _values(body: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at < len(body):
        if at + 6 > len(body):
            raise MalformedPdu("truncated PDV header")
        length, context_id, control = struct.unpack_from(">IBB", body, at)
        if length < 2 or at + 4 + length > len(body):
            raise MalformedPdu("PDV length")
        yield context_id, control, body[at + 6 : at + 4 + length]
        at += 4 + length


def _text(raw: bytes) -> str:
    try:
        return raw.decode("ascii").strip(" \0")
    except UnicodeDecodeError:
        raise MalformedPdu("text that is no ASCII") from None


def _title(raw: bytes) -> str:
    return raw.decode("latin-1").strip(" \0")


def _items(body: bytes, at: int = 0) -> Iterator[tuple[int, bytes]]:
    while at < len(body):
        if at + 4 > len(body):
            raise MalformedPdu("truncated item header")
        kind, length = struct.unpack_from(">BxH", body, at)
        at += 4
        if at + length > len(body):
            raise MalformedPdu("item longer than the PDU")
        yield kind, body[at : at + length]
        at += length


class _Reader:
    """Takes counted fields from one item."""

    def __init__(self, body: bytes) -> None:
        self.body, self.at = body, 0

    def take(self, n: int) -> bytes:
        if self.at + n > len(self.body):
            raise MalformedPdu("field longer than its item")
        self.at += n
        return self.body[self.at - n : self.at]

    def counted(self) -> bytes:
        return self.take(int.from_bytes(self.take(2), "big"))

    def rest(self) -> bytes:
        return self.body[self.at :]


def _associate(kind: int, body: bytes) -> AssociateRequest | AssociateAccept:
    if len(body) < _FIXED_LENGTH:
        raise MalformedPdu("A-ASSOCIATE too short")
    version = int.from_bytes(body[:2], "big")
    called, calling = _title(body[4:20]), _title(body[20:36])
    application: str | None = None
    user: UserInformation | None = None
    proposals: list[ContextProposal] = []
    results: list[ContextResult] = []
    for item, value in _items(body, _FIXED_LENGTH):
        if item == 0x10 and application is None:
            application = _text(value)
        elif item == 0x20:
            proposals.append(_proposal(value))
        elif item == 0x21:
            results.append(_result(value))
        elif item == 0x50 and user is None:
            user = _user(value)
    user = user if user is not None else UserInformation(implementation_class="", implementation_version="")
    if kind == A_ASSOCIATE_RQ:
        _check(proposals)
        return AssociateRequest(called, calling, tuple(proposals), user, application or "", version)
    return AssociateAccept(tuple(results), user, called, calling, application or "", version)


def _check(proposals: list[ContextProposal]) -> None:
    ids = {context.id for context in proposals}
    if len(ids) != len(proposals) or any(not i & 1 for i in ids) or len(ids) > _MAX_CONTEXTS:
        raise MalformedPdu("presentation context ids")


def _proposal(body: bytes) -> ContextProposal:
    if len(body) < 4:
        raise MalformedPdu("presentation context too short")
    abstract: str | None = None
    syntaxes: list[str] = []
    for item, value in _items(body, 4):
        if item == 0x30 and abstract is None:
            abstract = _text(value)
        elif item == 0x40:
            syntaxes.append(_text(value))
    return ContextProposal(body[0], abstract or "", tuple(syntaxes))


def _result(body: bytes) -> ContextResult:
    if len(body) < 4:
        raise MalformedPdu("presentation context too short")
    syntax = next((_text(value) for item, value in _items(body, 4) if item == 0x40), "") if body[2] == 0 else ""
    return ContextResult(body[0], body[2], syntax)


def _user(body: bytes) -> UserInformation:
    max_pdu, implementation, version = 0, "", ""
    window: tuple[int, int] | None = None
    roles: dict[str, Role] = {}
    extended: dict[str, bytes] = {}
    common: list[CommonExtended] = []
    identity: UserIdentity | None = None
    response: bytes | None = None
    for item, value in _items(body):
        fields = _Reader(value)
        match item:
            case 0x51:
                max_pdu = int.from_bytes(fields.take(4), "big")
            case 0x52:
                implementation = _text(value)
            case 0x53:
                window = (int.from_bytes(fields.take(2), "big"), int.from_bytes(fields.take(2), "big"))
            case 0x54:
                uid = _text(fields.counted())
                roles.setdefault(uid, Role(*(flag == 1 for flag in fields.take(2))))
            case 0x55:
                version = _title(value)
            case 0x56:
                extended.setdefault(_text(fields.counted()), fields.rest())
            case 0x57:
                common.append(_common(fields))
            case 0x58:
                kind, wanted = fields.take(2)
                identity = UserIdentity(kind, fields.counted(), fields.counted(), wanted == 1)
            case 0x59:
                response = fields.counted()
    return UserInformation(max_pdu, implementation, version, window, roles, extended, tuple(common), identity, response)


def _common(fields: _Reader) -> CommonExtended:
    sop_class, service_class = _text(fields.counted()), _text(fields.counted())
    related, uids = _Reader(fields.counted()), []
    while related.rest():
        uids.append(_text(related.counted()))
    return CommonExtended(sop_class, service_class, tuple(uids))
