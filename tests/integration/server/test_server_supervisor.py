"""The supervisor with stand-in workers: starting, dying, reloading, stopping; all in a child process of the test."""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from isocenter.config import Http, Processes, Settings
from isocenter.config.hl7 import Hl7
from isocenter.errors import ConfigurationError, Reason, Refused
from isocenter.server import process
from isocenter.server.board import Board, Kind, State
from isocenter.server.ports import Listeners, bind
from isocenter.server.process import Termination
from isocenter.server.supervisor import Plan, Supervisor, Worker

PATIENCE = 20.0
SILENT = Hl7(listen=False)


def until(what: Callable[[], Any]) -> Any:
    """The first true answer, asked for again and again with a limit."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        if answer := what():
            return answer
        time.sleep(0.01)
    raise AssertionError("it did not come about")


def answer_with_generation(worker: Worker) -> None:
    """A worker that tells each caller its kind, pid and a value of its settings."""
    end = Termination()
    listener = worker.listeners.dicom
    worker.ready()

    def serve() -> None:
        while True:
            caller, _ = listener.accept()
            with caller:
                caller.sendall(json.dumps([os.getpid(), worker.settings.http.limit]).encode())

    import threading

    threading.Thread(target=serve, daemon=True).start()
    end.wait()


def idle(worker: Worker) -> None:
    end = Termination()
    worker.ready()
    end.wait()


def stubborn(worker: Worker) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    worker.ready()
    signal.pause()


def broken(worker: Worker) -> None:
    raise RuntimeError("no")


class Server:
    """A supervisor in a child process."""

    def __init__(self, settings: Settings, roles: dict[Kind, Callable[[Worker], None]], reload: Any = None) -> None:
        self.listeners: Listeners = bind(settings)
        self.board = Board(12, 4)
        ready, told = os.pipe()
        plan = Plan(
            roles=roles,
            counts=lambda s: {kind: (s.processes.dicom if kind == Kind.DICOM else 1) for kind in roles},
            reload=reload or (lambda: settings),
            on_ready=lambda: bool(os.write(told, b"r")),
        )
        self.pid = os.fork()
        if not self.pid:
            os.close(ready)
            status = 99
            try:
                status = Supervisor(
                    settings,
                    plan,
                    self.listeners,
                    self.board,
                    settings.data,
                ).run()
            finally:
                os._exit(status)
        os.close(told)
        self.ready = ready
        self.port = self.listeners.dicom_port
        self.listeners.close()
        self.status: int | None = None

    def await_ready(self) -> None:
        assert os.read(self.ready, 1) == b"r"

    def ask(self) -> list[int]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as caller:
            return list(json.loads(caller.recv(4096)))

    def pids(self, kind: Kind) -> list[int]:
        return [entry.pid for entry in self.board.entries() if entry.kind == kind]

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        if self.status is None:
            os.close(self.ready)
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(roles: dict[Kind, Callable[[Worker], None]], reload: Any = None, **processes: float) -> Server:
        quick: dict[str, Any] = {"dicom": 2, "drain": 5.0, "restart_delay": 0.01, **processes}
        settings = Settings(data=tmp_path, dicom_port=0, http_port=0, hl7=SILENT, processes=Processes(**quick))
        servers.append(Server(settings, roles, reload))
        return servers[-1]

    yield start
    for server in servers:
        if server.status is None:
            server.signal(signal.SIGKILL)
            server.wait()


ROLES: dict[Kind, Callable[[Worker], None]] = {Kind.DICOM: answer_with_generation, Kind.JOBS: idle}


def test_it_serves_and_stops(make: Callable[..., Server]) -> None:
    server = make(ROLES)
    server.await_ready()
    assert server.ask()[0] in server.pids(Kind.DICOM)
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    with pytest.raises(ConnectionRefusedError):
        server.ask()


@pytest.mark.req("X-RIS-01")
@pytest.mark.parametrize("kind", [Kind.DICOM, Kind.JOBS])
def test_a_killed_worker_is_started_again(make: Callable[..., Server], kind: Kind) -> None:
    server = make(ROLES)
    server.await_ready()
    before = server.pids(kind)
    os.kill(before[0], signal.SIGKILL)
    until(
        lambda: (
            before[0] not in server.pids(kind) and len(server.pids(kind)) == len(before) and 0 not in server.pids(kind)
        )
    )
    until(lambda: server.board.ready({Kind.DICOM: 2, Kind.JOBS: 1}))
    assert server.ask()
    assert sum(entry.restarts for entry in server.board.entries()) >= 1


def test_a_dead_worker_gives_its_associations_back(make: Callable[..., Server]) -> None:
    server = make(ROLES)
    server.await_ready()
    entry = next(e for e in server.board.entries() if e.kind == Kind.DICOM)
    server.board.tally(entry.slot).enter(0, "a")
    assert server.board.total() == 1
    os.kill(entry.pid, signal.SIGKILL)
    until(lambda: server.board.total() == 0)


def test_workers_die_with_their_supervisor(make: Callable[..., Server]) -> None:
    server = make(ROLES)
    server.await_ready()
    pids = server.pids(Kind.DICOM) + server.pids(Kind.JOBS)
    server.signal(signal.SIGKILL)
    server.wait()
    until(lambda: not any(alive(pid) for pid in pids))


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.req("X-RIS-01")
def test_a_reload_brings_new_workers_and_ends_the_old(make: Callable[..., Server]) -> None:
    changed = Settings(
        dicom_port=0, http_port=0, hl7=SILENT, http=Http(limit=7), processes=Processes(dicom=1, drain=5.0)
    )
    server = make(ROLES, lambda: changed)
    server.await_ready()
    old = server.pids(Kind.DICOM) + server.pids(Kind.JOBS)
    server.signal(signal.SIGHUP)
    until(lambda: not set(old) & {entry.pid for entry in server.board.entries()})
    assert server.ask() == [server.pids(Kind.DICOM)[0], 7]
    assert len(server.pids(Kind.DICOM)) == 1
    assert len(server.pids(Kind.JOBS)) == 1


def test_wrong_settings_change_nothing(make: Callable[..., Server], tmp_path: Path) -> None:
    asked = tmp_path / "asked"

    def refuse() -> Settings:
        asked.touch()
        raise ConfigurationError("no")

    server = make(ROLES, refuse)
    server.await_ready()
    before = server.pids(Kind.DICOM)
    server.signal(signal.SIGHUP)
    until(asked.exists)
    assert server.ask()[0] in before
    assert server.pids(Kind.DICOM) == before


def test_a_worker_that_does_not_end_is_killed_at_the_second_signal(make: Callable[..., Server]) -> None:
    server = make({Kind.DICOM: stubborn}, drain=600.0)
    server.await_ready()
    server.signal(signal.SIGTERM)
    until(lambda: all(entry.state == State.DRAINING for entry in server.board.entries()))
    server.signal(signal.SIGTERM)
    assert server.wait() == 0


def test_a_worker_that_cannot_start_ends_the_server(make: Callable[..., Server]) -> None:
    server = make({Kind.DICOM: broken, Kind.JOBS: idle})
    assert server.wait() == 1


def test_call_gives_the_childs_answer_and_its_errors() -> None:
    assert process.call(lambda: {"a": [1, "b"]}) == {"a": [1, "b"]}

    def wrong() -> None:
        raise ConfigurationError("the setting")

    def refused() -> None:
        raise Refused(Reason.NOT_FOUND, "nothing there")

    with pytest.raises(ConfigurationError, match="the setting"):
        process.call(wrong)
    with pytest.raises(Refused, match="nothing there"):
        process.call(refused)
    with pytest.raises(Refused, match="ended with 3"):
        process.call(lambda: sys.exit(3))


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    listeners = bind(Settings(dicom_port=0, http_port=0, hl7=SILENT))
    listeners.listen()
    try:
        with pytest.raises(ConfigurationError, match="http_port"):
            bind(Settings(dicom_port=0, http_port=listeners.http_port))
        with pytest.raises(ConfigurationError, match="host"):
            bind(Settings(host="no.such.host.invalid", dicom_port=0))
    finally:
        listeners.close()


def owing(worker: Worker) -> None:
    """A worker that has acknowledged more than it filed; a successor files what was left once it is told to."""
    end = Termination()
    if worker.predecessors:
        (worker.settings.data / "succeeded").touch()
        until((worker.settings.data / "let").exists)
        worker.inherited()
    else:
        worker.board.account(worker.slot).acknowledged()
    worker.ready()
    end.wait()


def test_what_a_dead_worker_owed_is_waited_for_until_its_successor_has_filed_it(
    make: Callable[..., Server], tmp_path: Path
) -> None:
    server = make({Kind.DICOM: owing, Kind.JOBS: idle}, dicom=1)
    server.await_ready()
    wanted = server.board.lagging()
    assert len(wanted) == 1
    os.kill(server.pids(Kind.DICOM)[0], signal.SIGKILL)
    until((tmp_path / "succeeded").exists)
    assert not server.board.caught_up(wanted)
    assert not server.board.settled()
    (tmp_path / "let").touch()
    until(server.board.settled)
    assert server.board.caught_up(wanted)
    os.kill(until(lambda: [pid for pid in server.pids(Kind.DICOM) if pid])[0], signal.SIGKILL)
    until(lambda: sum(entry.restarts for entry in server.board.entries() if entry.kind == Kind.DICOM) >= 2)
    assert server.board.settled(), "one that owed nothing leaves nothing to wait for"


def test_a_successor_that_dies_leaves_its_inheritance_to_the_next(make: Callable[..., Server], tmp_path: Path) -> None:
    server = make({Kind.DICOM: owing, Kind.JOBS: idle}, dicom=1)
    server.await_ready()
    for _ in range(2):
        (pid,) = until(lambda: [pid for pid in server.pids(Kind.DICOM) if pid])
        os.kill(pid, signal.SIGKILL)
        until((tmp_path / "succeeded").exists)
        (tmp_path / "succeeded").unlink()
        assert not server.board.settled()
    (tmp_path / "let").touch()
    until(server.board.settled)
