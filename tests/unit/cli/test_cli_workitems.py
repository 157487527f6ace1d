"""`isocenter workitem` on the worklist of an archive whose server is stopped."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from databases import migrated
from isocenter.cli.app import app
from isocenter.declarations.workitem import State
from isocenter.store.filesystem import FilesystemStore
from workitem_models import Worklist, code, sequence

runner = CliRunner()


@pytest.fixture
def worklist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worklist]:
    """The worklist of the data folder of a server that ran once."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data"
    FilesystemStore(folder / "store", durability="process", floor_bytes=0).close()
    migrated(folder)
    made = Worklist(f"sqlite:///{folder / 'index.db'}")
    with closing(made.database):
        yield made


def run(*arguments: str, status: int = 0) -> Result:
    done = runner.invoke(app, ["workitem", *arguments, "--data", "data"])
    assert done.exit_code == status, done.output
    return done


def _json(done: Result) -> Any:
    return json.loads(done.stdout)


def test_list(worklist: Worklist) -> None:
    for number, state in enumerate(State):
        worklist.put(f"2.25.{number}", state)
    assert [line.split("  ")[0] for line in run("list").stdout.splitlines()] == [f"2.25.{n}" for n in range(4)]
    assert run("list", "-k", "ProcedureStepState=IN*").stdout.startswith("2.25.1  IN PROGRESS")
    assert len(_json(run("list", "--limit", "2", "--json"))) == 2
    assert "no attribute of a workitem" in run("list", "-k", "Rows=1", status=2).stderr


def test_show(worklist: Worklist) -> None:
    worklist.create("2.25.1", t00404025=sequence(code("ST1")))
    worklist.subscribe("2.25.1", "VIEWER", lock=True)
    told = run("show", "2.25.1").stdout
    assert "ProcedureStepLabel: Segment the liver" in told
    assert "ScheduledStationNameCodeSequence:\n  CodeValue: ST1" in told
    assert "subscribed: VIEWER (web)" in told
    found = _json(run("show", "2.25.1", "--json"))
    assert found["workitem"]["00741000"]["Value"] == ["SCHEDULED"]
    assert [each["aet"] for each in found["subscribers"]] == ["VIEWER"]
    assert "no such workitem" in run("show", "2.25.2", status=1).stderr


def test_cancel(worklist: Worklist) -> None:
    worklist.create("2.25.1")
    assert "cancelled" in run("cancel", "2.25.1", "--reason", "doubled").stderr
    assert worklist.get("2.25.1").state is State.CANCELED
    assert "doubled" in str(worklist.get("2.25.1").model)
    worklist.put("2.25.2", State.IN_PROGRESS)
    assert "nobody is subscribed" in run("cancel", "2.25.2", status=1).stderr
    worklist.subscribe("2.25.2")
    assert "asked to cancel" in run("cancel", "2.25.2").stderr
    assert worklist.get("2.25.2").state is State.IN_PROGRESS


def test_release(worklist: Worklist) -> None:
    worklist.create("2.25.1")
    worklist.subscribe("2.25.1", lock=True)
    assert "1 deletion locks" in run("release", "WATCHER").stderr
    assert worklist.subscribed("2.25.1") == "unlocked"
