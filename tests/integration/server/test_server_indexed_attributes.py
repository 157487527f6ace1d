"""`[index] attributes` as an operator sets them: objects that were stored before are found by them, on both doors."""

import json
import subprocess
import urllib.request
from pathlib import Path

from archives import made, study_uid
from isocenter.dicom import part10, uids
from servers import Server, environment, isocenter, until


def command(server: Server, *arguments: str) -> str:
    """What a command of the program says."""
    done = subprocess.run(
        isocenter(*arguments), env=environment({"data": server.data}), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_was_stored_before_is_found_by_them(tmp_path: Path) -> None:
    with Server(tmp_path / "data", settings={"processes__drain": 1}) as server:
        folder = tmp_path / "objects"
        folder.mkdir()
        for number in (1, 2):
            each = made(number, AcquisitionNumber=str(number * 10), PatientState=f"State {number}")
            header = part10.outgoing_header(each.sop_class, each.sop_uid, uids.EXPLICIT_LE, "TEST")
            (folder / f"{number}.dcm").write_bytes(header + each.data)
        command(server, "send", f"ISOCENTER@127.0.0.1:{server.dicom_port}", str(folder))
        assert "no attributes" in command(server, "index", "attributes")
        server.stop()
        settings = server.data / "isocenter.toml"
        settings.write_text('[index]\nattributes = ["image:AcquisitionNumber", "study:PatientState"]\n')
        server.start()
        told = until(lambda: _indexed(server), told="attributes are indexed")
        assert [row["attribute"] for row in told["attributes"]] == ["image:AcquisitionNumber", "study:PatientState"]
        url = f"{server.url}/dicom-web/studies/{study_uid()}/instances?AcquisitionNumber=20&includefield=PatientState"
        with urllib.request.urlopen(url) as answer:
            assert answer.headers.get("Warning") is None
            (found,) = json.load(answer)
        assert [int(value) for value in found["00200012"]["Value"]] == [20]
        assert found["00200013"]["Value"] == [2]
        node = f"ISOCENTER@127.0.0.1:{server.dicom_port}"
        found = json.loads(command(server, "find", node, "--json", "-k", "PatientState=state 1"))
        assert [each["0020000D"]["Value"] for each in found] == [[study_uid()]]


def _indexed(server: Server) -> dict[str, list[dict[str, str]]]:
    told: dict[str, list[dict[str, str]]] = json.loads(command(server, "index", "attributes", "--json"))
    return told if told["attributes"] and {row["state"] for row in told["attributes"]} == {"indexed"} else {}
