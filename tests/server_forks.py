"""Servers that are forked from one process which has imported them: `isocenter serve` is up in a fifth of the time, of
which importing takes the most. What it runs, and with what arguments and environment, is the same.

Run as a program it serves `started`: a line of JSON for each server on standard input; on standard output the process
id of each, and the exit status when it ends.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

IMPORTED = ("isocenter.cli.app", "isocenter.cli.serving", "isocenter.server.web_worker", "alembic.command")
"""What a server imports, its children too."""


class Started:
    """One server. As much of `subprocess.Popen` as its users need."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ended = threading.Event()
        self._status = 0

    def poll(self) -> int | None:
        """The exit status; None while it runs."""
        return self._status if self._ended.is_set() else None

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, when it ends. Raises subprocess.TimeoutExpired."""
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired("isocenter serve", timeout or 0.0)
        return self._status

    def send_signal(self, number: int) -> None:
        """Signal the supervisor, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL of the supervisor alone."""
        self.send_signal(signal.SIGKILL)

    def end(self, status: int) -> None:
        """It has ended."""
        self._status = status
        self._ended.set()


class _Forks:
    """The process that servers are forked from."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._servers: dict[int, Started] = {}
        self._begun = threading.Semaphore(0)
        self._newest: Started | None = None
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, name="server-forks", daemon=True).start()
        atexit.register(self._close)

    def start(self, asked: Mapping[str, Any]) -> Started:
        with self._lock:
            assert self._process.stdin is not None
            print(json.dumps(asked), file=self._process.stdin)
            self._begun.acquire()
            assert self._newest is not None
            return self._newest

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            pid, status = json.loads(line)
            if status is None:
                self._newest = self._servers[pid] = Started(pid)
                self._begun.release()
            else:
                self._servers.pop(pid).end(status)

    def _close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


@cache
def _forks() -> _Forks:
    return _Forks()


def started(*arguments: object, environment: Mapping[str, str], log: Path, cwd: Path, session: bool = False) -> Started:
    """`isocenter ARGUMENTS` in a process of its own; what it writes is appended to `log`. With `session` it leads a
    session of its own."""
    log.touch()  # at once, for those who look into it
    asked = {"arguments": [str(each) for each in arguments], "environment": dict(environment), "session": session}
    return _forks().start({**asked, "log": str(log.absolute()), "cwd": str(cwd.absolute())})


# --- the process that is forked from


def _become(asked: dict[str, Any]) -> None:
    """In the fork: everything as a server that was started by itself would find it, then run it."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if asked["session"]:
        os.setsid()
    os.chdir(asked["cwd"])
    out = os.open(asked["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((nothing, out, out)):
        os.dup2(descriptor, number)
    os.closerange(3, 64)
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = [str(Path(sys.executable).with_name("isocenter")), *asked["arguments"]]
    from isocenter.cli import main

    status = 1
    try:
        main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1 if end.code else 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _told(pid: int, status: int | None) -> None:
    print(json.dumps([pid, status]), flush=True)


def main() -> None:
    """Serve until standard input ends; the servers that are left end then too."""
    import importlib

    for name in IMPORTED:
        importlib.import_module(name)
    awake, wake = socket.socketpair()
    for end in (awake, wake):
        end.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: set[int] = set()
    rest = b""
    while True:
        ready, _, _ = select.select([0, awake], [], [])
        if awake in ready:
            awake.recv(4096)
            for pid in list(running):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    running.discard(pid)
                    _told(pid, os.waitstatus_to_exitcode(status))
        if 0 in ready:
            data = os.read(0, 1 << 16)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                child = os.fork()
                if child == 0:
                    _become(json.loads(line))
                running.add(child)
                _told(child, None)
    for pid in running:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
