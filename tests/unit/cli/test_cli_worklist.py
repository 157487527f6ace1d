"""`isocenter worklist` on the own worklist, and against worklists of a scripted and a real peer."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from archives import Running, running
from databases import migrated
from isocenter.cli.app import app
from isocenter.config import HostedAE
from isocenter.config.worklist import WorklistAnswers
from isocenter.store.filesystem import FilesystemStore
from worklist_items import attribute, model, put

runner = CliRunner()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a server that ran once."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data"
    FilesystemStore(folder / "store", durability="process", floor_bytes=0).close()
    migrated(folder)
    return folder


@pytest.fixture
def run(data: Path) -> Any:
    """Runs a command on it; the result, which must have this exit status."""

    def command(*arguments: str, status: int = 0, stdin: str | None = None) -> Result:
        done = runner.invoke(app, ["worklist", *arguments, "--data", str(data)], input=stdin)
        assert done.exit_code == status, done.output
        return done

    return command


def listed(run: Any, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("list", "--json", *words).stdout)
    return found


ONE = ("--patient-id", "P1", "--patient-name", "Doe^Jane", "--modality", "CT", "--accession", "A1")


def test_an_entry_is_made_of_options_for_now_or_for_another_time(run: Any) -> None:
    run("create", *ONE, "--station", "CT1", "-k", "PatientSex=F", "-k", "PregnancyStatus=4")
    run(
        "create", *ONE[:-2], "--accession", "A2", "--date", "20260105", "--time", "0930", "-k", "StudyInstanceUID=1.2.3"
    )
    later, now = listed(run)
    assert later["0020000D"]["Value"] == ["1.2.3"]
    assert now["001021C0"] == {"vr": "US", "Value": [4]}
    (step,) = now["00400100"]["Value"]
    assert step["00400001"]["Value"] == ["CT1"]
    assert len(step["00400002"]["Value"][0]) == 8
    table = run("list", "--accession", "A2").output
    assert "Doe^Jane" in table
    assert "1 found" in table


def test_entries_are_made_of_a_file(run: Any, tmp_path: Path) -> None:
    (tmp_path / "entries.json").write_text(json.dumps([model(1), model(2)]))
    assert "2 found" in run("create", "entries.json").output
    run("create", "-", stdin=json.dumps(model(3)))
    assert [entry["00100020"]["Value"] for entry in listed(run)] == [["P1"], ["P2"], ["P3"]]


def test_entries_are_cancelled_and_taken_out(run: Any) -> None:
    for number in ("1", "2"):
        run("create", *ONE, "-k", f"RequestedProcedureID=R{number}")
    assert "2 entries match" in run("cancel", "--accession", "A1", status=1).output
    assert "1 cancelled" in run("cancel", "--procedure-id", "R1").output
    assert len(listed(run)) == 1
    assert len(listed(run, "--state", "cancelled")) == 1
    assert "no entry matches" in run("cancel", "--procedure-id", "R1", status=1).output
    assert "2 taken out" in run("remove", "--accession", "A1", "--all").output
    assert listed(run, "--state", "all") == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("create", "--patient-id", "P1"), "PatientName, Modality"),
        (("create", "no-such.json"), "no-such.json"),
        (("create", *ONE, "-k", "NoSuch=1"), "is no attribute"),
        (("create", *ONE, "-k", "PregnancyStatus=perhaps"), "is no number"),
        (("cancel",), "name the entries"),
        (("remove", "--accession", "*"), "name the entries"),
        (("list", "--state", "lost"), "is none of"),
        (("list", "--date", "soon"), "ScheduledProcedureStepStartDate"),
    ],
)
def test_what_is_wrong_is_told(run: Any, words: tuple[str, ...], why: str) -> None:
    done = runner.invoke(app, ["worklist", *words, "--data", "data"])
    assert done.exit_code in (1, 2)
    assert why in " ".join(done.output.split())
    assert listed(run, "--state", "all") == []


# --- asking a peer


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Another installation with a worklist of 130."""
    folder = tmp_path_factory.mktemp("peer")
    with running(folder, migrated(folder)) as archive:
        odd = model(0, PatientName="Grün^Äsche", Modality="MR", ScheduledProcedureStepStartDate="2026.01.07")
        odd["00400100"]["Value"][0]["00400007"] = attribute(0x00400007, "x" * 90)
        put(archive.database, odd, *(model(n) for n in range(1, 130)))
        yield archive


def queried(peer: Running, *words: str, status: int = 0) -> Result:
    done = runner.invoke(app, ["worklist", "query", f"ISOCENTER@127.0.0.1:{peer.port}", *words])
    assert done.exit_code == status, done.output
    return done


@pytest.mark.req("M-MWL-10", "M-MWL-11", "M-MWL-12", "X-MOD-41", "X-MOD-46")
def test_a_worklist_is_asked_by_the_keys_of_a_modality(peer: Running) -> None:
    words = ("--modality", "CT", "--station", "CT1", "--date", "20260105", "--patient-id", "P7")
    (found,) = json.loads(queried(peer, *words, "--json").stdout)
    assert found["00100010"]["Value"] == [{"Alphabetic": "Family7^Given"}]
    assert found["0020000D"]["Value"][0]
    assert found["00400100"]["Value"][0]["00400009"]["Value"] == ["S7"]
    assert "Family7^Given" in queried(peer, "--patient-name", "family7^*").output


@pytest.mark.req("X-MOD-42", "X-MOD-45")
def test_at_the_limit_the_query_is_cancelled_and_what_came_is_used(peer: Running) -> None:
    assert len(json.loads(queried(peer, "--json").stdout)) == 100
    assert len(json.loads(queried(peer, "--json", "--limit", "3").stdout)) == 3
    assert len(json.loads(queried(peer, "--json", "--limit", "0").stdout)) == 130


@pytest.mark.req("X-MOD-46", "X-MOD-47")
def test_answers_are_brought_into_the_forms_of_today(peer: Running) -> None:
    (found,) = json.loads(queried(peer, "--patient-name", "grün^*", "--json").stdout)
    assert found["00100010"]["Value"] == [{"Alphabetic": "Grün^Äsche"}]
    (step,) = found["00400100"]["Value"]
    assert step["00400002"]["Value"] == ["20260107"]
    assert step["00400007"]["Value"] == ["x" * 64]


@pytest.mark.req("X-MOD-45")
def test_a_refused_query_is_told(peer: Running, tmp_path: Path) -> None:
    strict = HostedAE(worklist=WorklistAnswers(limit=1))
    with running(tmp_path, migrated(tmp_path), ae=strict) as archive:
        put(archive.database, model(1), model(2))
        told = queried(archive, status=1).output
    assert "the query failed" in told
    assert "A700 more than 1 matches" in told
    assert "does not support all" in queried(peer, "-k", "StationName", "--patient-id", "P1").output
