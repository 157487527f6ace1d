"""Rules on a whole server: the guide's examples as written, STOW-RS, `config check`, a reload, and `isocenter send`."""

import json
import os
import re
import signal
import subprocess
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest

import material
from archives import Destination, listening, made
from isocenter.config import build
from isocenter.dicom import uids
from isocenter.dicom.dataset import decode, items_of, string_of
from isocenter.dicom.part10 import outgoing_header
from isocenter.rules import View, compiled
from servers import PATIENCE, Server, environment, isocenter, until

GUIDE = (material.REPOSITORY / "docs" / "coercion.md").read_text(encoding="utf-8")
BLOCKS = [
    textwrap.dedent(block).strip() + "\n"
    for block in re.findall(r"(?:(?:^    .*\n|^\n)+)", GUIDE, re.MULTILINE)
    if block.strip()
]
EXAMPLE = next(block for block in BLOCKS if block.startswith('data = "data"'))
BROKEN = '[[rule]]\nname = "odd"\nwhen = "receive"\ndo = [{ set = "PatientSecs", value = "O" }]\n'
ORIGINALS = 0x04000561


@pytest.mark.parametrize("text", [block for block in BLOCKS if block.startswith("[")], ids=lambda text: text[:20])
def test_settings_in_the_guide_are_right(text: str) -> None:
    settings = tomllib.loads(text)
    if "hooks" not in settings:  # whose module is the reader's
        assert compiled(build(settings)) is not None


@pytest.mark.parametrize("action", re.findall(r"^\| `(\{.*?\})`", GUIDE, re.MULTILINE))
def test_actions_in_the_guide_are_right(action: str) -> None:
    action = action.replace("\\\\", "\\\\")
    settings = tomllib.loads(f'[[rule]]\nwhen = "receive"\ndo = [{action}]\n')
    assert compiled(build(settings)).receive


def test_the_hook_in_the_guide_works() -> None:
    names: dict[str, Any] = {}
    exec(next(block for block in BLOCKS if block.startswith("def tidy")), names)
    view = View({}, frozenset(), facts={"calling": "OLDCT"})
    names["tidy"](view)
    assert view["StudyDescription"] == "unknown"


def file_of(folder: Path, number: int = 1, **values: str) -> Path:
    each = made(number, **values)
    path = folder / f"scan{number}.dcm"
    path.write_bytes(outgoing_header(each.sop_class, each.sop_uid, each.syntax) + each.data)
    return path


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        isocenter(*arguments), capture_output=True, text=True, cwd=cwd, env=environment(), timeout=PATIENCE, check=False
    )


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    """A data folder with the guide's example beside its objects."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "isocenter.toml").write_text(EXAMPLE.replace('data = "data"\n', ""))
    return data


def peer(server: Server) -> str:
    return f"ISOCENTER@127.0.0.1:{server.dicom_port}"


def test_the_example_of_the_guide(installation: Path, tmp_path: Path) -> None:
    file = installation / "isocenter.toml"
    research = Destination(title="RESEARCH")
    with listening(research):
        file.write_text(file.read_text().replace("port = 11113", f"port = {research.port}"))
        assert "are right" in run("config", "check", "--config", file, "--data", installation, cwd=tmp_path).stdout
        with Server(installation) as server:
            sent = json.loads(run("send", peer(server), file_of(tmp_path), "--json", cwd=tmp_path).stdout)
            assert (sent["sent"], sent["warnings"]) == (1, 1)
            found = run("find", peer(server), "-k", "PatientID=HOSP-*", "-k", "InstitutionName", "--json", cwd=tmp_path)
            (study,) = json.loads(found.stdout)
            assert study["00100020"]["Value"] == ["HOSP-P1"]
            assert study["00080080"]["Value"] == ["Radiology"]
            uid = study["0020000D"]["Value"][0]
            moved = run("move", peer(server), "--to", "RESEARCH", "-k", f"StudyInstanceUID={uid}", cwd=tmp_path)
            assert moved.returncode == 0, moved.stderr
    (got,) = research.received
    header = decode(got.data.partition(b"\xe0\x7f\x10\x00")[0], uids.EXPLICIT_LE)
    assert re.fullmatch("[0-9A-F]{64}", string_of(header, 0x00100020))
    assert header.keys().isdisjoint({0x00100010, ORIGINALS})


@pytest.mark.req("I-STOW-RS-01", "I-STOW-RS-02")
def test_stow_names_what_was_changed(installation: Path, tmp_path: Path) -> None:
    with Server(installation) as server:
        body = file_of(tmp_path).read_bytes()
        headers = {"Content-Type": "application/dicom"}
        first = httpx.post(f"{server.url}/dicom-web/studies", content=body, headers=headers)
        assert first.status_code == 202
        assert first.json()["00081199"]["Value"][0]["00081196"]["Value"] == [0xB000]
        other = file_of(tmp_path, 2, Modality="US").read_bytes()
        second = httpx.post(f"{server.url}/dicom-web/studies", content=other, headers=headers)
        assert second.status_code == 200
        assert "00081196" not in second.json()["00081199"]["Value"][0]
        studies = httpx.get(f"{server.url}/dicom-web/studies", params={"PatientID": "HOSP-P1"}).json()
        assert len(studies) == 1


REMOVING = """
[[rule]]
when = "receive"
do = [{ delete = "PatientComments" }]
keep_originals = false
"""


@pytest.mark.req("I-STOW-RS-02")
def test_stow_names_what_was_left_out(installation: Path, tmp_path: Path) -> None:
    (installation / "isocenter.toml").write_text(REMOVING)
    headers = {"Content-Type": "application/dicom"}
    with Server(installation) as server:
        for number, comments, status, warning in ((1, "seen", 202, [0xB006]), (2, "", 200, None)):
            values = {"PatientComments": comments} if comments else {}
            body = file_of(tmp_path, number, **values).read_bytes()
            answer = httpx.post(f"{server.url}/dicom-web/studies", content=body, headers=headers)
            assert answer.status_code == status
            told = answer.json()["00081199"]["Value"][0]
            assert told.get("00081196", {}).get("Value") == warning
            assert b"seen" not in httpx.get(told["00081190"]["Value"][0]).content


def test_a_wrong_rule_is_told_and_a_reload_keeps_the_old_ones(installation: Path, tmp_path: Path) -> None:
    file = installation / "isocenter.toml"
    right = file.read_text()
    with Server(installation) as server:
        file.write_text(right + BROKEN)
        checked = run("config", "check", "--config", file, cwd=tmp_path)
        assert checked.returncode == 2
        assert "rule[2] (odd).do[0]: set PatientSecs: there is no attribute 'PatientSecs'" in checked.stderr
        os.kill(server.supervisor().pid, signal.SIGHUP)
        until(lambda: list(server.events("settings.refused")), told="settings.refused")
        file.write_text(right.replace("HOSP-", "CLINIC-"))
        assert run("send", peer(server), file_of(tmp_path), cwd=tmp_path).returncode == 0
        server.reload()
        other = file_of(tmp_path, 2, StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.1")
        assert run("send", peer(server), other, cwd=tmp_path).returncode == 0
        found = run("find", peer(server), "-k", "PatientID", "--json", cwd=tmp_path)
        assert {each["00100020"]["Value"][0] for each in json.loads(found.stdout)} == {"HOSP-P1", "CLINIC-P1"}
    file.write_text(right + BROKEN)
    refused = run("serve", "--data", installation, cwd=tmp_path)
    assert refused.returncode == 2
    assert "PatientSecs" in refused.stderr


def test_the_command_that_sends_applies_rules_too(installation: Path, tmp_path: Path) -> None:
    file = installation / "isocenter.toml"
    research = Destination(title="RESEARCH")
    with listening(research):
        file.write_text(file.read_text().replace("port = 11113", f"port = {research.port}"))
        sent = run("send", "RESEARCH", file_of(tmp_path), "--config", file, cwd=tmp_path)
        assert sent.returncode == 0, sent.stderr
        plain = run("send", f"OTHER@127.0.0.1:{research.port}", file_of(tmp_path), "--config", file, cwd=tmp_path)
        assert plain.returncode != 0
    (got,) = research.received
    header = decode(got.data.partition(b"\xe0\x7f\x10\x00")[0], uids.EXPLICIT_LE)
    assert 0x00100010 not in header
    assert not items_of(header, ORIGINALS)
