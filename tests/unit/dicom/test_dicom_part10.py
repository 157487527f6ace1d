"""File headers: exact ones out, anything in, and the receipt facts that make the store self-describing."""

import io
import struct

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.dicom import part10, uids
from isocenter.dicom.headers import MalformedDataSet, NeedMore
from isocenter.dicom.part10 import (
    Compressed,
    Receipt,
    Received,
    file_header,
    outgoing_header,
    read_header,
    read_receipt,
    stored_header,
)
from unit.dicom.dicom_files import paths, quiet

CLASS, INSTANCE = uids.CT_IMAGE_STORAGE, "1.2.3"
RECEIPT = Receipt("MODALITY1", "ISOCENTER", "192.0.2.17", 1_790_000_000_123_456, "ab" * 32)


@pytest.mark.req("C-TPL-5.1.4")
def test_pydicom_reads_our_header() -> None:
    header = file_header(
        CLASS, INSTANCE, uids.EXPLICIT_LE, source_aet="SRC", sending_aet="SND", receiving_aet="RCV", private=b"xy"
    )
    read = pydicom.dcmread(io.BytesIO(header))
    meta = read.file_meta
    assert header[:132] == bytes(128) + b"DICM"
    assert meta.FileMetaInformationGroupLength == len(header) - 144
    assert meta.FileMetaInformationVersion == b"\0\1"
    assert (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID) == (CLASS, INSTANCE)
    assert meta.TransferSyntaxUID == uids.EXPLICIT_LE
    assert meta.ImplementationClassUID == uids.IMPLEMENTATION_CLASS_UID
    assert meta.ImplementationVersionName == uids.IMPLEMENTATION_VERSION_NAME
    titles = (
        meta.SourceApplicationEntityTitle,
        meta.SendingApplicationEntityTitle,
        meta.ReceivingApplicationEntityTitle,
    )
    assert titles == ("SRC", "SND", "RCV")
    assert (meta.PrivateInformationCreatorUID, meta.PrivateInformation) == (uids.PRIVATE_CREATOR, b"xy")


def test_what_leaves_carries_no_receipt() -> None:
    header = outgoing_header(CLASS, INSTANCE, uids.IMPLICIT_LE)
    read = read_header(header)
    assert read[:4] == (CLASS, INSTANCE, uids.IMPLICIT_LE, len(header))
    assert read_receipt(read) is None
    assert part10.PRIVATE_INFORMATION not in read.elements


def test_the_digest_does_not_move_the_data_set() -> None:
    placeholder = stored_header(CLASS, INSTANCE, uids.EXPLICIT_LE, RECEIPT._replace(digest=""))
    header = stored_header(CLASS, INSTANCE, uids.EXPLICIT_LE, RECEIPT)
    assert len(placeholder) == len(header)
    assert len(header) % 2 == 0
    assert read_receipt(read_header(header)) == RECEIPT
    found = read_receipt(read_header(placeholder))
    assert found is not None
    assert found.digest == ""


titles = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\\"), min_size=1, max_size=16)


@given(
    titles, titles, st.text(max_size=60), st.integers(0, 2**53), st.text("0123456789abcdef", min_size=64, max_size=64)
)
def test_receipts_survive(sending: str, receiving: str, address: str, at: int, digest: str) -> None:
    receipt = Receipt(sending, receiving, address, at, digest)
    assert read_receipt(read_header(stored_header(CLASS, INSTANCE, uids.EXPLICIT_LE, receipt))) == receipt


def test_what_it_was_before_it_was_compressed_survives() -> None:
    first = Compressed("a" * 32, "b" * 64, uids.EXPLICIT_LE, 5, "RGB c", "d", "", 7, 8)
    second = first._replace(original_key="e" * 32, syntax=uids.JPEG_2000_LOSSLESS, at=9)
    receipt = RECEIPT._replace(received=Received(1, 2, "f"), compressed=(first, second))
    assert read_receipt(read_header(stored_header(CLASS, INSTANCE, uids.RLE_LOSSLESS, receipt))) == receipt


@pytest.mark.parametrize("told", ["5", "[5]", '[["a"]]', '[["a","b","c","d","e","f","g","h","i"]]', "{}x"])
def test_what_can_not_be_read_of_that_is_no_receipt(told: str) -> None:
    header = stored_header(CLASS, INSTANCE, uids.EXPLICIT_LE, RECEIPT)
    whole = read_header(header).elements[0x00020102].value.rstrip(b" ")

    def read(more: str) -> Receipt | None:
        private = whole[:-1] + f"{more}}} ".encode()
        private += b" " * (len(private) % 2)
        return read_receipt(read_header(file_header(CLASS, INSTANCE, uids.EXPLICIT_LE, private=private)))

    assert read("") == read(',"compressed":[]') == RECEIPT
    assert read(f',"compressed":{told}') is None


@pytest.mark.parametrize("private", [b"", b"{}", b"[1]", b"\xff\xfe", b"[" * 100_000, b'{"digest":1}'])
def test_other_private_information_is_no_receipt(private: bytes) -> None:
    header = file_header(CLASS, INSTANCE, uids.EXPLICIT_LE, private=private)
    assert read_receipt(read_header(header)) is None


def meta(group_length: int | None, *elements: bytes) -> bytes:
    first = b"" if group_length is None else struct.pack("<HH2sHI", 2, 0, b"UL", 4, group_length)
    return bytes(128) + b"DICM" + first + b"".join(elements)


def ui(element: int, value: str) -> bytes:
    padded = value.encode() + b"\0" * (len(value) % 2)
    return struct.pack("<HH2sH", 2, element, b"UI", len(padded)) + padded


DATA = b"\x08\0\x60\0CS\2\0CT"
SYNTAX = ui(0x10, uids.EXPLICIT_LE)


@pytest.mark.parametrize(
    "content",
    [
        meta(None, ui(3, INSTANCE), SYNTAX),
        meta(0, ui(3, INSTANCE), SYNTAX),
        meta(9999, ui(3, INSTANCE), SYNTAX),
        meta(None, ui(3, INSTANCE), SYNTAX)[128:],
        meta(None, ui(3, INSTANCE), SYNTAX)[132:],
        meta(None, ui(3, INSTANCE)),
        meta(
            None, struct.pack("<HHI", 2, 3, 6) + b"1.2.3\0", struct.pack("<HHI", 2, 0x10, 20) + b"1.2.840.10008.1.2.1\0"
        ),
        meta(None, struct.pack(">HH2sH", 2, 3, b"UI", 6) + b"1.2.3\0", struct.pack(">HH2sH", 2, 0x10, b"UI", 20))
        + b"1.2.840.10008.1.2.1\0",
        meta(None, ui(3, INSTANCE), SYNTAX) + struct.pack("<HHIH", 0, 0x800, 2, 1),
    ],
    ids=[
        "no group length",
        "zero group length",
        "wrong group length",
        "no preamble",
        "no preamble, no magic",
        "no transfer syntax",
        "implicit",
        "big endian",
        "command elements behind",
    ],
)
def test_odd_headers(content: bytes) -> None:
    header = read_header(content + DATA)
    assert (header.sop_instance, header.syntax) == (INSTANCE, uids.EXPLICIT_LE)
    assert (content + DATA)[header.offset :] == DATA


@pytest.mark.parametrize(
    ("data", "syntax"),
    [
        (DATA, uids.EXPLICIT_LE),
        (b"\x08\0\x60\0\2\0\0\0CT", uids.IMPLICIT_LE),
        (b"\0\x08\0\x60CS\0\2CT", uids.EXPLICIT_BE),
    ],
)
def test_bare_data_sets_and_empty_meta(data: bytes, syntax: str) -> None:
    assert read_header(data) == ("", "", syntax, 0, {})
    assert read_header(bytes(128) + b"DICM" + data) == ("", "", syntax, 132, {})


@pytest.mark.parametrize("data", [b"", b"DIC", b"hello, this is no image", b"\x89PNG\r\n" * 4, b"{}" * 40, bytes(6)])
def test_no_dicom(data: bytes) -> None:
    with pytest.raises(MalformedDataSet):
        read_header(data)


def test_a_prefix_may_be_too_short() -> None:
    content = file_header(CLASS, INSTANCE, uids.EXPLICIT_LE, private=bytes(3000)) + DATA
    with pytest.raises(NeedMore):
        read_header(content[:2000], whole=False)
    with pytest.raises(MalformedDataSet):
        read_header(content[:2000])
    assert read_header(content[:-2], whole=False).offset == len(content) - len(DATA)


def test_every_file_is_split_where_pydicom_does() -> None:
    checked = 0
    for name, path in paths():
        if path.stat().st_size > 4 << 20:
            continue
        content = path.read_bytes()
        try:
            header = read_header(content)
        except MalformedDataSet:
            assert content[128:132] != b"DICM"
            continue
        with quiet():
            read = pydicom.dcmread(io.BytesIO(content), force=True, specific_tags=["SOPInstanceUID"], defer_size=8)
        assert header.syntax == (read.file_meta.get("TransferSyntaxUID") or header.syntax), name
        assert header.sop_instance == str(read.file_meta.get("MediaStorageSOPInstanceUID") or "").rstrip("\0 ")
        checked += 1
    assert checked >= 10
