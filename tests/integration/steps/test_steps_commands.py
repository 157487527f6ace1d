"""`isocenter mpps`: a modality's part towards an archive of this process, and the archive's own commands beside it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import archives
from archives import Running
from databases import migrated
from isocenter.cli.app import app
from isocenter.dicom import dataset, uids
from isocenter.dicom.part10 import file_header
from isocenter.workflow.worklist.entries import Worklist
from isocenter.workflow.worklist.states import State
from procedure_steps import MPPS, ae_of, begun
from steps_worklist import scheduled

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("data")
    # the peer has no address: what is passed on waits, to be looked at
    with archives.running(folder, migrated(folder), ae=ae_of(mpps={"forward": ["RIS"]})) as running:
        yield running


@pytest.fixture
def run(archive: Running) -> Run:
    """Runs a command of the group; the result, which must have this exit status."""
    runner = CliRunner()

    def command(*arguments: str, status: int = 0) -> Result:
        done = runner.invoke(app, ["mpps", *arguments, "--data", str(archive.settings.data)])
        assert done.exit_code == status, done.output
        return done

    return command


@pytest.fixture
def peer(archive: Running) -> str:
    """The archive as a peer that is written out."""
    return f"ISOCENTER@127.0.0.1:{archive.port}"


def test_a_step_from_its_beginning_to_its_end(run: Run, peer: str) -> None:
    """With the defaults a step is whole; its attributes are given by keyword, inside sequences too."""
    keys = ("-k", "PatientName=Müller^Jörg", "-k", "PatientID=77", "-k", "Modality=MR")
    uid = run("create", peer, *keys, "--calling", "MR1").stdout.strip()
    assert uids.is_regular(uid)
    series = ("-k", "PerformedSeriesSequence.SeriesInstanceUID=1.2.3", "-k", "TotalNumberOfExposures=7")
    done = json.loads(run("set", peer, uid, "--status", "completed", *series, "--json").stdout)
    assert (done["status"], done["uid"]) == ("0000", uid)
    model = json.loads(run("get", peer, uid, "--json").stdout)
    assert model["00100010"]["Value"] == [{"Alphabetic": "Müller^Jörg"}]
    assert model["00400252"]["Value"] == ["COMPLETED"]
    assert model["00400241"]["Value"] == ["MR1"]
    assert model["00400301"]["Value"] == [7]
    assert len(model["00400250"]["Value"][0]) == 8
    some = json.loads(run("get", peer, uid, "-k", "PatientID", "-k", "AccessionNumber", "--json").stdout)
    assert set(some) == {"00080005", "00100020"}


def test_what_the_peer_refuses_is_told(run: Run, peer: str) -> None:
    uid = run("create", peer).stdout.strip()
    assert "Duplicate SOP instance 0111" in run("create", peer, "--uid", uid, status=1).stderr
    run("set", peer, uid, "--status", "DISCONTINUED")
    again = run("set", peer, uid, "--status", "COMPLETED", "--json", status=1)
    assert json.loads(again.stdout)["error_id"] == "A710"
    assert "may no longer be updated Error ID A710" in run("set", peer, uid, "-k", "PatientID=1", status=1).stderr
    assert "No such SOP instance 0112" in run("get", peer, "1.2.3", status=1).stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["set", "PEER", "1.2.3"], "nothing is given"),
        (["create", "PEER", "--file", "nowhere"], "can't be read"),
        (["create", "PEER", "--file", "/dev/null"], "neither DICOM JSON nor a DICOM file"),
        (["create", "PEER", "-k", "NoSuchName=1"], "no attribute of DICOM"),
        (["create", "NOBODY"], "neither TITLE@HOST:PORT"),
        (["resolve", "1"], "give either"),
    ],
)
def test_what_is_wrong_is_named(run: Run, peer: str, arguments: list[str], problem: str) -> None:
    arguments = [peer if each == "PEER" else each for each in arguments]
    assert problem in run(*arguments, status=2).stderr


@pytest.mark.parametrize("form", ["json", "list", "dicom"])
def test_attributes_come_from_a_file(run: Run, peer: str, tmp_path: Path, form: str) -> None:
    """As DICOM JSON or as a DICOM file; what is given beside it counts."""
    file, uid = tmp_path / "step", uids.new_uid()
    if form == "dicom":
        header = file_header(MPPS, uid, uids.IMPLICIT_LE)
        file.write_bytes(header + dataset.encode(begun(PatientName="Doe^Jane"), uids.IMPLICIT_LE))
    else:
        model = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]}}
        file.write_text(json.dumps([model] if form == "list" else model))
    run("create", peer, "--uid", uid, "--file", str(file), "-k", "PatientID=P9")
    model = json.loads(run("get", peer, uid, "--json").stdout)
    assert model["00100010"]["Value"] == [{"Alphabetic": "Doe^Jane"}]
    assert model["00100020"]["Value"] == ["P9"]


def test_nothing_is_added_where_that_is_not_wanted(run: Run, peer: str) -> None:
    """Then the peer makes the UID too."""
    uid = run("create", peer, "--bare", "-k", "PatientID=P10").stdout.strip()
    assert set(json.loads(run("get", peer, uid, "--json").stdout)) == {"00080005", "00100020", "00400252"}


@pytest.mark.req("X-RIS-32")
def test_an_exception_is_seen_and_settled(run: Run, peer: str, archive: Running) -> None:
    entry = scheduled(archive, "CLI1", "S1", patient="P11")
    named = ("-k", "PatientID=P11", "-k", "ScheduledStepAttributesSequence.AccessionNumber=TYPO")
    uid = run("create", peer, *named).stdout.strip()
    (found,) = [each for each in json.loads(run("exceptions", "--json").stdout) if each["sop_uid"] == uid]
    assert [each["id"] for each in found["candidates"]] == [entry.id]
    assert f"entry {entry.id}" in run("exceptions").stdout
    number = str(found["id"])
    assert "unmatched" in run("list", "--matching", "unmatched").stdout
    run("resolve", number, "--entry", "999999", status=1)
    assert json.loads(run("resolve", number, "--entry", str(entry.id), "--json").stdout)["matching"] == "resolved"
    with archive.database.reading() as connection:
        assert Worklist(archive.database).of_ids(connection, [entry.id])[0].state is State.STARTED
    shown = json.loads(run("show", number, "--json").stdout)
    assert shown["comment"].startswith("by cli:")
    assert shown["attributes"]["00400270"]["Value"][0]["00080050"]["Value"] == ["CLI1"]
    run("show", "999999", status=1)
    other = run("create", peer, *named).stdout.strip()
    (left,) = [each for each in json.loads(run("exceptions", "--json").stdout) if each["sop_uid"] == other]
    assert "accepted" in run("resolve", str(left["id"]), "--accept").stdout


@pytest.mark.req("I-MPPS-03")
def test_deliveries_are_listed_and_given_up(run: Run, peer: str) -> None:
    uid = run("create", peer).stdout.strip()
    (one,) = [each for each in json.loads(run("deliveries", "--json").stdout) if each["sop_uid"] == uid]
    assert (one["peer"], one["operation"], one["state"]) == ("RIS", "create", "waiting")
    assert f"create of {uid} to RIS  waiting" in run("deliveries", "--peer", "RIS").stdout
    assert "1 are tried again" in run("restart", str(one["id"])).stderr
    run("discard", str(one["id"]))
    run("discard", str(one["id"]), status=1)
    (number,) = [each["id"] for each in json.loads(run("list", "--json").stdout) if each["sop_uid"] == uid]
    assert "discarded" in run("show", str(number)).stdout
