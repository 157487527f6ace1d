"""`isocenter commit` on an archive whose server is stopped, and what it refuses."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from databases import migrated
from isocenter import database
from isocenter.archive.commitment.asked import Asked
from isocenter.archive.commitment.data import Reference, Reported
from isocenter.archive.commitment.data import Result as Said
from isocenter.cli.app import app
from isocenter.store.filesystem import FilesystemStore

runner = CliRunner()
CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a server that ran once and knows a peer."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data"
    FilesystemStore(folder / "store", durability="process", floor_bytes=0).close()
    migrated(folder)
    (tmp_path / "uids").write_text(f"{CT} 1.2.3\n\n{CT} 1.2.4\n")
    return folder


@pytest.fixture
def run(data: Path) -> Any:
    """Runs a command on it; the result, which must have this exit status."""

    def command(*arguments: str, status: int = 0) -> Result:
        done = runner.invoke(app, [*arguments, "--data", str(data)])
        assert done.exit_code == status, done.output
        return done

    return command


def test_a_request_waits_for_the_server(run: Any, data: Path) -> None:
    run("peer", "add", "VAULT@127.0.0.1:104")
    told = run("commit", "request", "VAULT", "--uids", "uids", "--wait", "0")
    assert "ISOCENTER to VAULT  asking" in told.output
    assert "no report yet" in told.output
    (listed,) = json.loads(run("commit", "list", "--json").output)
    assert (listed["state"], listed["ae"], listed["peer"], listed["role"]) == ("asking", "ISOCENTER", "VAULT", "scu")
    shown = json.loads(run("commit", "show", "1", "--json").output)
    assert [(each["sop_uid"], each["failure"]) for each in shown["instances"]] == [("1.2.3", None), ("1.2.4", None)]
    assert "nothing said yet" in run("commit", "show", "1").output
    with closing(database.open(data / "index.db")) as index:
        asked = Asked(index)
        results = (Said(CT, "1.2.3", 0, "THERE"), Said(CT, "1.2.4", 0x0119))
        asked.report("VAULT", Reported(shown["transaction_uid"], results))
    told = run("commit", "show", "1").output
    assert "1.2.3  committed, to be retrieved from THERE" in told
    assert "1.2.4  not committed: class-instance conflict (0119)" in told
    again = run("commit", "again", "1", "--wait", "0", "--json").output
    assert json.loads(again.splitlines()[0])[0]["id"] == 2
    with closing(database.open(data / "index.db")) as index:
        assert [each.reference for each in Asked(index).instances(2)] == [Reference(CT, "1.2.4")]
    assert run("commit", "list", "--state", "failed").output.splitlines()[0].startswith("1 ")
    assert run("commit", "list", "--role", "scp").output.splitlines() == ["0 listed"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("request", "NOBODY", "--uids", "uids"), "neither TITLE@HOST:PORT nor a peer"),
        (("request", "VAULT"), "no instance is named"),
        (("request", "VAULT", "--study", "1.2.3"), "nothing here has the UID 1.2.3"),
        (("request", "VAULT", "--uids", "nothing"), "can't be read"),
        (("request", "VAULT", "nothing"), "there is no nothing"),
        (("request", "VAULT", "--uids", "uids", "--ae", "OTHER"), "no AE 'OTHER' is hosted here"),
        (("request", "VAULT@127.0.0.1:104", "--study", "1.2.3"), "need a peer that is known here"),
        (("request", "VAULT@127.0.0.1:104"), "no instance is named"),
        (("show", "7"), "there is no request 7"),
        (("again", "7"), "there is no request 7"),
    ],
)
def test_what_is_wrong_is_told(run: Any, words: tuple[str, ...], why: str) -> None:
    run("peer", "add", "VAULT@127.0.0.1:104")
    assert why in run("commit", *words, status=2).output


def test_nothing_is_asked_again_where_all_is_committed(run: Any, data: Path) -> None:
    with closing(database.open(data / "index.db")) as index:
        asked = Asked(index)
        number = asked.ask("ISOCENTER", "VAULT", [Reference(CT, "1.2.3")])
        found = asked.get(number)
        assert found is not None
        asked.report("VAULT", Reported(found.transaction_uid, (Said(CT, "1.2.3", 0),)))
    assert "all of it is committed" in run("commit", "again", str(number)).output


def test_a_peer_that_is_away_is_exit_status_3(run: Any) -> None:
    from archives import unused_port

    run("commit", "request", f"VAULT@127.0.0.1:{unused_port()}", "--uids", "uids", status=3)
