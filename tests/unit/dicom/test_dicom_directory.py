"""DICOMDIR files as pydicom reads them."""

import io
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from isocenter.dicom.directory import Entry, directory
from isocenter.dicom.uids import EXPLICIT_LE

CT, SR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.22"


def entry(number: int, *, patient: str = "P1", study: int = 1, series: int = 1, sop_class: str = CT,
          **more: Any) -> Entry:  # fmt: skip
    model = {
        "00080016": {"vr": "UI", "Value": [sop_class]},
        "00080018": {"vr": "UI", "Value": [f"1.2.{study}.{series}.{number}"]},
        "0020000D": {"vr": "UI", "Value": [f"1.2.{study}"]},
        "0020000E": {"vr": "UI", "Value": [f"1.2.{study}.{series}"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Ødegård^Åse"}]},
        "00100020": {"vr": "LO", "Value": [patient]},
        **({"00280010": {"vr": "US", "Value": [4]}} if sop_class == CT else {}),
        **more,
    }
    return Entry(("DICOM", f"SE{series:06d}", f"IM{number:06d}"), EXPLICIT_LE, model)


def test_offsets_lead_from_record_to_record(tmp_path: Path) -> None:
    entries = [entry(n, series=series, study=study) for study in (1, 2) for series in (1, 2) for n in (1, 2, 3)]
    entries.append(entry(9, patient="P2", study=3, sop_class=SR))
    file = directory(entries)
    read = dcmread(io.BytesIO(file))
    by_offset = {record.seq_item_tell: record for record in read.DirectoryRecordSequence}

    def chain(offset: int) -> list[Any]:
        found = []
        while offset:
            found.append(by_offset[offset])
            offset = found[-1].OffsetOfTheNextDirectoryRecord
        return found

    def below(record: Any) -> list[Any]:
        return chain(record.OffsetOfReferencedLowerLevelDirectoryEntity)

    first, second = chain(read.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity)
    assert by_offset[read.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity] is second
    assert first.PatientName == "Ødegård^Åse"
    assert [len(below(series)) for study in below(first) for series in below(study)] == [3, 3, 3, 3]
    (report,) = below(below(below(second)[0])[0])
    assert report.DirectoryRecordType == "SR DOCUMENT"
    assert list(report.ReferencedFileID) == ["DICOM", "SE000001", "IM000009"]
    assert len(by_offset) == 2 + 3 + 5 + 13


@pytest.mark.parametrize("value", [{"vr": "IS", "BulkDataURI": "x"}, {"vr": "IS"}, {"vr": "IS", "Value": 7}])
def test_what_a_record_must_say_is_said(value: dict[str, Any]) -> None:
    read = dcmread(io.BytesIO(directory([entry(1, **{"00200013": value, "00100020": {"vr": "LO"}})])))
    patient, study, _, image = read.DirectoryRecordSequence
    assert (patient.PatientID, study.StudyDate, image.InstanceNumber) == ("UNKNOWN", "19000101", 0)


def test_what_no_record_is_defined_for_is_left_out() -> None:
    assert len(dcmread(io.BytesIO(directory([entry(1, sop_class="1.2.276.0.1")]))).DirectoryRecordSequence) == 0
    assert len(dcmread(io.BytesIO(directory([]))).DirectoryRecordSequence) == 0
