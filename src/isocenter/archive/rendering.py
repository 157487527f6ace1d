"""Pictures of stored instances: what rendering needs is read from the object with its edits, workers draw.

    rendering = Rendering(store, engine)
    rendering.renderable(located)                       the media types of its pictures, () for none
    rendering.rendered(located, (3,), picture)          Rendered: a picture of frame 3
    rendering.thumbnail(located, None, picture)         a picture of whatever it is, an icon for what is no image

Errors are `Refused`: NOT_FOUND for a frame that is not there, NOT_ACCEPTABLE for what has no pictures or has none of
the kind asked for, TOO_LARGE, BAD_REQUEST for a picture that can't be, CANNOT_UNDERSTAND for damaged pixels.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Final, NamedTuple

from isocenter.archive.kept import Kept
from isocenter.archive.leaving import changes_of
from isocenter.archive.retrieval.instances import Located, Reader, reader
from isocenter.config.imaging import Imaging
from isocenter.dicom.dataset import DataSet, decode
from isocenter.dicom.deflate import inflate
from isocenter.dicom.headers import Read
from isocenter.dicom.uids import EXPLICIT_LE, transfer_syntax
from isocenter.errors import Reason, Refused
from isocenter.imaging.codecs import codec
from isocenter.imaging.engine import Engine
from isocenter.imaging.frames import FrameBytes, frames_of
from isocenter.imaging.picture import ANIMATED, MEDIA_TYPES, Picture
from isocenter.imaging.rendering import header as headers
from isocenter.imaging.rendering.annotations import lines_of
from isocenter.imaging.rendering.header import Header
from isocenter.imaging.rendering.own import presentation_of
from isocenter.imaging.rendering.request import RAW, Animate, Draw, Drawn, Icon, Limits
from isocenter.imaging.rendering.states import stated
from isocenter.imaging.rendering.subjects import subject_of
from isocenter.imaging.rendering.times import representative, times
from isocenter.imaging.stored import Stored
from isocenter.store.api import Store

_KEPT: Final = 64
_KEPT_PICTURES: Final = 256
_KEPT_BYTES: Final = 32 << 20
"""Of headers: those of images with thousands of frames take a while to read."""
_KEPT_PICTURE_BYTES: Final = 16 << 20
"""Of pictures: those of a study list's thumbnails, or of what several people look at."""
_LONGEST_STATE: Final = 64 << 20


def limits_of(imaging: Imaging) -> Limits:
    """The limits as they are configured."""
    return Limits(imaging.picture, imaging.animation, imaging.font)


class Rendered(NamedTuple):
    """A picture."""

    media_type: str
    data: bytes
    warnings: tuple[str, ...] = ()
    """What could not be done as it was asked for, in words."""


class _Known(NamedTuple):
    """An object that was looked at: its header, and where its frames lie."""

    store_key: str
    header: Header
    frames: FrameBytes
    state: DataSet | None = None
    """The presentation state that is applied to it now."""


class Rendering:
    """Makes pictures of what is in a store. All methods may be called by several threads at once; they block."""

    def __init__(self, store: Store, engine: Engine, limits: Limits | None = None) -> None:
        self._store, self._engine, self._limits = store, engine, limits or Limits()
        self._known = Kept[_Known](_KEPT, _KEPT_BYTES, _size)
        self._pictures = Kept[Rendered](_KEPT_PICTURES, _KEPT_PICTURE_BYTES, lambda made: len(made.data))

    def renderable(self, located: Located) -> tuple[str, ...]:
        """The media types of pictures that can be made of an instance, the default first; () where none can: it has no
        pixels, or they are a video, which passes through as it is."""
        return MEDIA_TYPES if located.rows and codec(located.syntax) is not None else ()

    def rendered(
        self, located: Located, frames: Sequence[int], picture: Picture, state: Located | None = None
    ) -> Rendered:
        """One picture. Of several frames it is an animation, in a media type that has those; with no frames named it is
        of all of them there, else of the representative one.

        `state`: a presentation state that says how it is shown. One that says nothing of this image, or is none that
        can be applied, is BAD_REQUEST.
        """
        if not self.renderable(located):
            raise Refused(Reason.NOT_ACCEPTABLE, "the object has no pixels that can be drawn")
        said = (state.store_key, state.digest) if state is not None else None
        key = (located.store_key, located.overlay, tuple(frames), picture, said)
        made = self._pictures.get(key)
        if made is None:
            made = self._made(located, frames, picture, state)
            self._pictures.keep(key, made)
        return made

    def thumbnail(self, located: Located, frame: int | None, picture: Picture) -> Rendered:
        """A picture of a frame, None for the representative one; an icon of what is no image or can't be decoded."""
        if not self.renderable(located):
            return _drawn(*self._engine.drawn(Icon(subject_of(located.sop_class, located.syntax), picture)), ())
        if frame is None and picture.media_type in ANIMATED:
            frame = self._representative(located)
        return self.rendered(located, () if frame is None else (frame,), picture)

    def _made(self, located: Located, frames: Sequence[int], picture: Picture, state: Located | None) -> Rendered:
        with reader(self._store, located) as opened:
            source = _Source(located, opened)
            known = self._looked_at(located, source)
            known = known._replace(state=self._state(state)) if state is not None else known
            numbers = self._numbers(known, frames, picture)
            if picture.media_type in ANIMATED:
                return self._animation(known, source, numbers, picture)
            draw, warnings = self._asked(known, numbers[0], picture)
            return _drawn(*self._engine.drawn(draw, source.frame(known.frames, numbers[0])), warnings)

    # --- what is known of objects

    def _representative(self, located: Located) -> int:
        with reader(self._store, located) as opened:
            return _standing(self._looked_at(located, _Source(located, opened)))

    def _looked_at(self, located: Located, source: "_Source") -> _Known:
        key = (located.store_key, located.overlay)
        known = self._known.get(key)
        if known is None:
            known = self._look(located, source)
            # what is kept must not hold the open object
            self._known.keep(key, known._replace(frames=replace(known.frames, read=_gone)))
        return known._replace(frames=replace(known.frames, read=source.read))

    def _look(self, located: Located, source: "_Source") -> _Known:
        header, scan = headers.read(source.read, source.size, source.syntax, changes_of(self._store, located))
        if header.pixels is None:
            raise Refused(Reason.NOT_ACCEPTABLE, "the object has no pixels that can be drawn")
        self._engine.check(header.pixels)
        return _Known(located.store_key, header, frames_of(scan, header.pixels, source.read, source.size))

    def _state(self, located: Located) -> DataSet:
        """A presentation state, which is small. Edits are about whom it belongs to, and are not looked at."""
        if located.size > _LONGEST_STATE or located.rows:
            raise Refused(Reason.BAD_REQUEST, "this is no presentation state that can be applied")
        with reader(self._store, located) as opened:
            return decode(opened.pread(opened.size, 0), located.syntax)

    # --- drawing

    def _numbers(self, known: _Known, frames: Sequence[int], picture: Picture) -> tuple[int, ...]:
        if any(not 1 <= number <= known.frames.count for number in frames):
            raise Refused(Reason.NOT_FOUND, f"the object has {known.frames.count} frames")
        if frames:
            return tuple(frames)
        if picture.media_type in ANIMATED:
            return tuple(range(1, known.frames.count + 1))
        return (_standing(known),)

    def _asked(self, known: _Known, number: int, picture: Picture) -> tuple[Draw, tuple[str, ...]]:
        """How a frame is to be drawn; there may be warnings."""
        frames, header = known.frames, known.header
        warnings: tuple[str, ...] = ()
        presentation = presentation_of(header, frames.pixels, number, picture)
        if known.state is not None:
            presentation, warnings = stated(known.state, header, presentation, number, picture)
        draw = Draw(
            frames.syntax,
            frames.pixels,
            presentation,
            picture,
            lines_of(header, number, picture),
            self._limits.pixels,
            self._limits.font,
            f"{known.store_key} {number}",
        )
        return draw, warnings

    def _animation(self, known: _Known, source: "_Source", numbers: Sequence[int], picture: Picture) -> Rendered:
        drawn, pieces = None, []
        for each, data in self._ahead(known, source, numbers, picture._replace(media_type=RAW)):
            drawn = drawn or each
            if drawn.columns * drawn.rows * len(numbers) > self._limits.animation:
                raise Refused(Reason.TOO_LARGE, "the frames make a larger animation than may be made: ask for fewer")
            if (each.columns, each.rows, each.samples) != (drawn.columns, drawn.rows, drawn.samples):
                raise Refused(Reason.CANNOT_UNDERSTAND, "the frames of the object differ in size")
            pieces.append(data)
        assert drawn is not None
        shown = times(known.header.attributes, numbers)
        animate = Animate(drawn.columns, drawn.rows, drawn.samples, shown, picture.media_type)
        return _drawn(*self._engine.drawn(animate, b"".join(pieces)), drawn.warnings)

    def _ahead(
        self, known: _Known, source: "_Source", numbers: Sequence[int], picture: Picture
    ) -> "Iterator[tuple[Drawn, bytes]]":
        """Frames drawn, in order, with all workers busy."""
        waiting: deque[tuple[Future[bytearray], tuple[str, ...]]] = deque()
        left = iter(numbers)
        try:
            while True:
                while len(waiting) <= self._engine.limit and (number := next(left, None)) is not None:
                    draw, warnings = self._asked(known, number, picture)
                    waiting.append((self._engine.begun_picture(draw, source.frame(known.frames, number)), warnings))
                if not waiting:
                    return
                begun, warnings = waiting.popleft()
                drawn, data = self._engine.finished_picture(begun)
                yield drawn._replace(warnings=warnings + drawn.warnings), bytes(data)
        finally:
            while waiting:
                waiting.popleft()[0].cancel()


class _Source:
    """An open object's data set, inflated where it is deflated."""

    def __init__(self, located: Located, opened: Reader) -> None:
        self.syntax, self.size = located.syntax, opened.size
        self.read: Read = opened.at
        self._opened: Reader | None = opened
        if transfer_syntax(located.syntax).deflated:
            self._opened = None
            whole = inflate(opened.pread(opened.size, 0))
            self.syntax, self.size = EXPLICIT_LE, len(whole)
            self.read = lambda at, n: whole[at : at + n]

    def frame(self, frames: FrameBytes, number: int) -> bytes | Stored:
        """A frame, or where a worker process can read it."""
        stored = self._opened.stored(frames.pieces(number)) if self._opened is not None else None
        return frames.frame(number) if stored is None else stored


def _standing(known: _Known) -> int:
    """The number of the frame that stands for all."""
    return min(representative(known.header.attributes), known.frames.count)


def _drawn(drawn: Drawn, data: memoryview, warnings: tuple[str, ...]) -> Rendered:
    return Rendered(drawn.media_type, bytes(data), warnings + drawn.warnings)


def _size(known: _Known) -> int:
    places = known.frames.places
    return known.header.size + (0 if isinstance(places, range) else 160 * len(places))


def _gone(offset: int, n: int) -> bytes:
    raise AssertionError("the object is not open")
