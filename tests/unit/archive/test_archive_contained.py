"""Documents and videos in objects: what they are called, and which bytes they are."""

import io
from collections.abc import Iterator

import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HEVCMP51,
    MPEG2MPML,
    MPEG4HP41,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from isocenter.archive.retrieval.contained import Contained, contained_in, may_contain
from isocenter.archive.retrieval.instances import Located, Reader
from isocenter.dicom.part10 import read_header
from isocenter.errors import Reason, Refused
from web_archive import image, part10

DOCUMENT = "1.2.840.10008.5.1.4.1.1.104."
PDF = b"%PDF-1.4 " + bytes(range(256)) * 5


class _Held:
    """A stored object in memory."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def pread(self, n: int, offset: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(n)

    def close(self) -> None:
        self._file.close()


def located(made: Dataset) -> tuple[Located, Reader]:
    data = part10(made)
    found = read_header(data)
    one = Located(1, 1, "1", "2", "3", str(made.SOPClassUID), found.syntax, "k", len(data) - found.offset, found.offset,
                  "", None, None, None, None, None, "", "", "", 0)  # fmt: skip
    return one, Reader(_Held(data), one.offset, one.size)  # type: ignore[arg-type]


def held(made: Dataset) -> Contained | None:
    return contained_in(*located(made))


def document(content: bytes = PDF, syntax: str = ExplicitVRLittleEndian, kind: str = "1", **values: object) -> Dataset:
    made = image(1, syntax=syntax, SOPClassUID=DOCUMENT + kind, EncapsulatedDocument=content, **values)
    del made.PixelData
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    return made


def video(syntax: str, *fragments: bytes) -> Dataset:
    made = image(1, syntax=syntax, NumberOfFrames=10)
    made.PixelData = encapsulate(list(fragments), has_bot=False)
    made["PixelData"].VR = "OB"
    return made


def content(found: Contained) -> bytes:
    return b"".join(found.pieces(0, found.length))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_a_document_is_what_was_encapsulated(syntax: str) -> None:
    found = held(document(syntax=syntax, MIMETypeOfEncapsulatedDocument="application/pdf"))
    assert found is not None
    assert found.media_types == ("application/pdf",)
    assert content(found) == PDF + b"\0" * (len(PDF) % 2)


def test_a_document_of_a_big_endian_object_too() -> None:
    found = held(document(syntax=ExplicitVRBigEndian, EncapsulatedDocumentLength=len(PDF)))
    assert found is not None
    assert content(found) == PDF


def test_the_pad_byte_is_no_part_of_a_document_that_says_its_length() -> None:
    found = held(document(PDF[:-1], EncapsulatedDocumentLength=len(PDF) - 1))
    assert found is not None
    assert content(found) == PDF[:-1]


@pytest.mark.parametrize(
    ("kind", "said", "called"),
    [
        ("1", "application/pdf", "application/pdf"),
        ("1", "", "application/pdf"),
        ("2", "text/XML", "text/xml"),
        ("3", "model/stl\r\nSet-Cookie: a", "model/stl"),
        ("4", "x" * 200 + "/y", "model/obj"),
        ("5", "model/mtl ", "model/mtl"),
    ],
)
def test_a_document_is_called_what_its_object_says_sensibly(kind: str, said: str, called: str) -> None:
    found = held(document(kind=kind, MIMETypeOfEncapsulatedDocument=said))
    assert found is not None
    assert found.media_types == (called,)


MP4 = b"\0\0\0\x18ftypisom" + bytes(40)
TRANSPORT = (b"\x47" + bytes(187)) * 3


@pytest.mark.parametrize(
    ("syntax", "stream", "names"),
    [
        (MPEG4HP41, MP4, ("video/mp4",)),
        (MPEG4HP41, TRANSPORT, ("video/mp2t", "video/mp4")),
        (MPEG4HP41, b"\0\0\0\x01\x67" + bytes(30), ("video/mp4",)),
        (MPEG2MPML, b"\0\0\x01\xba" + bytes(30), ("video/mpeg",)),
        (MPEG2MPML, TRANSPORT, ("video/mp2t", "video/mpeg")),
        (HEVCMP51, MP4, ("video/mp4", "video/h265")),
    ],
)
def test_a_video_is_called_by_its_container_then_by_its_syntax(
    syntax: str, stream: bytes, names: tuple[str, ...]
) -> None:
    found = held(video(syntax, stream))
    assert found is not None
    assert found.media_types == names
    assert content(found) == stream + b"\0" * (len(stream) % 2)


def test_a_video_is_one_stream_however_many_fragments() -> None:
    found = held(video(MPEG4HP41, MP4, b"ab", b"cdef"))
    assert found is not None
    whole = MP4 + b"abcdef"
    assert found.length == len(whole)
    for start, stop in [(0, len(whole)), (5, 9), (len(MP4), len(MP4) + 2), (len(MP4) - 1, len(MP4) + 3), (3, 3)]:
        assert b"".join(found.pieces(start, stop)) == whole[start:stop]


def _nothing() -> Iterator[Dataset]:
    yield image(1)
    empty = document()
    del empty.EncapsulatedDocument
    yield empty
    bare = video(MPEG4HP41, MP4)
    del bare.PixelData
    yield bare


@pytest.mark.parametrize("made", list(_nothing()))
def test_what_has_neither_is_told(made: Dataset) -> None:
    assert held(made) is None


def test_a_video_without_a_fragment_is_refused() -> None:
    made = video(MPEG4HP41, MP4)
    made.PixelData = bytes.fromhex("feff00e0 00000000 feffdde0 00000000")  # an empty offset table, no more
    with pytest.raises(Refused) as told:
        held(made)
    assert told.value.reason is Reason.NOT_ACCEPTABLE


def test_the_kind_alone_tells_whether_to_look() -> None:
    assert may_contain(located(document())[0])
    assert not may_contain(located(image(1))[0])
