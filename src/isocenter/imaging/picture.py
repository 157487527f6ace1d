"""What a picture is asked to be (PS3.18 8.3.5): media type, size, part of the image, window, text, colour space.

    Picture(media_type=JPEG, quality=90, width=512, height=512, window=Window(40, 400))

Light: it is made wherever a request is read, and travels to the worker process that draws.
"""

from typing import Final, NamedTuple

JPEG, PNG, GIF = "image/jpeg", "image/png", "image/gif"
JP2, JPH, JPHC = "image/jp2", "image/jph", "image/jphc"
MEDIA_TYPES: Final = (JPEG, PNG, GIF, JP2, JPH, JPHC)
"""What pictures are made in, the default first (PS3.18 8.7.4). JPH is HTJ2K with a file header around it, JPHC the bare
codestream."""
ANIMATED: Final = (GIF,)
"""Those that hold all frames of an image in one picture."""

LINEAR, LINEAR_EXACT, SIGMOID = "LINEAR", "LINEAR_EXACT", "SIGMOID"
FUNCTIONS: Final = (LINEAR, LINEAR_EXACT, SIGMOID)
"""VOI LUT Functions (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""

NO_PROFILE, PROFILE = "no", "yes"
SRGB, ADOBE_RGB, ROMM_RGB, DISPLAY_P3 = "srgb", "adobergb", "rommrgb", "displayp3"
PROFILES: Final = (NO_PROFILE, PROFILE, SRGB, ADOBE_RGB, ROMM_RGB, DISPLAY_P3)
"""Values of `iccprofile` (PS3.18 8.3.5.1.6)."""

PATIENT, TECHNIQUE = "patient", "technique"
ANNOTATIONS: Final = (PATIENT, TECHNIQUE)
"""What text can be drawn on a picture (PS3.18 8.3.5.1.2)."""


class Window(NamedTuple):
    """Center and width in the output of the modality transformation, e.g. in Hounsfield units."""

    center: float
    width: float
    function: str = LINEAR


class Source(NamedTuple):
    """A part of the image in its own pixels, from 0 (PS3.18 8.3.5.1.3, sx to sh). A width or height of 0 reaches to the
    image's edge; a negative one turns the part over, left to right or top to bottom."""

    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0


class Region(NamedTuple):
    """A part of the image by its corners, from 0 to 1 of the image's width and height (PS3.18 9.1.2.3.6)."""

    left: float = 0.0
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0


class Picture(NamedTuple):
    """What is asked for. The default is the whole image in its own size with its own window and overlays, as JPEG."""

    media_type: str = JPEG
    """One of MEDIA_TYPES."""
    quality: int = 90
    """1 to 100; of JPEG, and of JPEG 2000 and HTJ2K where it is below 100 (100 loses nothing there)."""
    width: int = 0
    """Of the viewport in pixels: the picture is scaled, never distorted, to the largest that fits. 0: no bound."""
    height: int = 0
    enlarge: bool = True
    """It is scaled up to the viewport, too."""
    source: Source | None = None
    region: Region | None = None
    """Which part of the image; not with `source`."""
    window: Window | None = None
    """In place of the image's own; colour has none and is left as it is."""
    overlays: bool = True
    """Overlay graphics of the image are drawn."""
    annotations: tuple[str, ...] = ()
    """Text that is drawn: any of ANNOTATIONS."""
    profile: str = NO_PROFILE
    """One of PROFILES: the colour space that colours are converted to, and whether it is told in the picture."""
