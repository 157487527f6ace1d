"""Composite Instance Root Retrieve, of instances and of frames, and retrieval without bulk data (PS3.4 Y, Z)."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.filereader import read_dataset

from archives import CT, Destination, Object, Running, keys, listening, made, running, series_uid, sop_uid, study_uid
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, Element, at, decode, encode, sequence, text, us
from isocenter.dicom.uids import transfer_syntax
from isocenter.dimse import Association, BufferSink, Context, Progress, ProposedContext, commands

US_MULTI = "1.2.840.10008.5.1.4.1.1.3.1"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"
ECG = "1.2.840.10008.5.1.4.1.1.9.1.1"
PDF = "1.2.840.10008.5.1.4.1.1.104.1"
ROOT_GET, ROOT_MOVE = uids.COMPOSITE_INSTANCE_ROOT_GET, uids.COMPOSITE_INSTANCE_ROOT_MOVE
WITHOUT = uids.COMPOSITE_INSTANCE_WITHOUT_BULK_GET
FRAMES = 6
SHAPE = (3, 5)


def pixels(frame: int, bits: int = 16) -> Any:
    """The samples of frame `frame`, from 1."""
    rows, columns = SHAPE
    samples = np.arange(rows * columns) + 100 * frame
    return samples.astype("<u2") if bits == 16 else (samples % 3 == 0).astype("u1")


def header(more: DataSet, sop_class: str = US_MULTI, bits: int = 16) -> DataSet:
    """An object of FRAMES frames without its pixels."""
    base = decode(made(1, sop_class=sop_class, pixels=b"").data, uids.EXPLICIT_LE)
    return {
        **base,
        0x00280002: us(1),
        0x00280004: text("CS", "MONOCHROME2"),
        0x00280008: text("IS", str(FRAMES)),
        0x00280010: us(SHAPE[0]),
        0x00280011: us(SHAPE[1]),
        0x00280100: us(bits),
        0x00280101: us(bits),
        0x00280102: us(bits - 1),
        0x00280103: us(0),
        **more,
    }


def native(syntax: str, more: DataSet | None = None) -> Object:
    """Native frames."""
    value = b"".join(pixels(n).tobytes() for n in range(1, FRAMES + 1))
    data = encode({**header(more or {}), 0x7FE00010: Element("OW", value)}, syntax)
    return Object(US_MULTI, sop_uid(1), syntax, data, study_uid(), series_uid())


def single_bits() -> Object:
    """Frames of 15 single bits, one behind the other."""
    bits = np.concatenate([pixels(n, 1) for n in range(1, FRAMES + 1)])
    value = np.packbits(bits, bitorder="little").tobytes()
    data = encode({**header({}, SEG, 1), 0x7FE00010: Element("OB", value)}, uids.EXPLICIT_LE)
    return Object(SEG, sop_uid(1), uids.EXPLICIT_LE, data, study_uid(), series_uid())


def encapsulated(fragments: int, *, offset_table: bool = True) -> Object:
    """Compressed frames, whose streams are none: nothing is to look into them."""
    pieces = [[f"frame {n} part {i} ".encode() for i in range(fragments)] for n in range(1, FRAMES + 1)]
    offsets, total = [], 0
    for frame in pieces:
        offsets.append(total)
        total += sum(8 + len(piece) + len(piece) % 2 for piece in frame)
    table = struct.pack(f"<{FRAMES}I", *offsets) if offset_table else b""
    items = b"".join(
        struct.pack("<HHI", 0xFFFE, 0xE000, len(piece)) + piece
        for piece in [table, *(piece + b"\0" * (len(piece) % 2) for frame in pieces for piece in frame)]
    )
    head = encode(header({}), uids.EXPLICIT_LE)
    element = struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF)
    data = head + element + items + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return Object(US_MULTI, sop_uid(1), uids.JPEG_BASELINE, data, study_uid(), series_uid())


class Requestor:
    """Gets objects over its own association."""

    def __init__(self, archive: Running, model: str, *kinds: tuple[str, str]) -> None:
        self._archive, self._model, self._kinds = archive, model, kinds
        self.got: list[tuple[str, str, bytes]] = []

    def get(self, identifier: DataSet) -> list[Progress]:
        """C-GET; all responses."""
        contexts = [ProposedContext(c, (s,), scu=False, scp=True) for c, s in self._kinds]
        with self._archive.connect(ProposedContext(self._model, (uids.EXPLICIT_LE,)), *contexts) as association:
            return list(association.get(self._model, encode(identifier, uids.EXPLICIT_LE), self._sink))

    def _sink(self, association: Association, context: Context, command: commands.Command) -> BufferSink:
        requestor, uid = self, str(command[commands.AFFECTED_SOP_INSTANCE])

        class Kept(BufferSink):
            def close(self) -> None:
                requestor.got.append((uid, context.transfer_syntax, self.value()))

        return Kept(1 << 28)

    def only(self) -> Dataset:
        """The one object, as pydicom reads it."""
        ((uid, syntax, data),) = self.got
        facts = transfer_syntax(syntax)
        found = read_dataset(io.BytesIO(data), facts.implicit, facts.little)
        assert found.SOPInstanceUID == uid
        return found


def asked(uid: str = "", level: str = "IMAGE", **keys_by_name: Element) -> DataSet:
    """An identifier of the composite model."""
    tags = {"simple": 0x00081161, "calculated": 0x00081162, "times": 0x00081163}
    return {**keys(level, SOPInstanceUID=uid or sop_uid(1)), **{tags[k]: v for k, v in keys_by_name.items()}}


def simple(*numbers: int) -> Element:
    return Element("UL", struct.pack(f"<{len(numbers)}I", *numbers))


def span(start: float, end: float) -> Element:
    return Element("FD", struct.pack("<2d", start, end))


# --- whole instances


def test_instances_by_their_uids_alone(tmp_path: Path, any_url: str) -> None:
    first, second = made(1), made(1, study=2, syntax=uids.IMPLICIT_LE)
    with running(tmp_path, any_url) as archive:
        archive.send(first, second, made(2))
        requestor = Requestor(archive, ROOT_GET, (CT, uids.EXPLICIT_LE), (CT, uids.IMPLICIT_LE))
        progress = requestor.get(asked(f"{second.sop_uid}\\{first.sop_uid}\\1.2.3"))
    assert [each[:5] for each in progress] == [(0xFF00, 1, 1, 0, 0), (0xFF00, 0, 2, 0, 0), (0, None, 2, 0, 0)]
    assert [uid for uid, _, _ in requestor.got] == [second.sop_uid, first.sop_uid]
    assert [data for _, _, data in requestor.got] == [second.data, first.data]


def test_one_of_two_with_the_same_uid(tmp_path: Path, sqlite_url: str) -> None:
    original = made(1)
    twin = made(1, StudyInstanceUID=study_uid(2), SeriesInstanceUID=series_uid(2))
    with running(tmp_path, sqlite_url) as archive:
        archive.send(original, twin)
        requestor = Requestor(archive, ROOT_GET, (CT, uids.EXPLICIT_LE))
        assert requestor.get(asked())[-1][:5] == (0, None, 1, 0, 0)
        assert [data for _, _, data in requestor.got] == [original.data]
        # by its full path each is reached
        for study, series in ((study_uid(), series_uid()), (study_uid(2), series_uid(2))):
            path = keys("IMAGE", StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=sop_uid(1))
            by_path = Requestor(archive, uids.STUDY_ROOT_GET, (CT, uids.EXPLICIT_LE))
            assert by_path.get(path)[-1].status == 0
            assert by_path.only().StudyInstanceUID == study


def test_by_c_move(tmp_path: Path, sqlite_url: str) -> None:
    destination = Destination()
    with listening(destination), running(tmp_path, sqlite_url, peers=[destination.peer]) as archive:
        archive.send(native(uids.EXPLICIT_LE))
        assert archive.move("DEST", asked(), model=ROOT_MOVE)[-1].status == 0
        frames = asked(level="FRAME", simple=simple(2, 3))
        assert archive.move("DEST", frames, model=ROOT_MOVE)[-1].status == 0
    whole, part = destination.received
    assert whole.sop_uid == sop_uid(1)
    found = read_dataset(io.BytesIO(part.data), False, True)
    assert found.SOPInstanceUID == part.sop_uid != whole.sop_uid
    assert found.NumberOfFrames == 2


@pytest.mark.parametrize(
    ("identifier", "status"),
    [
        (asked(level="STUDY"), 0xA900),
        (keys("IMAGE"), 0xA900),
        (keys("IMAGE", StudyInstanceUID=study_uid()), 0xA900),
        (asked("1.2.3\\1.2.4", "FRAME", simple=simple(1)), 0xA900),
        (asked(level="FRAME"), 0xAA04),
        (asked(level="FRAME", simple=simple(2, 1)), 0xAA04),
        (asked(level="FRAME", simple=simple(0, 1)), 0xAA04),
        (asked(level="FRAME", simple=simple(1), times=span(0, 1)), 0xAA04),
        (asked(level="FRAME", calculated=simple(1, 2)), 0xAA04),
        (asked(level="FRAME", calculated=simple(1, 3, 0)), 0xAA04),
        (asked(level="FRAME", calculated=simple(1, 3, 1, 3, 5, 1)), 0xAA04),
        (asked(level="FRAME", times=span(2, 1)), 0xAA04),
        (asked(level="FRAME", simple=simple(7, 8)), 0xAA00),
        (asked(level="FRAME", times=span(0, 1)), 0xAA03),
        (asked(sop_uid(2), "FRAME", simple=simple(1)), 0xAA01),
        (asked(sop_uid(3), "FRAME", simple=simple(1)), 0xAA02),
        (asked("1.2.3", "FRAME", simple=simple(1)), 0x0000),
    ],
)
def test_statuses(tmp_path: Path, sqlite_url: str, identifier: DataSet, status: int) -> None:
    video = made(3, syntax=uids.MPEG2_MAIN, sop_class=US_MULTI, pixels=b"stream" * 4, NumberOfFrames="9")
    with running(tmp_path, sqlite_url) as archive:
        archive.send(native(uids.EXPLICIT_LE), made(2, pixels=b""), video)
        requestor = Requestor(archive, ROOT_GET, (US_MULTI, uids.EXPLICIT_LE))
        (only,) = requestor.get(identifier)
    assert only.status == status
    assert requestor.got == []
    assert bool(only.comment) is (status != 0)


# --- frames


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ({"simple": simple(1)}, [1]),
        ({"simple": simple(2, 3, 6, 9)}, [2, 3, 6]),
        ({"calculated": simple(1, 6, 2)}, [1, 3, 5]),
        ({"calculated": simple(2, 3, 1, 5, 0xFFFFFFFF, 1)}, [2, 3, 5, 6]),
        ({"times": span(0.05, 0.1)}, [3, 4, 5]),
        ({"times": span(0.03, 9)}, [3, 4, 5, 6]),
    ],
)
@pytest.mark.parametrize("syntax", [uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE, uids.DEFLATED_LE])
def test_native_frames(tmp_path: Path, sqlite_url: str, syntax: str, key: Any, expected: list[int]) -> None:
    timed: DataSet = {0x00181063: text("DS", "25"), 0x00280009: at(0x00181063)}
    with running(tmp_path, sqlite_url) as archive:
        archive.send(native(syntax, timed))
        kind = uids.EXPLICIT_LE if syntax == uids.DEFLATED_LE else syntax
        requestor = Requestor(archive, ROOT_GET, (US_MULTI, kind))
        assert requestor.get(asked(level="FRAME", **key))[-1][:5] == (0, None, 1, 0, 0)
    found = requestor.only()
    dtype = ">u2" if syntax == uids.EXPLICIT_BE else "<u2"
    got = np.frombuffer(found.PixelData, dtype)[: len(expected) * 15].reshape(len(expected), 15)
    assert (got == [pixels(n) for n in expected]).all()
    assert found.NumberOfFrames == len(expected)
    assert found.SOPClassUID == US_MULTI
    assert (found.StudyInstanceUID, found.SeriesInstanceUID) == (study_uid(), series_uid())
    (made_of,) = found.FrameExtractionSequence
    assert made_of.MultiFrameSourceSOPInstanceUID == sop_uid(1)
    assert len([element for element in made_of if element.keyword != "MultiFrameSourceSOPInstanceUID"]) == 1
    (by,) = found.ContributingEquipmentSequence
    assert by.PurposeOfReferenceCodeSequence[0].CodeValue == "109105"
    assert by.Manufacturer == "Isocenter"
    # the times after Content Time are what they were
    delay = float(found.FrameDelay)
    assert delay == 25 * (expected[0] - 1)
    if "FrameTimeVector" in found:
        vector = found.FrameTimeVector if len(expected) > 1 else [found.FrameTimeVector]
        assert list(delay + np.cumsum([float(each) for each in vector])) == [25 * (n - 1) for n in expected]
    else:
        assert expected == list(range(expected[0], expected[0] + len(expected)))


def test_frames_of_single_bits(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url) as archive:
        archive.send(single_bits())
        requestor = Requestor(archive, ROOT_GET, (SEG, uids.EXPLICIT_LE))
        assert requestor.get(asked(level="FRAME", simple=simple(2, 3, 5)))[-1].status == 0
    bits = np.unpackbits(np.frombuffer(requestor.only().PixelData, "u1"), bitorder="little")[:45]
    assert (bits == np.concatenate([pixels(n, 1) for n in (2, 3, 5)])).all()


@pytest.mark.req("X-QR-50")
@pytest.mark.parametrize(("fragments", "offset_table"), [(1, True), (3, True), (1, False)])
def test_encapsulated_frames(tmp_path: Path, sqlite_url: str, fragments: int, offset_table: bool) -> None:
    with running(tmp_path, sqlite_url) as archive:
        archive.send(encapsulated(fragments, offset_table=offset_table))
        requestor = Requestor(archive, ROOT_GET, (US_MULTI, uids.JPEG_BASELINE))
        assert requestor.get(asked(level="FRAME", simple=simple(1, 4, 6)))[-1].status == 0
    frames = list(generate_frames(requestor.only().PixelData, number_of_frames=3))
    parts = [[f"frame {n} part {i} ".encode() for i in range(fragments)] for n in (1, 4, 6)]
    assert [frame.rstrip(b"\0") for frame in frames] == [
        b"".join(piece + b"\0" * (len(piece) % 2) for piece in pieces).rstrip(b"\0") for pieces in parts
    ]


def test_functional_groups_and_vectors_follow_their_frames(tmp_path: Path, sqlite_url: str) -> None:
    def group(number: int) -> DataSet:
        content: DataSet = {
            0x00189074: text("DT", f"20240131100000.{number}00000"),
            0x00209157: Element("UL", b"\1\0\0\0"),
        }
        return {0x00209111: sequence(content)}

    extracted: DataSet = {0x00081167: text("UI", "1.2.3"), 0x00081161: simple(1)}
    more: DataSet = {
        0x00080023: text("DA", "20240131"),
        0x00080033: text("TM", "100000"),
        0x00081164: sequence(extracted),
        0x00090010: text("LO", "ACME"),
        0x00091001: text("LO", "counts frames"),
        0x00286010: us(4),
        0x00540080: us(*range(1, FRAMES + 1)),
        0x52009230: sequence(*(group(n) for n in range(1, FRAMES + 1))),
    }
    with running(tmp_path, sqlite_url) as archive:
        archive.send(native(uids.EXPLICIT_LE, more))
        requestor = Requestor(archive, ROOT_GET, (US_MULTI, uids.EXPLICIT_LE))
        assert requestor.get(asked(level="FRAME", times=span(0.15, 0.45)))[-1].status == 0
    found = requestor.only()
    assert found.NumberOfFrames == 3
    moments = [each.FrameContentSequence[0].FrameAcquisitionDateTime for each in found.PerFrameFunctionalGroupsSequence]
    assert moments == [f"20240131100000.{n}00000" for n in (2, 3, 4)]
    assert list(found.SliceVector) == [2, 3, 4]
    assert found.RepresentativeFrameNumber == 3
    assert [each.MultiFrameSourceSOPInstanceUID for each in found.FrameExtractionSequence] == ["1.2.3", sop_uid(1)]
    assert list(found.FrameExtractionSequence[1].TimeRange) == [0.15, 0.45]
    assert not [element for element in found if element.tag.is_private]


# --- without bulk data


def bulky() -> list[Object]:
    """One object of each kind that has bulk data."""
    wave: DataSet = {0x003A0005: us(1), 0x54001004: us(16), 0x54001010: Element("OW", b"wave" * 100)}
    objects = [
        (2, ECG, {0x54000100: sequence(wave, wave)}),
        (3, PDF, {0x00420011: Element("OB", b"%PDF" * 100), 0x00420012: text("LO", "application/pdf")}),
        (
            4,
            CT,
            {0x60003000: Element("OW", b"over" * 100), 0x60020010: us(4), 0x60023000: Element("OW", b"lay!" * 100)},
        ),
    ]
    found = [encapsulated(2)]
    for number, sop_class, more in objects:
        data = decode(made(number, sop_class=sop_class, pixels=b"").data, uids.EXPLICIT_LE)
        syntax = uids.IMPLICIT_LE if number == 4 else uids.EXPLICIT_LE
        encoded = encode({**data, **more}, syntax)
        found.append(Object(sop_class, sop_uid(number), syntax, encoded, study_uid(), series_uid()))
    return found


def test_without_bulk_data(tmp_path: Path, any_url: str) -> None:
    objects = bulky()
    with running(tmp_path, any_url) as archive:
        archive.send(*objects)
        requestor = Requestor(archive, WITHOUT, *((kind, uids.EXPLICIT_LE) for kind in (US_MULTI, ECG, PDF, CT)))
        progress = requestor.get(asked("\\".join(each.sop_uid for each in objects)))
    assert progress[-1][:5] == (0, None, 4, 0, 0)
    bulk = {0x7FE00010, 0x00420011, 0x60003000, 0x60023000}
    for each, (uid, syntax, data) in zip(objects, requestor.got, strict=True):
        assert (uid, syntax) == (each.sop_uid, uids.EXPLICIT_LE)
        native_syntax = uids.EXPLICIT_LE if each.syntax == uids.JPEG_BASELINE else each.syntax
        if each.syntax == uids.JPEG_BASELINE:
            assert data == encode(header({}), uids.EXPLICIT_LE)
            continue
        expected = {tag: element for tag, element in decode(each.data, native_syntax).items() if tag not in bulk}
        found = decode(data, uids.EXPLICIT_LE)
        waves = found.pop(0x54000100, None)
        expected.pop(0x54000100, None)
        assert found == expected
        if each.sop_class == ECG:
            assert waves is not None
            assert [sorted(item) for item in waves.value] == [[0x003A0005, 0x54001004]] * 2  # type: ignore[arg-type]
    assert sum(len(data) for _, _, data in requestor.got) < 4000


def test_without_bulk_data_has_no_frames(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url) as archive:
        archive.send(native(uids.EXPLICIT_LE))
        requestor = Requestor(archive, WITHOUT, (US_MULTI, uids.EXPLICIT_LE))
        (only,) = requestor.get(asked(level="FRAME", simple=simple(1)))
    assert only.status == 0xA900
