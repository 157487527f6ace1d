"""ICC profiles: those that pictures can be asked for in, and the way from an image's own (PS3.18 8.3.5.1.6). Heavy: for
the worker processes.

The profiles are made here, of each colour space's published primaries (adapted to D50) and its curve, so that the
same request gives the same bytes.
"""

import io
import struct
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

from PIL import Image, ImageCms

from isocenter.imaging.picture import ADOBE_RGB, DISPLAY_P3, NO_PROFILE, PROFILE, ROMM_RGB, SRGB

_D50: Final = (0.9642, 1.0, 0.8249)
_SAMPLES: Final = 1024

Colour = tuple[float, float, float]


class _Space(NamedTuple):
    name: str
    red: Colour
    green: Colour
    blue: Colour
    gamma: float = 0.0
    """0: the curve of sRGB."""


_SPACES: Final[Mapping[str, _Space]] = MappingProxyType(
    {
        SRGB: _Space("sRGB", (0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)),
        ADOBE_RGB: _Space(
            "Adobe RGB (1998)", (0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457),
            563 / 256,
        ),
        ROMM_RGB: _Space(
            "ROMM RGB", (0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491), 1.8
        ),
        DISPLAY_P3: _Space(
            "Display P3", (0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)
        ),
    }
)  # fmt: skip


def converted(image: Image.Image, own: bytes, wanted: str) -> tuple[Image.Image, bytes, tuple[str, ...]]:
    """An RGB image in the colour space that is wanted, the profile to tell in it, and warnings. `own` is the ICC
    profile of its colours, b'' for none, which is taken for sRGB. Grey has none."""
    if wanted == NO_PROFILE or image.mode != "RGB":
        return image, b"", ()
    if wanted == PROFILE:
        return image, own or profile(SRGB), ()
    if not own and wanted == SRGB:
        return image, profile(SRGB), ()
    try:
        transform = _transform(own or profile(SRGB), wanted)
        made = ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image, b"", ("the ICC profile of the image can't be read; its colours are as stored",)
    assert made is not None
    return made, profile(wanted), ()


@lru_cache(maxsize=8)
def _transform(own: bytes, wanted: str) -> ImageCms.ImageCmsTransform:
    source, target = (ImageCms.getOpenProfile(io.BytesIO(held)) for held in (own, profile(wanted)))
    return ImageCms.buildTransform(source, target, "RGB", "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC)


@lru_cache(maxsize=8)
def profile(name: str) -> bytes:
    """An ICC profile (version 2, matrix and curves) of a colour space that can be asked for."""
    space = _SPACES[name]
    curve = _curve(space.gamma)
    tags = {
        b"desc": _description(space.name),
        b"cprt": b"text" + bytes(4) + b"No copyright\0",
        b"wtpt": _colour(_D50),
        b"rXYZ": _colour(space.red),
        b"gXYZ": _colour(space.green),
        b"bXYZ": _colour(space.blue),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    return _assembled(tags)


def _assembled(tags: Mapping[bytes, bytes]) -> bytes:
    at, table, body = 132 + 12 * len(tags), b"", b""
    places: dict[bytes, int] = {}
    for signature, value in tags.items():
        padded = value + bytes(-len(value) % 4)
        if padded not in places:
            places[padded] = at + len(body)
            body += padded
        table += struct.pack(">4sII", signature, places[padded], len(value))
    header = struct.pack(
        ">I4sI4s4s4s6H4s4sI4s4sQI3i4s44x",
        at + len(body), b"", 0x02400000, b"mntr", b"RGB ", b"XYZ ", 2000, 1, 1, 0, 0, 0, b"acsp", b"", 0, b"", b"", 0,
        1, *(_fixed(part) for part in _D50), b"",
    )  # fmt: skip
    return header + struct.pack(">I", len(tags)) + table + body


def _fixed(value: float) -> int:
    return round(value * 65536)


def _colour(colour: Colour) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *map(_fixed, colour))


def _description(name: str) -> bytes:
    held = name.encode("ascii") + b"\0"
    return b"desc" + bytes(4) + struct.pack(">I", len(held)) + held + bytes(78)


def _curve(gamma: float) -> bytes:
    if gamma:
        return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
    samples = (_linear(at / (_SAMPLES - 1)) for at in range(_SAMPLES))
    return b"curv" + bytes(4) + struct.pack(f">I{_SAMPLES}H", _SAMPLES, *(round(each * 65535) for each in samples))


def _linear(value: float) -> float:
    """IEC 61966-2-1."""
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)
