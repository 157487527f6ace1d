"""Damaged, hostile and enormous frames: a clear error each, never a hang, never the end of the asking process."""

import functools
import struct

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging_objects import some_array
from isocenter.dicom import uids
from isocenter.errors import Reason, Refused
from isocenter.imaging import codestreams
from isocenter.imaging.codecs import DEFLATED_FRAME, JPEG_XL_LOSSLESS
from isocenter.imaging.encoding import encoded
from isocenter.imaging.engine import Bounds, Engine
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.recode import Lossy, Recode

PIXELS = Pixels(48, 52, 1, "MONOCHROME2", 16, 12, 11)
COLOUR = Pixels(33, 35, 3, "RGB")
DAMAGED = (Reason.CANNOT_UNDERSTAND, Reason.TOO_LARGE, Reason.PROCESSING_FAILURE)
SYNTAXES = (
    uids.RLE_LOSSLESS,
    uids.JPEG_LOSSLESS_SV1,
    uids.JPEG_LS_LOSSLESS,
    uids.JPEG_2000_LOSSLESS,
    uids.HTJ2K_LOSSLESS,
    uids.JPEG_EXTENDED,
    DEFLATED_FRAME,
    JPEG_XL_LOSSLESS,
)


@functools.cache
def frame(syntax: str, colour: bool) -> tuple[Pixels, bytes]:
    pixels = COLOUR if colour else PIXELS
    if syntax == JPEG_XL_LOSSLESS:
        return pixels, imagecodecs.jpegxl_encode(some_array(pixels), lossless=True)
    if syntax == uids.JPEG_EXTENDED and colour:
        syntax = uids.JPEG_BASELINE
    return pixels, encoded(some_array(pixels), pixels, syntax, Lossy())


damages = st.one_of(
    st.tuples(st.just("cut"), st.integers(0, 5000), st.just(b"")),
    st.tuples(st.just("put"), st.integers(0, 5000), st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("put"), st.integers(0, 120), st.binary(min_size=1, max_size=4)),
    st.tuples(st.just("insert"), st.integers(0, 5000), st.binary(min_size=1, max_size=40)),
)


def damaged(data: bytes, damage: list[tuple[str, int, bytes]]) -> bytes:
    for kind, at, put in damage:
        at %= max(len(data), 1)
        if kind == "cut":
            data = data[:at]
        elif kind == "put":
            data = data[:at] + put + data[at + len(put) :]
        else:
            data = data[:at] + put + data[at:]
    return data


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_damaged_frame_is_an_error_or_a_picture(engine: Engine, syntax: str, colour: bool) -> None:
    pixels, whole = frame(syntax, colour)
    source = uids.JPEG_BASELINE if syntax == uids.JPEG_EXTENDED and colour else syntax
    request = Recode(source, uids.EXPLICIT_LE, pixels)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(damages, min_size=1, max_size=4))
    def tried(damage: list[tuple[str, int, bytes]]) -> None:
        outcome: object = None
        try:
            outcome = len(engine.recoded(request, damaged(whole, damage)).data)
        except Refused as refused:
            outcome = refused.reason
        assert outcome in (pixels.frame_bytes, *DAMAGED)

    tried()
    assert len(engine.recoded(request, whole).data) == pixels.frame_bytes


@given(st.binary(max_size=300))
def test_any_bytes_have_a_description_or_none(data: bytes) -> None:
    for start in (b"", b"\xff\xd8", b"\xff\xd8\xff\xc0", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x0a"):
        outcome: object = None
        try:
            outcome = type(codestreams.described(start + data))
        except Refused as refused:
            outcome = refused.reason
        assert outcome in (codestreams.Stream, Reason.CANNOT_UNDERSTAND)


def with_size(data: bytes, rows: int, columns: int) -> bytes:
    """A JPEG 2000 stream that says that it is larger."""
    at = data.index(b"\xff\x51")
    size = struct.pack(">II", columns, rows)
    return data[: at + 6] + size + data[at + 14 : at + 22] + size + data[at + 30 :]


@pytest.mark.parametrize("syntax", [uids.JPEG_2000_LOSSLESS, uids.HTJ2K_LOSSLESS])
def test_a_stream_that_claims_to_be_enormous(engine: Engine, syntax: str) -> None:
    _, whole = frame(syntax, False)
    grown = with_size(whole, 60000, 60000)
    assert codestreams.described(grown).rows == 60000
    with pytest.raises(Refused, match="another size"):
        engine.recoded(Recode(syntax, uids.EXPLICIT_LE, PIXELS), grown)
    # an object that claims the same is beyond the pixel budget
    with pytest.raises(Refused) as refused:
        engine.recoded(Recode(syntax, uids.EXPLICIT_LE, PIXELS._replace(rows=60000, columns=60000)), grown)
    assert refused.value.reason is Reason.TOO_LARGE


def test_memory_has_a_limit() -> None:
    tight = Engine(Bounds(frame=1 << 30, memory=48 << 20, patience=60.0), 1)
    pixels = Pixels(8000, 8000)
    try:
        whole = imagecodecs.jpegls_encode(np.zeros((8000, 8000), np.uint8))
        with pytest.raises(Refused) as refused:
            tight.recoded(Recode(uids.JPEG_LS_LOSSLESS, uids.EXPLICIT_LE, pixels), whole)
        assert refused.value.reason in (Reason.TOO_LARGE, Reason.CANNOT_UNDERSTAND, Reason.PROCESSING_FAILURE)
        _, small = frame(uids.JPEG_LS_LOSSLESS, False)
        assert tight.recoded(Recode(uids.JPEG_LS_LOSSLESS, uids.EXPLICIT_LE, PIXELS), small).data
    finally:
        tight.close()


def test_a_frame_that_takes_too_long_costs_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isocenter.imaging.engine._START", 0.5)
    hasty = Engine(Bounds(patience=0.0), 1)
    try:
        pixels = Pixels(6000, 6000, 1, "MONOCHROME2", 16, 16, 15)
        noise = some_array(pixels, noise=True).tobytes()
        with pytest.raises(Refused, match="too long"):
            hasty.recoded(Recode(uids.EXPLICIT_LE, uids.JPEG_2000_LOSSLESS, pixels), noise)
    finally:
        hasty.close()


def test_frames_in_order_whatever_the_workers_do(engine: Engine) -> None:
    pixels = Pixels(16, 16)
    frames = [bytes([n]) * 256 for n in range(40)]
    request = Recode(uids.EXPLICIT_LE, uids.EXPLICIT_LE, pixels)
    assert [bytes(found.data) for found in engine.all_recoded(request, frames)] == frames
    ahead = engine.all_recoded(request, iter(frames))
    next(iter(ahead))
    ahead.close()
    assert [bytes(found.data) for found in ahead] == []
