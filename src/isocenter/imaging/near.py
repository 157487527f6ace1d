"""Small pictures drawn in the process that is asked for them.

The way to a worker and back takes as long as drawing a common image. What needs no decoder is numbers looked up in a
table and a JPEG made of them, by code that no stranger's bytes steer: it may be done here, one picture at a time, once
the libraries are loaded. Everything else is the workers': what is compressed, large or has a profile of its own, and
whatever comes while one is being drawn here (docs/decisions/0012).
"""

import threading
from collections.abc import Callable
from typing import Final, TypeAlias

from isocenter import telemetry
from isocenter.imaging.codecs import is_native
from isocenter.imaging.picture import JPEG, NO_PROFILE, Picture
from isocenter.imaging.rendering.request import Draw, Drawn, Request
from isocenter.imaging.stored import Stored
from isocenter.workers.channel import Buffer

log = telemetry.logger("imaging.near")

_PIXELS: Final = 1 << 20
"""Of a frame, and of the picture."""
_SIDE: Final = 1024
"""Of a viewport that may enlarge."""

Drawing: TypeAlias = Callable[[Draw, memoryview, Stored | None], tuple[Drawn, bytes]]


def suits(request: Request) -> bool:
    """Whether a picture may be drawn here."""
    if not isinstance(request, Draw) or request.text or request.presentation.icc:
        return False
    pixels, picture = request.pixels, request.picture
    return (
        picture.media_type == JPEG
        and picture.profile == NO_PROFILE
        and is_native(request.syntax)
        and pixels.kind == "integer"
        and pixels.allocated in (8, 16)
        and pixels.rows * pixels.columns <= _PIXELS
        and _is_small(picture)
        and request.presentation.area is None
    )


def _is_small(picture: Picture) -> bool:
    """It comes out no larger than the frame, or than what is small too."""
    bounds = [side for side in (picture.width, picture.height) if side]
    return not bounds or (len(bounds) == 2 and max(bounds) <= _SIDE)


class Near:
    """Draws for the threads of this process, one at a time."""

    def __init__(self, drawing: Drawing | None = None) -> None:
        """`drawing`: what draws; None: what is loaded once something is expected."""
        self._drawing = drawing
        self._busy = threading.Lock()
        self._loading = drawing is not None

    def drawn(self, request: Request, data: Buffer | Stored) -> tuple[Drawn, memoryview] | None:
        """The picture; None where a worker is to draw it."""
        if self._drawing is None or not isinstance(request, Draw) or not suits(request):
            return None
        if not self._busy.acquire(blocking=False):
            return None
        try:
            stored = data if isinstance(data, Stored) else None
            made, picture = self._drawing(request, memoryview(b"" if isinstance(data, Stored) else data), stored)
        except Exception as fault:
            # a worker says what is wrong with it, within its bounds
            log.info("picture.not-near", fault=type(fault).__name__)
            return None
        finally:
            self._busy.release()
        return made, memoryview(picture)

    def expect(self, request: Request) -> None:
        """One like this was asked for: load what it takes, so that the next can be drawn here. Returns at once."""
        with self._busy:
            if self._loading or not suits(request):
                return
            self._loading = True
        threading.Thread(target=self._load, name="imaging-near", daemon=True).start()

    def _load(self) -> None:
        try:
            from isocenter.imaging.rendering.drawing import draw  # heavy: nothing of it before the first picture
        except ImportError:
            log.error("libraries.not-loaded", exc_info=True)  # the workers will say the same
            return
        self._drawing = draw
