"""The mapping of orders to worklist attributes: a message for every source of every row, and the CSV of X-RIS."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from isocenter.hl7.message import parsed
from isocenter.workflow.orders import exams, filling, mapping
from isocenter.workflow.orders.mapping import OrderMapping, Row
from isocenter.workflow.orders.sources import Kind, Scope, Source
from material import REQUIREMENTS
from order_messages import FEED, message, segment, value, written

EXAMS = exams.parse(
    "exam,procedure,procedure_meaning,procedure_scheme,protocol,protocol_meaning,protocol_scheme,modality,station_ae,"
    "station_name,location,description,duration,premedication,contrast,comments,reason\n"
    "X1,RP9,Chest two views,99SITE,PR9,PA and lateral,99PROT,CR,CR1 CR2,Bucky 1,Room 4,Chest,30,None,Iohexol,Stand,"
    "Screening\n",
    "exams.csv",
)
EXAM = {
    "procedure": {"description": "Chest two views", "code": "RP9^Chest two views^99SITE"},
    "protocol": {"description": "PA and lateral", "code": "PR9^PA and lateral^99PROT"},
    "modality": "CR",
    "station_ae": "CR1\\CR2",
    "station_name": "Bucky 1",
    "location": "Room 4",
    "description": "Chest",
    "premedication": "None",
    "contrast": "Iohexol",
    "comments": "Stand",
    "reason": "Screening",
}
GENERATED = {
    "order": "A0123",
    "procedure": "P0123",
    "step": "S0123",
    "study": "2.25.123",
    "now": "20240102101112",
}
SAMPLES: dict[str, tuple[str, str]] = {
    # conversion: what stands in the field, what the attribute has then
    "text": ("VALUE 1^more", "VALUE 1"),
    "text UI": ("1.2.3.4", "1.2.3.4"),
    "all": ("CT1~CT2^second", "CT1\\CT2"),
    "lines": ("one~two", "one\r\ntwo"),
    "date": ("202401311545+0000", "20240131"),
    "any-date": ("20240131", "20240131"),
    "time": ("202401311545+0000", "1645"),
    "name": ("Doe^Jane^Quinn^III^Dr.", "Doe^Jane^Quinn^Dr.^III"),
    "names": ("Doe^Jane~Roe^Jane", "Doe^Jane\\Roe^Jane"),
    "person": ("77^Doe^Jane^Quinn^III^Dr.", "Doe^Jane^Quinn^Dr.^III"),
    "people": ("77^Doe^Jane~78^Roe^Rick", "Doe^Jane\\Roe^Rick"),
    "performer": ("77&Doe&Jane", "Doe^Jane"),
    "code": ("C1^Meaning^99X^C2^Other^99Y", "C1^Meaning^99X"),
    "code:second": ("C1^Meaning^99X^C2^Other^99Y", "C2^Other^99Y"),
    "code:scheme": ("C1^Meaning^99X", "C1^Meaning^99X"),
    "description": ("C1^Meaning^99X^C2^Other^99Y", "Meaning"),
    "description:second": ("C1^Meaning^99X^C2^Other^99Y", "Other"),
    "description:all": ("C1^Meaning~C2^Other", "Meaning\\Other"),
    "table:sex": ("d", "O"),
    "table:priority": ("S", "STAT"),
    "table:modality": ("NMR", "MR"),
    "table:ambulatory": ("A2", "Wheelchair or stretcher"),
    "listed:pregnancy": ("A1~B6", "3"),
    "measure:weight": ("72.5", "72.5"),
    "measure:size": ("172", "1.72"),
    "location": ("3W^12^A^HOSP", "3W/12/A"),
    "telephone": ("555 1234~^^^^^30^5678", "555 1234\\30 5678"),
    "address": ("1 High Street^^Town^^12345^GB", "1 High Street, Town, 12345, GB"),
    "authority": ("1^NS^1.2.3^ISO", "NS^1.2.3^ISO"),
    "authority:cx": ("1^^^NS&1.2.3&ISO", "NS^1.2.3^ISO"),
    "patient-id": ("4711^^^HOSP&1.2.3&ISO^MR~815^^^CITY", "4711"),
    "patient-id:issuer": ("4711^^^HOSP&1.2.3&ISO^MR~815^^^CITY", "HOSP"),
    "patient-id:universal": ("4711^^^HOSP&1.2.3&ISO^MR~815^^^CITY", "1.2.3^ISO"),
    "patient-id:others": ("4711^^^HOSP^MR~815^^^CITY", "815^CITY^TEXT"),
}


def sample(row: Row, source: Source) -> tuple[str, str]:
    """What stands in the field, and what is expected of the attribute."""
    key = f"{row.conversion}:{row.argument}" if row.argument else row.conversion
    raw, expected = SAMPLES[f"{key} UI" if f"{key} UI" in SAMPLES and row.path.vr == "UI" else key]
    if row.conversion == "performer" and source.name == "AIP":
        raw = "77^Doe^Jane"
    if source.subcomponent or source.component:
        raw = "^" * (source.component - 1) + raw.replace("^", "&")
    return raw, expected


def scope_of(source: Source, raw: str) -> Scope:
    """A message with nothing but this field."""
    fields = {source.field: raw}
    if source.wanted:
        fields[source.key] = f"^{min(source.wanted).upper()}"
    segments = [segment(source.name, fields)]
    if source.parent:
        segments.insert(0, source.parent)
    made = parsed(written(*segments).encode())
    return Scope(made, tuple(made.segments[1:]))


def filled(used: OrderMapping, part: filling.Part, rows: tuple[Row, ...] = ()) -> Mapping[str, Any]:
    chosen = replace(used, rows=rows) if rows else used
    done = filling.fill(chosen, FEED, part, {}, GENERATED.__getitem__, {})
    assert done.warnings == []
    return done.model


def sources(kind: Kind) -> Iterator[Any]:
    for preset in mapping.PRESETS:
        for row in mapping.preset(preset).rows:
            for source in row.sources:
                if source.kind is kind:
                    written_source = f"{source.name}-{source.field}" if source.field else source.name
                    yield pytest.param(preset, row, source, id=f"{preset} {row.path} {written_source}")


@pytest.mark.req("M-MWL-01", "M-HL7-02", "I-ACT-10", "I-WLM-09")
@pytest.mark.parametrize(("preset", "row", "source"), [*sources(Kind.FIELD)])
def test_every_field(preset: str, row: Row, source: Source) -> None:
    raw, expected = sample(row, source)
    used = mapping.preset(preset)
    model = filled(used, filling.Part(scope_of(source, raw)), (row,))
    assert value(model, str(row.path)) == expected
    raw = "^" * (source.component - 1) + '""' if source.component else '""'
    if row.generated:
        return  # an identifier is never deleted: see below
    emptied = filling.fill(
        replace(used, rows=(row,)), FEED, filling.Part(scope_of(source, raw)), model, GENERATED.__getitem__, {}
    )
    assert value(emptied.model, str(row.path)) == ""
    same = filling.fill(
        replace(used, rows=(row,)), FEED, filling.Part(scope_of(source, "")), model, GENERATED.__getitem__, {}
    )
    assert same.model == model


@pytest.mark.req("P-MWL-08", "X-RIS-10", "P-MWL-T38-24")
@pytest.mark.parametrize(
    ("preset", "row", "source"),
    [each for each in sources(Kind.EXAM) if not each.values[1].conversion.startswith("end-")],
)
def test_every_column_of_the_table_of_exams(preset: str, row: Row, source: Source) -> None:
    empty = Scope(message(), ())
    (step,) = EXAMS.steps("X1")
    model = filled(mapping.preset(preset), filling.Part(empty, step), (row._replace(sources=(source,)),))
    expected = EXAM[source.name]
    if isinstance(expected, dict):
        expected = expected["code" if row.path.vr == "SQ" else "description"]
    assert value(model, str(row.path)) == expected


def test_the_end_is_the_duration_after_the_start() -> None:
    made = message(segment("OBR", {4: "X1", 27: "^^^20240131235000"}))
    (step,) = EXAMS.steps("X1")
    model = filled(mapping.preset("rad-4"), filling.Part(Scope(made, tuple(made.segments[1:])), step))
    assert value(model, "ScheduledProcedureStepEndDate") == "20240201"
    assert value(model, "ScheduledProcedureStepEndTime") == "0020"


@pytest.mark.req("X-RIS-11", "X-RIS-18")
@pytest.mark.parametrize(("preset", "row", "source"), [*sources(Kind.GENERATED), *sources(Kind.COPY)])
def test_what_is_made_where_nothing_is_given(preset: str, row: Row, source: Source) -> None:
    empty = filling.Part(Scope(message(), ()))
    used = mapping.preset(preset)
    model = filled(used, empty)
    if source.kind is Kind.COPY:
        assert value(model, str(row.path)) == value(model, source.name) != ""
        return
    told = {"date": "20240102", "time": "101112"}.get(row.conversion, GENERATED[source.name])
    assert value(model, str(row.path)) == told
    again = filling.fill(used, FEED, empty, model, lambda _: "9.9", {})
    assert again.model == model, "never again on update"


@pytest.mark.parametrize("field", ["OBR-18", "OBR-19", "OBR-20", "ZDS-1"])
def test_an_identifier_is_never_deleted(field: str) -> None:
    name, _, number = field.partition("-")
    made = message(segment(name, {int(number): '""'}))
    used = mapping.preset("rad-4")
    before = filled(used, filling.Part(Scope(message(), ())))
    after = filling.fill(
        used, FEED, filling.Part(Scope(made, tuple(made.segments[1:]))), before, GENERATED.__getitem__, {}
    )
    assert after.model == before


# --- ps32_hl7_mwl_map.csv

RIS_SAMPLES = {
    # keyword: the field as a sender writes it, and the attribute
    "ScheduledProcedureStepStartDate": ("^^^20240131154500", "20240131"),
    "ScheduledProcedureStepStartTime": ("^^^20240131154500", "154500"),
    "ScheduledPerformingPhysicianName": ("7&Ray&Tina", "Ray^Tina"),
    "RequestedProcedureCodeSequence.CodeValue": ("73610^^C4", "73610"),
    "RequestedProcedureCodeSequence.CodingSchemeDesignator": ("73610^^C4", "C4"),
    "RequestedProcedurePriority": ("1^^^20240131^^S", "STAT"),
    "PatientTransportArrangements": ("WHLC", "WHLC"),
    "RequestingPhysician": ("12^Order^Otto", "Order^Otto"),
    "ReferringPhysicianName": ("13^Refer^Rita", "Refer^Rita"),
    "ReasonForTheImagingServiceRequest": ("^Pain after a fall", "Pain after a fall"),
    "OrderEnteredBy": ("14^Enter^Eve", "Enter^Eve"),
    "OrderEntererLocation": ("ER^Emergency", "Emergency"),
    "AdmissionID": ("4711^^^HOSP", "4711"),
    "AdmittingDiagnosesDescription": ("Fracture of the ankle", "Fracture of the ankle"),
    "AdmittingDiagnosesCodeSequence.CodeValue": ("S82.8^Fracture", "S82.8"),
    "AdmittingDiagnosesCodeSequence.CodingSchemeDesignator": ("I10", "I10"),
    "PatientName": ("Doe^Jane", "Doe^Jane"),
    "PatientID": ("4711^^^HOSP", "4711"),
    "PatientBirthDate": ("19700131", "19700131"),
    "PatientSex": ("F", "F"),
    "PatientWeight": ("72.5", "72.5"),
    "EthnicGroup": ("2106-3^White", "White"),
    "PatientComments": ("Speaks Dutch only", "Speaks Dutch only"),
    "PatientState": ("^Isolation", "Isolation"),
    "PregnancyStatus": ("Y", "3"),
    "MedicalAlerts": ("Pacemaker", "Pacemaker"),
    "Allergies": ("IOD^Iodine", "Iodine"),
    "LastMenstrualDate": ("20240105", "20240105"),
}


def ris_rows() -> Iterator[Any]:
    with (REQUIREMENTS / "ps32_hl7_mwl_map.csv").open(encoding="utf-8", newline="") as file:
        sequence: list[str] = []
        for row in csv.DictReader(file):
            depth = len(row["attribute"]) - len(row["attribute"].lstrip(">"))
            sequence[depth:] = [row["keyword"]]
            # the worklist itself writes the status, with the item's state (test_orders_handler)
            if not row["keyword"].endswith(("Sequence", "StepStatus")):
                path = ".".join(sequence[1:] if sequence[0] == "ScheduledProcedureStepSequence" else sequence)
                yield pytest.param(path, row["hl7_segment_field"], row["note"], id=f"{path} {row['hl7_segment_field']}")


@pytest.mark.req("X-RIS-18", "X-RIS-19")
@pytest.mark.parametrize(("path", "place", "note"), [*ris_rows()])
def test_every_row_of_the_ris(path: str, place: str, note: str) -> None:
    used = mapping.preset("x-ris")
    (step,) = EXAMS.steps("X1")
    if not place:
        model = filled(used, filling.Part(Scope(message(), ()), step))
        assert value(model, path) or path.startswith("AdmittingDiagnosesCodeSequence"), note
        return
    name, _, field = place.partition(":")
    raw, expected = RIS_SAMPLES[path]
    fields = {int(field): raw} | ({3: "^Body weight"} if name == "OBX" else {})
    made = message(segment(name, fields))
    assert value(filled(used, filling.Part(Scope(made, tuple(made.segments[1:])))), path) == expected
