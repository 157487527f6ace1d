"""Pictures as files (PS3.18 8.7.4). Heavy: for the worker processes. The same picture gives the same bytes."""

import io
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import imagecodecs
import numpy as np
from PIL import Image

from isocenter.errors import Reason, Refused
from isocenter.imaging.picture import GIF, JP2, JPEG, JPH, JPHC, PNG
from isocenter.imaging.rendering.request import RAW

_FINE: Final = 90
"""Quality from which on colours keep their full resolution in JPEG."""
_NOTHING_LOST: Final = 100


def written(image: Image.Image, media_type: str, quality: int, icc: bytes) -> bytes:
    """An image of grey or RGB in a media type; `quality` 1 to 100; `icc` is the profile told in it, b'' for none.
    Raises Refused(NOT_ACCEPTABLE) for a media type that isn't written."""
    writer = _WRITERS.get(media_type)
    if writer is None:
        raise Refused(Reason.NOT_ACCEPTABLE, "pictures are not made in this media type")
    return writer(image, quality, icc)


def animated(frames: Sequence[Image.Image], times: Sequence[int]) -> bytes:
    """A GIF of these frames, shown for so many milliseconds each, over and over."""
    made = [_limited(frame) for frame in frames]
    out = io.BytesIO()
    # a GIF counts hundredths of a second, and browsers take what is shorter than two of them for ten
    shown = [max(round(time / 10), 2) * 10 for time in times]
    made[0].save(out, "GIF", save_all=True, append_images=made[1:], duration=shown, loop=0, disposal=1)
    return out.getvalue()


def _limited(image: Image.Image) -> Image.Image:
    """In 256 colours."""
    return image if image.mode == "L" else image.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)


def _raw(image: Image.Image, quality: int, icc: bytes) -> bytes:
    return image.tobytes()


def _jpeg(image: Image.Image, quality: int, icc: bytes) -> bytes:
    out = io.BytesIO()
    options: dict[str, Any] = {"subsampling": 0} if quality >= _FINE and image.mode == "RGB" else {}
    if max(image.size) > 65500:
        raise Refused(Reason.TOO_LARGE, "the picture is larger than a JPEG can be")
    image.save(out, "JPEG", quality=quality, icc_profile=icc or None, **options)
    return out.getvalue()


def _png(image: Image.Image, quality: int, icc: bytes) -> bytes:
    if not icc:
        return bytes(imagecodecs.png_encode(np.asarray(image), 3))
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=3, icc_profile=icc)
    return out.getvalue()


def _gif(image: Image.Image, quality: int, icc: bytes) -> bytes:
    out = io.BytesIO()
    _limited(image).save(out, "GIF")
    return out.getvalue()


def _jp2(image: Image.Image, quality: int, icc: bytes) -> bytes:
    # the level is a signal to noise ratio in decibels; 0 keeps all
    level = 0 if quality >= _NOTHING_LOST else 28 + 3 * quality // 10
    array = np.asarray(image)
    made = imagecodecs.jpeg2k_encode(
        array, level=level, codecformat="J2K", reversible=not level, mct=image.mode == "RGB", numthreads=1
    )
    return _boxed(bytes(made), image, b"jp2 ", icc)


def _htj2k(image: Image.Image, quality: int, icc: bytes) -> bytes:
    array, rgb = np.asarray(image), image.mode == "RGB"
    if quality >= _NOTHING_LOST:
        return bytes(imagecodecs.htj2k_encode(array, reversible=True, rgb=rgb))
    # the level is a quantization step as a part of the range: from 1/16 to 1/1024
    return bytes(imagecodecs.htj2k_encode(array, level=2.0 ** -(4 + 6 * quality / 100), reversible=False, rgb=rgb))


def _jph(image: Image.Image, quality: int, icc: bytes) -> bytes:
    return _boxed(_htj2k(image, quality, b""), image, b"jph ", icc)


def _boxed(codestream: bytes, image: Image.Image, brand: bytes, icc: bytes) -> bytes:
    """A codestream in the file format of its kind (ISO/IEC 15444-1 annex I, 15444-15 annex D)."""
    components = 3 if image.mode == "RGB" else 1
    described = _box(b"ihdr", struct.pack(">IIHBBBB", image.height, image.width, components, 7, 7, 0, 0))
    if icc:
        colour = _box(b"colr", b"\2\0\0" + icc)
    else:
        colour = _box(b"colr", struct.pack(">BBBI", 1, 0, 0, 16 if components == 3 else 17))
    return (
        _box(b"jP  ", b"\r\n\x87\n")
        + _box(b"ftyp", brand + bytes(4) + brand)
        + _box(b"jp2h", described + colour)
        + _box(b"jp2c", codestream)
    )


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


_WRITERS: Final[Mapping[str, Callable[[Image.Image, int, bytes], bytes]]] = {
    RAW: _raw,
    JPEG: _jpeg,
    PNG: _png,
    GIF: _gif,
    JP2: _jp2,
    JPH: _jph,
    JPHC: _htj2k,
}
