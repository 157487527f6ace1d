"""A site's own mapping and table of exams: what they may say, and what is told of a mistake."""

from pathlib import Path

import pytest

from isocenter.config.hl7 import Feed
from isocenter.errors import ConfigurationError
from isocenter.workflow.orders import exams, mapping, planning
from isocenter.workflow.orders.mapping import OrderMapping


def row(used: OrderMapping, path: str) -> tuple[str, str]:
    (found,) = (row for row in used.rows if str(row.path) == path)
    return " ; ".join(source.written for source in found.sources), found.conversion


def test_own_rows_over_a_preset() -> None:
    own = mapping.parse(
        "# ours\n@over x-ris\n@value sex W F\nAccessionNumber\tOBR-18\ttext\tas the HIS sends it\n"
        "PatientComments\t\n(0010,2180)\tPID-26\tdescription\n",
        "own.tsv",
    )
    assert row(own, "AccessionNumber") == ("OBR-18", "text")
    assert row(own, "Occupation") == ("PID-26", "description")
    assert row(own, "PregnancyStatus") == ("OBR-20", "listed")
    assert "PatientComments" not in {str(each.path) for each in own.rows}
    assert own.values.listed("sex", "w") == "F"
    assert mapping.preset("x-ris").values.listed("sex", "w") == ""


def test_rad_4_is_what_rows_are_put_over() -> None:
    own = mapping.parse("AccessionNumber\tOBR-3\ttext\n", "own.tsv")
    assert len(own.rows) == len(mapping.preset("rad-4").rows)


def test_a_mapping_is_a_preset_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "own.tsv"
    path.write_text("AccessionNumber\tOBR-3\ttext\n", "utf-8-sig")
    assert row(mapping.load(str(path)), "AccessionNumber") == ("OBR-3", "text")
    assert mapping.load("rad-4") is mapping.preset("rad-4")
    with pytest.raises(ConfigurationError, match="rad-4, x-ris"):
        mapping.load(str(tmp_path / "missing.tsv"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Acession\tOBR-18", "own.tsv: line 1: there is no attribute 'Acession'"),
        ("\n# x\nAccessionNumber\tOBR18", "line 3: 'OBR18' is no source"),
        ("AccessionNumber\tOBR-0", "fields count from 1"),
        ("AccessionNumber\tOBR-18\tnumber", "'number' is no conversion"),
        ("AccessionNumber\tOBR-18\ttext:x", "text:x is no conversion"),
        ("PatientSex\tPID-8\ttable:gender", "there is no table of values 'gender'"),
        ("AccessionNumber\texam.acession", "exam.acession is no column"),
        ("AccessionNumber\tgenerated.number", "generated.number"),
        ("AccessionNumber\tgenerated.order ; OBR-18", "what is generated comes last"),
        ("AccessionNumber\tcopy.Nothing", "there is no attribute 'Nothing'"),
        ("AccessionNumber\tOBR-18\nAccessionNumber\tOBR-3", "line 2: AccessionNumber is filled by a line above"),
        ("PatientName.PatientID\tPID-3", "PatientName is no sequence"),
        ("RequestedProcedureCodeSequence[2].CodeValue\tOBR-4", "only the first item"),
        ("AccessionNumber\tOBR-18\tcode", "code makes nothing that AccessionNumber can hold"),
        ("PatientName\tPID-5\ttext", "text makes nothing that PatientName can hold"),
        ("RequestedProcedureCodeSequence\tOBR-4\ttext", "can hold (VR SQ)"),
        ("@over mine", "'mine' is no preset"),
        ("@value sex", "a value is written as"),
    ],
)
def test_what_is_wrong_with_a_mapping(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as wrong:
        mapping.parse(text, "own.tsv")
    assert told in str(wrong.value)
    assert "own.tsv" in str(wrong.value)


def test_a_table_of_exams(tmp_path: Path) -> None:
    path = tmp_path / "exams.csv"
    path.write_text(
        "exam;scheme;modality;procedure;protocol;protocol_meaning\n"
        "CT1;;CT;;;\nX;A;CR;P1;;\nX;A;CR;P2;;\nX;A;MG;P1;;\nX;B;DX;;;\n\nX;;OT;;T;Words\n",
        "utf-8-sig",
    )
    table = exams.read(path)
    assert len(table) == 2
    assert [(step.values["modality"], step.procedure, step.step) for step in table.steps("X", "A")] == [
        ("CR", 0, 0),
        ("CR", 1, 0),
        ("MG", 0, 1),
    ]
    assert [step.values["modality"] for step in table.steps("X", "B")] == ["DX"]
    (plain,) = table.steps("X", "C")
    assert plain.repetitions("protocol") == ((("T",), ("Words",), ("",)),)
    assert plain.repetitions("location") == ()
    assert table.steps("Y") == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no column exam"),
        ("code,modality\n", "'code' is no column"),
        ("modality\nCT\n", "no column exam"),
        ("exam,modality\n,CT\n", "line 2 names no exam"),
        ("exam,modality\nX,CT,CT1\n", "line 2 has more values"),
        ("exam,duration\nX,half an hour\n", "duration is a number of minutes"),
        ("exam,station_ae\nX,A_TITLE_THAT_IS_TOO_LONG\n", "at most 16"),
        ('exam,modality\n"X,CT\n', "line"),
    ],
)
def test_what_is_wrong_with_a_table(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as wrong:
        exams.parse(text, "exams.csv")
    assert told in str(wrong.value)
    assert "exams.csv" in str(wrong.value)


def test_the_files_of_all_feeds_are_read_at_the_start(tmp_path: Path) -> None:
    planning.check([Feed(), Feed(mapping="x-ris")])
    with pytest.raises(ConfigurationError, match=r"table of exams can't be read"):
        planning.check([Feed(), Feed(exams=str(tmp_path / "none.csv"))])
