"""WADO-RS rendered resources (PS3.18 10.4.1.1.3): frames as pictures, documents and videos as the files that they are.

One instance asked for by itself comes as one picture: an animation where an animated media type is asked for, else its
representative frame. In `multipart/related` every frame is a part, and so it is with several instances, whose parts'
`Content-Location` tells them apart.
"""

import secrets
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from isocenter import __version__, telemetry
from isocenter.archive.rendering import Rendered, Rendering
from isocenter.archive.retrieval.contained import Contained, contained_in, may_contain
from isocenter.archive.retrieval.instances import Located, reader
from isocenter.errors import IsocenterError
from isocenter.imaging.picture import ANIMATED, MEDIA_TYPES, Picture
from isocenter.web import media
from isocenter.web.call import Call
from isocenter.web.conditions import range_of, tag_of, unchanged
from isocenter.web.dicomweb.framing import frame_numbers
from isocenter.web.dicomweb.named import found_by, located
from isocenter.web.dicomweb.picture_media import Wish, wishes
from isocenter.web.picture_parameters import picture_of
from isocenter.web.problem import MEDIA_TYPE as PROBLEM
from isocenter.web.problem import Problem, not_acceptable, problem_of, showing
from isocenter.web.reply import Pieces, Reply
from isocenter.web.root import study_url

log = telemetry.logger("web")

CACHED: Final = "private, no-cache"
"""What a client keeps it asks about before it shows it again: access may have been taken away."""
_PICTURES: Final = ", ".join(MEDIA_TYPES)
_LOCKED: Final = "default-src 'none'; sandbox"
"""Content-Security-Policy of what a stranger wrote and a browser may run."""


class Shown(NamedTuple):
    """One part of an answer: an instance's frames as a picture, or with `contained` the file in it."""

    one: Located
    kind: str
    frames: tuple[int, ...] = ()
    """Empty: what stands for all of it."""
    contained: bool = False


async def rendered(call: Call) -> Reply:
    """GET .../rendered of a study, a series, an instance or frames."""
    picture, unknown = picture_of(call)
    numbers = frame_numbers(call.path["frames"]) if "frames" in call.path else []
    return await call.context.lanes.render.run(_rendered, call, picture, numbers, unknown)


def _rendered(call: Call, picture: Picture, numbers: Sequence[int], unknown: Sequence[str]) -> Reply:
    found = [located(call)] if "instance" in call.path else found_by(call)
    shower = Shower(call, picture)
    alone = len(found) == 1
    for wish in wishes(call.accepted):
        if numbers:
            shown = shower.frames(found[0], numbers, wish)
        else:
            shown = [part for one in found for part in shower.instance(one, wish, apart=wish.multipart or not alone)]
        if not shown:
            continue
        warnings = ["unknown parameters were passed over"] * bool(unknown)
        left = len(found) - len({part.one.id for part in shown})
        warnings += [f"{left} instances can't be shown so"] * bool(left)
        if alone and len(shown) == 1 and not wish.multipart:
            return shower.single(shown[0], warnings)
        return shower.parts(shown, warnings)
    raise not_acceptable(shower.refusal(found[0], numbers) if alone else _NONE)


_NONE: Final = f"nothing here can be shown so; pictures come as {_PICTURES}, documents and videos as they are"


class Shower:
    """Shows objects to one client."""

    def __init__(self, call: Call, picture: Picture, state: Located | None = None) -> None:
        """`state`: the presentation state that pictures are shown by."""
        self._call, self._picture, self._presented = call, picture, state
        self._store = call.context.store
        self._rendering: Rendering = call.context.rendering

    def frames(self, one: Located, numbers: Sequence[int], wish: Wish) -> list[Shown]:
        """These frames of an instance, a part each unless they make an animation. Raises Problem 404."""
        kind = wish.pick(self._rendering.renderable(one))
        if kind is None:
            return []
        if any(number > max(one.frames or 1, 1) for number in numbers):
            raise Problem(404, f"the object has {max(one.frames or 1, 1)} frames")
        if kind in ANIMATED:
            return [Shown(one, kind, tuple(numbers))]
        return [Shown(one, kind, (number,)) for number in numbers]

    def instance(self, one: Located, wish: Wish, *, apart: bool) -> list[Shown]:
        """An instance in the way that is wished; with `apart` each frame by itself. Empty where that can't be."""
        if may_contain(one):
            kind = wish.pick(self._media_types(one))
            return [Shown(one, kind, contained=True)] if kind is not None else []
        kind = wish.pick(self._rendering.renderable(one))
        if kind is None:
            return []
        if kind in ANIMATED or not apart:
            return [Shown(one, kind)]
        return [Shown(one, kind, (number,)) for number in range(1, max(one.frames or 1, 1) + 1)]

    def single(self, shown: Shown, warnings: list[str]) -> Reply:
        """The answer that consists of one picture or file."""
        tag = tag_of(*self._state(shown))
        headers = {"Content-Type": shown.kind, "Vary": "Accept", "ETag": tag, "Cache-Control": CACHED}
        if unchanged(self._call, tag):
            return Reply(304, headers)
        if shown.contained:
            return self._file(shown, headers)
        made = self._drawn(shown)
        return Reply(200, with_warnings(headers, [*warnings, *made.warnings]), made.data)

    def parts(self, shown: Sequence[Shown], warnings: list[str]) -> Reply:
        """The answer in parts, made as they leave."""
        tag = tag_of(*(each for part in shown for each in self._state(part)), weak=True)
        boundary = secrets.token_hex(16)
        kind = f'{media.MULTIPART}; type="{shown[0].kind}"; boundary={boundary}'
        headers = {"Content-Type": kind, "Vary": "Accept", "ETag": tag, "Cache-Control": CACHED}
        if unchanged(self._call, tag):
            return Reply(304, headers)
        source = Pieces(self._pieces(shown, boundary), None)
        return Reply(200, with_warnings(headers, warnings), source=source, lane=self._call.context.lanes.render)

    def refusal(self, one: Located, numbers: Sequence[int]) -> str:
        """What to tell who asked for an instance in a way that isn't there."""
        kinds = self._media_types(one) if may_contain(one) and not numbers else self._rendering.renderable(one)
        if not kinds:
            return "this object has nothing that can be shown as a picture, a document or a video"
        return f"this can be shown as {', '.join(kinds)}"

    def _pieces(self, shown: Sequence[Shown], boundary: str) -> Iterator[bytes]:
        for place, part in enumerate(shown):
            where = study_url(self._call.root, part.one.study_uid, part.one.series_uid, part.one.sop_uid)
            if part.frames:
                where += f"/frames/{','.join(map(str, part.frames))}"
            lead = "\r\n" * bool(place) + f"--{boundary}\r\nContent-Location: {where}/rendered\r\nContent-Type: "
            if part.contained:
                yield f"{lead}{part.kind}\r\n\r\n".encode()
                yield from self._contents(part.one)
                continue
            kind, data = self._part(part, first=not place)
            yield f"{lead}{kind}\r\nContent-Length: {len(data)}\r\n\r\n".encode()
            yield data
        yield f"\r\n--{boundary}--\r\n".encode()

    def _part(self, part: Shown, *, first: bool) -> tuple[str, bytes]:
        """One picture; or, behind the first, what is wrong with it, since the status has left by then."""
        try:
            return part.kind, self._drawn(part).data
        except (IsocenterError, Problem) as fault:
            if first:
                raise
            problem = fault if isinstance(fault, Problem) else problem_of(fault)
            log.warning("picture.failed", detail=problem.detail, sop_instance=part.one.sop_uid)
            return PROBLEM, problem.body()

    def _drawn(self, part: Shown) -> Rendered:
        with showing():
            return self._rendering.rendered(
                part.one, part.frames, self._picture._replace(media_type=part.kind), self._presented
            )

    def _contents(self, one: Located) -> Iterator[bytes]:
        with reader(self._store, one) as opened:
            found = _must(contained_in(one, opened))
            yield from found.pieces(0, found.length)

    def _file(self, shown: Shown, headers: dict[str, str]) -> Reply:
        opened = reader(self._store, shown.one)
        try:
            found = _must(contained_in(shown.one, opened))
            headers["X-Content-Type-Options"] = "nosniff"
            # without it no isolated page may show a document in a frame
            headers["Cross-Origin-Embedder-Policy"] = "require-corp"
            if not shown.kind.startswith(("video/", "application/pdf")):
                headers["Content-Security-Policy"] = _LOCKED
            return range_of(self._call, headers, found.pieces, found.length, opened.close)
        except BaseException:
            opened.close()
            raise

    def _media_types(self, one: Located) -> tuple[str, ...]:
        with reader(self._store, one) as opened:
            found = contained_in(one, opened)
        return found.media_types if found is not None else ()

    def _state(self, shown: Shown) -> tuple[object, ...]:
        one, state = shown.one, self._presented
        presented = (state.digest, state.id) if state is not None else ()
        return (__version__, one.digest, one.id, one.overlay, shown.kind, shown.frames, self._picture, presented)


def with_warnings(headers: dict[str, str], warnings: Sequence[str]) -> dict[str, str]:
    """The headers with Warning (RFC 7234 5.5) where there is something to warn of."""
    if warnings:
        headers["Warning"] = ", ".join(f'299 isocenter "{text}"' for text in dict.fromkeys(warnings))
    return headers


def _must(found: Contained | None) -> Contained:
    if found is None:
        raise not_acceptable("the object holds no document or video any more")
    return found
