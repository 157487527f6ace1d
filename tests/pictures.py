"""Objects made into pictures without a server: a store in memory, and what was drawn as an array."""

import hashlib
import io
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imaging_objects import data_set_of, header
from isocenter.archive.rendering import Rendered, Rendering
from isocenter.archive.retrieval.instances import Located
from isocenter.dicom.convert import convert
from isocenter.dicom.dataset import DataSet, Element, encode
from isocenter.dicom.scan import scan_file
from isocenter.dicom.uids import EXPLICIT_LE
from isocenter.imaging.arrays import Array, to_native
from isocenter.imaging.engine import Engine
from isocenter.imaging.picture import PNG, Picture
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.rendering.request import Limits
from isocenter.store.memory import MemoryStore

_CLASS, _INSTANCE, _FRAMES, _ROWS, _COLUMNS = 0x00080016, 0x00080018, 0x00280008, 0x00280010, 0x00280011
_WANTED = frozenset([_CLASS, _INSTANCE, _FRAMES, _ROWS, _COLUMNS])


_DATA = {"integer": (0x7FE00010, "OW"), "float": (0x7FE00008, "OF"), "double": (0x7FE00009, "OD")}


class Gallery:
    """A store in memory whose objects are drawn."""

    def __init__(self, engine: Engine, limits: Limits | None = None) -> None:
        self.store = MemoryStore()
        self.rendering = Rendering(self.store, engine, limits)

    def hang(self, data: bytes, syntax: str, overlay: str = "") -> Located:
        """Put a data set in."""
        key = hashlib.md5(data, usedforsecurity=False).hexdigest()
        self.store.objects[key] = data
        found = scan_file(lambda n, at: data[at : at + n], len(data), syntax, _WANTED)

        def text(tag: int) -> str:
            return found.elements[tag].value.decode("ascii").strip("\0 ") if tag in found.elements else ""

        def short(tag: int) -> int | None:
            order = "<" if found.encoding.little else ">"
            return struct.unpack(f"{order}H", found.elements[tag].value)[0] if tag in found.elements else None

        return Located(
            id=1, series=1, study_uid="1.2", series_uid="1.3", sop_uid=text(_INSTANCE), sop_class=text(_CLASS),
            syntax=syntax, store_key=key, size=len(data), offset=0, instance_number="", number=None,
            rows=short(_ROWS), columns=short(_COLUMNS), bits_allocated=None, frames=int(text(_FRAMES) or 1),
            character_set="", availability="ONLINE", digest=key, received_at=0, overlay=overlay,
        )  # fmt: skip

    def hang_file(self, path: Path) -> Located:
        """Put a file in."""
        return self.hang(*data_set_of(path))

    def rendered(self, located: Located, *frames: int, **asked: object) -> Rendered:
        """A picture of it as PNG, or what else is asked for."""
        return self.rendering.rendered(located, frames, Picture(**{"media_type": PNG, **asked}))  # type: ignore[arg-type]

    def pixels(self, located: Located, *frames: int, **asked: object) -> NDArray[np.uint8]:
        """The same decoded."""
        return pixels_of(self.rendered(located, *frames, **asked).data)


def image(pixels: Pixels, frames: Sequence[Array], elements: DataSet | None = None, syntax: str = EXPLICIT_LE) -> bytes:
    """A data set with native frames and these elements besides those that describe its pixels."""
    plain = pixels._replace(frames=len(frames))
    value = b"".join(to_native(frame, plain) for frame in frames)
    tag, vr = _DATA[pixels.kind]
    whole = header(plain) | (elements or {}) | {tag: Element(vr if pixels.allocated > 8 else "OB", value)}
    data = encode(whole, EXPLICIT_LE)
    return b"".join(convert(lambda at, n: data[at : at + n], len(data), EXPLICIT_LE, syntax))


def pixels_of(data: bytes) -> NDArray[np.uint8]:
    """The pixels of a picture: grey or red, green and blue."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))


def far(one: NDArray[np.uint8], other: NDArray[np.uint8] | Sequence[Sequence[int]]) -> int:
    """The largest difference of two pictures."""
    return int(np.abs(one.astype(int) - np.asarray(other).astype(int)).max())
