"""A header scan that also notes where the wanted elements stand, so that laying changes over them needs no second
walk."""

from collections.abc import Callable, Mapping
from struct import error as struct_error
from typing import Final, TypeAlias

from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.headers import (
    BIG,
    ITEM,
    LITTLE,
    PIXEL_TAGS,
    UNDEFINED,
    Encoding,
    MalformedDataSet,
    Window,
    encoding_at,
    encoding_of,
    read_header,
)
from isocenter.dicom.jumping import Keys, RawElement, keys_for, skip_undefined
from isocenter.dicom.scan import PixelData, Scan

Places: TypeAlias = Mapping[int, tuple[int, int]]
"""Where elements begin and end, by tag; empty where they don't stand in order."""
_Run: TypeAlias = Callable[[bytes, int, Keys, dict[int, RawElement], dict[int, tuple[int, int]]], int]


def placed(window: Window, syntax: str, wanted: frozenset[int]) -> tuple[Scan, Places]:
    """What `scan.scan` finds in a data set that is not deflated and of which the window holds the beginning, and where.

    (0008,0005) is found only if it is `wanted`. Raises as that.
    """
    encoding = encoding_at(window, 0, encoding_of(syntax))
    run, keys = _RUNS[encoding], keys_for(wanted, encoding.little)
    found: dict[int, RawElement] = {}
    places: dict[int, tuple[int, int]] = {}
    pos = 0
    while not window.ended(pos):
        pos = run(window.data, window.at(pos, 8), keys, found, places)
        if window.ended(pos):
            break
        tag, vr, length, offset, implicit = read_header(window, pos, encoding)
        if tag in PIXEL_TAGS:
            pixel, reached = PixelData(tag, vr, offset, length), window.reaches(offset + length)
            return Scan(found, pixel, pos, syntax, encoding, not reached), _in_order(places)
        if tag == ITEM:
            raise MalformedDataSet("an item stands where an element should", pos)
        end = after = offset + length
        if length < 0:
            end, after = skip_undefined(window, offset, vr, tag, Encoding(implicit, encoding.little))
        if tag in wanted:
            found[tag] = RawElement(vr if vr != "UN" else vr_of(tag), window.bytes_at(offset, end - offset))
            places[tag] = (pos, after) if tag not in places else _TWICE
        pos = after
    return Scan(found, None, pos, syntax, encoding), _in_order(places)


_TWICE: Final = (-1, -1)


def _in_order(places: dict[int, tuple[int, int]]) -> Places:
    """The places, if the elements stand in the order of their tags, each once."""
    before = -1
    for tag, (start, _) in places.items():
        if tag < before or start < 0:
            return {}
        before = tag
    return places


def _run(implicit: bool, little: bool) -> _Run:
    """As `jumping.Run`."""
    layout = LITTLE if little else BIG
    unpack, unpack_implicit, unpack_length = layout.explicit, layout.implicit, layout.length
    short, long, new = layout.short, layout.long, tuple.__new__
    names = layout.names | {code: "" for code, vr in layout.names.items() if vr == "UN"}

    def over_explicit(
        data: bytes, index: int, keys: Keys, found: dict[int, RawElement], places: dict[int, tuple[int, int]]
    ) -> int:
        try:
            while True:
                first, vr, length = unpack(data, index)
                if vr in short:
                    start = index + 8
                elif vr in long:
                    (length,) = unpack_length(data, index + 8)
                    if length == UNDEFINED:
                        return index
                    start = index + 12
                else:
                    return index
                end = start + length
                if first in keys:
                    tag, known = keys[first]
                    if not known or end > len(data):
                        return index
                    found[tag] = new(RawElement, (names[vr] or known, data[start:end]))
                    places[tag] = _TWICE if tag in places else (index, end)
                index = end
        except struct_error:
            return index

    def over_implicit(
        data: bytes, index: int, keys: Keys, found: dict[int, RawElement], places: dict[int, tuple[int, int]]
    ) -> int:
        try:
            while True:
                first, length = unpack_implicit(data, index)
                if length == UNDEFINED:
                    return index
                end = index + 8 + length
                if first in keys:
                    tag, known = keys[first]
                    if not known or end > len(data):
                        return index
                    found[tag] = new(RawElement, (known, data[index + 8 : end]))
                    places[tag] = _TWICE if tag in places else (index, end)
                index = end
        except struct_error:
            return index

    return over_implicit if implicit else over_explicit


_RUNS: Final = {
    Encoding(implicit, little): _run(implicit, little) for implicit in (False, True) for little in (False, True)
}
