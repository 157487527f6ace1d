"""WADO-RS bulk data (PS3.18 10.4.1.1.5): what a BulkDataURI of our metadata names, by its path of tags and items."""

import secrets
from collections.abc import Iterator

from isocenter.archive.leaving import overlaid
from isocenter.archive.retrieval.instances import Located, Reader, reader
from isocenter.dicom.bulk_data import bulk_value, locate
from isocenter.dicom.elements import PIXEL_TAGS, Read, Window, encoding_of
from isocenter.dicom.overlay import Edited
from isocenter.dicom.swapping import swapped_words
from isocenter.dicom.uids import transfer_syntax
from isocenter.web import media
from isocenter.web.call import Call
from isocenter.web.conditions import tag_of, unchanged, whole_or_range
from isocenter.web.dicomweb.framing import frames_reply
from isocenter.web.dicomweb.named import framed
from isocenter.web.problem import not_acceptable
from isocenter.web.reply import SLICE, Pieces, Reply

_PIXELS = {f"{tag:08X}" for tag in PIXEL_TAGS}


async def bulkdata(call: Call) -> Reply:
    """GET .../bulkdata/{path}."""
    return await call.context.lanes.retrieve.run(_bulkdata, call)


def _bulkdata(call: Call) -> Reply:
    return value_of(call, *framed(call))


def value_of(call: Call, one: Located, table: bytes | None) -> Reply:
    """The value at the request's path in `one`, whose frame table is `table`. Run it in a thread."""
    path = call.path["bulk"].strip("/").upper()
    facts = transfer_syntax(one.syntax)
    if path in _PIXELS and facts.encapsulated:
        return frames_reply(call, one, table, None)
    multipart = _in_a_part(call)
    tag = tag_of(one.digest, one.id, one.overlay, path)
    if unchanged(call, tag):
        return Reply(304, {"ETag": tag, "Vary": "Accept"})
    opened = reader(call.context.store, one)
    try:
        pieces, length = value(one, opened, path)
        return _reply(call, pieces, length, opened, tag, multipart=multipart)
    except BaseException:
        opened.close()
        raise


def value(one: Located, opened: Reader, path: str) -> tuple[Iterator[bytes], int]:
    """The value at a path of tags and items, little endian, and its bytes. Raises Refused(NOT_FOUND),
    MalformedDataSet."""
    laid = overlaid(opened, one)
    if laid is not None:
        return _within(laid.edited(lambda _: ()) if transfer_syntax(one.syntax).deflated else laid, path)
    if transfer_syntax(one.syntax).deflated:
        _, held = bulk_value(opened.pread(one.size, 0), one.syntax, path)
        return iter([bytes(held)]), len(held)
    return _read(opened.at, one.size, one.syntax, path)


def _within(edited: Edited, path: str) -> tuple[Iterator[bytes], int]:
    return _read(edited.read, edited.size(), edited.syntax, path)


def _read(read: Read, size: int, syntax: str, path: str) -> tuple[Iterator[bytes], int]:
    place = locate(Window(read, size), encoding_of(syntax), path)

    def pieces() -> Iterator[bytes]:
        for at in range(0, place.length, SLICE):
            piece = read(place.offset + at, min(SLICE, place.length - at))
            yield swapped_words(place.word, piece) if place.word > 1 else piece

    return pieces(), place.length


def _in_a_part(call: Call) -> bool:
    """Whether the client wants a multipart answer. Raises Problem 406."""
    if not call.accepted:
        return False
    for wished in call.accepted:
        if media.covers(wished.root, media.OCTETS):
            return wished.multipart
    raise not_acceptable(f"bulk data comes as {media.OCTETS}, alone or in {media.MULTIPART}")


def _reply(call: Call, pieces: Iterator[bytes], length: int, opened: Reader, tag: str, *, multipart: bool) -> Reply:
    lane = call.context.lanes.retrieve
    if multipart:
        boundary = secrets.token_hex(16)
        lead = f"--{boundary}\r\nContent-Type: {media.OCTETS}\r\n\r\n".encode()
        end = f"\r\n--{boundary}--\r\n".encode()
        kind = f'{media.MULTIPART}; type="{media.OCTETS}"; boundary={boundary}'
        source = Pieces(_enclosed(lead, pieces, end), len(lead) + length + len(end), opened.close)
        return Reply(200, {"Content-Type": kind, "Vary": "Accept", "ETag": f"W/{tag}"}, source=source, lane=lane)
    headers = {"Content-Type": media.OCTETS, "Vary": "Accept", "ETag": tag}
    return whole_or_range(call, headers, pieces, length, opened.close)


def _enclosed(lead: bytes, pieces: Iterator[bytes], end: bytes) -> Iterator[bytes]:
    yield lead
    yield from pieces
    yield end
