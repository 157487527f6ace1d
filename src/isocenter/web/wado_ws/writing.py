"""Writes SOAP messages: the envelope with its WS-Addressing headers, and the XOP package around it (MTOM)."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from isocenter.web.wado_ws.faults import FAULT_ACTION, Blame, Fault, fault_element, upgrade_header
from isocenter.web.wado_ws.request import Addressing, Wanted
from isocenter.web.wado_ws.vocabulary import (
    ANONYMOUS,
    ERROR,
    FAILURE,
    IHE,
    PARTIAL_SUCCESS,
    RS,
    SOAP_1_2,
    SOAP_MEDIA_TYPES,
    SUCCESS,
    WADO,
    WARNING,
    WSA,
    XOP,
    Code,
    Operation,
    answering,
)

ROOT: Final = "root.message@isocenter"
"""Content-ID of the part that holds the envelope."""


class Trouble(NamedTuple):
    """What is said of one document that is not, or not quite, as it was asked for."""

    document: str
    code: Code
    comment: str
    warning: bool = False


class Attachment(NamedTuple):
    """A part of an XOP package: its media type, and its content."""

    media_type: str
    pieces: Iterable[bytes]


def content_id(number: int) -> str:
    """Content-ID of the part of document `number`."""
    return f"{number}.document@isocenter"


def envelope(
    soap: str, action: str, addressing: Addressing, body: Iterable[str | bytes], more: str = ""
) -> Iterator[bytes]:
    """The message, in pieces; `more`: further header blocks. Who doesn't use WS-Addressing isn't answered with it."""
    header = _addressed(action, addressing) + more
    yield f'<?xml version="1.0" encoding="UTF-8"?>\n<soap:Envelope xmlns:soap="{soap}" xmlns:wsa="{WSA}">'.encode()
    yield (f"<soap:Header>{header}</soap:Header>" if header else "").encode() + b"<soap:Body>"
    yield from (piece if isinstance(piece, bytes) else piece.encode("utf-8", "replace") for piece in body)
    yield b"</soap:Body></soap:Envelope>"


def _addressed(action: str, addressing: Addressing) -> str:
    if addressing == Addressing():
        return ""
    relates = f"<wsa:RelatesTo>{escape(addressing.message_id)}</wsa:RelatesTo>" if addressing.message_id else ""
    return (
        f'<wsa:Action soap:mustUnderstand="1">{escape(action)}</wsa:Action>'
        f"<wsa:MessageID>urn:uuid:{uuid.uuid4()}</wsa:MessageID><wsa:To>{ANONYMOUS}</wsa:To>{relates}"
    )


def fault_message(fault: Fault, soap: str, addressing: Addressing) -> bytes:
    """The whole message of a fault."""
    more = upgrade_header() if fault.blame is Blame.VERSION_MISMATCH else ""
    return b"".join(envelope(soap or SOAP_1_2, FAULT_ACTION, addressing, [fault_element(fault, soap)], more))


def response(
    operation: Operation, asked: int, troubles: Sequence[Trouble], found: Iterable[str | bytes]
) -> Iterator[str | bytes]:
    """The response element: what became of the `asked` documents, then those that were `found`."""
    spaces = {"ihe": IHE, "rs": RS, "wado": operation.namespace if operation.namespace != IHE else WADO, "xop": XOP}
    prefix = "ihe" if operation.namespace == IHE else "wado"
    bound = "".join(f' xmlns:{name}="{uri}"' for name, uri in spaces.items())
    yield f"<{prefix}:{operation.response}{bound}>"
    yield from _registry_response(asked, troubles)
    yield from found
    yield f"</{prefix}:{operation.response}>"


def identity(wanted: Wanted, document: str = "ihe:DocumentUniqueId") -> str:
    """The elements that say which document of which request this is."""
    community = f"<ihe:HomeCommunityId>{escape(wanted.community)}</ihe:HomeCommunityId>" if wanted.community else ""
    repository = f"<ihe:RepositoryUniqueId>{escape(wanted.repository)}</ihe:RepositoryUniqueId>"
    return f"{community}{repository}<{document}>{escape(wanted.document)}</{document}>"


def text_element(name: str, text: str) -> str:
    """An element that holds a text."""
    return f"<{name}>{escape(text)}</{name}>"


def included(number: int, media_type: str) -> str:
    """The elements that refer to the part of document `number`."""
    where = f'<xop:Include href="cid:{content_id(number)}"/>'
    return f"<ihe:mimeType>{escape(media_type)}</ihe:mimeType><ihe:Document>{where}</ihe:Document>"


def package(boundary: str, soap: str, message: Iterator[bytes], attachments: Iterator[Attachment]) -> Iterator[bytes]:
    """The XOP package (XOP 4.1): the message, then each attachment as it comes."""
    yield (
        f'--{boundary}\r\nContent-Type: application/xop+xml; charset=UTF-8; type="{SOAP_MEDIA_TYPES[soap]}"\r\n'
        f"Content-Transfer-Encoding: binary\r\nContent-ID: <{ROOT}>\r\n\r\n"
    ).encode()
    yield from message
    for number, each in enumerate(attachments):
        yield (
            f"\r\n--{boundary}\r\nContent-Type: {each.media_type}\r\nContent-Transfer-Encoding: binary\r\n"
            f"Content-ID: <{content_id(number)}>\r\n\r\n"
        ).encode()
        yield from each.pieces
    yield f"\r\n--{boundary}--\r\n".encode()


def package_type(boundary: str, soap: str) -> str:
    """The Content-Type of a package."""
    return (
        f'multipart/related; type="application/xop+xml"; start="<{ROOT}>"; '
        f'start-info="{SOAP_MEDIA_TYPES[soap]}"; boundary="{boundary}"'
    )


def message_type(soap: str) -> str:
    """The Content-Type of a message without a package."""
    return f"{SOAP_MEDIA_TYPES[soap or SOAP_1_2]}; charset=utf-8"


def answer_action(operation: Operation, addressing: Addressing) -> str:
    """`wsa:Action` of the answer."""
    return answering(operation, addressing.action)


def _registry_response(asked: int, troubles: Sequence[Trouble]) -> Iterator[str]:
    failed = sum(not each.warning for each in troubles)
    status = SUCCESS if not failed else FAILURE if failed >= asked else PARTIAL_SUCCESS
    if not troubles:
        yield f'<rs:RegistryResponse status="{status}"/>'
        return
    yield f'<rs:RegistryResponse status="{status}"><rs:RegistryErrorList>'
    for each in troubles:
        severity = WARNING if each.warning else ERROR
        yield (
            f'<rs:RegistryError codeContext={quoteattr(each.comment)} errorCode="{each.code}" severity="{severity}" '
            f"location={quoteattr(each.document)}/>"
        )
    yield "</rs:RegistryErrorList></rs:RegistryResponse>"
