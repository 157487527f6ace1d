"""Whether an object can go from one transfer syntax to another through its pixels, and what changes in it then.

Nothing is lost unless that is asked for: the target gets the samples that decoding the stored frames gives, bit for
bit. What stays native is `dicom.convert`'s and does not come here.
"""

from typing import Final, NamedTuple

from isocenter.dicom import convert
from isocenter.dicom.dataset import Element, text, us
from isocenter.dicom.headers import Read
from isocenter.dicom.overlay import Changes
from isocenter.dicom.scan import Scan, scan_file
from isocenter.errors import Reason, Refused
from isocenter.imaging import codestreams
from isocenter.imaging.codecs import STREAM, Writes, can_write, codec
from isocenter.imaging.colour import after_decoding
from isocenter.imaging.derivation import NEEDED as DERIVATION
from isocenter.imaging.frames import FrameBytes, frames_of
from isocenter.imaging.pixels import (
    EXTENDED_LENGTHS,
    EXTENDED_OFFSETS,
    PHOTOMETRIC,
    PLANAR,
    WANTED,
    Pixels,
    described,
)
from isocenter.imaging.recode import Lossy, Recode

ICON: Final = 0x00880200
_ENCAPSULATED_ICON: Final = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff"
SCANNED: Final = WANTED | DERIVATION | {ICON}


class Plan(NamedTuple):
    """How an object becomes another: its frames by `recode`, its elements by `changes`."""

    recode: Recode
    pixels: Pixels
    """Of the frames as they will be written."""
    changes: Changes
    writes: Writes
    """What the target holds."""


def may_transcode(stored: str, wanted: str) -> bool:
    """Whether objects go from one transfer syntax to the other without loss as far as these alone tell."""
    if convert.can_convert(stored, wanted):
        return True
    target = codec(wanted)
    return codec(stored) is not None and target is not None and target.writes is not None and not target.writes.lossy


def can_transcode(stored: str, wanted: str, pixels: Pixels, *, lossy: bool = False) -> bool:
    """Whether frames described by `pixels` (as decoded) go from one transfer syntax to the other. With `lossy` also
    into those that lose."""
    target = codec(wanted)
    if codec(stored) is None or target is None or target.writes is None:
        return False
    return (lossy or not target.writes.lossy) and can_write(wanted, pixels)


class Source(NamedTuple):
    """An object to be transcoded: its (inflated) data set behind `read(offset, n)`, scanned, with its frames."""

    read: Read
    size: int
    syntax: str
    scan: Scan
    frames: FrameBytes


def source(read: Read, size: int, syntax: str) -> Source | None:
    """Look at a data set that is not deflated (any more); None where it has no pixel data. Raises Refused where that
    can't be read."""
    found = scan_file(lambda n, at: read(at, n), size, syntax, SCANNED)
    if found.pixel is None:
        return None
    return Source(read, size, syntax, found, frames_of(found, described(found), read, size))


def planned(origin: Source, wanted: str, lossy: Lossy | None = None) -> Plan:
    """The way to `wanted`. Raises Refused(TRANSFER_SYNTAX_NOT_SUPPORTED) where there is none that loses nothing, or
    none at all with `lossy`; NOT_ACCEPTABLE where frames are missing."""
    frames = origin.frames
    if frames.count < frames.pixels.frames:
        raise Refused(Reason.NOT_ACCEPTABLE, "the object has fewer frames than it says")
    decoded = as_decoded(frames)
    if not can_transcode(origin.syntax, wanted, decoded, lossy=lossy is not None):
        raise Refused(Reason.TRANSFER_SYNTAX_NOT_SUPPORTED, "the pixels can't be had in this transfer syntax")
    target = codec(wanted)
    assert target is not None
    assert target.writes is not None
    colour = target.writes.colour if decoded.photometric == "RGB" else decoded.photometric
    if target.writes.coder == "jpeg" and decoded.samples == 3:
        colour = target.writes.colour
    written = decoded._replace(photometric=colour)
    recode = Recode(frames.syntax, wanted, frames.pixels, lossy or Lossy())
    return Plan(recode, written, _changes(origin, written), target.writes)


def as_decoded(frames: FrameBytes) -> Pixels:
    """What will describe the decoded frames, told from the first one's header alone."""
    pixels = frames.pixels
    form = codec(frames.syntax)
    stream = None
    if form is not None and form.frame == STREAM and pixels.samples == 3:
        stream = codestreams.described(frames.frame(1))
    return pixels._replace(photometric=after_decoding(pixels.photometric, pixels.samples, stream), planar=0)


def _changes(origin: Source, written: Pixels) -> Changes:
    elements = origin.scan.elements
    changes: dict[int, Element | None] = {tag: None for tag in (EXTENDED_OFFSETS, EXTENDED_LENGTHS) if tag in elements}
    changes[PHOTOMETRIC] = text("CS", written.photometric)
    if written.samples > 1:
        changes[PLANAR] = us(0)
    icon = elements.get(ICON)
    if icon is not None and _ENCAPSULATED_ICON in icon.value:
        changes[ICON] = None  # its coder is the one that the object leaves
    return changes
