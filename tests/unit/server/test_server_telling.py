"""What the server tells people and monitoring: banner, start page, metrics text; and what its processes import."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from isocenter import telemetry
from isocenter.config import HostedAE, Peer, Settings
from isocenter.config.hl7 import Hl7
from isocenter.server.banner import banner
from isocenter.server.board import Board, Kind, State
from isocenter.server.metrics import HEAVY, Snapshot, collect, publish, text
from isocenter.server.ports import Listeners
from isocenter.server.start_page import page

LISTENERS = Listeners(None, None, 11112, 8042)  # type: ignore[arg-type]


def test_the_banner_names_doors_and_the_new_token() -> None:
    told = banner(Settings(), LISTENERS, "secret-token")
    for word in ("ISOCENTER", "127.0.0.1 port 11112", "http://127.0.0.1:8042/dicom-web", "secret-token"):
        assert word in told
    assert "!!" not in told
    assert "token (" not in banner(Settings(), LISTENERS, None)


def test_what_stands_open_is_hard_to_miss() -> None:
    told = banner(Settings(host="0.0.0.0", insecure=True), LISTENERS, None)
    assert "HTTP asks for no token" in told
    assert "The DICOM port is open" in told
    assert "The DICOM port is open" in banner(Settings(host="0.0.0.0", dicom_policy="open"), LISTENERS, None)
    assert "!!" not in banner(Settings(host="0.0.0.0", peers=(Peer(title="A"),)), LISTENERS, None)


def test_the_start_page_escapes_and_has_no_inline_code() -> None:
    settings = Settings(aes=(HostedAE(title="<b>&"),), host="0.0.0.0", insecure=True)
    html = page(settings, LISTENERS, {"studies": 12345})
    assert "&lt;b&gt;&amp;" in html
    assert "<b>" not in html
    assert "12,345" in html
    assert "This server is open" in html
    assert "<script" not in html
    assert "style=" not in html


def test_metrics_are_summed_and_gauges_carry_their_process() -> None:
    board = Board(2, 1)
    board.open(0, Kind.DICOM, 3)
    board.mark(0, State.READY)
    rows = [1.0] * (len(telemetry.BUCKETS) + 2)
    snapshots = [
        Snapshot(name, [("a_total", [("k", 'v"\\\n')], 2.0)], [("g", [], 0.5)], [("h_seconds", [], rows)])
        for name in ("dicom-0", "web-1")
    ]
    lines = text(snapshots, board).splitlines()
    assert 'a_total{k="v\\"\\\\\\n"} 4' in lines
    assert 'g{process="web-1"} 0.5' in lines
    assert 'h_seconds_bucket{le="0.001"} 2' in lines
    assert 'h_seconds_bucket{le="+Inf"} 2' in lines
    assert "h_seconds_sum 2" in lines
    assert "h_seconds_count 2" in lines
    assert 'isocenter_process_up{process="dicom-0"} 1' in lines
    assert 'isocenter_process_restarts_total{process="dicom-0"} 3' in lines
    assert lines.index("# TYPE a_total counter") < lines.index('a_total{k="v\\"\\\\\\n"} 4')


def test_a_process_answers_for_itself_and_a_dead_one_is_left_out(tmp_path: Path) -> None:
    board = Board(2, 1)
    board.open(0, Kind.DICOM, 0)
    board.open(1, Kind.WEB, 0)
    telemetry.count("isocenter_test_metrics_total", 5)
    publish(tmp_path, 0, "dicom-0")
    snapshots = collect(tmp_path, board)
    assert [snapshot.process for snapshot in snapshots] == ["dicom-0"]
    assert ("isocenter_test_metrics_total", [], 5.0) in [(n, list(lab), v) for n, lab, v in snapshots[0].counters]


@pytest.mark.parametrize(
    ("imported", "further"),
    [
        ("isocenter.server.main", ("starlette", "uvicorn")),
        ("isocenter.server.packing", ("starlette", "uvicorn")),
        ("isocenter.server.web_worker", ()),
        ("isocenter.server.hl7_worker", ("starlette", "uvicorn")),
        ("isocenter.cli.app", ("starlette", "uvicorn", "sqlalchemy", "isocenter.dimse")),
        ("isocenter.cli.sending", ("starlette", "uvicorn", "sqlalchemy")),
    ],
)
def test_what_is_imported_is_light(imported: str, further: tuple[str, ...]) -> None:
    code = f"import sys, {imported}; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    modules = set(done.stdout.split())
    assert modules & {*HEAVY, *further} == set()


def test_listeners_close(capsys: Any) -> None:
    from isocenter.server.ports import bind

    listeners = bind(Settings(dicom_port=0, http_port=0, hl7=Hl7(listen=False)))
    assert listeners.dicom_port != listeners.http_port
    listeners.close()
