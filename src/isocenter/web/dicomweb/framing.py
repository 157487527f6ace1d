"""WADO-RS frames and pixel data (PS3.18 10.4.1.1.6): native ones as little endian octets, compressed ones as stored."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from isocenter.archive.retrieval.frames import Frames, frames_of
from isocenter.archive.retrieval.instances import Located, reader
from isocenter.dicom.uids import name_of
from isocenter.web import media
from isocenter.web.call import Call
from isocenter.web.conditions import tag_of, unchanged, whole_or_range
from isocenter.web.dicomweb import frame_media
from isocenter.web.dicomweb.retrieving import framed
from isocenter.web.problem import Problem, bad_request, not_acceptable
from isocenter.web.reply import SLICE, Pieces, Reply

_MOST_FRAMES = 100_000


async def frames(call: Call) -> Reply:
    """GET .../frames/{list}."""
    numbers = _numbers(call.path["frames"])
    return await call.context.lanes.retrieve.run(lambda: frames_reply(call, *framed(call), numbers))


def _numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 10 and int(part) > 0 for part in parts):
        raise bad_request("frame numbers are whole numbers from 1, with commas between")
    if len(parts) > _MOST_FRAMES:
        raise bad_request("too many frame numbers")
    return [int(part) for part in parts]


def frames_reply(call: Call, one: Located, table: bytes | None, numbers: Sequence[int] | None) -> Reply:
    """These frames of an object, or all of them with None. Runs in a thread; a small answer is read at once."""
    opened = reader(call.context.store, one)
    try:
        body = _body(call, frames_of(one, table, opened), numbers)
        tag = tag_of(one.digest, one.id, one.overlay, body.kind, body.numbers, weak=bool(body.boundary))
        headers = {"Content-Type": body.content_type, "Vary": "Accept", "ETag": tag}
        if unchanged(call, tag):
            opened.close()
            return Reply(304, headers)
        if not body.boundary:
            headers["Accept-Ranges"] = "bytes"
        if not body.boundary and (body.length > SLICE or "range" in call.headers):
            return whole_or_range(call, headers, body.pieces(), body.length, opened.close)
        if body.length <= SLICE:
            whole = b"".join(body.pieces())
            opened.close()
            return Reply(200, headers, whole)
    except BaseException:
        opened.close()
        raise
    source = Pieces(body.pieces(), body.length, opened.close)
    return Reply(200, headers, source=source, lane=call.context.lanes.retrieve)


@dataclass(frozen=True, slots=True)
class _Body:
    """An answer's bytes: the frames by themselves, or each in a part."""

    found: Frames
    numbers: Sequence[int]
    kind: str
    boundary: str

    @property
    def content_type(self) -> str:
        if self.boundary:
            return f'{media.MULTIPART}; type="{self.kind}"; boundary={self.boundary}'
        return f"{self.kind}; transfer-syntax={self.found.syntax}"

    @property
    def length(self) -> int:
        content = sum(map(self.found.length, self.numbers))
        if not self.boundary:
            return content
        lead = len(self._lead(0)) + (len(self.numbers) - 1) * len(self._lead(1))
        return content + lead + len(self._end())

    def pieces(self) -> Iterator[bytes]:
        for place, number in enumerate(self.numbers):
            if self.boundary:
                yield self._lead(place)
            yield self.found.frame(number)
        if self.boundary:
            yield self._end()

    def _lead(self, place: int) -> bytes:
        start = f"\r\n--{self.boundary}" if place else f"--{self.boundary}"
        return f"{start}\r\nContent-Type: {self.kind}; transfer-syntax={self.found.syntax}\r\n\r\n".encode()

    def _end(self) -> bytes:
        return f"\r\n--{self.boundary}--\r\n".encode()


def _body(call: Call, found: Frames, numbers: Sequence[int] | None) -> _Body:
    asked = numbers if numbers is not None else range(1, found.count + 1)
    if any(number > found.count for number in asked):
        raise Problem(404, f"the object has {found.count} frames")
    chosen = frame_media.choose(call.accepted, found.syntax, len(asked))
    if chosen is None:
        raise not_acceptable(_refusal(found, len(asked)))
    multipart, kind = chosen
    return _Body(found, asked, kind, secrets.token_hex(16) if multipart else "")


def _refusal(found: Frames, count: int) -> str:
    kind = frame_media.type_of(found.syntax)
    single = "" if count > 1 else f" or {kind}"
    return (
        f"these frames are stored as {found.syntax} ({name_of(found.syntax)}); they come as {media.MULTIPART}; "
        f'type="{kind}"; transfer-syntax={found.syntax}{single}'
    )
