"""Headers as JSON, here and in worker processes."""

import io
import json
import os
import signal

import pytest
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from isocenter.archive.packs.work import Header, Memory, write, write_all
from isocenter.archive.packs.workers import Workers
from isocenter.dicom.part10 import read_header


def encoded(number: int = 1, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """The data set of a small image."""
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", f"1.2.{number}"
    made.PatientName, made.InstanceNumber = "A^B", number
    made.Rows = made.Columns = 2
    made.BitsAllocated, made.PixelData = 8, bytes(4)
    made.ensure_file_meta()
    made.file_meta.TransferSyntaxUID = syntax
    out = io.BytesIO()
    dcmwrite(out, made, enforce_file_format=True)
    return out.getvalue()[read_header(out.getvalue()).offset :]


def header(number: int = 1, cut: int | None = None, syntax: str = ExplicitVRLittleEndian) -> Header:
    data = encoded(number, syntax)
    return Header(data[:cut], str(syntax), cut is None, f"http://x/studies/1/series/2/instances/{number}/bulkdata")


def test_a_prefix_up_to_the_pixels_is_enough() -> None:
    data = encoded()
    whole, prefix = write(header()), write(header(cut=len(data) - 4))
    assert whole == prefix
    found = json.loads(whole.json)
    assert found["7FE00010"]["BulkDataURI"] == "http://x/studies/1/series/2/instances/1/bulkdata/7FE00010"
    assert data[whole.end : whole.end + 4] == b"\xe0\x7f\x10\0"


def test_more_is_asked_for() -> None:
    answer = write(header(cut=40))
    assert answer.json == b""
    assert answer.need > 40


def test_deflated_data_is_wanted_whole() -> None:
    assert write(header(cut=20, syntax=DeflatedExplicitVRLittleEndian)).need
    assert json.loads(write(header(syntax=DeflatedExplicitVRLittleEndian)).json)["00200013"]["Value"] == [1]


@pytest.mark.parametrize("data", [b"", b"nonsense, no data set at all", b"\x08\0\x05\0XX\xff\xff"])
def test_what_can_not_be_read_is_empty(data: bytes) -> None:
    assert write(Header(data, ExplicitVRLittleEndian, True, "")).json in (b"", b"{}")


def test_workers_write_the_same() -> None:
    headers = [header(n) for n in range(30)]
    expected = write_all(headers, Memory())
    workers = Workers(1)
    try:
        assert workers.write(headers) == expected
        assert workers.write(headers[:3]) == expected[:3]
        (worker,) = workers._pool._idle
        os.kill(worker._process.pid, signal.SIGKILL)
        assert workers.write(headers) == expected
        assert workers.write(headers) == expected
    finally:
        workers.close()


def test_no_workers_at_all() -> None:
    workers = Workers(0)
    workers.warm()
    assert workers.write([header()]) == [write(header())]
    workers.close()
