"""Results and documents of HL7 messages, in the archive."""

import base64
import csv
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from archives import made, running
from databases import migrated
from hospital import Hospital
from isocenter.dicom.dataset import DataSet, Element, decode
from isocenter.dicom.dictionary import tag_of
from isocenter.dicom.uids import EXPLICIT_LE
from isocenter.hl7.errors import Condition, MessageError
from isocenter.index import tables
from material import REQUIREMENTS

PDF = b"%PDF-1.4\n" + bytes(range(256)) * 5 + b"\n%%EOF"
PID = "PID|||A||Doe^Jane||19700102|F"
REPORT = {
    2: "PL1",
    3: "FI1",
    4: "18748-4^Diagnostic imaging report^LN",
    7: "20260301101500",
    22: "20260301113000",
    25: "F",
}


def obr(fields: dict[int, str] | None = None, *, name: str = "OBR") -> str:
    """A segment of a report's fields with some changed."""
    given = {**(REPORT if name == "OBR" else {}), **(fields or {})}
    return "|".join((name, *(given.get(number, "") for number in range(1, max(given) + 1))))


ED = f"OBX|1|ED|PDF^Report||^application^PDF^Base64^{base64.b64encode(PDF).decode()}||||||F"
TEXT = ("OBX|1|TX|1234&GDT^Chest||The lungs are clear.", "OBX|2|FT|1234&GDT^Chest||No effusion.\\.br\\No mass.")
SR, ENCAPSULATED = "1.2.840.10008.5.1.4.1.1.88.11", "1.2.840.10008.5.1.4.1.1.104.1"


def oru(house: Hospital, *segments: str, **options: Any) -> list[DataSet]:
    """Process an ORU; all documents that are archived then, the oldest first."""
    house.process(house.message("ORU^R01", *(segments or (PID, obr(), *TEXT))), **options)
    return stored(house)


def stored(house: Hospital, *, rejected: int = 0) -> list[DataSet]:
    with house.database.reading() as connection:
        c = tables.instance.c
        query = select(c.store_key).where(c.sop_class.in_((SR, ENCAPSULATED)), c.rejected == rejected)
        keys = list(connection.execute(query.order_by(c.id)).scalars())
    return [decode(house.archive.data_of(key), EXPLICIT_LE) for key in keys]


def text(data_set: DataSet, keyword: str) -> str:
    value = element(data_set, keyword).value
    assert isinstance(value, bytes)
    return value.decode().strip(" \0")


def element(data_set: DataSet, keyword: str) -> Element:
    tag = tag_of(keyword)
    assert tag is not None
    return data_set[tag]


def items(data_set: DataSet, keyword: str) -> Any:
    return element(data_set, keyword).value


def codes(item: DataSet, keyword: str) -> str:
    (code,) = items(item, keyword)
    return " ".join(text(code, each) for each in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning"))


def test_texts_become_a_basic_text_sr_of_the_study(house: Hospital) -> None:
    study = house.archived(1, patient="A", AccessionNumber="FI1")
    (report,) = oru(house)
    assert text(report, "SOPClassUID") == SR
    assert [text(report, each) for each in ("StudyInstanceUID", "PatientID", "Modality")] == [study, "A", "SR"]
    assert [text(report, each) for each in ("CompletionFlag", "VerificationFlag")] == ["COMPLETE", "UNVERIFIED"]
    assert (text(report, "ContentDate"), text(report, "ContentTime")) == ("20260301", "113000")
    assert codes(report, "ConceptNameCodeSequence") == "18748-4 LN Diagnostic imaging report"
    (line,) = items(report, "ContentSequence")
    assert codes(line, "ConceptNameCodeSequence") == "121070 DCM Findings"
    assert text(line, "TextValue").split("\r\n") == ["The lungs are clear.", "No effusion.", "No mass."]
    (request,) = items(report, "ReferencedRequestSequence")
    assert text(request, "PlacerOrderNumberImagingServiceRequest") == "PL1"
    assert house.archive.rows("conflict") == []


@pytest.mark.req("P-BRG-03")
def test_a_pdf_becomes_an_encapsulated_pdf_of_the_study(house: Hospital) -> None:
    study = house.archived(1, patient="A", AccessionNumber="ACC")
    (pdf,) = oru(house, PID, obr({18: "ACC"}), ED)
    assert [text(pdf, each) for each in ("SOPClassUID", "StudyInstanceUID", "Modality")] == [ENCAPSULATED, study, "DOC"]
    assert [text(pdf, each) for each in ("DocumentTitle", "AccessionNumber")] == ["Diagnostic imaging report", "ACC"]
    data, length = element(pdf, "EncapsulatedDocument").value, element(pdf, "EncapsulatedDocumentLength").value
    assert isinstance(data, bytes)
    assert isinstance(length, bytes)
    assert data[: int.from_bytes(length, "little")] == PDF


def test_text_and_several_pdfs_of_one_result(house: Hospital) -> None:
    found = oru(house, PID, obr(), *TEXT, ED, ED.replace("OBX|1|", "OBX|2|"))
    assert [text(each, "SOPClassUID") for each in found] == [SR, ENCAPSULATED, ENCAPSULATED]
    assert len({text(each, "SOPInstanceUID") for each in found}) == 3
    assert len({text(each, "StudyInstanceUID") for each in found}) == 1
    house.archive.rows("conflict")
    again = oru(house, PID, obr(), *TEXT, ED, ED.replace("OBX|1|", "OBX|2|"))
    assert len(again) == 3


def test_each_obr_is_a_report(house: Hospital) -> None:
    found = oru(house, PID, "ORC|RE|PL1|FI1", obr({3: ""}), TEXT[0], "ORC|RE|PL2|FI2", obr({2: "", 3: ""}), TEXT[1])
    fillers = [text(items(each, "ReferencedRequestSequence")[0], FILLER) for each in found]
    assert fillers == ["FI1", "FI2"]


FILLER = "FillerOrderNumberImagingServiceRequest"


def test_headings_values_and_codes(house: Hospital) -> None:
    (report,) = oru(
        house, PID, obr(), "OBX|1|TX|1&GDT||Text, a^b & c", "OBX|2|ST|1&IMP||Nothing",
        "OBX|3|NM|8302-2^Height^LN||181|cm",
        "OBX|4|CE|X^Side^99L||R^Right^SNM3", "OBX|5|TX|||No heading", "OBX|6|TX|1&IMP||Wrong||||||W",
        "OBX|7|HD|113014^DICOM Study^DCM||^1.2.3^ISO",
    )  # fmt: skip
    told = []
    for each in items(report, "ContentSequence"):
        heading = codes(each, "ConceptNameCodeSequence")
        coded = text(each, "ValueType") == "CODE"
        told.append((heading, codes(each, "ConceptCodeSequence") if coded else text(each, "TextValue")))
    assert told == [
        ("121070 DCM Findings", "Text, a^b & c"),
        ("121072 DCM Impressions", "Nothing"),
        ("8302-2 LN Height", "181 cm"),
        ("X 99L Side", "R SNM3 Right"),
        ("121071 DCM Finding", "No heading"),
    ]
    assert text(report, "StudyInstanceUID") == "1.2.3"


def test_who_verified_it(house: Hospital) -> None:
    (report,) = oru(house, PID, obr({32: "7&House&Gregory&&&Dr"}), *TEXT)
    assert text(report, "VerificationFlag") == "VERIFIED"
    (observer,) = items(report, "VerifyingObserverSequence")
    told = [text(observer, each) for each in ("VerifyingObserverName", "VerifyingOrganization", "VerificationDateTime")]
    assert told == ["House^Gregory^^Dr", "ADT", "20260301113000"]


def test_a_preliminary_report_and_its_final_one(house: Hospital) -> None:
    first = oru(house, PID, obr({25: "P", 32: "7&House&G"}), *TEXT)[-1]
    flags = ("CompletionFlag", "PreliminaryFlag", "VerificationFlag")
    assert [text(first, each) for each in flags] == ["PARTIAL", "PRELIMINARY", "UNVERIFIED"]
    final = oru(house, PID, obr({32: "7&House&G"}), *TEXT)[-1]
    assert [text(final, each) for each in flags] == ["COMPLETE", "FINAL", "VERIFIED"]
    assert predecessor(final) == text(first, "SOPInstanceUID")


def predecessor(report: DataSet) -> str:
    (study,) = items(report, "PredecessorDocumentsSequence")
    assert text(study, "StudyInstanceUID") == text(report, "StudyInstanceUID")
    (series,) = items(study, "ReferencedSeriesSequence")
    assert text(series, "SeriesInstanceUID") == text(report, "SeriesInstanceUID")
    (instance,) = items(series, "ReferencedSOPSequence")
    return text(instance, "ReferencedSOPInstanceUID")


@pytest.mark.parametrize("kind", ["text", "pdf"])
def test_a_corrected_result_names_the_former_and_a_repeated_one_stores_nothing(house: Hospital, kind: str) -> None:
    body = TEXT if kind == "text" else (ED,)
    other = (TEXT[0],) if kind == "text" else (ED.replace("JVBERi0xLjQK", "JVBERi0xLjUK"),)
    (first,) = oru(house, PID, obr(), *body)
    assert len(oru(house, PID, obr(), *body)) == 1
    _, second = oru(house, PID, obr({25: "C"}), *other)
    assert predecessor(second) == text(first, "SOPInstanceUID")
    assert text(second, "InstanceNumber") == "2"
    assert len(oru(house, PID, obr(), *body)) == 2  # the first one comes late once more
    _, _, third = oru(house, PID, obr({25: "C"}), *body)
    assert predecessor(third) == text(second, "SOPInstanceUID")
    assert house.archive.rows("conflict") == []


def test_the_program_may_end_between_store_and_note(house: Hospital) -> None:
    message = house.message("ORU^R01", PID, obr(), *TEXT)
    house.results.before(message, house.feed)
    house.process(message)
    assert len(stored(house)) == 1
    assert [row.verdict for row in house.archive.rows("instance_version")] == []


# --- whose it is


def test_a_result_of_an_ordered_study_that_is_not_there_yet(house: Hospital) -> None:
    entry = house.scheduled("ORDER1", patient="A", name="Doe^Jane^Q")
    (report,) = oru(house, PID, obr({18: "ORDER1"}), *TEXT)
    assert text(report, "StudyInstanceUID") == entry.study_uid
    assert text(report, "AccessionNumber") == "ORDER1"
    house.archived(1, patient="A", StudyInstanceUID=entry.study_uid)
    assert house.archive.rows("conflict") == []


def test_results_of_an_unknown_order_are_a_study_of_their_own(house: Hospital) -> None:
    found = oru(house, PID, obr({18: "NEW"}), *TEXT, ED)
    assert len({text(each, "StudyInstanceUID") for each in found}) == 1
    assert {text(each, "AccessionNumber") for each in found} == {"NEW"}
    assert {(text(each, "PatientID"), text(each, "PatientBirthDate")) for each in found} == {("A", "19700102")}
    assert text(found[0], "StudyDate") == "20260301"


def test_a_result_for_a_number_that_was_merged_away(house: Hospital) -> None:
    study = house.archived(1, patient="A", AccessionNumber="FI1")
    house.adt("A40", "PID|||B||Roe^Richard||19700102|M", "MRG|A")
    (report,) = oru(house)
    assert [text(report, each) for each in ("StudyInstanceUID", "PatientID")] == [study, "B"]
    assert house.archive.rows("conflict") == []


def test_a_study_of_a_modality_that_knows_no_issuers(house: Hospital) -> None:
    """Two numbers agree: the order's, and the patient's."""
    study = house.archived(1, patient="A", AccessionNumber="FI1")
    (report,) = oru(house, "PID|||A^^^HOSP||Doe^Jane", obr(), *TEXT)
    assert text(report, "StudyInstanceUID") == study
    assert house.archive.rows("conflict") == []


@pytest.mark.parametrize("named", [{18: "FI1"}, {}])
def test_a_study_of_another_patient(house: Hospital, named: dict[int, str]) -> None:
    """A filler's number may be an accession number, and need not be."""
    study = house.archived(1, patient="OTHER", AccessionNumber="FI1")
    if named:
        with pytest.raises(MessageError) as refused:
            oru(house, PID, obr(named), *TEXT)
        assert refused.value.condition is Condition.UNKNOWN_KEY
        assert refused.value.location is not None
        assert refused.value.location[:3] == ("PID", 1, 3)
        assert stored(house) == []
    else:
        (report,) = oru(house, PID, obr(named), *TEXT)
        assert text(report, "StudyInstanceUID") != study


def test_a_number_that_the_sender_uses_again_for_another_patient(house: Hospital) -> None:
    """Nothing of the one is named by the other's, or cancelled with it."""
    (first,) = oru(house)
    _, second = oru(house, "PID|||B||Roe^R", obr(), *TEXT)
    assert text(second, "PatientID") == "B"
    assert text(second, "StudyInstanceUID") != text(first, "StudyInstanceUID")
    assert tag_of("PredecessorDocumentsSequence") not in second
    (left,) = oru(house, "PID|||B||Roe^R", obr({25: "X"}))
    assert text(left, "PatientID") == "A"
    assert house.archive.rows("conflict") == []


def test_a_report_that_is_known_is_no_other_patients(house: Hospital) -> None:
    house.archived(1, patient="A", AccessionNumber="ACC")
    oru(house, PID, obr({18: "ACC"}), *TEXT)
    with pytest.raises(MessageError, match="another patient"):
        oru(house, "PID|||B||Roe^R", obr({18: "ACC"}), *TEXT)


# --- documents


TXA = {1: "1", 2: "DI", 4: "20260301120000", 9: "7^House^Gregory", 12: "DOC1", 15: "FI1", 17: "AU"}


def mdm(house: Hospital, event: str, fields: dict[int, str] | None = None, *body: str) -> list[DataSet]:
    txa = obr({**TXA, **(fields or {})}, name="TXA")
    house.process(house.message(f"MDM^{event}", "EVN|T02", PID, "PV1", txa, *body))
    return stored(house)


def test_documents_new_changed_added_to_and_replaced(house: Hospital) -> None:
    study = house.archived(1, patient="A", AccessionNumber="FI1")
    first = mdm(house, "T02", {}, *TEXT)[-1]
    assert text(first, "StudyInstanceUID") == study
    assert text(first, "VerificationFlag") == "VERIFIED"
    edited = mdm(house, "T08", {}, TEXT[0])[-1]
    assert predecessor(edited) == text(first, "SOPInstanceUID")
    addendum = mdm(house, "T06", {12: "DOC2", 13: "DOC1"}, TEXT[1])[-1]
    (named,) = items(addendum, "PredecessorDocumentsSequence")
    assert text(named, "StudyInstanceUID") == study
    assert len(mdm(house, "T10", {12: "DOC3", 13: "DOC2"}, TEXT[1])) == 4


def test_a_dictated_document_is_none_that_is_final(house: Hospital) -> None:
    (report,) = mdm(house, "T02", {17: "DI"}, *TEXT)
    assert [text(report, each) for each in ("CompletionFlag", "VerificationFlag")] == ["PARTIAL", "UNVERIFIED"]


def test_a_cancelled_document_goes_out_of_sight_and_is_not_deleted(house: Hospital) -> None:
    house.archived(1, patient="A", AccessionNumber="FI1")
    assert len(mdm(house, "T02", {}, *TEXT, ED)) == 2
    assert mdm(house, "T11") == []
    assert len(stored(house, rejected=2)) == 2
    assert mdm(house, "T11") == []  # once more
    with pytest.raises(MessageError) as unknown:
        mdm(house, "T11", {12: "NEVER"})
    assert unknown.value.condition is Condition.UNKNOWN_KEY


def test_a_cancelled_result_too(house: Hospital) -> None:
    assert len(oru(house)) == 1
    assert oru(house, PID, obr({25: "X"})) == []


# --- what is wrong


@pytest.mark.parametrize(
    ("segments", "condition", "place"),
    [
        (("PID|||", obr(), *TEXT), Condition.REQUIRED_FIELD, ("PID", 1, 3)),
        ((obr(), *TEXT), Condition.REQUIRED_FIELD, ("PID", 1, 3)),
        ((PID,), Condition.SEGMENT_SEQUENCE, ("OBR", 1, 0)),
        ((PID, obr({2: "", 3: ""}), *TEXT), Condition.REQUIRED_FIELD, ("OBR", 1, 3)),
        ((PID, obr()), Condition.REQUIRED_FIELD, ("OBX", 1, 5)),
        ((PID, obr(), "OBX|1|ED|P||^image^JPEG^Base64^AAAA"), Condition.DATA_TYPE, ("OBX", 1, 5)),
        ((PID, obr(), TEXT[0], "OBX|2|ED|P||^application^PDF^Base64^%%%"), Condition.DATA_TYPE, ("OBX", 2, 5)),
        ((PID, obr(), "OBX|1|ED|P||^application^PDF^Base64^AAAA"), Condition.DATA_TYPE, ("OBX", 1, 5)),
        ((PID, obr(), "OBX|1|ED|P||^application^PDF^A^AAAA"), Condition.DATA_TYPE, ("OBX", 1, 5)),
        ((PID, obr(), "OBX|1|ZZ|P||AAAA"), Condition.DATA_TYPE, ("OBX", 1, 2)),
        ((PID, obr({22: "yesterday"}), *TEXT), Condition.DATA_TYPE, ("OBR", 1, 22)),
    ],
)  # fmt: skip
def test_what_is_wrong_stores_nothing(
    house: Hospital, segments: tuple[str, ...], condition: Condition, place: tuple[str, int, int]
) -> None:
    with pytest.raises(MessageError) as wrong:
        oru(house, *segments)
    assert wrong.value.condition is condition
    assert wrong.value.location is not None
    assert wrong.value.location[:3] == place
    assert stored(house) == []
    assert house.archive.set_aside() == []


# --- P-PDF: the objects that IntelliBridge makes


def _rows() -> list[dict[str, str]]:
    with (REQUIREMENTS / "intellibridge_attributes.csv").open(encoding="utf-8", newline="") as table:
        return [row for row in csv.DictReader(table) if row["ae"] == "PDF_REPORT" and row["tag"]]


ROWS_OF = {91: 9, 92: 6, 93: 1, 94: 3, 95: 1, 96: 2, 97: 10, 98: 4}
"""How many rows the source's table of each module has."""


def test_the_rows_were_read() -> None:
    assert len(_rows()) == sum(ROWS_OF.values())


EXAMINED = made(
    study=1, PatientID="A", IssuerOfPatientID="HOSP", PatientName="Doe^Jane", PatientBirthDate="19700102",
    PatientBirthTime="1200", PatientSex="F", OtherPatientNames="Roe", EthnicGroup="E", PatientComments="C",
    AccessionNumber="FI1", ReferringPhysicianName="House", StudyID="7", StudyTime="1000",
    AdmittingDiagnosesDescription="D",
)  # fmt: skip
"""Of a study that says everything."""


@pytest.fixture(scope="module")
def pdfs(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataSet, DataSet]:
    """One of that study, one of an order that says next to nothing."""
    folder = tmp_path_factory.mktemp("pdfs")
    with running(folder, migrated(folder), durable=False) as archive:
        house = Hospital(archive)
        house.stored(EXAMINED)
        feed = house.fed(document_modality="XA")
        full = oru(house, "PID|||A^^^HOSP||Doe^Jane", obr({32: "7&House"}), ED, feed=feed)[-1]
        sparse = oru(house, "PID|||Z", f"OBR|1|PL9{'|' * 30}", ED, feed=feed)[-1]
    return full, sparse


@pytest.mark.req(
    *(f"P-PDF-{number:02d}" for number in (1, 2, 5, 6, 7)),
    *(f"P-PDF-T90-{number:02d}" for number in range(1, 9)),
    *(f"P-PDF-T{table}-{n:02d}" for table, rows in ROWS_OF.items() for n in range(1, rows + 1)),
)
@pytest.mark.parametrize("row", [pytest.param(row, id=f"{row['keyword']}-{row['note'][:3]}") for row in _rows()])
def test_the_attributes_of_a_pdf_report(pdfs: tuple[DataSet, DataSet], row: dict[str, str]) -> None:
    """Presence, VR and fixed values row by row, but for the name of the manufacturer, which is ours."""
    full, sparse = pdfs
    tag = tag_of(row["keyword"])
    assert tag is not None
    presence, *further = (part.strip() for part in row["usage"].split(";"))
    vr = next(part.strip()[3:] for part in row["note"].split(";") if part.strip().startswith("VR "))
    assert full[tag].vr == vr
    assert full[tag].value
    if presence == "ANAP":
        assert tag not in sparse or sparse[tag].value
    else:
        assert tag in sparse
    if presence == "ALWAYS":
        assert sparse[tag].value
    fixed = next((part[6:] for part in further if part.startswith("value ")), "")
    if fixed and row["keyword"] == "Manufacturer":
        assert text(full, "Manufacturer") == "Isocenter"
    elif fixed:
        assert text(full, row["keyword"]) in fixed.split(", ")


OF_THE_MESSAGE = {
    "ContentDate": "20260301",
    "ContentTime": "113000",
    "AcquisitionDateTime": "20260301113000",
    "InstanceNumber": "1",
    "VerificationFlag": "VERIFIED",
}
"""What a report is copied from that is no study yet."""


@pytest.mark.req("P-PDF-03")
@pytest.mark.parametrize("row", [pytest.param(row, id=row["keyword"]) for row in _rows() if "COPY" in row["usage"]])
def test_what_a_pdf_report_copies(pdfs: tuple[DataSet, DataSet], row: dict[str, str]) -> None:
    """Of the study that it belongs to, and of the message; what is fixed or made is told above."""
    expected = OF_THE_MESSAGE.get(row["keyword"]) or text(decode(EXAMINED.data, EXAMINED.syntax), row["keyword"])
    assert text(pdfs[0], row["keyword"]) == expected


@pytest.mark.skipif(shutil.which("dsrdump") is None, reason="not installed: dsrdump")
def test_dcmtk_reads_the_report(house: Hospital, tmp_path: Path) -> None:
    """Which checks the value types, the relationships and all that is required of a Basic Text SR."""
    oru(house, PID, obr({25: "P"}), *TEXT)
    oru(house, PID, obr({32: "7&House&Gregory"}), *TEXT, "OBX|4|CE|X^Side^99L||R^Right^SNM3")
    with house.database.reading() as connection:
        query = select(tables.instance.c.store_key).where(tables.instance.c.sop_class == SR)
        keys = connection.execute(query).scalars().all()
    assert len(keys) == 2
    for key in keys:
        file = tmp_path / "report"
        file.write_bytes(house.archive.data_of(key))
        done = subprocess.run(["dsrdump", "-f", file], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert [line for line in done.stderr.splitlines() if "Character Set: ISO_IR 192" not in line] == []
        assert "The lungs are clear." in done.stdout
        assert "Basic Text SR Document" in done.stdout
