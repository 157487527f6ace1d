"""What rendering needs of an object: one scan of its header, made once and kept as long as the object is asked for."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from isocenter.dicom.dataset import DataSet, Element, items
from isocenter.dicom.headers import (
    ITEM,
    ITEM_DELIMITER,
    UNDEFINED,
    Encoding,
    MalformedDataSet,
    Read,
    Window,
    encoding_at,
    layout_of,
    read_header,
)
from isocenter.dicom.jumping import RawElement, keys_for, run_of, skip_undefined
from isocenter.dicom.overlay import Changes
from isocenter.dicom.scan import Scan, scan_file
from isocenter.dicom.swapping import swapped
from isocenter.imaging.pixels import WANTED, Pixels, described
from isocenter.imaging.rendering import tags

_LITTLE_ITEM: Final = 0xE000FFFE
_MOST_ITEMS: Final = 1 << 20
_NOTHING: Final[frozenset[int]] = frozenset()
SCANNED: Final = WANTED | tags.WANTED


class Header(NamedTuple):
    """An object as rendering sees it."""

    encoding: Encoding
    pixels: Pixels | None
    """None where it has no pixel data."""
    attributes: DataSet
    """What is wanted of the top level, functional groups of frames aside, with edits laid over it."""
    groups: tuple[bytes, ...] = ()
    """Per-frame Functional Groups: each frame's item as it is encoded."""
    sequences: int = 0
    """Bytes of the other sequences."""

    @property
    def size(self) -> int:
        """About how many bytes it takes to keep."""
        held = (element.value for element in self.attributes.values())
        plain = sum(len(value) if isinstance(value, bytes) else 256 for value in held)
        return plain + self.sequences + sum(map(len, self.groups)) + 4096

    @property
    def frames(self) -> int:
        """Number of Frames."""
        return self.pixels.frames if self.pixels else 0

    def of_frame(self, number: int) -> DataSet:
        """The functional groups of a frame, those of its own over the shared ones (PS3.3 C.7.6.16)."""
        found: DataSet = {}
        for shared in _sequence(self.attributes, tags.SHARED_GROUPS):
            found.update(shared)
        if number <= len(self.groups):
            found.update(_item(self.groups[number - 1], self.encoding))
        return found


def read(source: Read, size: int, syntax: str, changes: Changes | None = None) -> tuple[Header, Scan]:
    """The header of a data set of `size` bytes behind `source(offset, n)`, and the scan that its frames are found by.
    Raises MalformedDataSet, Refused where the description of its pixel data is wrong."""
    scan = scan_file(lambda n, at: source(at, n), size, syntax, SCANNED)
    attributes = _decoded(scan.elements, scan.encoding)
    for tag, element in (changes or {}).items():
        attributes.pop(tag, None)
        if element is not None and tag in SCANNED:
            attributes[tag] = element
    groups = scan.elements.get(tags.FRAME_GROUPS)
    header = Header(
        scan.encoding,
        described(scan) if scan.pixel is not None else None,
        attributes,
        _items(groups.value, scan.encoding) if groups is not None else (),
        sum(len(value) for tag, (vr, value) in scan.elements.items() if vr == "SQ" and tag != tags.FRAME_GROUPS),
    )
    return header, scan


def _decoded(elements: Mapping[int, RawElement], encoding: Encoding) -> DataSet:
    found: DataSet = {}
    for tag, (vr, value) in elements.items():
        if tag == tags.FRAME_GROUPS:
            continue
        if vr == "SQ":
            found[tag] = Element(vr, items(value, encoding))
        else:
            found[tag] = Element(vr, value if encoding.little else swapped(vr, value))
    return found


def _sequence(data_set: DataSet, tag: int) -> tuple[DataSet, ...]:
    element = data_set.get(tag)
    return element.value if element is not None and isinstance(element.value, tuple) else ()


def _items(value: bytes, encoding: Encoding) -> tuple[bytes, ...]:
    """The items of a sequence's value, each with its header, not looked into where they have a length: thousands of
    frames have one each, and one is wanted."""
    window, unpack = Window.over(value), layout_of(encoding.little).implicit
    found: list[bytes] = []
    at, mark = 0, _LITTLE_ITEM if encoding.little else ITEM
    while at + 8 <= len(value):
        first, length = unpack(value, at)
        if first != mark or len(found) == _MOST_ITEMS:
            break
        end = at + 8 + length if length != UNDEFINED else _end(window, at, encoding)
        found.append(value[at:end])
        at = end
    return tuple(found)


def _end(window: Window, at: int, encoding: Encoding) -> int:
    """The end of an item of undefined length, its delimiter included. Raises MalformedDataSet."""
    at += 8
    encoding = encoding_at(window, at, encoding)
    run, keys = run_of(encoding), keys_for(_NOTHING, encoding.little)
    while True:
        at = run(window.data, at, keys, {})
        tag, vr, length, offset, implicit = read_header(window, at, encoding)
        if tag == ITEM_DELIMITER:
            return offset
        if length < 0:
            at = skip_undefined(window, offset, vr, tag, Encoding(implicit, encoding.little))[1]
        else:
            at = offset + length


def _item(encoded: bytes, encoding: Encoding) -> DataSet:
    try:
        found = items(encoded, encoding)
    except MalformedDataSet:  # without its own groups a frame is shown by the shared ones
        return {}
    return found[0] if found else {}
