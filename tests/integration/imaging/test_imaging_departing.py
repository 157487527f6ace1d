"""What a peer's settings make of objects as they are sent: lossy, decompressed, in other colours."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from archives import CT, Destination, Object, Running, keys, listening, made, running, sop_uid, study_uid
from imaging_objects import encapsulated_object, frames_in, header, native_frames
from isocenter.config import SyntaxPriority
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, Element, encode, encode_element, text, uid, us
from isocenter.dicom.scan import scan
from isocenter.imaging.arrays import to_native
from isocenter.imaging.encoding import encoded
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.recode import Lossy

GREY = Pixels(32, 40, 1, "MONOCHROME2", 8, 8, 7)
PALETTE = Pixels(16, 20, 1, "PALETTE COLOR")
INVERSE = Pixels(32, 40, 1, "MONOCHROME1", 8, 8, 7)
COLOUR = Pixels(32, 40, 3, "RGB")
STUDY = keys("STUDY", StudyInstanceUID=study_uid())
TABLES = {0x00281101 + n: us(256, 0, 8) for n in range(3)} | {
    0x00281201 + n: Element("OW", bytes((i * (n + 1)) % 256 for i in range(256))) for n in range(3)
}


def of_study(number: int, pixels: Pixels, syntax: str, **more: Element) -> Object:
    whole = made(number, pixels=b"")
    named: DataSet = {
        0x00080016: uid(CT), 0x00080018: uid(sop_uid(number)), 0x0020000D: uid(whole.study),
        0x0020000E: uid(whole.series), 0x00100010: text("PN", "Doe^Jane"), 0x00100020: text("LO", "P1"),
        0x00080060: text("CS", "CT"), **(TABLES if pixels is PALETTE else {}),
    }  # fmt: skip
    head = {f"{tag:08X}": element for tag, element in named.items()} | more
    arrays, value = native_frames(pixels)
    if syntax == uids.EXPLICIT_LE:
        data = encode(header(pixels, **head), syntax) + encode_element(0x7FE00010, "OB", value, syntax)
    else:
        data = encapsulated_object(pixels, [encoded(a, pixels, syntax, Lossy()) for a in arrays], **head)
    return Object(CT, sop_uid(number), syntax, data, whole.study, whole.series)


OBJECTS = [
    of_study(1, GREY, uids.EXPLICIT_LE),
    of_study(2, GREY, uids.JPEG_LS_LOSSLESS),
    of_study(3, PALETTE, uids.RLE_LOSSLESS),
    of_study(4, INVERSE, uids.EXPLICIT_LE),
    of_study(5, COLOUR, uids.JPEG_BASELINE),
]


@contextmanager
def sending(
    folder: Path, url: str, *, syntaxes: tuple[str, ...] = (), **settings: Any
) -> Iterator[tuple[Running, Destination]]:
    destination = Destination(syntaxes=syntaxes)
    with listening(destination):
        peer = msgspec.structs.replace(destination.peer, **settings)
        with running(folder, url, peers=[peer], durable=False) as archive:
            archive.send(*OBJECTS)
            last = archive.move("DEST", STUDY)[-1]
            assert (last.status, last.completed, last.failed) == (0, len(OBJECTS), 0)
            yield archive, destination


def values(data: bytes, syntax: str) -> dict[int, str]:
    wanted = frozenset([0x00080008, 0x00080018, 0x00280004, 0x00282110, 0x00282114])
    return {tag: e.value.decode().strip(" \0") for tag, e in scan(data, syntax, wanted).elements.items()}


@pytest.mark.req("X-QR-07")
def test_lossy_copies_go_where_that_is_allowed(tmp_path: Path, sqlite_url: str) -> None:
    listed = (SyntaxPriority(stored=uids.EXPLICIT_LE, send=(uids.JPEG_BASELINE,)),)
    with sending(tmp_path, sqlite_url, lossy=True, syntax_priority=listed) as (archive, destination):
        first = next(one for one in destination.received if one.sop_uid not in {o.sop_uid for o in OBJECTS[1:]})
        assert first.syntax == uids.JPEG_BASELINE
        found = values(first.data, first.syntax)
        assert found[0x00080018] == first.sop_uid != OBJECTS[0].sop_uid
        assert (found[0x00282110], found[0x00282114]) == ("01", "ISO_10918_1")
        assert found[0x00080008].startswith("DERIVED")
        ((array, _),) = frames_in(first.data, first.syntax)
        assert np.abs(array.astype(int) - native_frames(GREY)[0][0]).mean() < 4
        again = len(destination.received)
        archive.move("DEST", STUDY)
        assert first.sop_uid in {one.sop_uid for one in destination.received[again:]}


@pytest.mark.req("I-SEND-05")
def test_nothing_lossy_where_it_is_not(tmp_path: Path, sqlite_url: str) -> None:
    listed = (SyntaxPriority(stored=uids.EXPLICIT_LE, send=(uids.JPEG_BASELINE,)),)
    with sending(tmp_path, sqlite_url, syntax_priority=listed) as (_, destination):
        assert {one.sop_uid: one.data for one in destination.received} == {o.sop_uid: o.data for o in OBJECTS}


@pytest.mark.req("S-DCM-04")
def test_decompressed_for_who_wants_it(tmp_path: Path, sqlite_url: str) -> None:
    with sending(tmp_path, sqlite_url, decompress=True) as (_, destination):
        assert {one.syntax for one in destination.received} == {uids.EXPLICIT_LE}
        assert {one.sop_uid for one in destination.received} == {o.sop_uid for o in OBJECTS}


@pytest.mark.req("X-QR-07")
def test_in_rgb(tmp_path: Path, sqlite_url: str) -> None:
    with sending(tmp_path, sqlite_url, photometric="RGB") as (_, destination):
        found = {one.sop_uid: one for one in destination.received}
        palette = found[OBJECTS[2].sop_uid]
        assert values(palette.data, palette.syntax)[0x00280004] == "RGB"
        (indices,), _ = native_frames(PALETTE)
        ((array, _),) = frames_in(palette.data, palette.syntax)
        assert np.array_equal(array, np.stack([(indices.astype(int) * (n + 1) % 256) for n in range(3)], axis=-1))
        untouched = [o for o in OBJECTS if o is not OBJECTS[2]]
        assert all(found[o.sop_uid].data == o.data for o in untouched)


@pytest.mark.req("X-QR-07")
def test_in_grey(tmp_path: Path, sqlite_url: str) -> None:
    with sending(tmp_path, sqlite_url, photometric="MONOCHROME2") as (_, destination):
        found = {one.sop_uid: one for one in destination.received}
        assert {values(one.data, one.syntax)[0x00280004] for one in found.values()} == {"MONOCHROME2"}
        # of colours a copy; what was grey is what it was
        assert {o.sop_uid for o in OBJECTS} - found.keys() == {OBJECTS[2].sop_uid, OBJECTS[4].sop_uid}
        assert found[OBJECTS[0].sop_uid].data == OBJECTS[0].data
        turned = found[OBJECTS[3].sop_uid]
        ((array, pixels),) = frames_in(turned.data, turned.syntax)
        assert to_native(array, pixels) == bytes(255 - each for each in native_frames(INVERSE)[1])
