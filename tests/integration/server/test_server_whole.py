"""A server as a user starts it: ports, banner, health, metrics, start page, the command line against it."""

import json
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from isocenter.server.metrics import HEAVY
from material import packaged_files
from servers import Server

Cli = Callable[..., Any]
SAMPLES = ("CT_small.dcm", "MR_small.dcm", "693_J2KR.dcm", "JPEG2000.dcm", "rtplan.dcm", "color-pl.dcm")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with real objects, one level deeper, and a file that is none."""
    folder = tmp_path_factory.mktemp("samples")
    (folder / "below").mkdir()
    (folder / "notes.txt").write_text("nothing to see")
    found = [path for path in packaged_files() if path.name in SAMPLES]
    assert len(found) >= 3
    for path in found:
        (folder / "below" / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="module")
def filled(server: Any, cli: Cli, samples: Path) -> dict[str, Any]:
    """What `send` says of the samples."""
    done = cli("send", server.peer, str(samples), "--json", "--associations", "2")
    summary = json.loads(done.stdout)
    assert summary["failed"] == {}
    assert [Path(path).name for path in summary["skipped"]] == ["notes.txt"]
    return dict(summary)


def test_the_first_start_tells_where_it_listens_and_a_token(server: Any) -> None:
    output = server.output()
    assert f"port {server.ports['dicom_port']}" in output
    assert server.url in output
    assert "AE title   ISOCENTER" in output
    assert "admin token" in output
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700


@pytest.mark.req("M-ECHO-01")
def test_echo(server: Any, cli: Cli) -> None:
    assert "answered" in cli("echo", server.peer).stdout
    assert json.loads(cli("echo", "--data", str(server.data), "--json").stdout)["status"] == "0000"


@pytest.mark.usefixtures("filled")
def test_find_shows_what_was_sent(server: Any, cli: Cli) -> None:
    found = json.loads(cli("find", server.peer, "-k", "PatientID=*", "--json").stdout)
    assert "1CT1" in {study["00100020"]["Value"][0] for study in found}
    table = cli("find", server.peer, "-k", "PatientID=1CT1").stdout
    assert "CompressedSamples^CT1" in table
    assert json.loads(cli("find", server.peer, "-k", "PatientID=NOBODY", "--json").stdout) == []


@pytest.mark.usefixtures("filled")
def test_get_brings_the_objects_back(server: Any, cli: Cli, tmp_path: Path) -> None:
    import pydicom

    done = cli("get", server.peer, "--out", str(tmp_path), "-k", "PatientID=1CT1", "--level", "patient",
               "--model", "patient", "--json")  # fmt: skip
    assert json.loads(done.stdout)["completed"] == 1
    sent = next(path for path in packaged_files() if path.name == "CT_small.dcm")
    came = pydicom.dcmread(next(tmp_path.glob("*.dcm")))
    assert came.PixelData == pydicom.dcmread(sent).PixelData


@pytest.mark.req("I-MOVE-ST-08")
@pytest.mark.usefixtures("filled")
def test_move_to_an_unknown_title_says_so(server: Any, cli: Cli) -> None:
    done = cli("move", server.peer, "--to", "NOBODY", "-k", "PatientID=1CT1", "--level", "patient",
               "--model", "patient", check=False)  # fmt: skip
    assert done.returncode == 1
    assert "A801" in done.stderr


def test_a_peer_that_is_not_there_is_exit_status_3(cli: Cli) -> None:
    assert cli("echo", "NOBODY@127.0.0.1:1", check=False).returncode == 3


def test_a_rejected_title_is_exit_status_3(server: Any, cli: Cli) -> None:
    done = cli("echo", server.peer.replace("ISOCENTER", "ANOTHER"), check=False)
    assert done.returncode == 3
    assert "1/1/7" in done.stderr


@pytest.mark.usefixtures("filled")
def test_health_metrics_and_the_start_page(server: Any, filled: dict[str, Any]) -> None:
    assert httpx.get(f"{server.url}/health/live").json() == {"status": "live"}
    ready = httpx.get(f"{server.url}/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    metrics = httpx.get(f"{server.url}/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    stored = [line for line in metrics.text.splitlines() if line.startswith("isocenter_stored_total{")]
    assert sum(float(line.rpartition(" ")[2]) for line in stored) == filled["sent"]
    page = httpx.get(server.url)
    assert "<code>ISOCENTER</code>" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script" not in page.text
    assert "style=" not in page.text
    assert httpx.get(f"{server.url}/start.css").headers["content-type"].startswith("text/css")
    assert httpx.get(f"{server.url}/no/such/page").status_code == 404


def test_no_process_of_the_server_holds_a_heavy_module(tmp_path: Path, cli: Cli, samples: Path) -> None:
    # the program itself: servers that tests fork have imported more
    with Server(tmp_path / "data", settings={"http__warm": True}, wrapper=("env",)) as server:
        cli("send", f"ISOCENTER@127.0.0.1:{server.dicom_port}", str(samples))
        studies = httpx.get(f"{server.url}/dicom-web/studies").json()
        uid = studies[0]["0020000D"]["Value"][0]
        assert httpx.get(f"{server.url}/dicom-web/studies/{uid}/metadata").status_code == 200
        metrics = httpx.get(f"{server.url}/metrics").text
        assert not list(server.events("web.not-warm"))
    for kind in ("dicom", "web", "jobs"):
        assert f'isocenter_process_threads{{process="{kind}-' in metrics
    heavy = [line for line in metrics.splitlines() if "heavy_module" in line and not line.startswith("#")]
    assert heavy == [], f"none of {HEAVY} belongs into the server's processes"
    # what it did to be warm was no client's
    assert 'isocenter_web_requests_total{method="GET",status="404"}' not in metrics


@pytest.mark.usefixtures("filled")
def test_no_log_line_holds_a_patient(server: Any) -> None:
    output = server.output()
    assert "association.accepted" in output
    assert "1CT1" not in output
    assert "CompressedSamples" not in output


def test_a_second_server_on_the_same_data_is_refused(server: Any, cli: Cli) -> None:
    done = cli("serve", "--data", str(server.data), "--dicom-port", "0", "--http-port", "0", check=False)
    assert done.returncode == 2
    assert "another server" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order_and_starts_again(start: Callable[..., Any], number: int) -> None:
    first = start().ready()
    pids = first.pids()
    assert first.stop(number) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    said = [json.loads(line) for line in first.output().splitlines() if '"process.ended"' in line]
    ended = [event["process"].partition("-")[0] for event in said]
    assert ended[-1] == "dicom", "the others may file into the index until they end"
    assert sorted(ended) == ["dicom", "dicom", "jobs", "web"]
    assert not (first.data / "run" / "ports.json").exists()
    assert first.output().count("admin token") == 1
    second = start().ready()
    assert second.output().count("admin token") == 1, "told once only"
    assert second.stop() == 0


def test_killed_as_a_whole_it_has_lost_nothing(start: Callable[..., Any], cli: Cli, samples: Path) -> None:
    first = start().ready()
    sent = json.loads(cli("send", first.peer, str(samples), "--json").stdout)["sent"]
    pids = first.pids()
    first.process.kill()
    first.stop()
    for pid in pids:
        until_gone(pid)
    second = start().ready()
    found = json.loads(cli("find", second.peer, "--json", "-k", "NumberOfStudyRelatedInstances").stdout)
    assert sum(int(study["00201208"]["Value"][0]) for study in found) == sent


def until_gone(pid: int) -> None:
    path = Path(f"/proc/{pid}/cmdline")
    for _ in range(2000):
        try:
            if not path.read_bytes():
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        os.sched_yield()


@pytest.mark.req("I-SEC-07", "I-QIDO-ST-03", "I-STOW-ST-04")
def test_where_http_is_not_open_a_token_is_asked_for(start: Callable[..., Any], cli: Cli) -> None:
    server = start(ISOCENTER_HTTP__OPEN="false").ready()
    assert httpx.get(f"{server.url}/health/live").status_code == 200
    assert httpx.post(f"{server.url}/dicom-web/studies", content=b"x").status_code == 401
    refused = httpx.get(f"{server.url}/dicom-web/studies")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    token = server.output().partition("admin token (shown only now): ")[2].split()[0]
    assert httpx.get(f"{server.url}/dicom-web/studies", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert httpx.get(f"{server.url}/", auth=("me", token)).status_code == 200
    renewed = cli("token", "--data", str(server.data)).stdout.strip()
    assert httpx.get(server.url, auth=("me", token)).status_code == 401
    assert httpx.get(server.url, auth=("me", renewed)).status_code == 200


def test_beyond_loopback_without_peers_it_does_not_start(cli: Cli, tmp_path: Path) -> None:
    done = cli("serve", "--data", str(tmp_path / "d"), "--host", "0.0.0.0", check=False)
    assert done.returncode == 2
    assert "dicom_policy" in done.stderr


@pytest.mark.req("M-ASSOC-08", "M-SEC-05", "I-SEC-03")
def test_only_known_peers_may_call(start: Callable[..., Any], cli: Cli) -> None:
    peers = '[{"title": "FRIEND", "host": "localhost"}, {"title": "FAR", "host": "192.0.2.1"}]'
    server = start(ISOCENTER_DICOM_POLICY="known-peers", ISOCENTER_PEER=peers).ready()
    assert cli("echo", server.peer, "--calling", "FRIEND").returncode == 0
    for stranger in ("STRANGER", "FAR"):
        done = cli("echo", server.peer, "--calling", stranger, check=False)
        assert done.returncode == 3
        assert "1/1/3" in done.stderr


def test_a_reload_takes_new_settings(start: Callable[..., Any], cli: Cli) -> None:
    server = start()
    file = server.data / "isocenter.toml"
    server.ready()
    before = server.pids("dicom")
    file.write_text("[[ae]]\ntitle = 'OTHER'\n")
    server.process.send_signal(signal.SIGHUP)
    other = server.peer.replace("ISOCENTER", "OTHER")

    def serves_other() -> bool:
        return bool(cli("echo", other, check=False).returncode == 0)

    for _ in range(50):
        if serves_other() and not any(alive(pid) for pid in before):
            break
    assert serves_other()
    assert cli("echo", server.peer, check=False).returncode == 3


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
