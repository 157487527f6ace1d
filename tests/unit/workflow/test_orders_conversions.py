"""How fields become values of attributes: names, codes, times, measures, and what they have to fit in."""

from dataclasses import replace
from typing import Any

import pytest

from isocenter.config.hl7 import Feed
from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.rules import paths
from isocenter.workflow.orders import filling, mapping
from isocenter.workflow.orders.filling import Filled
from isocenter.workflow.orders.identifiers import is_ours, number, study_uid
from isocenter.workflow.orders.sources import Scope
from order_messages import FEED, message, segment, value

PN = "PatientName\tPID-5\tname"


def read(rows: str, *segments: str, feed: Feed = FEED, former: dict[str, Any] | None = None) -> Filled:
    """What a mapping of these rows alone makes of the segments."""
    made = message(*segments)
    used = mapping.parse(rows, "test")
    filled = {str(paths.parse(line.partition("\t")[0])) for line in rows.splitlines()}
    own = tuple(row for row in used.rows if row.name in filled)
    part = filling.Part(Scope(made, tuple(made.segments[1:])))
    return filling.fill(replace(used, rows=own), feed, part, former or {}, lambda _: "", {})


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("Doe^Jane", "Doe^Jane"),
        ("Doe^Jane^Q^Jr.^Dr.^MD", "Doe^Jane^Q^Dr.^Jr. MD"),
        ("van der Berg&van der&Berg^Anna", "van der Berg^Anna"),
        ("&van der&Berg^Anna", "van der Berg^Anna"),
        ("Alias^A^^^^^A~Legal^L^^^^^L~Display^D^^^^^D", "Legal^L"),
        ("Maiden^M^^^^^M", "Maiden^M"),
        ("Yamada^Taro^^^^^L^A~山田^太郎^^^^^L^I~やまだ^たろう^^^^^L^P", "Yamada^Taro=山田^太郎=やまだ^たろう"),
        ("山田^太郎^^^^^L^I", "=山田^太郎"),
        ("Doe \\S\\ Roe^Jane\\E\\x", "Doe Roe^Jane x"),
        ("^^^^", ""),
        (" ", ""),
    ],
)
def test_names(field: str, expected: str) -> None:
    assert value(read(PN, f"PID|||||{field}").model, "PatientName") == expected


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("77^Doe^Jane^Q^Jr.^Dr.^MD", "Doe^Jane^Q^Dr.^Jr. MD"),
        ("77", ""),
        ("77^Doe^J^^^^^^^L~78^Roe^R", "Doe^J"),
        ("77^Doe^J^^^^^^^L^^^^^A~77^山田^太郎^^^^^^^L^^^^^I", "Doe^J=山田^太郎"),
        ("^Doe", "Doe"),
    ],
)
def test_people(field: str, expected: str) -> None:
    model = read("RequestingPhysician\tOBR-16\tperson", segment("OBR", {16: field})).model
    assert value(model, "RequestingPhysician") == expected


@pytest.mark.parametrize(
    ("field", "expected"),
    [("7&Ray&Tina&&&Dr.^20240101", "Ray^Tina^^Dr."), ("7^Ray^Tina", "Ray^Tina"), ("^", "")],
)
def test_performers(field: str, expected: str) -> None:
    rows = "ScheduledProcedureStepSequence.ScheduledPerformingPhysicianName\tOBR-34\tperformer"
    model = read(rows, segment("OBR", {34: field})).model
    assert value(model, "ScheduledPerformingPhysicianName") == expected


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("C^Meaning^99X", "C^Meaning^99X"),
        ("C", "C^C^99LOCAL"),
        ("^Words only", ""),
        ("^^^C2^Meaning^99Y", "C2^Meaning^99Y"),
        ("C1^One^S~C2^Two^S", "C1^One^S~C2^Two^S"),
    ],
)
def test_codes(field: str, expected: str) -> None:
    model = read("RequestedProcedureCodeSequence\tOBR-4\tcode", segment("OBR", {4: field})).model
    assert value(model, "RequestedProcedureCodeSequence") == expected


def test_a_long_code() -> None:
    model = read("RequestedProcedureCodeSequence\tOBR-4\tcode", segment("OBR", {4: "12345678901234567^Long^SCT"})).model
    (item,) = model["00321064"]["Value"]
    assert item["00080119"] == {"vr": "UC", "Value": ["12345678901234567"]}


@pytest.mark.parametrize(
    ("zone", "field", "expected"),
    [
        ("Europe/Berlin", "20240131", ("20240131", "")),
        ("Europe/Berlin", "2024013108", ("20240131", "08")),
        ("Europe/Berlin", "202401310830", ("20240131", "0830")),
        ("Europe/Berlin", "20240131083015.25", ("20240131", "083015.25")),
        ("Europe/Berlin", "20240131233000-0500", ("20240201", "053000")),
        ("America/New_York", "20240131033000+0100", ("20240130", "213000")),
    ],
)
def test_times_are_those_of_the_feed(zone: str, field: str, expected: tuple[str, str]) -> None:
    rows = "AdmittingDate\tPV1-44\tdate\nAdmittingTime\tPV1-44\ttime"
    model = read(rows, segment("PV1", {44: field}), feed=Feed(time_zone=zone)).model
    assert (value(model, "AdmittingDate"), value(model, "AdmittingTime")) == expected


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        (["OBX|1|NM|29463-7^Body weight^LN||72|kg"], "72.0"),
        (["OBX|1|NM|3141-9||7250|g"], "7.25"),
        (["OBX|1|NM|X^weight||160|[lb_av]"], "72.5748"),
        (["OBX|1|SN|29463-7||^72,5|kg"], "72.5"),
        (["OBX|1|NM|8302-2^Body height||172|cm", "OBX|2|NM|29463-7||72|"], "72.0"),
        (["OBX|1|NM|29463-7||heavy|kg"], ""),
    ],
)
def test_weights(segments: list[str], expected: str) -> None:
    row = next(row for row in mapping.preset("rad-4").rows if row.keyword == "PatientWeight")
    rows = f"PatientWeight\t{' ; '.join(source.written for source in row.sources)}\tmeasure:weight"
    assert value(read(rows, *segments).model, "PatientWeight") == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("172|cm", "1.72"), ("1.72|m", "1.72"), ("172|", "1.72"), ("1.72|", "1.72")]
)
def test_heights(text: str, expected: str) -> None:
    model = read("PatientSize\tOBX-5\tmeasure:size", f"OBX|1|NM|H||{text}").model
    assert value(model, "PatientSize") == expected


@pytest.mark.parametrize(
    ("row", "field", "comment"),
    [
        ("PatientBirthDate\tPID-3\tdate", "19701345", "no date"),
        ("PatientBirthDate\tPID-3\tdate", "Jane Doe", "no date"),
        ("StudyInstanceUID\tPID-3\ttext", "1.2.x", "no UID"),
        ("PatientBirthDate\tPID-3\ttext", "1970-01-31", "no date"),
        ("PatientBirthTime\tPID-3\ttext", "noon", "no time"),
        ("PatientWeight\tPID-3\ttext", "heavy", "no number"),
        ("PregnancyStatus\tPID-3\ttext", "perhaps", "no whole number"),
        ("PatientSex\tPID-3\ttext", "weiblich!", "no code"),
        ("ScheduledProcedureStepSequence.ScheduledStationAETitle\tPID-3\tall", "A TITLE THAT IS TOO LONG", "AE title"),
        ("PatientWeight\tOBX-5\tmeasure:weight", "1|stone", "unit"),
    ],
)
def test_what_does_not_fit(row: str, field: str, comment: str) -> None:
    """It is refused with its place and without its value; a question mark leaves it out, and tells."""
    line = f"OBX|1|NM|W||{field}" if "OBX" in row else f"PID|1||{field}"
    place = Location("OBX", 1, 5) if "OBX" in row else Location("PID", 1, 3)
    with pytest.raises(MessageError) as wrong:
        read(row, line)
    assert (wrong.value.condition, wrong.value.location) == (Condition.DATA_TYPE, place)
    assert comment in wrong.value.comment
    assert field.partition("|")[0] not in wrong.value.comment
    name, colon, argument = row.rpartition("\t")[2].partition(":")
    lenient = f"{row.rpartition(chr(9))[0]}\t{name}?{colon}{argument}"
    done = read(lenient, line)
    (warning,) = done.warnings
    assert (warning.location, "left out" in warning.comment) == (place, True)


@pytest.mark.parametrize(
    ("field", "expected", "comment"),
    [
        ("1.2.03", "1.2.03", "rules of PS3.5"),
        ("1." + "2" * 70, "1." + "2" * 70, "rules of PS3.5"),
        ("1.2.3", "1.2.3", ""),
    ],
)
def test_uids_are_taken_as_they_are(field: str, expected: str, comment: str) -> None:
    done = read("StudyInstanceUID\tZDS-1\ttext", f"ZDS|{field}^X^Application^DICOM")
    assert value(done.model, "StudyInstanceUID") == expected
    assert [comment in each.comment for each in done.warnings] == ([True] if comment else [])


def test_a_backslash_in_a_text() -> None:
    done = read(
        "PatientComments\tNTE-3\tlines\nMedicalAlerts\tOBR-13\ttext", "NTE|1||a\\E\\b", "OBR" + "|" * 13 + "a\\E\\b"
    )
    assert (value(done.model, "PatientComments"), value(done.model, "MedicalAlerts")) == ("a\\b", "a/b")
    assert len(done.warnings) == 1


def test_notes_belong_to_the_segment_before_them() -> None:
    rows = "PatientComments\tPID/NTE-3\tlines\nRequestedProcedureComments\tOBR/NTE-3\tlines"
    done = read(rows, "PID|1", "NTE|1||of the patient", "NTE|2||and more", "ORC|NW", "OBR|1", "NTE|1||of the exam")
    assert value(done.model, "PatientComments") == "of the patient\r\nand more"
    assert value(done.model, "RequestedProcedureComments") == "of the exam"


def test_sources_are_asked_in_their_order() -> None:
    rows = "AccessionNumber\tIPC-1 ; OBR-18 ; =NONE\ttext"
    assert value(read(rows, "OBR" + "|" * 18 + "A").model, "AccessionNumber") == "A"
    assert value(read(rows, "OBR" + "|" * 18 + "A", "IPC|B").model, "AccessionNumber") == "B"
    assert value(read(rows, "OBR|1").model, "AccessionNumber") == "NONE"


def test_a_sequence_goes_with_its_last_attribute() -> None:
    rows = (
        "AdmittingDiagnosesCodeSequence.CodeValue\tDG1-3\ttext\nAdmittingDiagnosesCodeSequence.CodeMeaning\tDG1-4\ttext"
    )
    model = read(rows, "DG1|1||I10|Hypertension").model
    assert value(model, "AdmittingDiagnosesCodeSequence") == "I10^Hypertension^"
    model = read(rows, 'DG1|1||""|', former=model).model
    assert value(model, "AdmittingDiagnosesCodeSequence") == "^Hypertension^"
    model = read(rows, 'DG1|1|||""', former=model).model
    assert "00081084" not in model


def test_numbers_of_our_own() -> None:
    one, two = number("step", "K", "P", "1"), number("step", "K", "P", "2")
    assert one != two
    assert one == number("step", "K", "P", "1")
    assert [len(each) for each in (one, number("order", "K"), number("procedure", "K"))] == [13, 13, 13]
    assert is_ours(one)
    assert not any(is_ours(text) for text in ("", "SPS1", "S123", number("order", "K"), f"{one}X", one.lower()))
    assert study_uid("K", "1").startswith("2.25.")
    assert study_uid("K", "1") != study_uid("K", "2")
