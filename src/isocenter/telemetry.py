"""Structured logs and counters, for every room.

A log line is an event with fields: `log.info("association.rejected", calling=..., reason=...)`, written as one JSON
object. Fields are UIDs, AE titles, addresses, counts and reasons; never names or ids of patients, nor a query's values.
Counters are plain numbers a process; `server` gathers and exports them.
"""

import json
import logging
import sys
import threading
import time
from bisect import bisect_left
from collections import defaultdict
from itertools import accumulate
from typing import Any

_ROOT = "isocenter"


class Logger:
    """Writes events of one room; `bind` gives a logger that adds fields to each."""

    def __init__(self, name: str, bound: dict[str, Any] | None = None) -> None:
        self._logger = logging.getLogger(f"{_ROOT}.{name}")
        self._bound = bound or {}

    def bind(self, **fields: Any) -> "Logger":
        """A logger of the same room whose events carry `fields` too."""
        other = Logger.__new__(Logger)
        other._logger, other._bound = self._logger, {**self._bound, **fields}
        return other

    def debug(self, event: str, **fields: Any) -> None:
        """What a developer wants to see."""
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """What an operator wants to see."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Something was refused or went wrong for one peer."""
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, *, exc_info: bool = False, **fields: Any) -> None:
        """Something of ours failed. `exc_info` adds the stack, without the exception's text (it may hold data)."""
        if exc_info:
            fields["stack"] = _stack()
        self._write(logging.ERROR, event, fields)

    def _write(self, level: int, event: str, fields: dict[str, Any]) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, event, extra={"fields": {**self._bound, **fields}})


def logger(name: str) -> Logger:
    """The logger of room `name`."""
    return Logger(name)


def _stack() -> list[str]:
    kind, _, trace = sys.exc_info()
    frames = []
    while trace is not None:
        frames.append(f"{trace.tb_frame.f_code.co_filename.rpartition('isocenter/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return [*(frames[-12:]), kind.__name__ if kind else ""]


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC, milliseconds), level, room, event, fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for `record`."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            **getattr(record, "fields", {}),
            "time": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "room": record.name.removeprefix(f"{_ROOT}."),
            "event": record.getMessage(),
        }
        return json.dumps(line, default=str, ensure_ascii=False)


def configure(level: str = "INFO") -> None:
    """Send the log of this process to standard error. Called once by each program."""
    root = logging.getLogger(_ROOT)
    root.handlers[:] = [_handler()]
    root.setLevel(level.upper())
    root.propagate = False


def _handler() -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    return handler


Key = tuple[str, tuple[tuple[str, str], ...]]
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class Registry:
    """The numbers of one process. Values are added under a lock; reading gives a copy."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[Key, float] = defaultdict(float)
        self._gauges: dict[Key, float] = {}
        self._histograms: dict[Key, list[float]] = {}

    def count(self, name: str, n: float, labels: dict[str, str]) -> None:
        """Add `n` to a counter."""
        key = _key(name, labels)
        with self._lock:
            self._counters[key] += n

    def gauge(self, name: str, value: float, labels: dict[str, str]) -> None:
        """Set a gauge."""
        key = _key(name, labels)
        with self._lock:
            self._gauges[key] = value

    def observe(self, name: str, value: float, labels: dict[str, str]) -> None:
        """Add one observation (seconds, bytes) to a histogram of `BUCKETS`."""
        key = _key(name, labels)
        with self._lock:
            row = self._histograms.get(key)
            if row is None:
                row = self._histograms[key] = [0.0] * (len(BUCKETS) + 3)
            row[bisect_left(BUCKETS, value)] += 1
            row[-2] += value
            row[-1] += 1

    def snapshot(self) -> dict[str, list[tuple[str, list[tuple[str, str]], Any]]]:
        """All values, as lists that JSON and msgpack can carry."""
        with self._lock:
            return {
                "counters": [(n, list(lab), v) for (n, lab), v in self._counters.items()],
                "gauges": [(n, list(lab), v) for (n, lab), v in self._gauges.items()],
                "histograms": [(n, list(lab), _cumulative(v)) for (n, lab), v in self._histograms.items()],
            }


def _cumulative(row: list[float]) -> list[float]:
    """A histogram as it is exported: observations up to each bound of `BUCKETS`, then their sum and their number."""
    return [*accumulate(row[: len(BUCKETS)]), *row[-2:]]


def _key(name: str, labels: dict[str, str]) -> Key:
    return (name, tuple(sorted(labels.items()) if len(labels) > 1 else labels.items()))


registry = Registry()


def count(name: str, n: float = 1, **labels: str) -> None:
    """Add `n` to the counter `name` (ends in `_total`)."""
    registry.count(name, n, labels)


def gauge(name: str, value: float, **labels: str) -> None:
    """Set the gauge `name`."""
    registry.gauge(name, value, labels)


def observe(name: str, value: float, **labels: str) -> None:
    """Add one observation to the histogram `name` (base units: seconds, bytes)."""
    registry.observe(name, value, labels)
