"""DIMSE command sets (PS3.7 6.3, 9.3, 10.3, E): a dictionary from element number to value, and its wire form.

A `Command` maps the tag (group 0000, so the element number) to int (US, UL), str (UI, AE, LO, text), list[int] (AT) or,
for an element that PS3.7 E.1 doesn't know, bytes. The wire form is always Implicit VR Little Endian; the group length
is written by `encode` and dropped by `decode`.
"""

import struct
from typing import Final

Value = int | str | bytes | list[int]
Command = dict[int, Value]

AFFECTED_SOP_CLASS: Final = 0x0002
REQUESTED_SOP_CLASS: Final = 0x0003
COMMAND_FIELD: Final = 0x0100
MESSAGE_ID: Final = 0x0110
MESSAGE_ID_RESPONDED: Final = 0x0120
MOVE_DESTINATION: Final = 0x0600
PRIORITY: Final = 0x0700
DATA_SET_TYPE: Final = 0x0800
STATUS: Final = 0x0900
OFFENDING_ELEMENT: Final = 0x0901
ERROR_COMMENT: Final = 0x0902
ERROR_ID: Final = 0x0903
AFFECTED_SOP_INSTANCE: Final = 0x1000
REQUESTED_SOP_INSTANCE: Final = 0x1001
EVENT_TYPE: Final = 0x1002
ATTRIBUTE_LIST: Final = 0x1005
ACTION_TYPE: Final = 0x1008
REMAINING: Final = 0x1020
COMPLETED: Final = 0x1021
FAILED: Final = 0x1022
WARNING: Final = 0x1023
MOVE_ORIGINATOR: Final = 0x1030
MOVE_ORIGINATOR_MESSAGE_ID: Final = 0x1031

C_STORE_RQ: Final = 0x0001
C_GET_RQ: Final = 0x0010
C_FIND_RQ: Final = 0x0020
C_MOVE_RQ: Final = 0x0021
C_ECHO_RQ: Final = 0x0030
C_CANCEL_RQ: Final = 0x0FFF
N_EVENT_REPORT_RQ: Final = 0x0100
N_GET_RQ: Final = 0x0110
N_SET_RQ: Final = 0x0120
N_ACTION_RQ: Final = 0x0130
N_CREATE_RQ: Final = 0x0140
N_DELETE_RQ: Final = 0x0150
RESPONSE: Final = 0x8000
"""The bit that makes a response of a request's command field."""

REQUESTS: Final = frozenset(
    (
        *(C_STORE_RQ, C_GET_RQ, C_FIND_RQ, C_MOVE_RQ, C_ECHO_RQ, C_CANCEL_RQ),
        *(N_EVENT_REPORT_RQ, N_GET_RQ, N_SET_RQ, N_ACTION_RQ, N_CREATE_RQ, N_DELETE_RQ),
    )
)

NO_DATA: Final = 0x0101
DATA_FOLLOWS: Final = 0x0001

SUCCESS: Final = 0x0000
CANCELLED: Final = 0xFE00
PENDING: Final = 0xFF00
PENDING_WARNING: Final = 0xFF01
PROCESSING_FAILURE: Final = 0x0110
DUPLICATE_INVOCATION: Final = 0x0210
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
UNRECOGNIZED_OPERATION: Final = 0x0211
RESOURCE_LIMITATION: Final = 0x0213

_COMMENT_LENGTH: Final = 64
_SHORTS: Final = frozenset(
    (
        *(COMMAND_FIELD, MESSAGE_ID, MESSAGE_ID_RESPONDED, PRIORITY, DATA_SET_TYPE, STATUS, ERROR_ID, EVENT_TYPE),
        *(ACTION_TYPE, REMAINING, COMPLETED, FAILED, WARNING, MOVE_ORIGINATOR_MESSAGE_ID),
    )
)
_UIDS: Final = frozenset((AFFECTED_SOP_CLASS, REQUESTED_SOP_CLASS, AFFECTED_SOP_INSTANCE, REQUESTED_SOP_INSTANCE))
_TEXTS: Final = frozenset((MOVE_DESTINATION, ERROR_COMMENT, MOVE_ORIGINATOR))
_TAGS: Final = frozenset((OFFENDING_ELEMENT, ATTRIBUTE_LIST))
_ELEMENT: Final = struct.Struct("<HHI")
_SHORT: Final = struct.Struct("<HHIH")


class MalformedCommand(ValueError):
    """A command set that can't be read."""


def encode(command: Command) -> bytes:
    """The command set on the wire, group length first, elements in order of tag."""
    parts = [_element(tag, command[tag]) for tag in sorted(command) if tag]
    body = b"".join(parts)
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def _element(tag: int, value: Value) -> bytes:
    if type(value) is int:
        return _SHORT.pack(0, tag, 2, value)
    raw = _raw(tag, value)
    return _ELEMENT.pack(0, tag, len(raw)) + raw


def _raw(tag: int, value: Value) -> bytes:
    if isinstance(value, str):
        raw = value.encode("ascii", "replace")
        return raw if not len(raw) & 1 else raw + (b"\0" if tag in _UIDS else b" ")
    if isinstance(value, bytes):
        return value
    if isinstance(value, int):
        return value.to_bytes(2, "little")
    return b"".join(struct.pack("<HH", item >> 16, item & 0xFFFF) for item in value)


def decode(data: bytes) -> Command:
    """The command set in `data`. Elements of another group, a false group length and odd lengths are overlooked;
    truncation and a missing command field raise `MalformedCommand`."""
    command: Command = {}
    at, end = 0, len(data)
    while at < end:
        if at + 8 > end:
            raise MalformedCommand("truncated element")
        group, tag, length = _ELEMENT.unpack_from(data, at)
        at += 8
        if at + length > end:
            raise MalformedCommand("element longer than the command set")
        if group == 0 and tag:
            command[tag] = _value(tag, data[at : at + length])
        at += length
    if type(command.get(COMMAND_FIELD)) is not int:
        raise MalformedCommand("no command field")
    return command


def _value(tag: int, raw: bytes) -> Value:
    if tag in _SHORTS:
        return int.from_bytes(raw[:2], "little")
    if tag in _UIDS or tag in _TEXTS:
        return raw.decode("latin-1").strip(" \0")
    if tag in _TAGS:
        return [group << 16 | element for group, element in struct.iter_unpack("<HH", raw[: len(raw) & ~3])]
    return raw


def number(command: Command, tag: int, default: int = 0) -> int:
    """The element `tag` as a number, or `default`."""
    value = command.get(tag, default)
    return value if isinstance(value, int) else default


def text(command: Command, tag: int) -> str:
    """The element `tag` as text, or ''."""
    value = command.get(tag, "")
    return value if isinstance(value, str) else ""


def tags(command: Command, tag: int = ATTRIBUTE_LIST) -> list[int]:
    """The element `tag` as a list of tags, or []."""
    value = command.get(tag, [])
    return value if isinstance(value, list) else []


def status_of(command: Command) -> int:
    """(0000,0900) of a response; one without a status counts as a processing failure."""
    return number(command, STATUS, PROCESSING_FAILURE)


def has_data(command: Command) -> bool:
    """Whether a data set follows: anything but 0101 says so (PS3.7 E.1)."""
    return command.get(DATA_SET_TYPE, NO_DATA) != NO_DATA


def is_pending(status: int) -> bool:
    """Whether more responses follow (PS3.7 C.4.1.1.4)."""
    return status in (PENDING, PENDING_WARNING)


def response(request: Command, status: int, comment: str = "", **counts: int) -> Command:
    """The response to `request` (PS3.7 9.3, 10.3): message id, SOP class and instance are carried over.

    `comment` is cut at 64 characters (Error Comment). `counts`: remaining, completed, failed, warning.
    """
    answer: Command = {
        COMMAND_FIELD: number(request, COMMAND_FIELD) | RESPONSE,
        MESSAGE_ID_RESPONDED: number(request, MESSAGE_ID),
        DATA_SET_TYPE: NO_DATA,
        STATUS: status,
    }
    if sop_class := request.get(AFFECTED_SOP_CLASS) or request.get(REQUESTED_SOP_CLASS):
        answer[AFFECTED_SOP_CLASS] = sop_class
    if sop_instance := request.get(AFFECTED_SOP_INSTANCE) or request.get(REQUESTED_SOP_INSTANCE):
        answer[AFFECTED_SOP_INSTANCE] = sop_instance
    for tag in (EVENT_TYPE, ACTION_TYPE):
        if tag in request:
            answer[tag] = request[tag]
    if comment:
        answer[ERROR_COMMENT] = comment[:_COMMENT_LENGTH]
    for name, value in counts.items():
        answer[_COUNTS[name]] = value
    return answer


_COUNTS: Final = {"remaining": REMAINING, "completed": COMPLETED, "failed": FAILED, "warning": WARNING}


def store_rq(
    sop_class: str, sop_instance: str, *, priority: int = 0, originator: tuple[str, int] | None = None
) -> Command:
    """C-STORE-RQ (PS3.7 9.3.1.1). `originator`: AE title and message id of the C-MOVE that caused it. As in all
    requests below, the message id is the association's to give."""
    command = request(C_STORE_RQ, sop_class, sop_instance)
    command[PRIORITY] = priority
    if originator is not None:
        command[MOVE_ORIGINATOR], command[MOVE_ORIGINATOR_MESSAGE_ID] = originator
    return command


def find_rq(sop_class: str, *, priority: int = 0) -> Command:
    """C-FIND-RQ (PS3.7 9.3.2.1)."""
    return {**request(C_FIND_RQ, sop_class), PRIORITY: priority}


def get_rq(sop_class: str, *, priority: int = 0) -> Command:
    """C-GET-RQ (PS3.7 9.3.3.1)."""
    return {**request(C_GET_RQ, sop_class), PRIORITY: priority}


def move_rq(sop_class: str, destination: str, *, priority: int = 0) -> Command:
    """C-MOVE-RQ (PS3.7 9.3.4.1)."""
    return {**request(C_MOVE_RQ, sop_class), PRIORITY: priority, MOVE_DESTINATION: destination}


def echo_rq(sop_class: str = "1.2.840.10008.1.1") -> Command:
    """C-ECHO-RQ (PS3.7 9.3.5.1)."""
    return request(C_ECHO_RQ, sop_class)


def cancel_rq(message_id: int) -> Command:
    """C-CANCEL-RQ of the request `message_id` (PS3.7 9.3.2.3)."""
    return {COMMAND_FIELD: C_CANCEL_RQ, MESSAGE_ID_RESPONDED: message_id, DATA_SET_TYPE: NO_DATA}


def event_report_rq(sop_class: str, sop_instance: str, event_type: int) -> Command:
    """N-EVENT-REPORT-RQ (PS3.7 10.3.1.1)."""
    return {**request(N_EVENT_REPORT_RQ, sop_class, sop_instance), EVENT_TYPE: event_type}


def n_get_rq(sop_class: str, sop_instance: str, attributes: list[int] | None = None) -> Command:
    """N-GET-RQ (PS3.7 10.3.2.1); no attributes: all of them."""
    command = _requested(N_GET_RQ, sop_class, sop_instance)
    return {**command, ATTRIBUTE_LIST: attributes} if attributes else command


def n_set_rq(sop_class: str, sop_instance: str) -> Command:
    """N-SET-RQ (PS3.7 10.3.3.1)."""
    return _requested(N_SET_RQ, sop_class, sop_instance)


def n_action_rq(sop_class: str, sop_instance: str, action_type: int) -> Command:
    """N-ACTION-RQ (PS3.7 10.3.4.1)."""
    return {**_requested(N_ACTION_RQ, sop_class, sop_instance), ACTION_TYPE: action_type}


def n_create_rq(sop_class: str, sop_instance: str = "") -> Command:
    """N-CREATE-RQ (PS3.7 10.3.5.1); without an instance the performer makes its UID."""
    return request(N_CREATE_RQ, sop_class, sop_instance)


def n_delete_rq(sop_class: str, sop_instance: str) -> Command:
    """N-DELETE-RQ (PS3.7 10.3.6.1)."""
    return _requested(N_DELETE_RQ, sop_class, sop_instance)


def request(field: int, sop_class: str, sop_instance: str = "") -> Command:
    """A request with the affected SOP class and instance."""
    command: Command = {COMMAND_FIELD: field, DATA_SET_TYPE: NO_DATA, AFFECTED_SOP_CLASS: sop_class}
    if sop_instance:
        command[AFFECTED_SOP_INSTANCE] = sop_instance
    return command


def _requested(field: int, sop_class: str, sop_instance: str) -> Command:
    return {
        COMMAND_FIELD: field,
        DATA_SET_TYPE: NO_DATA,
        REQUESTED_SOP_CLASS: sop_class,
        REQUESTED_SOP_INSTANCE: sop_instance,
    }
