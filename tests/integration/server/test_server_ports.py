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


def test_a_stored_ae_whose_port_is_taken_is_left_out(start: Callable[..., Any], cli: Cli) -> None:
    server = start().ready()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cli("ae", "add", "GATEWAY", f"ports={port}", "--data", str(server.data))
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "settings.reloaded" in server.output())
        left_out = f"ae.ports of GATEWAY: cannot listen on 127.0.0.1 port {port}"
        assert left_out in server.output()
        assert answers(cli, "ISOCENTER", server.ports["dicom_port"])
        server.stop()
        # nor does it keep the server from starting
        again = start().ready()
        assert left_out in again.output()
        assert told(again.data) == {}
        assert answers(cli, "ISOCENTER", again.ports["dicom_port"])
    # the address is free again: a reload takes it
    again.process.send_signal(signal.SIGHUP)
    until(lambda: told(again.data) == {"GATEWAY": [port]})
    until(lambda: answers(cli, "GATEWAY", port))


def test_a_port_of_the_settings_that_is_taken_leaves_everything_as_it_was(
    start: Callable[..., Any], cli: Cli, tmp_path: Path
) -> None:
    file = tmp_path / "ports.toml"
    file.write_text("")
    server = start("--config", str(file)).ready()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file.write_text(f'[[ae]]\ntitle = "ISOCENTER"\n[[ae]]\ntitle = "GATEWAY"\nports = [{port}]\n')
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "settings.refused" in server.output())
        assert f"ae.ports of GATEWAY: cannot listen on 127.0.0.1 port {port}" in server.output()
        done = cli("serve", "--data", str(tmp_path / "other"), "--config", str(file), "--dicom-port", "0",
                   "--http-port", "0", check=False)  # fmt: skip
        assert done.returncode == 2
    assert answers(cli, "ISOCENTER", server.ports["dicom_port"])


def test_the_http_port_is_not_for_dicom(start: Callable[..., Any], tmp_path: Path, cli: Cli) -> None:
    done = cli(
        "serve", "--data", str(tmp_path / "d"), "--dicom-port", "0", "--http-port", "18042", check=False,
        ISOCENTER_AE='[{"title": "A", "ports": [18042]}]',
    )  # fmt: skip
    assert done.returncode == 2
    assert "18042 of A is the HTTP port" in done.stderr
