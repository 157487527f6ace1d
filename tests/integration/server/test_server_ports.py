"""AEs at ports of their own: bound at the start and by a reload, from the settings and from the database."""

import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from integration.server.conftest import until

Cli = Callable[..., Any]


def told(data: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = json.loads((data / "run" / "ports.json").read_text())["ae_ports"]
    return found


def answers(cli: Cli, title: str, port: int) -> bool:
    return bool(cli("echo", f"{title}@127.0.0.1:{port}", check=False).returncode == 0)


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.req("I-CONF-03", "X-MOD-03")
def test_aes_at_ports_of_their_own(start: Callable[..., Any], cli: Cli) -> None:
    aes = '[{"title": "ISOCENTER"}, {"title": "GATEWAY", "ports": [0]}, {"title": "SECOND", "ports": [0]}]'
    server = start(ISOCENTER_AE=aes).ready()
    general, (own,), (second,) = server.ports["dicom_port"], *(told(server.data)[t] for t in ("GATEWAY", "SECOND"))
    assert len({general, own, second}) == 3
    assert answers(cli, "GATEWAY", own)
    assert answers(cli, "ISOCENTER", general)
    assert not answers(cli, "GATEWAY", general)
    assert not answers(cli, "ISOCENTER", own)
    assert not answers(cli, "GATEWAY", second)
    # a command finds an own AE where it is
    assert cli("echo", "GATEWAY", "--data", str(server.data), ISOCENTER_AE=aes).returncode == 0
    assert f"port {own}: GATEWAY" in server.output()
    page = httpx.get(server.url).text
    assert f"<code>GATEWAY</code></td><td>archive</td><td>127.0.0.1 port {own}<" in page
    assert f"<code>ISOCENTER</code></td><td>archive</td><td>127.0.0.1 port {general}<" in page


def test_a_reload_binds_and_lets_go(start: Callable[..., Any], cli: Cli) -> None:
    server = start().ready()
    place = ("--data", str(server.data))
    cli("ae", "add", "GATEWAY", "ports=0", *place)
    # it is hosted at once, at the general port, until a reload binds its own
    assert answers(cli, "GATEWAY", server.ports["dicom_port"])
    server.process.send_signal(signal.SIGHUP)
    (own,) = until(lambda: told(server.data).get("GATEWAY"))
    until(lambda: answers(cli, "GATEWAY", own))
    until(lambda: not answers(cli, "GATEWAY", server.ports["dicom_port"]))
    cli("ae", "remove", "GATEWAY", *place)
    server.process.send_signal(signal.SIGHUP)
    until(lambda: not told(server.data))
    until(lambda: not listens(own))
    assert answers(cli, "ISOCENTER", server.ports["dicom_port"])


def test_a_port_that_is_taken_leaves_everything_as_it_was(start: Callable[..., Any], cli: Cli) -> None:
    server = start().ready()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cli("ae", "add", "GATEWAY", f"ports={port}", "--data", str(server.data))
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "settings.refused" in server.output())
    assert f"ae.ports of GATEWAY: cannot listen on 127.0.0.1 port {port}" in server.output()
    assert answers(cli, "ISOCENTER", server.ports["dicom_port"])
    server.stop()
    # the address is free again
    again = start().ready()
    assert told(again.data) == {"GATEWAY": [port]}
    assert answers(cli, "GATEWAY", port)


def test_the_http_port_is_not_for_dicom(start: Callable[..., Any], tmp_path: Path, cli: Cli) -> None:
    done = cli(
        "serve", "--data", str(tmp_path / "d"), "--dicom-port", "0", "--http-port", "18042", check=False,
        ISOCENTER_AE='[{"title": "A", "ports": [18042]}]',
    )  # fmt: skip
    assert done.returncode == 2
    assert "18042 of A is the HTTP port" in done.stderr
