"""The settings of compression: rules that say which stored objects are compressed, when, and into what."""

from typing import Annotated, Literal

import msgspec

from isocenter.config.coercion import Condition
from isocenter.config.kinds import Frozen, Positive, Seconds, Whole

_DAY = 86400.0


class LossyCompression(Frozen, frozen=True, kw_only=True):
    """How much a rule's compression may lose, and what becomes of what it was made of. The copy is another instance,
    with a SOP Instance UID of its own (PS3.3 C.7.6.1.1.5)."""

    quality: Annotated[int, msgspec.Meta(ge=1, le=100)] = 90
    """Of JPEG."""
    near: Annotated[int, msgspec.Meta(ge=1, le=255)] = 2
    """Of JPEG-LS: how far a sample may be off."""
    psnr: Annotated[int, msgspec.Meta(ge=20, le=120)] = 60
    """Of JPEG 2000, in decibels of the range of all bits."""
    step: Annotated[float, msgspec.Meta(gt=0, le=0.5)] = 0.0005
    """Of HTJ2K: the quantization step, as a part of the range of all bits."""
    least: Whole = 30
    """A copy that comes out worse than this, in decibels, is not kept."""
    original: Literal["keep", "delete"] = "keep"
    """What becomes of the object that the copy was made of: it stays beside it, or is deleted, and goes from the store
    when the time of `compression.keep` is over."""


class CompressionRule(Frozen, frozen=True, kw_only=True):
    """Which objects are compressed. The first rule that an object fits decides; a condition that is not given fits
    all."""

    name: str = ""
    """What messages and the log call it."""
    calling: tuple[str, ...] = ()
    """AE titles that the object came from, `*` and `?` allowed."""
    called: tuple[str, ...] = ()
    """AE titles of ours that received it, `*` and `?` allowed."""
    classes: tuple[str, ...] = ()
    """SOP Class UIDs or their keywords (`CTImageStorage`)."""
    modalities: tuple[str, ...] = ()
    """Modality (0008,0060) of the series."""
    where: tuple[Condition, ...] = ()
    """What attributes must be, as the object came."""
    stored: tuple[str, ...] = ()
    """Transfer syntaxes that it is stored in, by UID or keyword; not given: the uncompressed ones."""
    to: str = ""
    """The transfer syntax that it goes to, by UID or keyword (`JPEG2000Lossless`, `JPEGLSLossless`,
    `HTJ2KLosslessRPCL`, `RLELossless`); empty: it stays as it is, whatever later rules say."""
    larger: bool = False
    """What gets larger is kept too: for another form that is faster to show, `ExplicitVRLittleEndian` among them."""
    settled: Seconds = 60.0
    """The study has received nothing for so long."""
    age: Seconds = 0.0
    """The object was received so long ago."""
    lossy: LossyCompression | None = None
    """Given where `to` loses information."""


class Compression(Frozen, frozen=True, kw_only=True):
    """What holds for all compression in the store."""

    keep: Annotated[float, msgspec.Meta(ge=3600)] = 7 * _DAY
    """What was compressed is kept for so long beside what stands in its place; an hour at least, for who is still
    reading it."""
    studies: Positive = 1
    """Studies that are compressed at once; each keeps one processor busy."""
