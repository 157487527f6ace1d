"""Jobs that send, against DCMTK's storescp and pynetdicom: whole studies, a peer that breaks off, one that is full."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import CTImageStorage  # type: ignore[attr-defined]

from archives import Object, made, study_uid, unused_port
from isocenter.dicom.part10 import outgoing_header
from peer_programs import needs, run, storescp
from servers import Server, isocenter, until

TWENTY = [made(n, pixels=bytes(4096)) for n in range(1, 21)]
HOST = "127.0.0.1"


class Site:
    """A server with twenty objects of one study, and its commands."""

    def __init__(self, server: Server, ports: dict[str, int]) -> None:
        self.server, self.ports = server, ports

    def isocenter(self, *words: object, ok: bool = True) -> Any:
        """The result of one of our commands."""
        data = self.server.data
        told = run(*isocenter(*words, "--json", "--data", data, "--config", data / "isocenter.toml"), ok=ok)
        return json.loads(told.stdout)

    def push(self, peer: str, *, ok: bool = True) -> dict[str, Any]:
        """Send the study and wait for the end of the job."""
        (job,) = self.isocenter("push", peer, "--study", study_uid(), "--wait", 60, ok=ok)
        return dict(job)


def _files(folder: Path, objects: list[Object]) -> Path:
    folder.mkdir()
    for number, each in enumerate(objects):
        header = outgoing_header(each.sop_class, each.sop_uid, each.syntax)
        (folder / f"{number}.dcm").write_bytes(header + each.data)
    return folder


@pytest.fixture(name="site", scope="module")
def fixture_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("pushing")
    ports = {title: unused_port() for title in ("STORESCP", "PYNETDICOM")}
    (folder / "data").mkdir()
    (folder / "data" / "isocenter.toml").write_text(
        "".join(
            f'[[peer]]\ntitle = "{title}"\nhost = "{HOST}"\nport = {port}\nretries = 1000\nretry_delay = 0.2\n'
            for title, port in ports.items()
        )
    )
    with Server(folder / "data", settings={"processes__dicom": 1}) as server:
        run(*isocenter("send", f"ISOCENTER@{HOST}:{server.dicom_port}", _files(folder / "files", TWENTY)))
        yield Site(server, ports)


@needs("storescp")
@pytest.mark.req("P-EXP-01", "P-EXP-02", "X-MOD-12", "M-DWSEND-01")
def test_dcmtk_gets_the_study(site: Site, tmp_path: Path) -> None:
    with storescp(tmp_path / "got", port=site.ports["STORESCP"]):
        assert site.push("STORESCP")["progress"] == "20/20"
        got = [dcmread(path) for path in (tmp_path / "got").iterdir()]
    assert {str(each.SOPInstanceUID) for each in got} == {each.sop_uid for each in TWENTY}


@needs("storescp")
@pytest.mark.req("X-MOD-14", "P-EXP-06")
@pytest.mark.parametrize("fault", ["--abort-after", "--abort-during"])
def test_dcmtk_that_breaks_off(site: Site, tmp_path: Path, fault: str) -> None:
    """What it aborts is told and tried again; once it works, the study gets there."""
    port = site.ports["STORESCP"]
    with storescp(tmp_path / "broken", fault, port=port):
        (job,) = site.isocenter("push", "STORESCP", "--study", study_uid())
        told = until(lambda: (shown := site.isocenter("jobs", "show", job["id"]))["error"] and shown)
        assert "association aborted" in told["error"]
        assert told["progress"].startswith("0/20 tries=")
    with storescp(tmp_path / "got", port=port):
        until(lambda: site.isocenter("jobs", "show", job["id"])["state"] == "done")
    got = [dcmread(path).SOPInstanceUID for path in (tmp_path / "got").iterdir()]
    assert set(got) == {each.sop_uid for each in TWENTY}


@pytest.mark.req("X-MOD-14")
def test_pynetdicom_that_is_full_for_a_while(site: Site) -> None:
    """A700 to every other object at first: each is sent again until it is taken, and then no more."""
    taken: list[str] = []
    asked: list[str] = []

    def store(event: evt.Event) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        asked.append(uid)
        if asked.count(uid) == 1 and len(asked) % 2:
            return 0xA700
        taken.append(uid)
        return 0x0000

    ae = AE("PYNETDICOM")
    ae.add_supported_context(CTImageStorage, ExplicitVRLittleEndian)
    server = ae.start_server((HOST, site.ports["PYNETDICOM"]), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    try:
        job = site.push("PYNETDICOM")
    finally:
        server.shutdown()
    assert job["state"] == "done"
    assert job["progress"] == "20/20 tries=1"
    assert sorted(taken) == sorted(each.sop_uid for each in TWENTY)
    assert len(asked) == 30
