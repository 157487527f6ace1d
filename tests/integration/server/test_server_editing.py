"""Corrections from the command line, as the guide shows them: beside a running server and without one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from archives import CT, Object, answered, made, series_uid, sop_uid, study_uid
from isocenter import dimse
from isocenter.dicom import uids
from isocenter.dimse import ProposedContext

Cli = Callable[..., Any]
Start = Callable[..., Any]


def send(server: Any, *objects: Object) -> list[int]:
    """C-STORE each; the statuses."""
    with dimse.connect(
        ("127.0.0.1", server.ports["dicom_port"]), calling="CT1", called="ISOCENTER",
        contexts=[ProposedContext(CT, (uids.EXPLICIT_LE,))], settings=dimse.Settings(artim=60, dimse=60, response=60),
    ) as association:  # fmt: skip
        return [answered(association, each).status for each in objects]


def studies(server: Any) -> dict[str, tuple[str, str, str]]:
    """(Patient ID, name, description) by Study Instance UID, as QIDO-RS tells."""
    with urlopen(f"{server.url}/dicom-web/studies?includefield=StudyDescription") as answer:
        found = json.loads(answer.read() or b"[]")
    return {one["0020000D"]["Value"][0]: (_text(one, "00100020"), _text(one, "00100010"), _text(one, "00081030"))
            for one in found}  # fmt: skip


def _text(model: dict[str, Any], tag: str) -> str:
    value = (model[tag].get("Value") or [""])[0]
    return value.get("Alphabetic", "") if isinstance(value, dict) else str(value)


def test_the_guide_as_written(start: Start, cli: Cli, tmp_path: Path, url: tuple[str, ...]) -> None:
    data = tmp_path / "data"
    server = start(*url, data=data).ready()
    assert send(server, made(1), made(2), made(1, series=2), made(1, study=2)) == [0] * 4

    def told(*arguments: str) -> Any:
        return json.loads(cli(*arguments, "--json", "--data", str(data), *url).stdout)

    words = ("StudyDescription=Abdomen", "AccessionNumber=A77", "--why", "wrong order", "--by", "anna")
    edited = told("edit", "study", study_uid(), *words)
    assert edited["objects"] == 3
    told("edit", "patient", "P1", "PatientName=Roe^Richard", "--remove", "PatientComments")
    told("edit", "series", study_uid(), series_uid(), "SeriesDescription=AXIAL")
    assert studies(server) == {
        study_uid(): ("P1", "Roe^Richard", "Abdomen"),
        study_uid(2): ("P2", "Doe^Jane", "Thorax"),
    }
    told("merge-patients", "P2", "P1")
    told("split-series", study_uid(), series_uid(1, 2), "--to", "1.2.3.4")
    told("move-study", study_uid(2), "P9", "PatientName=New^One")
    assert studies(server) == {
        study_uid(): ("P1", "Roe^Richard", "Abdomen"),
        study_uid(2): ("P9", "New^One", "Thorax"),
        "1.2.3.4": ("P1", "Roe^Richard", "Abdomen"),
    }
    # the processes that receive know of it
    assert send(server, made(2, series=2), made(3)) == [0, 0]
    assert set(studies(server)) == {study_uid(), study_uid(2), "1.2.3.4"}
    rejected = told("reject", "series", study_uid(), series_uid(), "--reason", "safety", "--why", "moved")
    assert rejected["objects"] == 3
    assert set(studies(server)) == {study_uid(2), "1.2.3.4"}
    assert send(server, made(1)) == [0x0111]
    assert told("unreject", study_uid())["objects"] == 3
    assert study_uid() in studies(server)
    audit = told("audit", "list")
    assert [entry["event"] for entry in audit][::-1][:2] == ["edit.attributes"] * 2
    assert (audit[-1]["actor"], audit[-1]["detail"]["reason"]) == ("anna", "wrong order")
    before = studies(server)
    assert server.stop() == 0

    # and without a server
    cli("index", "rebuild", "--data", str(data), *url)
    assert told("edit", "revert", edited["edit"][:8])["objects"] >= 3
    server = start(*url, data=data).ready()
    assert studies(server) == {**before, study_uid(): ("P1", "Roe^Richard", "Thorax")}
    assert told("conflict", "list") == []


def test_wrong_words_and_what_is_not_there_have_their_statuses(start: Start, cli: Cli, tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = start(data=data).ready()
    assert send(server, made(1)) == [0]

    def status(*arguments: str) -> int:
        return int(cli(*arguments, "--data", str(data), check=False).returncode)

    assert status("edit", "study", "1.9", "StudyID=1") == 1
    assert status("edit", "study", study_uid(), "Nonsense=1") == 2
    assert status("edit", "study", study_uid(), "StudyID") == 2
    assert status("edit", "study", study_uid(), "PatientName=X") == 1
    assert status("merge-patients", "P1", "P1") == 1
    assert status("split-series", study_uid(), series_uid(), "--to", "no uid") == 2
    assert status("reject", "study", study_uid(), "--reason", "boredom") == 2
    assert status("reject", "instance", study_uid(), series_uid(), "1.9", "--reason", "quality") == 1
    assert status("unreject", study_uid()) == 1
    assert status("conflict", "settle", "7") == 2
    assert status("edit", "revert", "0123abcd") == 1
    assert status("edit", "study", study_uid(), "StudyID=1", "--dry-run") == 0
    assert json.loads(cli("audit", "list", "--json", "--data", str(data)).stdout) == []
    assert sop_uid() not in server.output()
    assert "Doe" not in server.output()
