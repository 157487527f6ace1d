"""What the program logs, heard at its own logger: also where a test before has configured logging."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def logged(name: str) -> Iterator[list[logging.LogRecord]]:
    """The records of the logger of one module, such as `dimse.acceptor`, from INFO on, while the block lasts."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger = logging.getLogger(f"isocenter.{name}")
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def fields(records: list[logging.LogRecord], event: str) -> list[dict[str, Any]]:
    """The fields of each record of one event."""
    return [record.fields for record in records if record.msg == event]  # type: ignore[attr-defined]
