"""The fuzz targets for HL7 that need no database, for a moment."""

from hypothesis import given
from hypothesis import strategies as st

from fuzz import fuzz_hl7

MESSAGES = st.builds(
    lambda header, lines, pieces: header + b"".join(lines) + b"".join(pieces),
    st.sampled_from(fuzz_hl7.HEADERS),
    st.lists(st.sampled_from(fuzz_hl7.LINES), max_size=5),
    st.lists(st.sampled_from(fuzz_hl7.PIECES) | st.binary(max_size=3), max_size=8),
)


@given(MESSAGES | st.lists(st.sampled_from(fuzz_hl7.PIECES), max_size=20).map(b"".join), st.integers(0, 60))
def test_framing(data: bytes, cut: int) -> None:
    fuzz_hl7.check_framing(data, cut)


@given(MESSAGES)
def test_reading(data: bytes) -> None:
    fuzz_hl7.check_reading(data)
