"""The fuzz targets, for a moment."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz import fuzz_scan

VRS = ["SQ", "UN", "OB", "OW", "US", "LO", "PN", "UI", "UT", "??", "zz", "\0\0"]
TAGS = [0x00080018, 0x00081140, 0x00090010, 0x00091001, 0x00280103, 0x7FE00010, 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD]


@st.composite
def pieces(draw: st.DrawFn) -> bytes:
    """Bytes that look much like elements: right tags and VRs with any lengths, in either byte order."""
    order = draw(st.sampled_from("<>"))
    out = b""
    for _ in range(draw(st.integers(1, 12))):
        tag, vr = draw(st.sampled_from(TAGS)), draw(st.sampled_from(VRS)).encode("latin-1")
        length = draw(st.sampled_from([0, 0, 2, 4, 8, 20, 0xFFFF, 0xFFFFFFFF]))
        form = draw(st.integers(0, 2))
        head = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
        if form == 0:
            out += head + struct.pack(f"{order}I", length)
        elif form == 1:
            out += head + vr + struct.pack(f"{order}H", length & 0xFFFF)
        else:
            out += head + vr + struct.pack(f"{order}HI", 0, length)
        out += draw(st.binary(max_size=8)) if length not in (2, 4, 8) else bytes(length)
    return out


@settings(max_examples=120, deadline=None)
@given(st.one_of(pieces(), pieces(), st.binary(max_size=200)))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for check in fuzz_scan.CHECKS:
        check(data)
