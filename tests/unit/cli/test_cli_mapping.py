"""`isocenter hl7 mapping`: a mapping shown, checked, and tried on messages."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from isocenter.cli.app import app
from isocenter.workflow.orders import mapping
from order_messages import PID, obr, orc, value, written

EXAMS = "exam,modality,station_ae\nCTH,CT,CT1\n"


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("order.hl7").write_text(written(PID, orc(), obr(more={27: "^^^20240105"})), newline="")
    Path("exams.csv").write_text(EXAMS)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["hl7", "mapping", *arguments])


def test_what_is_shown_is_a_mapping() -> None:
    for name in mapping.PRESETS:
        shown = invoke("show", name)
        assert shown.exit_code == 0
        again = mapping.parse(f"@over {name}\n{shown.output}", "shown")
        assert {row.name: row for row in again.rows} == {row.name: row for row in mapping.preset(name).rows}


def test_the_mappings_of_all_feeds_are_checked() -> None:
    Path("isocenter.toml").write_text(
        '[[hl7.feed]]\nname = "ris"\nexams = "exams.csv"\n[[hl7.feed]]\nname = "his"\nmapping = "x-ris"\n'
    )
    told = invoke("check", "--config", "isocenter.toml")
    assert told.output.splitlines() == ["rad-4: 72 attributes, 1 exams", "x-ris: 46 attributes"]
    Path("exams.csv").write_text("exam,station_ae\nX,A_TITLE_THAT_IS_TOO_LONG\n")
    for words in (("check", "--config", "isocenter.toml"), ("check", "--exams", "exams.csv")):
        told = invoke(*words)
        assert (told.exit_code, "exams.csv: line 2" in told.output) == (2, True)
    told = CliRunner().invoke(app, ["config", "check", "--config", "isocenter.toml"])
    assert (told.exit_code, "exams.csv: line 2" in told.output) == (2, True)


def test_a_message_is_tried() -> None:
    told = invoke("try", "order.hl7", "--exams", "exams.csv")
    assert told.exit_code == 0
    assert "order placer HIS\\P1" in told.output
    assert "ScheduledStationAETitle: CT1" in told.output
    told = invoke("try", "order.hl7", "--exams", "exams.csv", "--json")
    (order,) = json.loads(told.output)
    assert order["steps"][0]["state"] == "SCHEDULED"
    assert value(order["steps"][0]["attributes"], "Modality") == "CT"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (written(PID, orc("ZZ"), obr()), "order.hl7: ORC-1: this order control code is not known"),
        (written(PID, orc(), obr(), orc("NW", "P2"), obr(more={27: "^^^soon"})), "OBR[2]-27"),
        (written(PID, kind="ADT^A08"), "ADT^A08 is no message of orders"),
    ],
)
def test_a_message_that_is_wrong(text: str, told: str) -> None:
    Path("order.hl7").write_text(text, newline="")
    done = invoke("try", "order.hl7")
    assert (done.exit_code, told in done.output) == (1, True)


def test_warnings_are_told() -> None:
    Path("order.hl7").write_text(written(PID, orc("XO"), obr()), newline="")
    done = invoke("try", "order.hl7")
    assert (done.exit_code, "warning: ORC-2: no order was known" in done.output) == (0, True)
