"""What every test folder shares."""

import logging
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1]))  # a process that is spawned looks for a test's function as `tests...`


@pytest.fixture(autouse=True)
def fresh_log() -> None:
    """The log as a process has it before it is told where to write: a command that was run in this one, by another
    test, has sent it to standard error and past `caplog`."""
    log = logging.getLogger("isocenter")
    log.handlers.clear()
    log.setLevel(logging.NOTSET)
    log.propagate = True
