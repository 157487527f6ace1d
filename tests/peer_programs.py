"""Real peers as programs: DCMTK's tools and Orthanc, and a server's configuration that names them."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from archives import unused_port
from isocenter.config import Peer
from servers import until

ORTHANC = shutil.which("Orthanc") or next((p for p in ("/usr/sbin/Orthanc",) if os.access(p, os.X_OK)), None)
_PATIENCE = 120.0
_ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}
"""DCMTK otherwise leaves Nagle on, and two of its programs wait 40 ms for each other at each object."""


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skips where one of the programs is missing, and says which."""
    missing = [name for name in programs if shutil.which(name) is None and not (name == "Orthanc" and ORTHANC)]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def configured(data: Path, *peers: Peer, ae: str = "") -> Path:
    """A data folder whose configuration file names the peers. `ae`: further lines of the hosted AE's table."""
    data.mkdir(parents=True, exist_ok=True)
    lines = [f'[[ae]]\ntitle = "ISOCENTER"\n{ae}\n'] if ae else []
    for peer in peers:
        syntaxes = json.dumps(list(peer.syntaxes))
        lines.append(
            f'[[peer]]\ntitle = "{peer.title}"\nhost = "{peer.host}"\nport = {peer.port}\nsyntaxes = {syntaxes}\n'
        )
    (data / "isocenter.toml").write_text("\n".join(lines))
    return data


# --- DCMTK


def run(*command: object, ok: bool = True, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run a tool; with `ok` it must succeed. What it said is in the answer."""
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_PATIENCE,
        check=False,
        env=_ENVIRONMENT,
        **options,
    )
    assert not ok or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done


def report(path: Path) -> dict[str, str]:
    """File name and status (four hexadecimal digits, or what stands there) by dcmsend's report."""
    found = {}
    for block in path.read_text("utf-8", "replace").split("Number        : ")[1:]:
        fields = dict(re.findall(r"^(\w[\w .]*?)\s*: (.*)$", block, re.MULTILINE))
        status = fields["DIMSE Status"]
        code = re.match(r"0x([0-9a-f]{4})", status)
        found[fields["Filename"]] = code.group(1).upper() if code else status
    return found


def identifier(level: str, **values: str) -> list[str]:
    """The keys of findscu, movescu and getscu as `-k` options."""
    words = ["-k", f"QueryRetrieveLevel={level}"]
    for keyword, value in values.items():
        words += ["-k", f"{keyword}={value}" if value else keyword]
    return words


@contextmanager
def storescp(folder: Path, *options: str, port: int = 0) -> Iterator[Peer]:
    """DCMTK's storescp, which writes what it gets into `folder`."""
    folder.mkdir(exist_ok=True)
    port = port or unused_port()
    command = ["storescp", *options, "-aet", "STORESCP", "-od", str(folder), str(port)]
    with background(command, folder.with_name(f"{folder.name}.log")):
        until(lambda: _echoes(port), told="storescp")
        yield Peer(title="STORESCP", host="127.0.0.1", port=port)


def _echoes(port: int) -> bool:
    return run("echoscu", "127.0.0.1", port, ok=False).returncode == 0


def listens(port: int) -> None:
    """Wait until somebody accepts connections on a port."""

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    until(answers, told=f"port {port}")


@contextmanager
def background(command: Iterable[str], log: Path) -> Iterator[None]:
    """A program that runs meanwhile."""
    with log.open("wb") as out:
        process = subprocess.Popen(list(command), stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=_ENVIRONMENT)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# --- Orthanc


class Orthanc:
    """A running Orthanc: its REST API and its DICOM port."""

    def __init__(self, http_port: int, dicom_port: int) -> None:
        self.http_port, self.dicom_port = http_port, dicom_port

    @property
    def peer(self) -> Peer:
        """How we know it."""
        return Peer(title="ORTHANC", host="127.0.0.1", port=self.dicom_port)

    def get(self, path: str) -> Any:
        """GET of JSON."""
        return json.loads(self.raw(path))

    def raw(self, path: str) -> bytes:
        """GET of bytes."""
        return self._ask(path, None)

    def post(self, path: str, body: object = b"") -> Any:
        """POST of JSON, or of bytes as they are; the answer as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return json.loads(self._ask(path, data) or b"null")

    def delete(self, path: str) -> None:
        """DELETE."""
        self._ask(path, None, "DELETE")

    def _ask(self, path: str, data: bytes | None, method: str | None = None) -> bytes:
        url = f"http://127.0.0.1:{self.http_port}{path}"
        request = urllib.request.Request(url, data=data, method=method)
        with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:
            return bytes(answer.read())

    def data_sets(self) -> dict[str, bytes]:
        """The files that it holds, by SOP Instance UID."""
        found = {}
        for each in self.get("/instances"):
            sop = self.get(f"/instances/{each}/simplified-tags")["SOPInstanceUID"]
            found[sop] = self.raw(f"/instances/{each}/file")
        return found

    def alive(self) -> bool:
        """Whether it answers."""
        try:
            return bool(self.get("/system"))
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def orthanc(
    folder: Path,
    modalities: Mapping[str, Any] | None = None,
    *,
    dicom_port: int = 0,
    more: Mapping[str, Any] | None = None,
) -> Iterator[Orthanc]:
    """An Orthanc with an SQLite index of its own. `more`: further settings of it."""
    assert ORTHANC is not None
    folder.mkdir()
    http_port, dicom_port = unused_port(), dicom_port or unused_port()
    settings = {
        "Name": "peer", "StorageDirectory": str(folder / "storage"), "IndexDirectory": str(folder / "storage"),
        "HttpPort": http_port, "DicomPort": dicom_port, "DicomAet": "ORTHANC", "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False, "DicomModalities": modalities or {}, "Plugins": [],
        "DicomAlwaysAllowFind": True, "DicomAlwaysAllowStore": True, "DicomAlwaysAllowMove": True,
        "DicomCheckCalledAet": False, "StorageCompression": False, "SynchronousCMove": True, **(more or {}),
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with background([ORTHANC, str(folder / "orthanc.json")], folder / "log"):
        peer = Orthanc(http_port, dicom_port)
        until(peer.alive, told="Orthanc")
        yield peer
