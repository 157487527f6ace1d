"""Retrieval by peers that don't take the stored transfer syntax: what arrives, and what one that can't costs."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation

from archives import (
    CT,
    NETWORK,
    Destination,
    Object,
    Running,
    keys,
    listening,
    made,
    running,
    series_uid,
    sop_uid,
    study_uid,
)
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
from isocenter.config import Peer, SyntaxPriority
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, encode, encode_element, text, uid
from isocenter.dicom.part10 import outgoing_header
from isocenter.dimse import Progress, ProposedContext, connect
from isocenter.exchange.contexts import proposals
from isocenter.exchange.sending import Opened, Sendable, send
from isocenter.imaging.arrays import Array
from isocenter.imaging.encoding import encoded
from isocenter.imaging.engine import Bounds, engine_with
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.recode import Lossy
from isocenter.imaging.transcoding import transcoding
from peer_programs import needs, run, storescp

PIXELS = Pixels(64, 70, 1, "MONOCHROME2", 16, 12, 11, signed=True)
COLOUR = Pixels(64, 70, 3, "RGB", frames=4)
STUDY = keys("STUDY", StudyInstanceUID=study_uid())


def of_study(number: int, pixels: Pixels, syntax: str, frames: list[bytes]) -> Object:
    """Instance `number` of the study, with pixels that are encoded already."""
    whole = made(number, pixels=b"")
    named: DataSet = {
        0x00080016: uid(CT), 0x00080018: uid(sop_uid(number)), 0x0020000D: uid(whole.study),
        0x0020000E: uid(whole.series),
        0x00100010: text("PN", "Doe^Jane"), 0x00100020: text("LO", "P1"), 0x00080060: text("CS", "CT"),
    }  # fmt: skip
    head = {f"{tag:08X}": element for tag, element in named.items()}
    if syntax == uids.EXPLICIT_LE:
        data = encode(header(pixels, **head), syntax) + encode_element(0x7FE00010, "OW", b"".join(frames), syntax)
    else:
        data = encapsulated_object(pixels, frames, **head)
    return Object(CT, sop_uid(number), syntax, data, whole.study, whole.series)


class Held(NamedTuple):
    """A study in an archive: four ways to store pixels, and the arrays that each has to arrive with."""

    archive: Running
    arrays: dict[str, list[Array]]


def study() -> tuple[list[Object], dict[str, list[Array]]]:
    """Native, JPEG-LS and JPEG 2000 of 12 bits, colour frames in RLE."""
    objects, arrays = [], {}
    kinds = [
        (PIXELS, uids.EXPLICIT_LE),
        (PIXELS, uids.JPEG_LS_LOSSLESS),
        (PIXELS, uids.JPEG_2000_LOSSLESS),
        (COLOUR, uids.RLE_LOSSLESS),
    ]
    for number, (pixels, syntax) in enumerate(kinds, 1):
        frames, _ = native_frames(pixels)
        stored = [encoded(frame, pixels, syntax, Lossy()) for frame in frames]
        objects.append(of_study(number, pixels, syntax, stored))
        arrays[sop_uid(number)] = frames
    return objects, arrays


@contextmanager
def holding(folder: Path, url: str, *peers: Peer, more: Sequence[Object] = ()) -> Iterator[Held]:
    objects, arrays = study()
    with running(folder, url, peers=peers) as archive:
        archive.send(*objects, *more)
        yield Held(archive, arrays)


def ended(progress: list[Progress]) -> tuple[int, int | None, int | None]:
    """Status, completed and failed of the last response."""
    last = progress[-1]
    return last.status, last.completed, last.failed


def same(arrays: list[Array], others: list[Array]) -> bool:
    return len(arrays) == len(others) and all(map(np.array_equal, arrays, others))


@needs("storescp", "echoscu")
@pytest.mark.req("M-SEND-08")
@pytest.mark.parametrize(
    ("option", "allowed"),
    [
        ("+xi", {uids.IMPLICIT_LE}),
        ("+xb", {uids.EXPLICIT_BE, uids.IMPLICIT_LE, uids.EXPLICIT_LE}),
        ("+xr", {uids.RLE_LOSSLESS, uids.EXPLICIT_LE, uids.IMPLICIT_LE}),
        ("+xt", {uids.JPEG_LS_LOSSLESS, uids.EXPLICIT_LE, uids.IMPLICIT_LE}),
    ],
)
def test_dcmtk_gets_what_it_takes(tmp_path: Path, sqlite_url: str, option: str, allowed: set[str]) -> None:
    with storescp(tmp_path / "got", option) as peer, holding(tmp_path, sqlite_url, peer) as held:
        assert ended(held.archive.move("STORESCP", STUDY)) == (0, 4, 0)
    received = {}
    for path in (tmp_path / "got").iterdir():
        data, syntax = data_set_of(path)
        assert syntax in allowed
        received[str(dcmread(path).SOPInstanceUID)] = [array for array, _ in frames_in(data, syntax)]
    assert received.keys() == held.arrays.keys()
    assert all(same(received[name], arrays) for name, arrays in held.arrays.items())


@needs("storescp", "echoscu")
@pytest.mark.req("I-SEND-05")
def test_a_peers_priority_list_may_name_compressed_syntaxes(tmp_path: Path, sqlite_url: str) -> None:
    listed = (SyntaxPriority(stored=uids.EXPLICIT_LE, send=(uids.RLE_LOSSLESS,)),)
    with storescp(tmp_path / "got", "+xr") as peer:
        wanting = Peer(title="STORESCP", host=peer.host, port=peer.port, syntax_priority=listed)
        with holding(tmp_path, sqlite_url, wanting) as held:
            image = keys(
                "IMAGE", StudyInstanceUID=study_uid(), SeriesInstanceUID=series_uid(), SOPInstanceUID=sop_uid(1)
            )
            assert ended(held.archive.move("STORESCP", image)) == (0, 1, 0)
    (path,) = (tmp_path / "got").iterdir()
    data, syntax = data_set_of(path)
    assert syntax == uids.RLE_LOSSLESS
    assert same([array for array, _ in frames_in(data, syntax)], held.arrays[sop_uid(1)])


def test_pynetdicom_gets_what_it_takes_over_its_own_association(tmp_path: Path, sqlite_url: str) -> None:
    got: dict[str, tuple[str, Array]] = {}

    def store(event: evt.Event) -> int:
        event.dataset.file_meta = event.file_meta
        got[event.dataset.SOPInstanceUID] = event.context.transfer_syntax, event.dataset.pixel_array
        return 0

    with holding(tmp_path, sqlite_url) as held:
        ae = AE()
        ae.add_requested_context(uids.STUDY_ROOT_GET)
        ae.add_requested_context(CT, [uids.RLE_LOSSLESS])
        role = SCP_SCU_RoleSelectionNegotiation()
        role.sop_class_uid, role.scu_role, role.scp_role = CT, False, True
        association = ae.associate(
            "127.0.0.1",
            held.archive.port,
            ae_title="ISOCENTER",
            ext_neg=[role],
            evt_handlers=[(evt.EVT_C_STORE, store)],
        )
        wanted = Dataset()
        wanted.QueryRetrieveLevel, wanted.StudyInstanceUID = "STUDY", study_uid()
        statuses = [status.Status for status, _ in association.send_c_get(wanted, uids.STUDY_ROOT_GET)]
        association.release()
    assert statuses[-1] == 0
    assert {syntax for syntax, _ in got.values()} == {uids.RLE_LOSSLESS}
    for name, arrays in held.arrays.items():
        assert np.array_equal(got[name][1], arrays[0] if len(arrays) == 1 else np.stack(arrays))


def test_one_that_can_not_be_decoded_fails_alone(tmp_path: Path, sqlite_url: str) -> None:
    garbage = of_study(9, PIXELS, uids.JPEG_LS_LOSSLESS, [b"\xff\xd8\xff\xf7garbage"])
    cut = of_study(8, PIXELS, uids.JPEG_2000_LOSSLESS, [])
    video = of_study(7, PIXELS, uids.MPEG4_HIGH_41, [b"\0\0\1"])
    destination = Destination(syntaxes=(uids.IMPLICIT_LE,))
    with listening(destination), holding(
        tmp_path, sqlite_url, destination.peer, more=(garbage, cut, video)
    ) as held:  # fmt: skip
        progress = held.archive.move("DEST", STUDY)
        # and the archive is none the worse for it
        assert ended(held.archive.move("DEST", STUDY))[1:] == (4, 3)
    assert ended(progress)[1:] == (4, 3)
    assert set(destination.uids) == held.arrays.keys()


def test_edits_are_in_what_is_transcoded(tmp_path: Path) -> None:
    objects, arrays = study()
    destination = Destination(syntaxes=(uids.IMPLICIT_LE, uids.DEFLATED_LE))

    def opened(item: Sendable, stack: ExitStack) -> Opened:
        path = tmp_path / item.sop_uid
        path.write_bytes(next(each.data for each in objects if each.sop_uid == item.sop_uid))
        file = os.open(path, os.O_RDONLY)
        stack.callback(os.close, file)
        return Opened(file, 0, path.stat().st_size, {0x00100010: text("PN", "Roe^Richard")})

    with listening(destination):
        (group,) = proposals({(each.sop_class, each.syntax) for each in objects})
        contexts = [ProposedContext(*proposal) for proposal in group]
        where = ("127.0.0.1", destination.port)
        with connect(where, calling="US", called="DEST", contexts=contexts, settings=NETWORK) as association:
            assert [sent.status for sent in send(association, objects, opened)] == [0] * 4
    assert destination.uids == [each.sop_uid for each in objects]
    for each in destination.received:
        assert each.syntax == uids.IMPLICIT_LE
        assert b"Roe^Richard" in each.data
        assert same([array for array, _ in frames_in(each.data, each.syntax)], arrays[each.sop_uid])


DECODERS = {
    uids.JPEG_LS_LOSSLESS: "dcmdjpls",
    uids.JPEG_LOSSLESS: "dcmdjpeg",
    uids.JPEG_LOSSLESS_SV1: "dcmdjpeg",
    uids.RLE_LOSSLESS: "dcmdrle",
}


@needs("dcmdjpls", "dcmdjpeg", "dcmdrle")
@pytest.mark.parametrize("syntax", DECODERS)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_dcmtk_decodes_what_we_encode(tmp_path: Path, syntax: str, signed: bool, bits: int) -> None:
    pixels = Pixels(50, 51, 1, "MONOCHROME2", 8 if bits == 8 else 16, bits, bits - 1, signed, frames=2)
    _decoded_by_dcmtk(tmp_path, syntax, pixels)


@needs("dcmdjpls", "dcmdjpeg", "dcmdrle")
@pytest.mark.parametrize("syntax", DECODERS)
def test_dcmtk_decodes_our_colours(tmp_path: Path, syntax: str) -> None:
    _decoded_by_dcmtk(tmp_path, syntax, COLOUR)


def _decoded_by_dcmtk(folder: Path, syntax: str, pixels: Pixels) -> None:
    arrays, value = native_frames(pixels)
    engine = engine_with(Bounds(), 2)
    native = native_object(pixels, value)
    made_of = transcoding(engine, lambda at, n: native[at : at + n], len(native), uids.EXPLICIT_LE, syntax)
    source, target = folder / "in.dcm", folder / "out.dcm"
    source.write_bytes(outgoing_header(SOP_CLASS, SOP_INSTANCE, syntax) + b"".join(made_of.pieces()))
    # colours are left as they are; planes are told by the data set
    options = ["+cn"] if DECODERS[syntax] == "dcmdjpeg" else []
    run(DECODERS[syntax], *options, source, target)
    back = [array for array, _ in frames_in(*data_set_of(target))]
    assert same(back, arrays)
