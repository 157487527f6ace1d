"""A whole server in a process of its own, as `isocenter serve` runs it."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from command_forks import Commands
from databases import new_postgresql
from server_forks import started

PATIENCE = 60.0
_QUIET = {"ISOCENTER_HL7__LISTEN": "false"}
"""It takes no HL7 messages: several servers would want the same port."""


def until(what: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """The first true answer, asked for again and again with a limit."""
    limit = time.monotonic() + patience
    while time.monotonic() < limit:
        if answer := what():
            return answer
        time.sleep(0.02)
    raise AssertionError("it did not come about")


class Running:
    """A server under test."""

    def __init__(self, data: Path, *arguments: str, **environment: str) -> None:
        self.data = data
        self.log = data.parent / f"{data.name}.log"
        variables = {"ISOCENTER_FREE_SPACE_FLOOR": "1 MB", "ISOCENTER_HTTP__WARM": "false"}
        variables |= {**_QUIET, **environment}
        self.process = started(
            *("serve", "--data", data, "--dicom-port", "0", "--http-port", "0", *arguments),
            environment={**os.environ, **variables},
            log=self.log,
            cwd=Path.cwd(),
        )

    def ready(self) -> "Running":
        file = self.data / "run" / "ports.json"

        def look() -> Any:
            assert self.process.poll() is None, self.output()
            if not file.exists():
                return None
            ports = json.loads(file.read_text())
            return ports if ports["pid"] == self.process.pid else None  # else a killed server's

        self.ports = until(look)
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['http_port']}"

    @property
    def peer(self) -> str:
        return f"ISOCENTER@127.0.0.1:{self.ports['dicom_port']}"

    def output(self) -> str:
        return self.log.read_text()

    def pids(self, kind: str = "") -> list[int]:
        """The workers, by their supervisor's log; the newest of each name. "owner": that which owns the index."""
        found: dict[str, int] = {}
        for line in self.output().splitlines():
            if '"process.started"' in line:
                event = json.loads(line)
                found[event["process"]] = event["pid"]
            elif '"index.owned"' in line:
                found["owner"] = json.loads(line)["pid"]
        return [pid for name, pid in found.items() if name.startswith(kind)]

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for the tests of a module."""
    running = Running(tmp_path_factory.mktemp("server") / "data").ready()
    yield running
    running.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts servers that the test may stop or kill."""
    begun: list[Running] = []

    def begin(*arguments: str, data: Path | None = None, **environment: str) -> Running:
        begun.append(Running(data or tmp_path / "data", *arguments, **environment))
        return begun[-1]

    yield begin
    for running in begun:
        running.stop(signal.SIGKILL)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Each database in turn, as options of a command."""
    return () if request.param == "sqlite" else ("--database", new_postgresql())


@pytest.fixture(scope="session")
def cli() -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Runs a command of the program."""
    commands = Commands()

    def run(*arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        quiet = _QUIET if arguments[0] == "serve" else {}
        done = commands.run(*map(str, arguments), environment={**os.environ, **quiet, **environment})
        assert not check or done.returncode == 0, done.stderr
        return done

    yield run
    commands.close()
