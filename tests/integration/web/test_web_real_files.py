"""Real files in over STOW-RS and out over WADO-RS, compared with pydicom's reading."""

import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydicom import config, dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import UID

from isocenter.dicom import uids
from isocenter.dicom.part10 import read_header
from isocenter.dicom.uids import transfer_syntax
from material import packaged_files
from web_archive import Archive, opened_archive, parts

AS_STORED = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
FRAMES = {"Accept": "*/*"}


def candidates() -> list[Path]:
    """Whole files of moderate size, one for each SOP instance."""
    found: dict[str, Path] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for file in packaged_files():
            if file.stat().st_size > 2_000_000:
                continue
            try:
                read = dcmread(file, defer_size=1000)
                sop_uid = str(read.file_meta.MediaStorageSOPInstanceUID)
                if sop_uid == read.SOPInstanceUID and read.StudyInstanceUID and read.SeriesInstanceUID:
                    found.setdefault(sop_uid, file)
            except Exception:
                continue  # what pydicom can't read is another test's matter
    return sorted(found.values())


FILES = candidates()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Archive]]:
    with opened_archive(tmp_path_factory.mktemp("archive")) as both:
        yield both


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_round_trip(archive: tuple[httpx.Client, Archive], file: Path) -> None:
    client, _ = archive
    sent = file.read_bytes()
    answer = client.post("/studies", content=sent, headers={"Content-Type": "application/dicom"})
    assert answer.status_code == 200, answer.text
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setattr(config.settings, "reading_validation_mode", config.IGNORE)
        read = dcmread(io.BytesIO(sent))
        (item,) = answer.json()["00081199"]["Value"]
        where = item["00081190"]["Value"][0]
        ((_, back),) = parts(client.get(where, headers=AS_STORED))
        if read_header(back).syntax == read_header(sent).syntax:
            assert back[read_header(back).offset :] == sent[read_header(sent).offset :]
        else:
            assert read.file_meta.TransferSyntaxUID in (uids.IMPLICIT_LE, uids.EXPLICIT_BE)
            assert read_header(back).syntax == uids.EXPLICIT_LE
            tags = {element.tag for element in read if element.tag.element}  # group lengths are left out
            assert {element.tag for element in dcmread(io.BytesIO(back))} == tags
        (metadata,) = client.get(f"{where}/metadata").json()
        assert metadata["00080018"]["Value"] == [read.SOPInstanceUID]
        if "PixelData" in read and read.get("Rows"):
            compare_frames(client, where, read, UID(read.file_meta.TransferSyntaxUID))


def compare_frames(client: httpx.Client, where: str, read: object, syntax: UID) -> None:
    """The first and the last frame are pydicom's."""
    count = int(read.get("NumberOfFrames") or 1)  # type: ignore[attr-defined]
    answer = client.get(f"{where}/frames/{count}", headers=FRAMES)
    if transfer_syntax(str(syntax)).encapsulated:
        try:
            expected = list(generate_frames(read.PixelData, number_of_frames=count))[-1]  # type: ignore[attr-defined]
        except ValueError:
            assert answer.status_code in (200, 404, 406)
            return
    elif syntax.is_little_endian:
        bits = read.Rows * read.Columns * read.get("SamplesPerPixel", 1) * read.BitsAllocated  # type: ignore[attr-defined]
        if read.get("PhotometricInterpretation") == "YBR_FULL_422" or bits % 8:  # type: ignore[attr-defined]
            assert answer.status_code == 200
            return
        pixels = read.PixelData  # type: ignore[attr-defined]
        expected = pixels[(count - 1) * bits // 8 : count * bits // 8]
        if len(expected) < bits // 8:
            assert answer.status_code in (404, 406)
            return
    else:
        assert answer.status_code == 200
        return
    assert answer.status_code == 200, answer.text
    assert parts(answer)[0][1] == expected
