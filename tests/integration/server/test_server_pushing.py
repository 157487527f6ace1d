"""`isocenter push` and `isocenter jobs` with a running server, whose background worker is killed meanwhile."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from archives import PATIENCE, Destination, listening, made, study_uid
from isocenter.dicom.part10 import outgoing_header
from servers import Server, environment, isocenter, until

THREE = [made(n) for n in (1, 2, 3)]


def files(folder: Path) -> Path:
    folder.mkdir()
    for each in THREE:
        header = outgoing_header(each.sop_class, each.sop_uid, each.syntax)
        (folder / f"{each.sop_uid}.dcm").write_bytes(header + each.data)
    return folder


@pytest.mark.req("X-MOD-10", "X-MOD-13", "P-EXP-01", "M-DWSEND-01")
def test_a_push_outlives_the_worker_that_sends(tmp_path: Path) -> None:
    dest = Destination(title="WORKSTATION")
    data = tmp_path / "data"
    data.mkdir()

    def run(*words: object, status: int = 0) -> Any:
        done = subprocess.run(
            isocenter(*words, "--json", "--config", data / "isocenter.toml", "--data", data),
            capture_output=True, text=True, cwd=tmp_path, env=environment(), timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        return json.loads(done.stdout)

    with listening(dest):
        peer = f'[[peer]]\ntitle = "WORKSTATION"\nhost = "127.0.0.1"\nport = {dest.port}\n'
        (data / "isocenter.toml").write_text(peer)
        with Server(data) as server:
            run("send", f"ISOCENTER@127.0.0.1:{server.dicom_port}", files(tmp_path / "files"))
            dest.before_answer.clear()
            (queued,) = run("push", "WORKSTATION", "--study", study_uid())
            assert queued["state"] in ("waiting", "running")
            assert dest.arrived.acquire(timeout=PATIENCE)
            (listed,) = run("jobs", "list", "--kind", "send", "--state", "running")
            assert listed["id"] == queued["id"]
            server.kill_kind("jobs")
            dest.before_answer.set()
            server.await_restart("jobs")
            done = until(lambda: run("jobs", "list", "--kind", "send", "--state", "done"))
            assert [each["progress"] for each in done] == ["3/3"]
            assert set(dest.uids) == {each.sop_uid for each in THREE}
            assert run("jobs", "cancel", queued["id"], status=1)[0]["state"] == "done"
            before = len(dest.uids)
            run("jobs", "restart", queued["id"])
            until(lambda: len(dest.uids) == before + 3)
            shown = run("jobs", "show", queued["id"])
            assert shown["payload"]["studies"] == [[study_uid(), [each.sop_uid for each in THREE]]]
