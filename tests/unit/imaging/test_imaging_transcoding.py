"""Objects in another transfer syntax: the same samples, a data set that says what they are, nothing else changed."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from pydicom.pixels import pixel_array

from imaging_objects import (
    SOP_CLASS,
    SOP_INSTANCE,
    data_set_of,
    encapsulated_object,
    frames_in,
    header,
    native_frames,
    native_object,
)
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, Element, encode, items, sequence, text
from isocenter.dicom.deflate import inflate
from isocenter.dicom.part10 import outgoing_header
from isocenter.dicom.scan import Scan, scan
from isocenter.dicom.uids import transfer_syntax
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.imaging.codecs import DEFLATED_FRAME, codec, is_native, syntaxes
from isocenter.imaging.encoding import encoded
from isocenter.imaging.engine import Bounds, Engine
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.plan import can_transcode, may_transcode
from isocenter.imaging.recode import Lossy
from isocenter.imaging.transcoding import transcoding
from material import SHARED, packaged_files

WRITTEN = [uid for uid in syntaxes() if codec(uid).writes]  # type: ignore[union-attr]
LOSSLESS = [uid for uid in WRITTEN if not codec(uid).writes.lossy]  # type: ignore[union-attr]
MONOCHROME = Pixels(30, 41, 1, "MONOCHROME2", 16, 12, 11, signed=True, frames=3)
COLOUR = Pixels(30, 40, 3, "RGB", frames=2)
TAGS = frozenset([0x00080008, 0x00080018, 0x00082111, 0x00082112, 0x00089215, 0x00280004, 0x00280006, 0x00282110,
                  0x00282112, 0x00282114, 0x7FE00001, 0x7FE00002, 0x00880200, 0xFFFCFFFC])  # fmt: skip


def made(engine: Engine, data: bytes, syntax: str, wanted: str, lossy: Lossy | None = None) -> bytes:
    def read(offset: int, n: int) -> bytes:
        return data[offset : offset + n]

    return b"".join(transcoding(engine, read, len(data), syntax, wanted, lossy=lossy).pieces())


def scanned(data: bytes, syntax: str) -> Scan:
    if transfer_syntax(syntax).deflated:
        data, syntax = inflate(data), uids.EXPLICIT_LE
    return scan(data, syntax, TAGS)


def value(found: Scan, tag: int) -> str:
    return found.elements[tag].value.decode().strip(" \0")


@pytest.mark.parametrize("wanted", LOSSLESS)
@pytest.mark.parametrize("pixels", [MONOCHROME, COLOUR, Pixels(3, 3, 1, "MONOCHROME2", 1, 1, 0, frames=5)])
def test_from_native_and_back(engine: Engine, pixels: Pixels, wanted: str) -> None:
    if pixels.allocated == 1 and wanted not in (uids.ENCAPSULATED_UNCOMPRESSED_LE, DEFLATED_FRAME):
        return
    arrays, value = native_frames(pixels, noise=True)
    if pixels.allocated == 1:
        bits = sum(int(bit) << n for n, bit in enumerate(np.concatenate([a.reshape(-1) for a in arrays])))
        value = bits.to_bytes(-(-9 * 5 // 8), "little")
    trailing = struct.pack("<HH2sHI", 0xFFFC, 0xFFFC, b"OB", 0, 4) + b"\0\1\2\3"
    data = native_object(pixels, value, behind=trailing)
    if is_native(wanted):
        with_frames = made(engine, data, uids.EXPLICIT_LE, uids.RLE_LOSSLESS)
        there, syntax = made(engine, with_frames, uids.RLE_LOSSLESS, wanted), wanted
    else:
        there, syntax = made(engine, data, uids.EXPLICIT_LE, wanted), wanted
    back = frames_in(there, syntax)
    assert [np.array_equal(a, b) for a, (b, _) in zip(arrays, back, strict=True)] == [True] * pixels.frames
    assert {described.photometric for _, described in back} == {pixels.photometric}
    if not is_native(wanted):
        again = made(engine, there, wanted, uids.EXPLICIT_LE)
        if pixels.photometric == "RGB":
            assert scanned(again, uids.EXPLICIT_LE).elements[0x00280006].value == b"\0\0"
        assert again == data


@pytest.mark.parametrize("source", [uids.IMPLICIT_LE, uids.EXPLICIT_BE, uids.DEFLATED_LE])
def test_from_other_native_syntaxes(engine: Engine, source: str) -> None:
    arrays, value = native_frames(MONOCHROME)
    little = native_object(MONOCHROME, value)
    data = native_object(MONOCHROME, value, source)
    for wanted in (uids.JPEG_LS_LOSSLESS, uids.HTJ2K_LOSSLESS):
        there = made(engine, data, source, wanted)
        assert there == made(engine, little, uids.EXPLICIT_LE, wanted)
        back = made(engine, there, wanted, source)
        assert (inflate(back) if source == uids.DEFLATED_LE else back) == (
            little if source == uids.DEFLATED_LE else data
        )
    assert len(arrays) == 3


@pytest.mark.parametrize("wanted", [uids.JPEG_2000_LOSSLESS, uids.HTJ2K_LOSSLESS])
def test_colour_of_the_reversible_transform_is_told(engine: Engine, wanted: str) -> None:
    _, value_of = native_frames(COLOUR)
    there = made(engine, native_object(COLOUR, value_of), uids.EXPLICIT_LE, wanted)
    assert value(scanned(there, wanted), 0x00280004) == "YBR_RCT"
    further = made(engine, there, wanted, uids.JPEG_LS_LOSSLESS)
    assert value(scanned(further, uids.JPEG_LS_LOSSLESS), 0x00280004) == "RGB"


def test_lossy_jpeg_is_decoded_to_rgb_by_pixel(engine: Engine) -> None:
    arrays, _ = native_frames(COLOUR)
    frames = [encoded(array, COLOUR, uids.JPEG_BASELINE, Lossy()) for array in arrays]
    stored = encapsulated_object(COLOUR._replace(photometric="YBR_FULL_422"), frames)
    there = made(engine, stored, uids.JPEG_BASELINE, uids.IMPLICIT_LE)
    found = scanned(there, uids.IMPLICIT_LE)
    assert value(found, 0x00280004) == "RGB"
    assert found.pixel is not None
    assert found.pixel.length == 2 * 30 * 40 * 3
    expected = [frame for frame, _ in frames_in(stored, uids.JPEG_BASELINE)]
    assert all(np.array_equal(a, b) for a, (b, _) in zip(expected, frames_in(there, uids.IMPLICIT_LE), strict=True))


@pytest.mark.parametrize("wanted", [uid for uid in WRITTEN if uid not in LOSSLESS])
def test_a_lossy_copy_is_another_instance_and_says_what_it_is(engine: Engine, wanted: str) -> None:
    pixels = Pixels(64, 64, 1, "MONOCHROME2", frames=2)
    _, frames = native_frames(pixels)
    data = native_object(pixels, frames)
    with pytest.raises(Refused) as refused:
        made(engine, data, uids.EXPLICIT_LE, wanted)
    assert refused.value.reason is Reason.TRANSFER_SYNTAX_NOT_SUPPORTED
    there = made(engine, data, uids.EXPLICIT_LE, wanted, Lossy())
    found = scanned(there, wanted)
    assert value(found, 0x00080008) == "DERIVED\\PRIMARY"
    assert value(found, 0x00080018).startswith("2.25.")
    assert value(found, 0x00282110) == "01"
    assert value(found, 0x00282114) == codec(wanted).writes.method  # type: ignore[union-attr]
    assert float(value(found, 0x00282112)) > 1
    assert "to 1 with ISO_" in value(found, 0x00082111)
    (predecessor,) = items(found.elements[0x00082112].value, found.encoding)
    assert predecessor[0x00081150].value == SOP_CLASS.encode() + b"\0" * (len(SOP_CLASS) % 2)
    assert predecessor[0x00081155].value.strip(b"\0") == SOP_INSTANCE.encode()  # type: ignore[union-attr]
    (code,) = items(found.elements[0x00089215].value, found.encoding)
    assert code[0x00080100].value == b"113040"
    if wanted == uids.JPEG_BASELINE:
        second = scanned(made(engine, there, wanted, uids.JPEG_2000, Lossy(psnr=40)), uids.JPEG_2000)
        assert value(second, 0x00282114) == "ISO_10918_1\\ISO_15444_1"
        assert len(value(second, 0x00282112).split("\\")) == 2
        assert len(items(second.elements[0x00082112].value, second.encoding)) == 2
        assert value(second, 0x00082111).count(";") == 1


def test_colour_loses_through_jpeg_with_shared_chrominance(engine: Engine) -> None:
    _, frames = native_frames(COLOUR)
    there = made(engine, native_object(COLOUR, frames), uids.EXPLICIT_LE, uids.JPEG_BASELINE, Lossy())
    assert value(scanned(there, uids.JPEG_BASELINE), 0x00280004) == "YBR_FULL_422"


def test_offset_tables(engine: Engine) -> None:
    """The old ones go; the new basic one is right where it can be known."""
    arrays, _ = native_frames(MONOCHROME)
    frames = [encoded(array, MONOCHROME, uids.RLE_LOSSLESS, Lossy()) for array in arrays]
    lengths = [len(frame) for frame in frames]
    places = [sum(length + 8 for length in lengths[:n]) for n in range(3)]
    tables = {
        "7FE00001": Element("OV", struct.pack("<3Q", *places)),
        "7FE00002": Element("OV", struct.pack("<3Q", *lengths)),
    }
    stored = encapsulated_object(MONOCHROME, frames, **tables)
    there = made(engine, stored, uids.RLE_LOSSLESS, uids.JPEG_LS_LOSSLESS)
    found = scanned(there, uids.JPEG_LS_LOSSLESS)
    assert 0x7FE00001 not in found.elements
    assert 0x7FE00002 not in found.elements
    assert found.pixel is not None
    table = there[found.pixel.offset : found.pixel.offset + 20]
    assert table[:8] == struct.pack("<HHI", 0xFFFE, 0xE000, 12)
    first = found.pixel.offset + 20
    for offset in struct.unpack("<3I", table[8:]):
        assert there[first + offset : first + offset + 4] == b"\xfe\xff\0\xe0"
        assert there[first + offset + 8 : first + offset + 10] == b"\xff\xd8"


def test_a_large_object_streams_without_a_table(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isocenter.imaging.transcoding._HELD", 100)
    _, frames = native_frames(MONOCHROME)
    data = native_object(MONOCHROME, frames)
    there = made(engine, data, uids.EXPLICIT_LE, uids.JPEG_LS_LOSSLESS)
    pixel = scanned(there, uids.JPEG_LS_LOSSLESS).pixel
    assert pixel is not None
    assert there[pixel.offset : pixel.offset + 8] == struct.pack("<HHI", 0xFFFE, 0xE000, 0)
    assert made(engine, there, uids.JPEG_LS_LOSSLESS, uids.EXPLICIT_LE) == data


def test_an_icon_in_the_old_syntax_is_left_out(engine: Engine) -> None:
    arrays, _ = native_frames(MONOCHROME)
    frames = [encoded(array, MONOCHROME, uids.RLE_LOSSLESS, Lossy()) for array in arrays]
    icon = struct.pack("<HH2sHI", 0x0088, 0x0200, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    icon += struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0)
    icon += struct.pack("<HHI4s", 0xFFFE, 0xE000, 4, b"\xff\xd8\xff\xd9") + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    icon += struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    stored = encapsulated_object(MONOCHROME, frames)
    at = stored.index(struct.pack("<HH", 0x7FE0, 0x0010))
    there = made(engine, stored[:at] + icon + stored[at:], uids.RLE_LOSSLESS, uids.EXPLICIT_LE)
    assert there == made(engine, stored, uids.RLE_LOSSLESS, uids.EXPLICIT_LE)
    native: DataSet = header(MONOCHROME) | {0x00880200: sequence({0x7FE00010: Element("OB", b"\1\2")})}
    assert 0x00880200 in scanned(made(engine, encode(native, uids.EXPLICIT_LE) + stored[at:], uids.RLE_LOSSLESS,
                                      uids.EXPLICIT_LE), uids.EXPLICIT_LE).elements  # fmt: skip


def test_an_object_without_pixel_data_changes_only_its_elements(engine: Engine) -> None:
    report: DataSet = {0x00080018: text("UI", "1.2.3"), 0x0040A040: text("CS", "TEXT")}
    data = encode(report, uids.IMPLICIT_LE)
    assert made(engine, data, uids.IMPLICIT_LE, uids.JPEG_LS_LOSSLESS) == encode(report, uids.EXPLICIT_LE)
    assert made(engine, encode(report, uids.EXPLICIT_LE), uids.JPEG_LS_LOSSLESS, uids.IMPLICIT_LE) == data


def test_what_can_not_be_done_is_refused_before_the_first_byte(engine: Engine) -> None:
    missing = Pixels(4, 4, frames=3)
    half = encapsulated_object(missing, [encoded(np.zeros((4, 4), np.uint8), missing, uids.RLE_LOSSLESS, Lossy())])
    with pytest.raises(Refused, match="fewer frames"):
        made(engine, half, uids.RLE_LOSSLESS, uids.EXPLICIT_LE)
    wide = Pixels(4, 4, 1, "MONOCHROME2", 32, 32, 31)
    with pytest.raises(Refused, match="can't be had"):
        made(engine, native_object(wide, bytes(64)), uids.EXPLICIT_LE, uids.JPEG_LS_LOSSLESS)
    with pytest.raises(Refused, match="can't be had"):
        made(engine, native_object(Pixels(4, 4), bytes(16)), uids.EXPLICIT_LE, uids.MPEG2_MAIN)
    small = Engine(Bounds(frame=1000), 1)
    with pytest.raises(Refused) as refused:
        made(small, native_object(Pixels(40, 40), bytes(1600)), uids.EXPLICIT_LE, uids.JPEG_LS_LOSSLESS)
    assert refused.value.reason is Reason.TOO_LARGE
    small.close()


def test_pairs() -> None:
    assert may_transcode(uids.JPEG_BASELINE, uids.IMPLICIT_LE)
    assert may_transcode(uids.IMPLICIT_LE, uids.JPEG_LS_LOSSLESS)
    assert may_transcode(uids.EXPLICIT_BE, uids.IMPLICIT_LE)
    assert may_transcode("1.2.3.4", "1.2.3.4")
    assert not may_transcode(uids.IMPLICIT_LE, uids.JPEG_BASELINE)
    assert not may_transcode(uids.MPEG2_MAIN, uids.IMPLICIT_LE)
    assert not may_transcode("1.2.3.4", uids.IMPLICIT_LE)
    assert can_transcode(uids.IMPLICIT_LE, uids.JPEG_BASELINE, Pixels(1, 1), lossy=True)
    assert not can_transcode(uids.IMPLICIT_LE, uids.JPEG_BASELINE, Pixels(1, 1))


def real_files() -> list[Path]:
    found = [path for path in packaged_files() if path.stat().st_size < 1 << 20 and b"DICM" in path.read_bytes()[:132]]
    return found + sorted((SHARED / "data" / "wg04").glob("*/*1_*"))


def test_real_files_there_and_back(engine: Engine) -> None:
    """Each into JPEG-LS or RLE, and back to Explicit VR Little Endian: the same samples all the way."""
    count = 0
    for path in real_files():
        data, syntax = data_set_of(path)
        try:
            before = frames_in(data, syntax)
            there = made(engine, data, syntax, uids.JPEG_LS_LOSSLESS)
        except IsocenterError:
            continue  # what has no frames, or none that JPEG-LS holds
        if not before:
            continue
        back = made(engine, there, uids.JPEG_LS_LOSSLESS, uids.EXPLICIT_LE)
        for copy, form in ((there, uids.JPEG_LS_LOSSLESS), (back, uids.EXPLICIT_LE)):
            after = frames_in(copy, form)
            assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(before, after, strict=True)), path.name
        file = io.BytesIO(outgoing_header("1.2", "1.2.3", uids.EXPLICIT_LE) + back)
        whole = np.concatenate([array.reshape(-1) for array, _ in after])
        assert np.array_equal(pixel_array(file, raw=True).reshape(-1), whole)
        count += 1
    assert count > 20
