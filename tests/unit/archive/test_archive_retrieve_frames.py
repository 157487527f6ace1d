"""Frames by the index's table: any frame costs as much as the first."""

from typing import Any, cast

import pytest

from imaging_objects import encapsulated_object
from isocenter.archive.retrieval.frames import described_frames, frames_of
from isocenter.archive.retrieval.instances import Located, Reader
from isocenter.dicom import uids
from isocenter.dicom.scan import scan
from isocenter.imaging.pixels import Pixels
from isocenter.index import frames as tables

PIXELS = Pixels(8, 8, frames=500)
DATA = encapsulated_object(PIXELS, [b"\xff\xd8\xff" + bytes([n % 251]) * (2 * n + 1) for n in range(500)])


class Counted:
    """A stored object that counts what is read of it."""

    def __init__(self) -> None:
        self.reads = 0

    def pread(self, n: int, offset: int) -> bytes:
        self.reads += 1
        return DATA[offset : offset + n]

    def close(self) -> None:
        """Nothing is open."""


def table() -> bytes:
    shape = tables.Shape(8, 8, 1, 8, 500, False)
    found = scan(DATA, uids.JPEG_BASELINE, frozenset())
    blob = tables.locate(found, shape, len(DATA), lambda n, at: DATA[at : at + n])
    assert blob is not None
    return blob


def cost(number: int, *, described: bool) -> int:
    stored = Counted()
    located = cast(Located, type("Located", (), {"syntax": uids.JPEG_BASELINE}))
    reader = Reader(cast(Any, stored), 0, len(DATA))
    found = described_frames(located, table(), reader)[0] if described else frames_of(located, table(), reader)
    assert found.count == 500
    assert found.frame(number)[3:4] == bytes([(number - 1) % 251])
    return stored.reads


@pytest.mark.parametrize("described", [False, True])
def test_the_last_of_many_frames_costs_as_much_as_the_first(described: bool) -> None:
    assert cost(500, described=described) == cost(1, described=described) <= 3
