"""The loop that every fuzz target runs in: inputs made of a seed, so that what fails can be made again."""

import random
import sys
import time
from collections.abc import Callable
from typing import TypeVar

Input = TypeVar("Input")


def run(seconds: float, make: Callable[[random.Random], Input], check: Callable[[Input], None]) -> None:
    """Check what `make` makes of chance, for so long; the seed of a failure is printed with its input."""
    until, runs = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        number = random.randrange(1 << 48)
        made = make(random.Random(number))
        runs += 1
        try:
            check(made)
        except Exception:
            print(f"fails with seed {number}: {made!r}", file=sys.stderr)
            raise
    print(f"{runs} inputs, none failed")


def seconds_asked() -> float:
    """The first argument of the program, or a minute."""
    return float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
