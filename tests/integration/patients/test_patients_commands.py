"""`isocenter patients`, and `isocenter edit revert` of what a message did, beside an archive of this process."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from archives import study_uid
from hospital import Hospital
from isocenter.cli.app import app


@pytest.fixture
def told(house: Hospital, tmp_path: Path) -> Any:
    """Runs a command; what it says, as JSON where that is asked for."""
    (tmp_path / "isocenter.toml").write_text("")

    def command(*words: object, status: int = 0) -> Any:
        done = CliRunner().invoke(app, [*map(str, words), "--data", str(tmp_path)])
        assert done.exit_code == status, done.output
        return json.loads(done.stdout) if "--json" in words and not status else done.output

    return command


def everywhere(house: Hospital) -> None:
    study = house.archived(1, patient="A")
    house.scheduled("O1", patient="A", study=study)
    house.performed("1.2.3", patient="A", study=study)


def test_what_a_message_did_is_listed_and_undone(house: Hospital, told: Any) -> None:
    everywhere(house)
    before = house.state()
    house.process(house.message("A40", "PID|||B||Roe^R", "MRG|A", control_id="C7"))
    (one,) = told("patients", "events", "--json")
    assert (one["event"], one["kind"], one["prior"], one["identity"]) == ("ADT^A40", "merge", "\\A", "\\B")
    assert one["changed"] == {"worklist": 1, "steps": 1}
    assert "hl7:his C7" in told("patients", "events", "--patient", "B")
    assert told("patients", "events", "--patient", "NOBODY", "--json") == []
    assert "undone" in told("patients", "undo", one["id"], "--by", "me", "--why", "the wrong one")
    assert house.state() == before
    assert told("patients", "events", "--json")[0]["undone_by"] == "me"
    assert "already" in told("patients", "undo", one["id"], status=1)
    assert "no such event" in told("patients", "undo", 99, status=1)


def test_taking_back_its_edit_takes_back_all_of_it(house: Hospital, told: Any) -> None:
    everywhere(house)
    house.archived(2, patient="B", name="Roe^R")
    before = house.state()
    house.adt("A40", "PID|||B||Roe^R", "MRG|A")
    (edit,) = (row.uid for row in house.archive.rows("edit"))
    told("edit", "revert", edit, "--dry-run")
    assert house.entry("O1").identity == "\\B"
    assert "undone: 1" in told("edit", "revert", edit[:8])
    assert house.state() == before


def test_an_edit_of_a_person_is_but_an_edit(house: Hospital, told: Any) -> None:
    everywhere(house)
    told("edit", "patient", "A", "PatientName=Roe^R")
    (edit,) = (row.uid for row in house.archive.rows("edit"))
    told("edit", "revert", edit[:8])
    assert house.studies() == {study_uid(1): ("\\A", "Doe^Jane")}


def test_a_person_merges_everywhere(house: Hospital, told: Any) -> None:
    everywhere(house)
    house.archived(2, patient="B", issuer="HOSP", name="Roe^R")
    before = house.state()
    told("patients", "merge", "A", "B", "--issuer", "HOSP", "--by", "me", "--why", "one and the same")
    assert house.studies()[study_uid(1)] == ("HOSP\\B", "Roe^R")
    assert house.entry("O1").identity == house.step(1).identity == "HOSP\\B"
    found = told("patients", "show", "B", "--issuer", "HOSP", "--json")
    assert found["merged"] == ["\\A"]
    assert "merged into: HOSP\\B" in told("patients", "show", "A")
    assert "himself" in told("patients", "merge", "A", "A", status=1)
    told("patients", "undo", 1)
    assert house.state() == before


def test_what_is_registered_is_shown(house: Hospital, told: Any) -> None:
    house.adt("A01", "PID|||A||Doe^Jane|||||||||||||ACC1", "PV1||I|W1||||||||||||||||V1")
    house.adt("A24", "PID|||A", "PID|||Z")
    shown = told("patients", "show", "A")
    assert "visit V1: active  account ACC1" in shown
    assert "linked: \\Z" in shown
    assert told("patients", "show", "A", "--json")["attributes"]["00100010"]["Value"] == [{"Alphabetic": "Doe^Jane"}]
    assert "no such patient" in told("patients", "show", "Q", status=2)
