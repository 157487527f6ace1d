"""Reconciliation with DCMTK at both ends: storescu sends, wlmscpfs has the worklist; persons decide over HTTP, and a
kill in the middle costs nothing."""

import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from archives import Object, made, series_uid, study_uid, unused_port
from held_archives import attribute, item
from isocenter.dicom.dataset import encode
from isocenter.dicom.json_reading import element_of
from isocenter.dicom.part10 import outgoing_header
from isocenter.dicom.uids import EXPLICIT_LE, MODALITY_WORKLIST_FIND
from peer_programs import background, identifier, listens, needs, run
from servers import Server, until

pytestmark = needs("storescu", "findscu", "wlmscpfs")

SETTINGS = """
[[ae]]
title = "ISOCENTER"

[[ae]]
title = "TWF"
preset = "technologist"
[ae.reconciling]
worklists = ["WLM"]
quiet = 0

[[ae]]
title = "DESK"
role = "reconcile"
[ae.reconciling]
quiet = 0

[[peer]]
title = "WLM"
host = "127.0.0.1"
port = {port}
"""


class Department(NamedTuple):
    """A server, and a folder for what is sent."""

    server: Server
    folder: Path

    def send(self, called: str, *objects: Object) -> None:
        """By storescu."""
        files = []
        for number, each in enumerate(objects):
            path = self.folder / f"{called}-{each.sop_uid}-{number}.dcm"
            path.write_bytes(outgoing_header(each.sop_class, each.sop_uid, each.syntax) + each.data)
            files.append(path)
        run("storescu", "-aet", "MODALITY", "-aec", called, "127.0.0.1", self.server.dicom_port, *files)

    def ask(self, path: str, body: Any = None) -> tuple[int, Any]:
        """GET, or POST of JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.server.url}/api/reconciliation{path}", data)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as refusal:
            with refusal:
                is_problem = refusal.headers["content-type"] == "application/problem+json"
                return refusal.code if is_problem else 0, json.load(refusal)

    def studies(self, number: int, state: str = "all") -> list[dict[str, Any]]:
        """What `/api/reconciliation` says of a study."""
        _, listed = self.ask(f"?state={state}")
        return [one for one in listed["studies"] if one["study_uid"] == study_uid(number)]

    def found(self, number: int) -> list[str]:
        """The names of the patient of a study, as findscu is told by the archive."""
        wanted = identifier("STUDY", StudyInstanceUID=study_uid(number), PatientName="")
        said = run("findscu", "-S", "-aec", "ISOCENTER", "127.0.0.1", self.server.dicom_port, *wanted)
        lines = (said.stdout + said.stderr).splitlines()
        return [line.partition("[")[2].partition("]")[0] for line in lines if "(0010,0010)" in line and "[" in line]


@pytest.fixture(scope="module")
def department(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Department]:
    folder = tmp_path_factory.mktemp("department")
    files, port = folder / "worklist" / "WLM", unused_port()
    files.mkdir(parents=True)
    (files / "lockfile").touch()
    model = item(PatientName="Worklist^Wanda")
    data = encode({int(tag, 16): element_of(each) for tag, each in model.items()}, EXPLICIT_LE)
    (files / "one.wl").write_bytes(outgoing_header(MODALITY_WORKLIST_FIND, "1.2.3", EXPLICIT_LE) + data)
    (folder / "data").mkdir()
    (folder / "data" / "isocenter.toml").write_text(SETTINGS.format(port=port))
    command = ["wlmscpfs", "-v", "-dfp", str(files.parent), str(port)]
    with background(command, folder / "wlmscpfs.log"):
        listens(port)
        with Server(folder / "data", settings={"http__open": True}) as server:
            yield Department(server, folder)


@pytest.mark.req("I-TWF-02", "I-TWF-05", "I-TWF-08", "I-ACT-30", "I-ACT-31", "I-ACT-34", "I-REC-02")
def test_a_study_is_merged_with_the_item_of_a_remote_worklist(department: Department) -> None:
    department.send("TWF", made(1), made(2))
    until(lambda: department.found(1) == ["Worklist^Wanda"], told="the study is in the archive")
    (study,) = department.studies(1)
    assert (study["state"], study["finding"], study["decision"]["source"]) == ("released", "matched", "WLM")
    until(lambda: department.studies(1)[0]["handed_over"] == 2)
    told = list(department.server.events("held.handed_over"))
    assert [event["verdict"] for event in told] == ["stored"] * 2  # each once
    assert "WLM" in (department.folder / "wlmscpfs.log").read_text()


@pytest.mark.req("I-TWF-06", "I-ACT-32", "I-ACT-33", "I-TWF-09")
def test_a_person_decides_over_http(department: Department) -> None:
    department.send("TWF", made(1, study=2, PatientID="NOBODY"))
    (study,) = until(lambda: department.studies(2, "open"), told="the study waits for a person")
    path = f"/{study['id']}"
    assert study["finding"] == "none"
    assert department.found(2) == []
    assert department.ask(f"{path}/choose", {"candidate": 0})[0] == 400
    status, asked = department.ask(f"{path}/candidates", {"keys": {"PatientName": "Work*"}})
    assert (status, asked["candidates"][0]["source"]) == (200, "WLM")
    rows = {row["attribute"]: row for row in asked["compared"]}
    assert rows["PatientID"] | {"attribute": ""} == {
        "attribute": "", "study": "NOBODY", "candidates": ["P1"], "same": [False],
    }  # fmt: skip
    assert department.ask(f"{path}/choose", {"candidate": 0, "reason": "she said so"})[0] == 200
    until(lambda: department.found(2) == ["Worklist^Wanda"], told="the study is in the archive")
    status, told = department.ask(path)
    assert (status, told["decision"]["how"], told["decision"]["reason"]) == (200, "chosen", "she said so")
    assert told["decision"]["before"]["00100020"]["Value"] == ["NOBODY"]
    assert department.ask(f"{path}/reject", {})[0] == 400


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/0", None, 404),
        ("/x", None, 404),
        ("/1/nothing", None, 404),
        ("?state=nowhere", None, 400),
        ("?limit=many", None, 400),
        ("/1", {}, 405),
        ("/1/choose", {"candidate": "first"}, 400),
        ("/1/choose", [], 400),
        ("/1/candidates", {"keys": {"Rows": "1"}}, 400),
        ("/1/candidates", {"keys": []}, 400),
        ("/1/attributes", {"changes": 1}, 400),
        ("/1/release", {"reason": 1}, 400),
        ("/999/release", {}, 404),
    ],
)
def test_what_can_not_be_asked_is_a_problem(department: Department, path: str, body: Any, status: int) -> None:
    assert department.ask(path, body)[0] == status


def test_a_page_of_another_site_decides_nothing(department: Department) -> None:
    request = urllib.request.Request(f"{department.server.url}/api/reconciliation/1/release", b"{}")
    request.add_header("Content-Type", "text/plain")
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request)
    with refusal.value:
        assert refusal.value.code == 415


@pytest.mark.req("I-TWF-10")
def test_it_answers_a_verification(department: Department) -> None:
    run("echoscu", "-aec", "TWF", "127.0.0.1", department.server.dicom_port)


@pytest.mark.req("I-ACT-34")
def test_a_kill_while_studies_go_to_the_archive_loses_and_doubles_nothing(department: Department) -> None:
    server, objects = department.server, [made(number, study=5, PatientID="P5") for number in range(1, 61)]
    department.send("DESK", *objects)
    (study,) = until(lambda: department.studies(5, "open"), told="the study waits")
    department.ask(f"/{study['id']}/attributes", {"changes": attribute("PatientName", "Killed^Kim")})
    until(lambda: any(server.events("held.handed_over")), told="objects go to the archive")
    for pid in [process.pid for process in server.processes()]:
        os.kill(pid, signal.SIGKILL)
    server.kill()
    server.start()
    until(lambda: department.studies(5)[0]["handed_over"] == 60, told="all objects are in the archive")
    wanted = identifier("IMAGE", StudyInstanceUID=study_uid(5), SeriesInstanceUID=series_uid(5), SOPInstanceUID="")
    said = run("findscu", "-S", "-aec", "ISOCENTER", "127.0.0.1", server.dicom_port, *wanted)
    lines = [line for line in (said.stdout + said.stderr).splitlines() if "(0008,0018)" in line]
    uids = [line.partition("[")[2].partition("]")[0].strip("\0") for line in lines if "[" in line]
    assert sorted(uids) == sorted(each.sop_uid for each in objects)
    assert department.found(5) == ["Killed^Kim"]
