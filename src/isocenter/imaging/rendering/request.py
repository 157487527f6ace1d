"""What a worker process is asked to draw, and what it answers; each is followed by bytes (`imaging.recode`)."""

from typing import Final, NamedTuple, TypeAlias

import msgspec

from isocenter.errors import Reason
from isocenter.imaging.picture import Picture
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.rendering.presentation import Presentation
from isocenter.imaging.stored import Stored

RAW: Final = "raw"
"""The media type of a drawn frame that is to become part of an animation: rows of bytes, a sample or three a pixel."""


class Limits(NamedTuple):
    """How large pictures may be, and what an installation decides about them besides."""

    pixels: int = 100_000_000
    """Of a picture."""
    animation: int = 64_000_000
    """Of all frames of an animation together."""
    font: str = ""
    """A TrueType file for text; '' for the one built in."""


class Draw(NamedTuple):
    """Draw a frame of transfer syntax `syntax`, whose bytes follow."""

    syntax: str
    pixels: Pixels
    presentation: Presentation
    picture: Picture
    text: tuple[tuple[str, ...], ...] = ()
    """Lines for the upper left and the upper right corner."""
    most: int = Limits().pixels
    """Pixels of the picture."""
    font: str = ""
    """A TrueType file for the text; '' for the one built in."""
    name: str = ""
    """What no other frame is called: it may be asked for again with another window. '' for a frame without a name."""


class Animate(NamedTuple):
    """Put frames that were drawn as RAW, which follow one after the other, into one picture."""

    columns: int
    rows: int
    samples: int
    times: tuple[int, ...]
    """How long each frame is shown, in milliseconds."""
    media_type: str


class Icon(NamedTuple):
    """Draw the icon of what is no image. No bytes follow."""

    subject: str
    """A word of `icons.SUBJECTS`."""
    picture: Picture


class Drawn(NamedTuple):
    """What came of any of these. The picture follows; or why there is none."""

    media_type: str = ""
    columns: int = 0
    rows: int = 0
    samples: int = 1
    warnings: tuple[str, ...] = ()
    reason: Reason | None = None
    comment: str = ""


Request: TypeAlias = Draw | Animate | Icon


class Order(msgspec.Struct, omit_defaults=True):
    """One of them, as it travels."""

    draw: Draw | None = None
    animate: Animate | None = None
    icon: Icon | None = None
    stored: Stored | None = None
    """Where the frame to be drawn is to be read, if it does not follow."""


def ordered(request: Request, stored: Stored | None = None) -> Order:
    """A request as it travels."""
    match request:
        case Draw():
            return Order(draw=request, stored=stored)
        case Animate():
            return Order(animate=request)
        case Icon():
            return Order(icon=request)
