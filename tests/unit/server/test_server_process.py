"""What a process does for those that it forks."""

import ctypes
import json
import subprocess
import sys

import pytest

# in a process of its own: what is filled stays filled
_PROGRAM = """
import ctypes, json
from isocenter.server.process import _Heap, fill_holes

library = ctypes.CDLL(None)
library.mallinfo2.restype = _Heap

def looked_at():
    heap = library.mallinfo2()
    return heap.arena, heap.fordblks - heap.keepcost

kept = [bytes(2_000) for _ in range(2_000)]
del kept[::2]
before = looked_at()
fill_holes()
print(json.dumps([before, looked_at()]))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="not this C library")
def test_no_holes_are_left_in_the_heap() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    (size, holes), (size_after, holes_after) = json.loads(done.stdout)
    assert holes > 1_000_000
    assert holes_after < holes / 20
    assert size_after - size < 1 << 20, "what is there is filled, nothing is added"
