"""The fuzz targets for multipart, for a moment."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz import fuzz_multipart

BODIES = st.lists(st.sampled_from(fuzz_multipart.WORDS), max_size=40).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(st.one_of(BODIES, st.binary(max_size=100)), st.integers(0, 60))
def test_any_body_is_read_alike_however_it_is_cut(data: bytes, cut: int) -> None:
    fuzz_multipart.check_multipart(data, cut)
    fuzz_multipart.check_media(data)
