"""The files of the collection as (name, transfer syntax, data set), for the tests of the byte half of `dicom`."""

import warnings
from functools import cache
from pathlib import Path
from typing import NamedTuple

from isocenter.dicom.headers import MalformedDataSet
from isocenter.dicom.part10 import read_header
from material import data_files


class Sample(NamedTuple):
    """A file, split behind its header."""

    name: str
    content: bytes
    syntax: str
    offset: int

    @property
    def data(self) -> bytes:
        """The data set."""
        return self.content[self.offset :]


@cache
def paths() -> list[tuple[str, Path]]:
    """One path a distinct content (by name and size)."""
    found = {(path.name, path.stat().st_size): path for path in data_files()}
    return [(f"{path.parent.name}/{path.name}", path) for path in found.values()]


def samples(limit: int) -> list[Sample]:
    """All that have a header, up to `limit` bytes."""
    found = []
    for name, path in paths():
        if path.stat().st_size > limit:
            continue
        content = path.read_bytes()
        try:
            header = read_header(content)
        except MalformedDataSet:
            continue  # no Part 10 file
        found.append(Sample(name, content, header.syntax, header.offset))
    return found


def quiet() -> warnings.catch_warnings:
    """pydicom warns about much of what is in these files."""
    return warnings.catch_warnings(action="ignore")
