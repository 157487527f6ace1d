"""Commands of the program, each in a process of its own that is forked from one which has imported it all: a command
then takes some ten milliseconds, where starting Python and importing takes most of a second.

Run as a program it serves `Commands`: a line of JSON for each command on standard input, its exit status on standard
output.
"""

import contextlib
import json
import os
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

IMPORTED = (
    *("app", "editing", "exceptions", "registering", "maintaining", "sending", "finding", "jobs", "opening"),
    "messages",
)
"""Rooms of the command line that most commands need."""


class Commands:
    """The serving processes: as many as commands run at once."""

    def __init__(self) -> None:
        self._idle: deque[_Forks] = deque()

    def run(self, *arguments: str, environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
        """A command that ends by itself. Its standard input is empty. Several threads may call at once."""
        try:
            forks = self._idle.pop()
        except IndexError:
            forks = _Forks()
        done = forks.run(*arguments, environment=environment)
        self._idle.append(forks)
        return done

    def close(self) -> None:
        """End them."""
        while self._idle:
            self._idle.pop().close()


class _Forks:
    """One serving process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def run(self, *arguments: str, environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
        """One command after the other."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with TemporaryFile("w+") as out, TemporaryFile("w+") as err:
            here = f"/proc/{os.getpid()}/fd"
            asked = {"arguments": arguments, "environment": dict(environment), "cwd": os.getcwd()}
            asked |= {"out": f"{here}/{out.fileno()}", "err": f"{here}/{err.fileno()}"}
            print(json.dumps(asked), file=self._process.stdin)
            status = int(self._process.stdout.readline())
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(["isocenter", *arguments], status, out.read(), err.read())

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        if self._process.stdout is not None:
            self._process.stdout.close()


def _become(asked: dict[str, Any]) -> None:
    """In the fork: everything as a command that was started by itself would find it, then run it."""
    os.chdir(asked["cwd"])
    for number, path in ((1, asked["out"]), (2, asked["err"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = [str(Path(sys.executable).with_name("isocenter")), *asked["arguments"]]
    from isocenter.cli import main

    status = 0
    try:
        main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1 if end.code else 0
    except BaseException:
        traceback.print_exc()
        status = 1
    with contextlib.suppress(OSError):  # whoever asked may have gone
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def main() -> None:
    """Serve until standard input ends."""
    import importlib

    for name in IMPORTED:
        importlib.import_module(f"isocenter.cli.{name}")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(json.loads(line))
        _, ended = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(ended), flush=True)


if __name__ == "__main__":
    main()
