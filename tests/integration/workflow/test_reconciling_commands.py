"""`isocenter reconcile`, on the data of an archive that serves."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import held_archives
from archives import made, study_uid
from held_archives import Bench, value
from isocenter.cli.app import app

SETTINGS = """
[[ae]]
title = "ISOCENTER"

[[ae]]
title = "TWF"
role = "reconcile"
"""


class Told:
    """What a command ended with."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench, self._folder = bench, folder

    def __call__(self, *words: object, status: int = 0, as_json: bool = True) -> Any:
        arguments = ["reconcile", *map(str, words), *(["--json"] if as_json else []), "--data", str(self._folder)]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == status, done.output
        return json.loads(done.stdout) if as_json and not status else done.output

    def held(self, study: int) -> int:
        """The number of a study that waits now."""
        self.bench.archive.send(made(1, study=study, PatientID=f"P{study}"))
        self.bench.settle()
        found = [one for one in self("list")["studies"] if one["study_uid"] == study_uid(study)]
        return int(found[0]["id"])


@pytest.fixture(scope="module")
def reconcile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    from databases import migrated

    folder = tmp_path_factory.mktemp("data")
    (folder / "isocenter.toml").write_text(SETTINGS)
    with held_archives.running(folder, migrated(folder)) as bench:
        yield Told(bench, folder)


def named(reconcile: Told, study: int) -> list[str]:
    """The patient's names in the archive's objects of a study."""
    reconcile.bench.settle()
    models = reconcile.bench.archived()
    return [value(each, "PatientName") for each in models if value(each, "StudyInstanceUID") == study_uid(study)]


@pytest.mark.req("I-TWF-06")
def test_a_candidate_is_looked_for_and_chosen(reconcile: Told) -> None:
    number = reconcile.held(11)
    reconcile.bench.order("ELEVEN", PatientID="P-11", PatientName="Chosen^Chris")
    assert reconcile("show", number)["waiting"] == {"objects": 1, "series": 1}
    assert reconcile("search", number, "PatientID=P-9*")["candidates"] == []
    assert len(reconcile("search", number, "PatientName=Chosen*")["candidates"]) == 1
    assert "Chosen^Chris" in reconcile("show", number, as_json=False)
    told = reconcile("choose", number, 1, "--why", "the card", "--by", "Ann")
    assert [told["decision"][each] for each in ("how", "actor", "reason")] == ["chosen", "Ann", "the card"]
    assert named(reconcile, 11) == ["Chosen^Chris"]


@pytest.mark.req("I-ACT-33")
def test_values_are_typed_in(reconcile: Told) -> None:
    number = reconcile.held(12)
    assert "attributes change" in reconcile("type", number, "PatientName=Typed^Tina", as_json=False)
    assert named(reconcile, 12) == ["Typed^Tina"]
    assert reconcile("release", number, status=1).startswith("error: the study is released already")


def test_a_study_is_rejected_and_reopened(reconcile: Told) -> None:
    number = reconcile.held(13)
    assert reconcile("reject", number)["state"] == "rejected"
    assert named(reconcile, 13) == []
    assert [one["id"] for one in reconcile("list", "--state", "rejected")["studies"]] == [number]
    assert reconcile("reopen", number)["state"] == "open"
    assert f"{number}  TWF" in reconcile("list", as_json=False)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("show", 0), 1),
        (("list", "--state", "nowhere"), 2),
        (("search", 1, "PatientID"), 2),
        (("search", 1, "Rows=1"), 1),
        (("type", 1), 1),
        (("type", 1, "Rows=1"), 1),
    ],
)
def test_what_can_not_be_done_is_told(reconcile: Told, words: tuple[object, ...], status: int) -> None:
    assert reconcile(*words, status=status).startswith("error: ")
