"""WADO-RS metadata (PS3.18 10.4.1.1.4): series packs for studies and series, the object's header for an instance, and
for all instances where more is laid over them for the client than their edits: packs are the same for everyone."""

import hashlib
import json
from collections.abc import Iterator
from itertools import chain

from isocenter.archive.packs.file import COMMA
from isocenter.archive.packs.gzip import Segment, gzip_length, gzip_stream, stored
from isocenter.archive.packs.series import Metadata
from isocenter.archive.retrieval.instances import Selection, Series, series_of, totals_in
from isocenter.declarations.rejections import IN_FORCE
from isocenter.dicom.native_model import xml_of
from isocenter.web import media
from isocenter.web.call import Call
from isocenter.web.coding import coding_of, compressed, encoded
from isocenter.web.dicomweb.named import found_by, located
from isocenter.web.problem import not_acceptable, not_found
from isocenter.web.reply import Pieces, Reply

_BOUNDARY = "isocenter-metadata"
_OPEN, _CLOSE = b"[", b"]"
_BRACKETS = (stored(_OPEN), stored(_CLOSE))
_WITHOUT_PIXELS = frozenset(("AU", "DOC", "ECG", "KO", "PLAN", "PR", "REG", "RTPLAN", "RTSTRUCT", "SR"))
"""Modalities of series that are no images."""


async def metadata(call: Call) -> Reply:
    """GET .../metadata of a study, a series or an instance."""
    kind = _kind(call)
    work = _instance if "instance" in call.path else _series
    return await call.context.lanes.retrieve.run(work, call, kind)


def _kind(call: Call) -> str:
    """The media type of the answer: JSON unless the client takes only XML. Raises Problem 406."""
    if not call.accepted:
        return media.JSON
    for wished in call.accepted:
        for kind in (media.JSON, media.PLAIN_JSON):
            if media.covers(wished.root, kind):
                return kind
        if media.covers(wished.root, media.XML):
            return media.XML
    raise not_acceptable(f'metadata comes as {media.JSON} or {media.MULTIPART}; type="{media.XML}"')


def _instance(call: Call, kind: str) -> Reply:
    one = located(call)
    if one.rows:
        call.context.engine.expect()
    headers = _headers(call, kind, f"{one.digest}/{one.id}/{one.overlay}" if one.overlay else f"{one.digest}/{one.id}")
    if _unchanged(call, headers):
        return Reply(304, headers)
    found = call.context.packs.instance(one, call.root)
    body = b"".join(_parts([found])) if kind == media.XML else _OPEN + found + _CLOSE
    return compressed(call, Reply(200, headers, body))


def _series(call: Call, kind: str) -> Reply:
    if call.departing is not None:
        return _laid(call, kind)
    path = call.path
    series = (path["series"],) if "series" in path else ()
    named = Selection((), (path["study"],), series, access=call.access, view=call.view)
    found = series_of(call.context.database, named)
    found = _shown(call, found)
    if not found:
        raise not_found("series" if series else "study")
    if any(one.modality not in _WITHOUT_PIXELS for one in found):
        call.context.engine.expect()  # viewers show the first image next
    state = "" if call.view == IN_FORCE else f"{sorted(call.view)} "
    state += "/".join(f"{one.id}.{one.revision}.{one.instances}.{one.bytes}" for one in found)
    headers = _headers(call, kind, state)
    if _unchanged(call, headers):
        return Reply(304, headers)
    lane = call.context.lanes.retrieve
    coding = coding_of(call)
    if kind == media.XML:
        parts = _parts(objects_of(call, found))
        if coding:
            headers["Content-Encoding"] = coding
            parts = encoded(coding, parts)
        return Reply(200, headers, source=Pieces(parts, None), lane=lane)
    source = _Source(call, found, gzip=call.takes_gzip())
    if coding and not source.gzip:
        headers["Content-Encoding"] = coding
        return Reply(200, headers, source=Pieces(encoded(coding, source.pieces()), None, source.close), lane=lane)
    if source.array is not None:
        return Reply(200, headers, source.array)
    if source.gzip:
        headers["Content-Encoding"] = "gzip"
    return Reply(200, headers, source=Pieces(source.pieces(), source.length, source.close), lane=lane)


def _laid(call: Call, kind: str) -> Reply:
    """The instances one by one, each with what is laid over it. Whether the first can be had is known at once."""
    found = found_by(call)
    headers = _headers(call, kind, "/".join(f"{one.digest}.{one.id}.{one.overlay}" for one in found))
    if _unchanged(call, headers):
        return Reply(304, headers)
    first = call.context.packs.instance(found[0], call.root)
    models = chain((first,), (call.context.packs.instance(one, call.root) for one in found[1:]))
    if kind == media.XML:
        pieces: Iterator[bytes] = _parts(models)
    else:
        joined = (b"," * bool(number) + model for number, model in enumerate(models))
        pieces = chain((_OPEN,), joined, (_CLOSE,))
    coding = coding_of(call)
    if coding:
        headers["Content-Encoding"] = coding
        pieces = encoded(coding, pieces)
    return Reply(200, headers, source=Pieces(pieces, None), lane=call.context.lanes.retrieve)


def _shown(call: Call, found: list[Series]) -> list[Series]:
    """The series of which something is seen."""
    if call.view == IN_FORCE:
        return [one for one in found if one.instances]
    return [one for one in found if totals_in(call.context.database, one)]


def _headers(call: Call, kind: str, state: str) -> dict[str, str]:
    tag = hashlib.sha256(f"{kind} {call.root} {state}".encode()).hexdigest()[:32]
    shown = f'{media.MULTIPART}; type="{media.XML}"; boundary={_BOUNDARY}' if kind == media.XML else kind
    return {
        "Content-Type": shown,
        "ETag": f'W/"{tag}"',
        "Cache-Control": "private, no-cache",
        "Vary": "Accept, Accept-Encoding, Host, Forwarded, X-Forwarded-Host, X-Forwarded-Proto",
    }


def _unchanged(call: Call, headers: dict[str, str]) -> bool:
    """Whether the client has this state already (RFC 9110 13.1.2, weak comparison)."""
    known = [tag.strip().removeprefix("W/") for tag in call.headers.get("if-none-match", "").split(",")]
    return "*" in known or headers["ETag"].removeprefix("W/") in known


class _Source:
    """The JSON array of some series. Only the first is opened at once; each is let go of before the next."""

    def __init__(self, call: Call, found: list[Series], *, gzip: bool) -> None:
        self._call, self._found = call, found
        self._first: Metadata | None = call.context.packs.series(found[0], call.root)
        self.gzip = gzip
        self.length = self._length()
        self.array = self._first.array if len(found) == 1 and not gzip else None
        """The answer, where it is in memory whole."""

    def pieces(self) -> Iterator[bytes]:
        """The answer."""
        if self.gzip:
            return gzip_stream(chain(_BRACKETS[:1], self._segments(), _BRACKETS[1:]))
        return chain((_OPEN,), self._json(), (_CLOSE,))

    def close(self) -> None:
        """Let go of the first series, if it was never asked for."""
        if self._first is not None:
            self._first.close()

    def _length(self) -> int | None:
        """Bytes of the answer, where one series is all and its metadata is ready."""
        first = self._first
        if len(self._found) > 1 or first is None:
            return None
        if not self.gzip:
            return None if first.length is None else first.length + len(_OPEN + _CLOSE)
        return None if first.deflated_length is None else gzip_length(_BRACKETS) + first.deflated_length

    def _json(self) -> Iterator[bytes]:
        for number, one in enumerate(self._each()):
            if number:
                yield b","
            yield from one.pieces()

    def _segments(self) -> Iterator[Segment]:
        for number, one in enumerate(self._each()):
            if number:
                yield COMMA
            yield from one.segments()

    def _each(self) -> Iterator[Metadata]:
        for one in self._found:
            opened, self._first = self._first or self._call.context.packs.series(one, self._call.root), None
            try:
                yield opened
            finally:
                opened.close()


def objects_of(call: Call, found: list[Series]) -> Iterator[bytes]:
    """The DICOM JSON object of each instance of some series."""
    for one in found:
        opened = call.context.packs.series(one, call.root)
        try:
            for piece in opened.pieces():
                if piece != b",":
                    yield from (json.dumps(each).encode() for each in json.loads(b"[%b]" % piece))
        finally:
            opened.close()


def _parts(objects: "Iterator[bytes] | list[bytes]") -> Iterator[bytes]:
    for one in objects:
        yield b"--%b\r\nContent-Type: %b\r\n\r\n" % (_BOUNDARY.encode(), media.XML.encode())
        yield xml_of(one)
        yield b"\r\n"
    yield f"--{_BOUNDARY}--\r\n".encode()
