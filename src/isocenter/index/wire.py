"""What travels between the processes that receive and the one that writes the index: frames of msgpack.

A frame is its length (4 bytes, little endian) and a msgpack array: of a request [number, kind, record's fields], of an
answer [number, verdict, ...] or [number, None, retriable, reason, comment].
"""

import struct
from collections.abc import Iterator
from typing import Any

import msgspec

from isocenter.dicom.part10 import Compressed
from isocenter.errors import IsocenterError, Reason, Refused, Retriable
from isocenter.index.records import Arrival, Choice, Deletion, Edit, ExceptionNote, Outcome, Record

LENGTH = struct.Struct("<I")
LONGEST = 1 << 26
"""Bytes of a frame; a longer one ends the connection."""

_KINDS: tuple[type[Record], ...] = (Arrival, Deletion, Choice, ExceptionNote, Edit)
_NUMBER_OF = {kind: number for number, kind in enumerate(_KINDS)}
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder()


def request(number: int, record: Record) -> bytes:
    """The frame that asks for `record` to be filed."""
    return _frame((number, _NUMBER_OF[type(record)], record))


def answer(number: int, outcome: Outcome | IsocenterError) -> bytes:
    """The frame that answers request `number`."""
    if isinstance(outcome, Outcome):
        return _frame((number, *outcome))
    return _frame((number, None, isinstance(outcome, Retriable), str(outcome.reason), outcome.comment))


def _frame(content: tuple[Any, ...]) -> bytes:
    body = _encoder.encode(content)
    return LENGTH.pack(len(body)) + body


def parse_request(body: memoryview) -> tuple[int, Record]:
    """Number and record of a request's body. Raises ValueError (msgspec's are) for what is none."""
    number, kind, fields = _decoder.decode(body)
    return number, _record(_KINDS[kind], fields)


def _record(kind: type[Record], fields: list[Any]) -> Record:
    if kind is Choice:
        return Choice(_arrival(fields[0]), fields[1])
    if kind is Deletion:
        found = Deletion._make(fields)
        return found._replace(sop_uids=tuple(found.sop_uids))
    return _arrival(fields) if kind is Arrival else kind._make(fields)


def _arrival(fields: list[Any]) -> Arrival:
    found = Arrival._make(fields)
    return found._replace(
        attributes=tuple([(row[0], row[1], row[2], row[3], row[4]) for row in found.attributes]),
        flags=tuple(found.flags),
        accessions=tuple([(pair[0], pair[1]) for pair in found.accessions]),
        patient_ids=tuple([(pair[0], pair[1]) for pair in found.patient_ids]),
        rejected=tuple([(each[0], each[1], each[2]) for each in found.rejected]),
        compressed=tuple([Compressed._make(each) for each in found.compressed]),
    )


def parse_answer(body: memoryview) -> tuple[int, Outcome | IsocenterError]:
    """Number and outcome of an answer's body."""
    number, verdict, *rest = _decoder.decode(body)
    if verdict is not None:
        existing_key, conflicts, objects, study_uid = rest
        return number, Outcome(verdict, existing_key, tuple(conflicts), objects, study_uid)
    retriable, reason, comment = rest
    return number, (Retriable if retriable else Refused)(Reason(reason), comment)


class Frames:
    """Cuts what a stream socket gives into frames."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[memoryview]:
        """The bodies that are complete with `data`; each is valid until the next. Raises ValueError for a long one."""
        self._held += data
        at = 0
        with memoryview(self._held) as view:
            while len(view) - at >= LENGTH.size:
                (length,) = LENGTH.unpack_from(view, at)
                if length > LONGEST:
                    raise ValueError(f"a frame of {length} bytes")
                if len(view) - at - LENGTH.size < length:
                    break
                at += LENGTH.size
                with view[at : at + length] as body:
                    yield body
                at += length
        del self._held[:at]
