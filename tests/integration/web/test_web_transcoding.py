"""WADO-RS in other transfer syntaxes than the stored ones: objects, frames, pixel data."""

import io
import zipfile
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from imaging_objects import frames_in, native_frames, some_array
from isocenter.dicom import uids
from isocenter.dicom.convert import native_syntaxes
from isocenter.dicom.part10 import read_header
from isocenter.imaging.arrays import Array, to_native
from isocenter.imaging.codecs import syntaxes
from isocenter.imaging.decoding import decoded
from isocenter.imaging.encoding import encoded
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.plan import may_transcode
from isocenter.imaging.recode import Lossy
from web_archive import Archive, image, opened_archive, parts, send

Web = tuple[httpx.Client, Archive]
GREY = Pixels(40, 30, 1, "MONOCHROME2", 16, 12, 11, signed=True)
COLOUR = Pixels(40, 30, 3, "RGB", frames=3)
DEEP = Pixels(40, 30, 1, "MONOCHROME2", 32, 32, 31)
LOSSLESS = [uid for uid in syntaxes() if uid not in native_syntaxes and may_transcode(uids.EXPLICIT_LE, uid)]
DEFAULT = {"Accept": 'multipart/related; type="application/dicom"'}
OCTETS = {"Accept": "application/octet-stream"}


def accepting(syntax: str, kind: str = "application/dicom") -> dict[str, str]:
    return {"Accept": f"{kind}; transfer-syntax={syntax}"}


def in_parts(syntax: str, kind: str = "application/dicom") -> dict[str, str]:
    return {"Accept": f'multipart/related; type="{kind}"; transfer-syntax={syntax}'}


def picture(number: int, study: str, pixels: Pixels, syntax: str, frames: list[Array] | None = None) -> Dataset:
    """An image of these frames in a transfer syntax."""
    frames = frames or [some_array(pixels, n) for n in range(pixels.frames)]
    made = image(number, study=study, syntax=syntax)
    made.Rows, made.Columns, made.SamplesPerPixel = pixels.rows, pixels.columns, pixels.samples
    made.BitsAllocated, made.BitsStored, made.HighBit = pixels.allocated, pixels.stored, pixels.high
    made.PixelRepresentation, made.PhotometricInterpretation = int(pixels.signed), pixels.photometric
    made.NumberOfFrames = pixels.frames
    if pixels.samples == 3:
        made.PlanarConfiguration = 0
    if syntax in native_syntaxes:
        made.PixelData = b"".join(to_native(frame, pixels) for frame in frames)
    else:
        made.PixelData = encapsulate([encoded(frame, pixels, syntax, Lossy()) for frame in frames])
        made["PixelData"].VR = "OB"
    return made


def damaged(number: int, study: str) -> Dataset:
    made = picture(number, study, GREY, uids.JPEG_LS_LOSSLESS)
    made.PixelData = encapsulate([b"\xff\xd8\xff\xf7garbage"])
    return made


def video() -> Dataset:
    made = picture(1, "video", COLOUR, uids.EXPLICIT_LE)
    made.file_meta.TransferSyntaxUID = uids.MPEG4_HIGH_41
    made.PixelData = encapsulate([b"\0\0\1\xba" * 4])
    made["PixelData"].VR = "OB"
    return made


def report() -> Dataset:
    made = image(9, study="mixed", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")
    del made.PixelData
    return made


STORED = (uids.EXPLICIT_LE, uids.JPEG_LS_LOSSLESS, uids.JPEG_2000_LOSSLESS, uids.RLE_LOSSLESS)
GREYS = [picture(n, "grey", GREY, syntax) for n, syntax in enumerate(STORED, 1)]
COLOURS = picture(1, "colour", COLOUR, uids.RLE_LOSSLESS)
NATIVE = picture(2, "native", COLOUR, uids.EXPLICIT_LE)
PARTIAL = [picture(1, "partial", GREY, uids.RLE_LOSSLESS), picture(2, "partial", DEEP, uids.RLE_LOSSLESS)]
MIXED = [picture(1, "mixed", GREY, uids.JPEG_LS_LOSSLESS), damaged(2, "mixed"), report()]
ALONE = damaged(1, "alone")
VIDEO = video()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with opened_archive(tmp_path_factory.mktemp("archive")) as (client, archive):
        send(client, *GREYS, COLOURS, NATIVE, *PARTIAL, *MIXED, ALONE, VIDEO)
        yield client, archive


def path(made: Dataset, level: str = "instance") -> str:
    found = f"/studies/{made.StudyInstanceUID}"
    if level == "instance":
        found += f"/series/{made.SeriesInstanceUID}/instances/{made.SOPInstanceUID}"
    return found


def arrays(file: bytes) -> list[Array]:
    header = read_header(file)
    return [array for array, _ in frames_in(file[header.offset :], header.syntax)]


def same(found: list[Array], made: Pixels) -> bool:
    return len(found) == made.frames and all(np.array_equal(a, some_array(made, n)) for n, a in enumerate(found))


@pytest.mark.req("I-RS-01")
@pytest.mark.parametrize("syntax", [uids.EXPLICIT_LE, uids.DEFLATED_LE, *LOSSLESS])
@pytest.mark.parametrize("made", [GREYS[1], COLOURS, NATIVE], ids=lambda d: str(d.AccessionNumber))
def test_an_object_in_every_lossless_syntax(loaded: Web, made: Dataset, syntax: str) -> None:
    answer = loaded[0].get(path(made), headers=accepting(syntax))
    assert answer.headers["content-type"] == f"application/dicom; transfer-syntax={syntax}"
    assert int(answer.headers["content-length"]) == len(answer.content)
    found = dcmread(io.BytesIO(answer.content))
    assert found.file_meta.TransferSyntaxUID == syntax
    assert found.SOPInstanceUID == found.file_meta.MediaStorageSOPInstanceUID == made.SOPInstanceUID
    assert same(arrays(answer.content), GREY if made is GREYS[1] else COLOUR)


@pytest.mark.parametrize("syntax", [uids.EXPLICIT_LE, uids.JPEG_LS_LOSSLESS, uids.HTJ2K_LOSSLESS])
def test_a_study_of_many_syntaxes_comes_in_one(loaded: Web, syntax: str) -> None:
    answer = loaded[0].get(path(GREYS[0], "study"), headers=in_parts(syntax))
    assert answer.status_code == 200
    found = parts(answer)
    assert [kind for kind, _ in found] == [f"application/dicom; transfer-syntax={syntax}"] * 4
    assert [dcmread(io.BytesIO(file)).InstanceNumber for _, file in found] == [1, 2, 3, 4]
    assert all(same(arrays(file), GREY) for _, file in found)


@pytest.mark.req("I-RS-02")
def test_the_default_is_decoded(loaded: Web) -> None:
    for _, file in parts(loaded[0].get(path(GREYS[0], "study"), headers=DEFAULT)):
        assert dcmread(io.BytesIO(file)).file_meta.TransferSyntaxUID == uids.EXPLICIT_LE
    # who takes anything gets what is stored
    stored = [
        dcmread(io.BytesIO(file)).file_meta.TransferSyntaxUID
        for _, file in parts(loaded[0].get(path(GREYS[0], "study")))
    ]
    assert stored == list(STORED)


def test_each_object_in_the_first_syntax_that_fits_it(loaded: Web) -> None:
    accept = {"Accept": f"{in_parts(uids.JPEG_LS_LOSSLESS)['Accept']}, {in_parts(uids.RLE_LOSSLESS)['Accept']}; q=0.5"}
    answer = loaded[0].get(path(PARTIAL[0], "study"), headers=accept)
    assert answer.status_code == 200
    assert [read_header(file).syntax for _, file in parts(answer)] == [uids.JPEG_LS_LOSSLESS, uids.RLE_LOSSLESS]


def test_what_can_not_be_had_is_left_out_of_a_partial_answer(loaded: Web) -> None:
    answer = loaded[0].get(path(PARTIAL[0], "study"), headers=in_parts(uids.JPEG_LS_LOSSLESS))
    assert answer.status_code == 206
    assert answer.headers["warning"].startswith("299 isocenter")
    ((_, file),) = parts(answer)
    assert dcmread(io.BytesIO(file)).SOPInstanceUID == PARTIAL[0].SOPInstanceUID
    assert loaded[0].get(path(PARTIAL[1]), headers=in_parts(uids.JPEG_LS_LOSSLESS)).status_code == 406


@pytest.mark.parametrize(
    "headers", [DEFAULT, accepting("*", "application/zip"), accepting(uids.EXPLICIT_LE, "application/zip")]
)
def test_one_that_is_damaged_leaves_as_stored_among_others(loaded: Web, headers: dict[str, str]) -> None:
    answer = loaded[0].get(path(MIXED[0], "study"), headers=headers)
    assert answer.status_code == 200
    if answer.headers["content-type"] == "application/zip":
        archive = zipfile.ZipFile(io.BytesIO(answer.content))
        files = [archive.read(name) for name in archive.namelist() if name != "DICOMDIR"]
        listed = dcmread(io.BytesIO(archive.read("DICOMDIR"))).DirectoryRecordSequence
        told = {
            r.ReferencedSOPInstanceUIDInFile: r.ReferencedTransferSyntaxUIDInFile
            for r in listed
            if "ReferencedFileID" in r
        }
        assert told == {str(dcmread(io.BytesIO(f)).SOPInstanceUID): read_header(f).syntax for f in files}
    else:
        files = [file for _, file in parts(answer)]
    by_uid = {str(dcmread(io.BytesIO(file)).SOPInstanceUID): read_header(file).syntax for file in files}
    assert len(by_uid) == 3
    assert by_uid[MIXED[1].SOPInstanceUID] == uids.JPEG_LS_LOSSLESS
    if headers is DEFAULT:
        assert by_uid[MIXED[0].SOPInstanceUID] == uids.EXPLICIT_LE


@pytest.mark.parametrize("headers", [DEFAULT, accepting(uids.RLE_LOSSLESS), in_parts(uids.JPEG_2000_LOSSLESS)])
def test_one_alone_that_is_damaged_is_not_acceptable(loaded: Web, headers: dict[str, str]) -> None:
    answer = loaded[0].get(path(ALONE), headers=headers)
    assert answer.status_code == 406
    assert uids.JPEG_LS_LOSSLESS in answer.json()["detail"]
    either = {"Accept": f"{headers['Accept']}, application/dicom; transfer-syntax=*; q=0.1"}
    assert loaded[0].get(path(ALONE), headers=either).status_code == (
        200 if "multipart" not in headers["Accept"] else 406
    )


def test_video_leaves_as_it_is_or_not_at_all(loaded: Web) -> None:
    client, _ = loaded
    ((kind, _),) = parts(client.get(path(VIDEO), headers=DEFAULT))
    assert kind.endswith(uids.MPEG4_HIGH_41)
    assert client.get(path(VIDEO), headers=accepting(uids.EXPLICIT_LE)).status_code == 406
    assert client.get(path(VIDEO) + "/frames/1", headers=OCTETS).status_code == 406


@pytest.mark.parametrize("made", [GREYS[0], COLOURS], ids=["native", "rle"])
def test_lossy_only_where_it_is_allowed(loaded: Web, made: Dataset) -> None:
    wanted = uids.JPEG_2000
    for where in (path(made), path(made) + "/frames/1"):
        kind = "image/jp2" if "frames" in where else "application/dicom"
        assert loaded[0].get(where, headers=accepting(wanted, kind)).status_code == 406


def test_ranges_of_a_transcoded_object(loaded: Web) -> None:
    client, _ = loaded
    headers = accepting(uids.JPEG_LS_LOSSLESS)
    whole = client.get(path(COLOURS), headers=headers)
    part = client.get(path(COLOURS), headers={**headers, "Range": "bytes=100-199", "If-Range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert client.get(path(COLOURS), headers={**headers, "If-None-Match": whole.headers["etag"]}).status_code == 304


# --- frames

KINDS = {
    "image/dicom-rle": uids.RLE_LOSSLESS,
    "image/jpeg": uids.JPEG_LOSSLESS_SV1,
    "image/jls": uids.JPEG_LS_LOSSLESS,
    "image/jp2": uids.JPEG_2000_LOSSLESS,
    "image/jphc": uids.HTJ2K_LOSSLESS,
    "image/jph": uids.HTJ2K_LOSSLESS,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("made", [COLOURS, NATIVE], ids=["rle", "native"])
def test_frames_in_every_type_of_images(loaded: Web, made: Dataset, kind: str) -> None:
    client, syntax = loaded[0], KINDS[kind]
    for accept in (f'multipart/related; type="{kind}"', in_parts(syntax, kind)["Accept"]):
        found = parts(client.get(path(made) + "/frames/3,1", headers={"Accept": accept}))
        assert [each for each, _ in found] == [
            f"{'image/jphc' if 'jph' in kind else kind}; transfer-syntax={syntax}"
        ] * 2
        for (_, frame), number in zip(found, (2, 0), strict=True):
            assert np.array_equal(decoded(frame, syntax, COLOUR)[0], some_array(COLOUR, number))
    single = client.get(path(made) + "/frames/2", headers={"Accept": kind})
    assert int(single.headers["content-length"]) == len(single.content)
    assert np.array_equal(decoded(single.content, syntax, COLOUR)[0], some_array(COLOUR, 1))


@pytest.mark.parametrize(
    "made", [GREYS[1], GREYS[2], GREYS[3], COLOURS], ids=lambda d: str(d.file_meta.TransferSyntaxUID)
)
def test_frames_are_decoded_for_octets(loaded: Web, made: Dataset) -> None:
    pixels = COLOUR if made is COLOURS else GREY
    for accept in ("application/octet-stream", f"application/octet-stream; transfer-syntax={uids.EXPLICIT_LE}"):
        answer = loaded[0].get(path(made) + "/frames/1", headers={"Accept": accept})
        assert answer.headers["content-type"] == f"application/octet-stream; transfer-syntax={uids.EXPLICIT_LE}"
        assert answer.content == to_native(some_array(pixels), pixels)
    several = loaded[0].get(
        path(COLOURS) + "/frames/3,2", headers={"Accept": 'multipart/related; type="application/octet-stream"'}
    )
    assert [frame for _, frame in parts(several)] == [to_native(some_array(COLOUR, n), COLOUR) for n in (2, 1)]


def test_all_pixel_data_as_one_value(loaded: Web) -> None:
    answer = loaded[0].get(path(COLOURS) + "/bulkdata/7FE00010", headers=OCTETS)
    assert answer.content == native_frames(COLOUR)[1]
    assert answer.headers["content-type"] == f"application/octet-stream; transfer-syntax={uids.EXPLICIT_LE}"


def test_damaged_frames(loaded: Web) -> None:
    client, where = loaded[0], path(ALONE) + "/frames/1"
    assert client.get(where, headers=OCTETS).status_code == 406
    assert client.get(where, headers={"Accept": "image/jp2"}).status_code == 406
    assert client.get(where, headers={"Accept": "image/jls"}).content.startswith(b"\xff\xd8\xff\xf7garbage")


@pytest.mark.parametrize(
    "accept", ["image/jpx", "image/jxl", "video/mpeg", f"image/jls; transfer-syntax={uids.RLE_LOSSLESS}"]
)
def test_frames_in_what_we_do_not_write(loaded: Web, accept: str) -> None:
    assert loaded[0].get(path(NATIVE) + "/frames/1", headers={"Accept": accept}).status_code == 406


# --- lossy, where the installation lets clients ask for it


@pytest.fixture(scope="module")
def generous(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with opened_archive(tmp_path_factory.mktemp("generous"), lossy=True) as (client, archive):
        send(client, GREYS[1], NATIVE, VIDEO)
        yield client, archive


@pytest.mark.parametrize("syntax", [uids.JPEG_BASELINE, uids.JPEG_2000, uids.HTJ2K])
def test_a_lossy_copy_is_another_instance(generous: Web, syntax: str) -> None:
    first, second = (generous[0].get(path(NATIVE), headers=accepting(syntax)) for _ in range(2))
    found = dcmread(io.BytesIO(first.content))
    assert found.file_meta.TransferSyntaxUID == syntax
    assert found.SOPInstanceUID == found.file_meta.MediaStorageSOPInstanceUID != NATIVE.SOPInstanceUID
    assert found.SourceImageSequence[0].ReferencedSOPInstanceUID == NATIVE.SOPInstanceUID
    assert (found.LossyImageCompression, found.ImageType[0]) == ("01", "DERIVED")
    assert float(found.LossyImageCompressionRatio) > 1
    assert second.content == first.content
    assert all(np.abs(a.astype(int) - some_array(COLOUR, n)).mean() < 12 for n, a in enumerate(arrays(first.content)))


def test_lossy_frames(generous: Web) -> None:
    answer = generous[0].get(path(NATIVE) + "/frames/2", headers=accepting(uids.JPEG_BASELINE, "image/jpeg"))
    assert answer.headers["content-type"] == f"image/jpeg; transfer-syntax={uids.JPEG_BASELINE}"
    assert answer.content.startswith(b"\xff\xd8")


def test_nothing_is_lossy_unasked(generous: Web) -> None:
    for headers in (DEFAULT, {"Accept": "*/*"}, in_parts("*")):
        ((_, file),) = parts(generous[0].get(path(NATIVE), headers=headers))
        assert dcmread(io.BytesIO(file)).SOPInstanceUID == NATIVE.SOPInstanceUID
    assert (
        generous[0]
        .get(path(NATIVE) + "/frames/1", headers={"Accept": "image/jpeg"})
        .headers["content-type"]
        .endswith(uids.JPEG_LOSSLESS_SV1)
    )
    assert generous[0].get(path(VIDEO), headers=accepting(uids.JPEG_BASELINE)).status_code == 406


# --- pixel data and bulk data of many


def with_places(answer: httpx.Response) -> list[tuple[str, str, bytes]]:
    """(Content-Type, Content-Location, content) of each part."""
    found = []
    for head, content in parts(answer):
        kind, _, rest = head.partition("\r\n")
        found.append((kind, rest.partition(": ")[2], content))
    return found


@pytest.mark.parametrize("level", ["study", "instance"])
def test_pixel_data_of_many(loaded: Web, level: str) -> None:
    client, archive = loaded
    octets = {"Accept": 'multipart/related; type="application/octet-stream"'}
    answer = client.get(path(GREYS[0], level) + "/pixeldata", headers=octets)
    assert answer.status_code == 200
    found = with_places(answer)
    expected = GREYS if level == "study" else GREYS[:1]
    assert [place for _, place, _ in found] == [f"{archive.root}{path(made)}/frames/1" for made in expected]
    assert {content for _, _, content in found} == {to_native(some_array(GREY), GREY)}
    # each part is what its address names
    kind, place, content = found[-1]
    assert client.get(place, headers={"Accept": kind}).content == content


def test_pixel_data_as_stored_and_in_part(loaded: Web) -> None:
    client, _ = loaded
    stored = with_places(client.get(path(GREYS[0], "study") + "/pixeldata"))
    assert [kind.partition("syntax=")[2] for kind, _, _ in stored] == list(STORED)
    jls = client.get(path(MIXED[0], "study") + "/pixeldata", headers={"Accept": 'multipart/related; type="image/jls"'})
    assert (jls.status_code, len(parts(jls))) == (200, 2)
    assert (
        client.get(
            path(VIDEO) + "/pixeldata", headers=in_parts(uids.EXPLICIT_LE, "application/octet-stream")
        ).status_code
        == 406
    )
    assert client.get(path(MIXED[2]) + "/pixeldata").status_code == 404


@pytest.mark.req("I-RS-04")
def test_bulk_data_of_many(loaded: Web) -> None:
    client, archive = loaded
    found = with_places(
        client.get(
            path(GREYS[0], "study") + "/bulkdata",
            headers={"Accept": 'multipart/related; type="application/octet-stream"'},
        )
    )
    private = [content for _, place, content in found if place.endswith("/bulkdata/00091010")]
    assert private == [bytes(range(256)) * 8] * 4
    pixels = [content for _, place, content in found if "/frames/" in place or place.endswith("7FE00010")]
    assert set(pixels) == {to_native(some_array(GREY), GREY)}
    for kind, place, content in found:
        assert (
            client.get(place.removeprefix(archive.root), headers={"Accept": kind.partition(";")[0]}).content == content
        )
    assert client.get(path(GREYS[0]) + "/bulkdata", headers=OCTETS).status_code == 406
