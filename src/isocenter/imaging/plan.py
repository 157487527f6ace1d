"""Whether an object can go from one transfer syntax to another through its pixels, and what changes in it then.

Nothing is lost unless that is asked for: the target gets the samples that decoding the stored frames gives, bit for
bit. What stays native is `dicom.convert`'s and does not come here.
"""

from typing import Final, NamedTuple

from isocenter.dicom import convert
from isocenter.dicom.dataset import Element, text, us
from isocenter.dicom.headers import MalformedDataSet, Read
from isocenter.dicom.overlay import Changes, merged
from isocenter.dicom.scan import Scan, scan_file
from isocenter.dicom.uids import transfer_syntax
from isocenter.errors import Reason, Refused
from isocenter.imaging import codestreams
from isocenter.imaging.codecs import STREAM, Writes, can_write, codec
from isocenter.imaging.colour import after_decoding
from isocenter.imaging.derivation import NEEDED as DERIVATION
from isocenter.imaging.frames import FrameBytes, Frames, frames_of
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
from isocenter.imaging.recolouring import NEEDED as RECOLOURING
from isocenter.imaging.recolouring import changes_of as recoloured_header
from isocenter.imaging.recolouring import loses_colour, recolour_of

ICON: Final = 0x00880200
_ENCAPSULATED_ICON: Final = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff"
SCANNED: Final = WANTED | DERIVATION | {ICON}
COLOURED: Final = SCANNED | RECOLOURING


class Plan(NamedTuple):
    """How an object becomes another: its frames by `recode`, its elements by `changes`."""

    recode: Recode
    pixels: Pixels
    """Of the frames as they will be written."""
    changes: Changes
    writes: Writes
    """What the target holds."""
    greyed: bool = False
    """Colours are lost."""


def may_transcode(stored: str, wanted: str, *, lossy: bool = False) -> bool:
    """Whether objects go from one transfer syntax to the other, without loss unless `lossy`, as far as these alone
    tell."""
    if convert.can_convert(stored, wanted):
        return True
    target = codec(wanted)
    if codec(stored) is None or target is None or target.writes is None:
        return False
    return lossy or not target.writes.lossy


def loses(wanted: str) -> bool:
    """Whether what we write in a transfer syntax has lost something."""
    target = codec(wanted)
    return target is not None and target.writes is not None and target.writes.lossy


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


def source(read: Read, size: int, syntax: str, wanted: frozenset[int] = SCANNED) -> Source | None:
    """Look at a data set that is not deflated (any more); None where it has no pixel data. Raises Refused where that
    can't be read."""
    found = scan_file(lambda n, at: read(at, n), size, syntax, wanted)
    if found.pixel is None:
        return None
    return Source(read, size, syntax, found, frames_of(found, described(found), read, size))


def planned(origin: Source, wanted: str, lossy: Lossy | None = None, colour: str = "") -> Plan:
    """The way to `wanted`, and to the photometric interpretation `colour` (`recolouring`). Raises
    Refused(TRANSFER_SYNTAX_NOT_SUPPORTED) where there is none that loses nothing, or none at all with `lossy`;
    NOT_ACCEPTABLE where frames are missing."""
    frames = origin.frames
    if frames.count < frames.pixels.frames:
        raise Refused(Reason.NOT_ACCEPTABLE, "the object has fewer frames than it says")
    decoded = as_decoded(frames, frames.pixels)
    recolour = recolour_of(origin.scan, decoded, colour)
    made = recolour.described(decoded) if recolour else decoded
    if not can_transcode(origin.syntax, wanted, made, lossy=lossy is not None):
        raise Refused(Reason.TRANSFER_SYNTAX_NOT_SUPPORTED, "the pixels can't be had in this transfer syntax")
    target = codec(wanted)
    assert target is not None
    assert target.writes is not None
    held = target.writes.colour if made.photometric == "RGB" else made.photometric
    if target.writes.coder == "jpeg" and made.samples == 3:
        held = target.writes.colour
    written = made._replace(photometric=held)
    recode = Recode(frames.syntax, wanted, frames.pixels, lossy or Lossy(), recolour)
    changes = _changes(origin, written)
    if recolour is None:
        return Plan(recode, written, changes, target.writes)
    changes = merged(recoloured_header(origin.scan, decoded, recolour), changes)
    return Plan(recode, written, changes, target.writes, loses_colour(decoded, recolour))


def recolours(read: Read, size: int, syntax: str, colour: str) -> bool:
    """Whether an object that is not deflated has to be recoloured to be in `colour`. Raises as `source`."""
    origin = source(read, size, syntax, COLOURED)
    if origin is None:
        return False
    return recolour_of(origin.scan, as_decoded(origin.frames, origin.frames.pixels), colour) is not None


def as_decoded(frames: Frames, pixels: Pixels) -> Pixels:
    """What will describe the decoded frames that `pixels` describes now, told from the first one's header alone."""
    form = codec(frames.syntax)
    stream = None
    if form is not None and form.frame == STREAM and pixels.samples == 3:
        stream = codestreams.described(frames.frame(1))
    return pixels._replace(photometric=after_decoding(pixels.photometric, pixels.samples, stream), planar=0)


def feasible(read: Read, size: int, syntax: str, wanted: str, lossy: Lossy | None = None) -> bool:
    """Whether an object can be had in `wanted`, by its header: damaged frames are not seen. Of a deflated one only the
    transfer syntaxes are looked at."""
    if transfer_syntax(syntax).deflated:
        return may_transcode(syntax, wanted, lossy=lossy is not None)
    try:
        origin = source(read, size, syntax)
        if origin is not None:
            planned(origin, wanted, lossy)
    except (Refused, MalformedDataSet):  # what can't be planned can't be had; who asks wants to know no more
        return False
    return True


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
