"""WADO-RS frames and pixel data (PS3.18 10.4.1.1.6): as stored, or decoded and encoded anew as Accept asks."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from isocenter import __version__
from isocenter.archive.retrieval.frames import described_frames, frames_of
from isocenter.archive.retrieval.instances import Located, Reader, reader
from isocenter.dicom.uids import name_of
from isocenter.errors import Reason, Refused
from isocenter.imaging.engine import Ahead
from isocenter.imaging.frames import Frames
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.plan import as_decoded, can_transcode
from isocenter.imaging.recode import Lossy, Recode
from isocenter.web import media
from isocenter.web.call import Call
from isocenter.web.conditions import tag_of, unchanged, whole_or_range
from isocenter.web.dicomweb import frame_media
from isocenter.web.dicomweb.frame_media import FrameForm
from isocenter.web.dicomweb.leaving import lossy_for
from isocenter.web.dicomweb.named import framed
from isocenter.web.dicomweb.objects import leaves_in
from isocenter.web.problem import Problem, bad_request, not_acceptable
from isocenter.web.reply import SLICE, Pieces, Reply

_MOST_FRAMES = 100_000
_HELD = 8 << 20
"""Decoded bytes of frames that are all made before the answer begins, so that what is damaged gets a clear one."""


async def frames(call: Call) -> Reply:
    """GET .../frames/{list}."""
    numbers = frame_numbers(call.path["frames"])
    return await call.context.lanes.retrieve.run(lambda: frames_reply(call, *framed(call), numbers))


def frame_numbers(text: str) -> list[int]:
    """The numbers of a list of frames in a path. Raises Problem 400."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 10 and int(part) > 0 for part in parts):
        raise bad_request("frame numbers are whole numbers from 1, with commas between")
    if len(parts) > _MOST_FRAMES:
        raise bad_request("too many frame numbers")
    return [int(part) for part in parts]


def frames_reply(call: Call, one: Located, table: bytes | None, numbers: Sequence[int] | None) -> Reply:
    """These frames of an object, or all of them with None: then uncompressed ones may come together as one value. Runs
    in a thread; a small answer is read at once."""
    opened = reader(call.context.store, one)
    try:
        found = frames_of(one, table, opened)
        asked = numbers if numbers is not None else range(1, found.count + 1)
        if any(number > found.count for number in asked):
            raise Problem(404, f"the object has {found.count} frames")
        described = Described(call, one, table, opened)
        together = numbers is None
        form = frame_media.choose(call.accepted, found.syntax, len(asked), described.reaches, together=together)
        if form is None:
            raise not_acceptable(_refusal(found, len(asked)))
        stored = form.syntax == found.syntax
        made = __version__ if not stored else ""
        tag = tag_of(one.digest, one.id, one.overlay, *form[1:], asked, made, weak=form.multipart)
        if unchanged(call, tag):
            opened.close()
            return Reply(304, {"Vary": "Accept", "ETag": tag})
        if stored:
            body = _Body(form, _stored(found, asked), list(map(found.length, asked)))
        else:
            body = _Body(form, *described.recoded(form.syntax, asked))
        return _reply(call, body, tag, opened)
    except BaseException:
        opened.close()
        raise


def _reply(call: Call, body: "_Body", tag: str, opened: Reader) -> Reply:
    headers = {"Content-Type": body.content_type, "Vary": "Accept", "ETag": tag}
    lane = call.context.lanes.retrieve
    if body.length is None:
        return Reply(200, headers, source=Pieces(body.pieces(), None, opened.close), lane=lane)
    if not body.form.multipart:
        headers["Accept-Ranges"] = "bytes"
        if body.length > SLICE or "range" in call.headers:
            return whole_or_range(call, headers, body.pieces(), body.length, opened.close)
    if body.length <= SLICE:
        whole = b"".join(body.pieces())
        opened.close()
        return Reply(200, headers, whole)
    return Reply(200, headers, source=Pieces(body.pieces(), body.length, opened.close), lane=lane)


class Described:
    """The frames of an object with what describes them, which is read only when they have to be recoded."""

    def __init__(self, call: Call, one: Located, table: bytes | None, opened: Reader) -> None:
        self._context, self._source = call.context, (one, table, opened)
        self._found: tuple[Frames, Pixels, Pixels] | None = None

    def _read(self) -> tuple[Frames, Pixels, Pixels]:
        """Frames, what describes them as they are stored, and as they will be decoded."""
        if self._found is None:
            found, pixels = described_frames(*self._source)
            self._found = found, pixels, as_decoded(found, pixels)
        return self._found

    def reaches(self, syntax: str) -> bool:
        """Whether they can be had in a transfer syntax that is not theirs."""
        if not leaves_in(syntax):
            return False
        found, _, decoded = self._read()
        return can_transcode(found.syntax, syntax, decoded, lossy=lossy_for(self._context, syntax) is not None)

    def recoded(self, syntax: str, numbers: Sequence[int]) -> tuple[Iterator[bytes], list[int] | None]:
        """Frames in that transfer syntax, and their lengths where they are all made. Raises Problem 406 where a frame
        that is made at once can't be decoded."""
        found, pixels, decoded = self._read()
        engine = self._context.engine
        engine.check(pixels)
        request = Recode(found.syntax, syntax, pixels, lossy_for(self._context, syntax) or Lossy())
        made = _made(engine.all_recoded(request, _stored(found, numbers)))
        if decoded.decoded_bytes * len(numbers) > _HELD and len(numbers) > 1:
            return made, None
        whole = list(made)
        return iter(whole), list(map(len, whole))


def _stored(found: Frames, numbers: Sequence[int]) -> Iterator[bytes]:
    return map(found.frame, numbers)


def _made(ahead: Ahead) -> Iterator[bytes]:
    """Frames as they come from the workers. Raises Problem 406 for one that can't be decoded."""
    try:
        for recoded in ahead:
            yield bytes(recoded.data)
    except Refused as failure:
        if failure.reason is Reason.TOO_LARGE:
            raise
        raise not_acceptable(f"the frames can't be decoded ({failure.comment}); ask for transfer-syntax=*") from failure
    finally:
        ahead.close()


@dataclass(frozen=True, slots=True)
class _Body:
    """An answer's bytes: the frames by themselves, or each in a part."""

    form: FrameForm
    contents: Iterator[bytes]
    lengths: Sequence[int] | None
    """Bytes of each frame; None where they are not made yet."""
    boundary: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def content_type(self) -> str:
        if self.form.multipart:
            return f'{media.MULTIPART}; type="{self.form.kind}"; boundary={self.boundary}'
        return f"{self.form.kind}; transfer-syntax={self.form.syntax}"

    @property
    def length(self) -> int | None:
        if self.lengths is None:
            return None
        content = sum(self.lengths)
        if not self.form.multipart:
            return content
        lead = len(self._lead(0)) + (len(self.lengths) - 1) * len(self._lead(1))
        return content + lead + len(self._end())

    def pieces(self) -> Iterator[bytes]:
        for place, content in enumerate(self.contents):
            if self.form.multipart:
                yield self._lead(place)
            yield content
        if self.form.multipart:
            yield self._end()

    def _lead(self, place: int) -> bytes:
        start = f"\r\n--{self.boundary}" if place else f"--{self.boundary}"
        return f"{start}\r\nContent-Type: {self.form.kind}; transfer-syntax={self.form.syntax}\r\n\r\n".encode()

    def _end(self) -> bytes:
        return f"\r\n--{self.boundary}--\r\n".encode()


def _refusal(found: Frames, count: int) -> str:
    kind = frame_media.type_of(found.syntax)
    single = "" if count > 1 else f" or {kind}"
    return (
        f"these frames are stored as {found.syntax} ({name_of(found.syntax)}) and can't be had in what Accept names; "
        f'they come as {media.MULTIPART}; type="{kind}"; transfer-syntax={found.syntax}{single}'
    )
