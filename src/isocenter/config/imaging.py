"""What decoding and encoding of pixels may take."""

from isocenter.config.kinds import Frozen, Positive, Seconds, Whole


class Imaging(Frozen, frozen=True, kw_only=True):
    """The worker processes that decode and encode pixels. They start when first needed and go when idle."""

    workers: Whole = 0
    """Most of them, for each process of the server that needs any; 0: as many as there are processors."""
    frame: Positive = 512 << 20
    """Largest frame, decoded, in bytes: the pixel budget. A larger one is refused before memory is taken for it."""
    memory: Positive = 3 << 30
    """Address space that a worker may take beyond what it starts with."""
    patience: Seconds = 60.0
    """For one frame. A worker that takes longer is ended, and the request that the frame was for gets an error."""
    picture: Positive = 100_000_000
    """Largest picture that is drawn, in pixels. Who asks for a larger one is told so."""
    animation: Positive = 64_000_000
    """Largest animation (GIF), in pixels of all its frames together."""
    font: str = ""
    """A TrueType file whose letters annotations are drawn with; empty: the one built in, with Latin letters only."""
    lossy_on_request: bool = False
    """A DICOMweb client that names a lossy transfer syntax gets it: another instance then, that says what it was made
    of. If not, 406."""
