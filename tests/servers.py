"""A real server for tests: `isocenter serve` with all of its processes, on free ports, in a session of its own.

    with Server(tmp_path / "data", settings={"limits__idle": 60}) as server:
        ...server.dicom_port, server.url...
        server.kill_kind("dicom"); server.await_restart("dicom")
        server.kill(); server.start()          # SIGKILL of all processes, then again on the same data

Everything is waited for by what the server says (its log, `/metrics`), never by time.
"""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import psutil

from server_forks import Started, started

PATIENCE = 120.0
"""Seconds after which something that should come about is taken not to. Long: the tests may share two cores."""
OWNER = "owner"
"""Stands for the dicom worker that owns the SQLite index, where a kind of worker is named."""
_PLAIN = {"dicom_port": 0, "http_port": 0, "free_space_floor": 0, "http__warm": False, "hl7__listen": False}
"""Any free ports, any disk, and a start that takes no longer than it must."""
_HL7 = {"hl7__listen": True, "hl7__port": 0}
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "LOGNAME")
_UP = re.compile(r'^isocenter_process_up\{process="(\w+)-\d+"\} 1$', re.MULTILINE)

T = TypeVar("T")


def until(what: Callable[[], T], *, patience: float = PATIENCE, told: str = "") -> T:
    """The first true answer of `what`, asked for again and again."""
    limit = time.monotonic() + patience
    while not (answer := what()):
        assert time.monotonic() < limit, f"it did not come about: {told or what}"
        time.sleep(0.01)
    return answer


def environment(settings: Mapping[str, object] = {}, **more: str) -> dict[str, str]:
    """What a program of ours gets: little of this process's environment, and `settings` as `ISOCENTER_*` variables."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    ours = {f"ISOCENTER_{name.upper()}": _text(value) for name, value in settings.items()}
    return {**kept, **ours, **more}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def isocenter(*arguments: object) -> list[str]:
    """The command line of the program that is installed beside this interpreter."""
    return [str(Path(sys.executable).with_name("isocenter")), *map(str, arguments)]


class Server:
    """One installation: a data folder, and the server on it while it runs."""

    def __init__(
        self,
        data: Path,
        *,
        settings: Mapping[str, object] = {},
        unset: tuple[str, ...] = (),
        preload: Mapping[str, str] = {},
        wrapper: tuple[str, ...] = (),
        hl7: bool = False,
    ) -> None:
        """`settings` as `config` names them, `__` between table and key; `unset` are those that a file gives.
        `preload`: variables set as they are. `wrapper`: a command that runs the program, such as strace.
        `hl7`: it takes HL7 messages, on `hl7_port`."""
        self.data = data
        self.log_path = data.with_name(f"{data.name}.log")
        self.dicom_port = self.http_port = self.hl7_port = 0
        self._settings: dict[str, object] = {**_PLAIN, **(_HL7 if hl7 else {}), **settings}
        for name in unset:
            del self._settings[name]
        self._preload = dict(preload)
        self._wrapper = wrapper
        self._process: subprocess.Popen[bytes] | Started | None = None
        self._log_start = 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    # --- its life

    def start(self, **settings: object) -> Self:
        """Run it and wait until it serves."""
        return self.begin(**settings).await_ready()

    def begin(self, **settings: object) -> Self:
        """Run it, without waiting."""
        assert self._process is None, "it runs already"
        self._settings |= settings
        self._log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        variables = environment(self._settings, **self._preload)
        if not (self._preload or self._wrapper):
            arguments = ("serve", "--data", self.data)
            self._process = started(
                *arguments, environment=variables, log=self.log_path, cwd=self.data.parent, session=True
            )
            return self
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._wrapper, *isocenter("serve", "--data", self.data)],
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.data.parent,
            )
        return self

    def await_ready(self) -> Self:
        """Wait until it says where it listens and that it is ready."""
        said = until(lambda: list(self.events("server.ready")) or self._ended(), told="server.ready")
        assert isinstance(said, list), f"the server ended at its start:\n{self.log()[-3000:]}"
        self.dicom_port, self.http_port = said[-1]["dicom_port"], said[-1]["http_port"]
        self.hl7_port = said[-1].get("hl7_port", 0)
        return self

    def stop(self) -> int:
        """End it as an operator does; its exit status."""
        assert self._process is not None
        self._signal_supervisor(signal.SIGTERM)
        status = self._process.wait(PATIENCE)
        self._process = None
        return status

    def reload(self) -> None:
        """Have it read its configuration file again, and wait until only new workers serve."""
        old = [process.pid for process in self.supervisor().children()]
        before = len(list(self.events("settings.reloaded")))
        self._signal_supervisor(signal.SIGHUP)
        until(lambda: len(list(self.events("settings.reloaded"))) > before, told="settings.reloaded")
        until(lambda: not set(old) & {process.pid for process in self.supervisor().children()}, told="old workers end")

    def kill(self) -> None:
        """SIGKILL of all processes at once, if it runs."""
        if self._process is None:
            return
        group = self._process.pid
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(group, signal.SIGKILL)
        self._process.wait(PATIENCE)
        self._process = None
        until(lambda: not any(_in_group(process, group) for process in psutil.process_iter()), told="all killed")

    @property
    def running(self) -> bool:
        """Whether its first process lives."""
        return self._process is not None and self._process.poll() is None

    # --- its processes

    def supervisor(self) -> psutil.Process:
        """The parent of the workers (the child of a wrapper)."""
        assert self._process is not None
        first = psutil.Process(self._process.pid)
        return first.children()[0] if self._wrapper else first

    def processes(self) -> list[psutil.Process]:
        """All of them, the supervisor first."""
        supervisor = self.supervisor()
        return [supervisor, *supervisor.children(recursive=True)]

    def pids(self, kind: str) -> list[int]:
        """The living workers of a kind: dicom, web, jobs; or "owner", the dicom worker that owns the SQLite index."""
        alive = {process.pid for process in self.supervisor().children()}
        if kind == OWNER:
            said = [event["pid"] for event in self.events("index.owned")]
            return [pid for pid in said[-1:] if pid in alive]
        started = (event for event in self.events("process.started") if event["process"].partition("-")[0] == kind)
        return [event["pid"] for event in started if event["pid"] in alive]

    def kill_kind(self, kind: str) -> int:
        """SIGKILL the workers of a kind; how many they were."""
        self._died = self._deaths(kind)
        self._ran = {each: len(self.pids(each)) for each in ("dicom", "web", "jobs", "hl7")}
        pids = self.pids(kind)
        assert pids, f"no {kind} process runs"
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return len(pids)

    def await_restart(self, kind: str, n: int = 1) -> None:
        """After `kill_kind`: wait until the supervisor has seen `n` of them die, and all workers serve again."""
        until(lambda: self._deaths(kind) >= self._died + n, told=f"{kind} died")
        until(lambda: all(self._up().count(name) >= count for name, count in self._ran.items()), told=f"{kind} again")
        if kind == OWNER:
            until(lambda: self.pids(OWNER), told="another owns the index")

    def memory(self) -> int:
        """Proportional set size of all processes together, in bytes."""
        total = 0
        for process in self.processes():
            with contextlib.suppress(OSError):  # it ended meanwhile
                rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
                total += 1024 * int(rollup.partition("\nPss:")[2].split()[0])
        return total

    # --- what it says

    def log(self) -> str:
        """All that it wrote, on both outputs, at this start."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode("utf-8", "replace")

    def whole_log(self) -> str:
        """All that it ever wrote."""
        return self.log_path.read_text("utf-8", "replace") if self.log_path.exists() else ""

    def events(self, name: str) -> Iterator[dict[str, Any]]:
        """The log lines of one event, of this start."""
        for line in self.log().splitlines():
            if f'"{name}"' in line and line.endswith("}"):
                event = json.loads(line)
                if event["event"] == name:
                    yield event

    def get(self, path: str) -> tuple[int, bytes]:
        """HTTP GET: status and body; status 0 where nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    @property
    def url(self) -> str:
        """The root of its HTTP side."""
        return f"http://127.0.0.1:{self.http_port}"

    def metric(self, name: str) -> float:
        """The sum over a metric's samples, whatever their labels."""
        samples = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", self.get("/metrics")[1].decode(), re.MULTILINE)
        return sum(map(float, samples))

    def _up(self) -> list[str]:
        return _UP.findall(self.get("/metrics")[1].decode())

    def _deaths(self, kind: str) -> int:
        name = "dicom" if kind == OWNER else kind
        return sum(event["process"].partition("-")[0] == name for event in self.events("process.died"))

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _signal_supervisor(self, number: int) -> None:
        os.kill(self.supervisor().pid, number)


def _in_group(process: psutil.Process, group: int) -> bool:
    try:
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False
