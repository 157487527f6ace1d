"""A statement as PDF, made by a process of its own: it takes seconds of computing, too many for a server's threads.

Run as a program it reads a statement from standard input and writes the document to standard output.
"""

import pickle
import subprocess
import sys
from typing import Final

from isocenter.conformance.model import Statement
from isocenter.errors import Reason, Retriable

_LONGEST: Final = 120.0


def printed(statement: Statement) -> bytes:
    """The document. Raises Retriable where it doesn't come about."""
    program = [sys.executable, "-m", "isocenter.conformance.printing"]
    told = pickle.dumps(statement)
    try:
        done = subprocess.run(program, input=told, capture_output=True, timeout=_LONGEST, check=True)  # noqa: S603 - our own module
    except (OSError, subprocess.SubprocessError) as fault:
        raise Retriable(Reason.OUT_OF_RESOURCES, "the statement could not be printed now") from fault
    return done.stdout


def main() -> None:
    """Print what the parent sends."""
    from isocenter.conformance.pdf import pdf

    sys.stdout.buffer.write(pdf(pickle.load(sys.stdin.buffer)))  # noqa: S301 - the parent's own


if __name__ == "__main__":
    main()
