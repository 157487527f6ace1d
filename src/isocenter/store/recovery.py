"""After a crash: what lies under the names that were reserved and never settled.

An empty file was never used, one without a header never completed: both go. One with a header is an object: it is
offered for adoption, or set aside if its data is not what the header recorded (power went while both were on their
way).
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from isocenter.store.api import KEY, MARK, Finding, ReadRecorded
from isocenter.store.layout import Layout
from isocenter.store.opened import OpenFile
from isocenter.store.verify import examine

SetAside = Callable[[str, str], str]
"""Moves the object of a key to the exceptions area for a reason; gives its key there."""


@dataclass
class Found:
    """What one or more batches held."""

    recovered: list[str] = field(default_factory=list)
    set_aside: list[str] = field(default_factory=list)
    unfinished: int = 0
    unused: int = 0


def has_mark(path: str) -> bool:
    """Whether a file begins with a header: it is a complete object. Raises OSError."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return any(os.pread(file, MARK, 0))
    finally:
        os.close(file)


def batches(layout: Layout, owner: int | None) -> Iterator[str]:
    """The reservation files, of all processes or of `owner`."""
    prefix = "" if owner is None else f"{owner}."
    for name in os.listdir(layout.spool):
        if name.startswith(prefix):
            yield f"{layout.spool}/{name}"


def batch_keys(path: str) -> list[str]:
    """The keys in a reservation file; a torn last line is none (no name of such a batch was given out)."""
    with open(path, encoding="ascii", errors="replace") as file:
        return [line for line in file.read().split("\n") if KEY.match(line)]


def recover_batch(layout: Layout, path: str, found: Found, read: ReadRecorded, set_aside: SetAside) -> list[str]:
    """Clean one batch; the complete objects in it, which the index may not know. Raises OSError."""
    complete = []
    for key in batch_keys(path):
        state = _clean(layout, key, found)
        if state is None:
            continue
        finding = _examined(key, state, read)
        if finding.verdict in ("sound", "no-digest"):
            complete.append(key)
        else:
            found.set_aside.append(set_aside(key, f"{finding.verdict} at recovery"))
    found.recovered.extend(complete)
    return complete


def _clean(layout: Layout, key: str, found: Found) -> str | None:
    """The path of a complete object, or None where there is none now."""
    path = layout.object(key)
    try:
        size = os.stat(path).st_size
    except FileNotFoundError:
        return None
    if size and has_mark(path):
        return path
    os.unlink(path)
    if size:
        found.unfinished += 1
    else:
        found.unused += 1
    return None


def _examined(key: str, path: str, read: ReadRecorded) -> Finding:
    with OpenFile(key, path) as stored:
        return examine(stored, read)
