"""A server that compresses what it receives, and is told to compress what it holds; its background worker is killed."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archives import Object
from compressing_archives import COLOUR, GREY, image
from isocenter.dicom import uids
from isocenter.dicom.part10 import outgoing_header
from servers import Server, until

RULES = """\
free_space_floor = 0
[[compress]]
name = "computed tomography"
modalities = ["CT"]
to = "JPEG2000Lossless"
settled = 0

[[compress]]
modalities = ["OT"]
to = "JPEGLSLossless"
settled = 3600
"""
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def written(folder: Path, *objects: Object) -> Path:
    folder.mkdir()
    for each in objects:
        header = outgoing_header(each.sop_class, each.sop_uid, each.syntax)
        (folder / f"{each.sop_uid}.dcm").write_bytes(header + each.data)
    return folder


@pytest.mark.req("M-STORE-03", "I-STORE-06")
def test_it_compresses_and_can_show_that_nothing_was_lost(tmp_path: Path, cli: Cli) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "isocenter.toml").write_text(RULES)

    def run(*words: object, status: int = 0) -> Any:
        done = cli(*map(str, words), "--json", "--data", str(data), check=False)
        assert done.returncode == status, done.stderr
        return json.loads(done.stdout)

    wide = GREY._replace(rows=400, columns=500)
    cts = [*(image(number, wide) for number in range(1, 8)), image(8, COLOUR)]
    with Server(data, unset=("free_space_floor",)) as server:
        peer = f"ISOCENTER@127.0.0.1:{server.dicom_port}"
        run("send", peer, written(tmp_path / "ct", *cts))
        until(lambda: run("compress", "status")["compressed"])
        server.kill_kind("jobs")
        server.await_restart("jobs")
        until(lambda: run("compress", "status")["compressed"] == len(cts))
        run("send", peer, written(tmp_path / "ot", image(1, study=2, Modality="OT")))
        until(lambda: run("jobs", "list", "--kind", "compress", "--state", "waiting"))
        (planned,) = run("compress", "plan")
        assert (planned["rule"], planned["objects"], planned["target"]) == ("compress[1]", 1, uids.JPEG_LS_LOSSLESS)
        (done,) = run("compress", "run", "--wait", 60)
        assert (done["state"], done["progress"][:21]) == ("done", "1 compressed, 0 left,")
        status = run("compress", "status")
        assert (status["compressed"], status["kept"], status["left"]) == (9, 9, {})
        assert status["bytes_after"] < status["bytes_before"] / 2
        (cancelled,) = run("compress", "cancel")
        assert cancelled["state"] == "cancelled"
        assert run("compress", "cancel", status=1) == []
        counted, body = server.get("/metrics")
        assert counted == 200
        assert b'isocenter_compressed_total{target="1.2.840.10008.1.2.4.80"} 1' in body
        found, metadata = server.get(f"/dicom-web/studies/{cts[0].study}/metadata")
        assert found == 200
        colours = {each["00280004"]["Value"][0] for each in json.loads(metadata)}
        assert colours == {"MONOCHROME2", "YBR_RCT"}, "as the frames are stored now"
        assert run("store", "verify", "--pixels")["objects"] == {"sound": 9, "pixels-proved": 9}
        assert server.stop() == 0
    assert run("index", "rebuild")["objects"] == {"stored": 9, "compressed": 9}
    assert run("compress", "status") | {"jobs": None} == status | {"jobs": None}


def test_wrong_rules_are_refused_at_the_start(tmp_path: Path, cli: Cli) -> None:
    settings = tmp_path / "wrong.toml"
    settings.write_text('[[compress]]\nto = "JPEG2000"\n')
    for command in (("config", "check"), ("serve", "--dicom-port", "0", "--http-port", "0")):
        done = cli(*command, "--config", str(settings), "--data", str(tmp_path / "data"), check=False)
        assert done.returncode == 2
        assert "compress[0].to: JPEG2000 loses information" in done.stderr


def test_without_rules_there_is_nothing_to_plan(tmp_path: Path, cli: Cli) -> None:
    done = cli("compress", "plan", "--data", str(tmp_path), check=False)
    assert done.returncode == 2
    assert "--to" in done.stderr
