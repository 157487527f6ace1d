"""multipart/related bodies in whatever pieces they come."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.web.multipart import HEADER_LIMIT, MalformedMultipart, Parser, PartBegin, PartEnd

Part = tuple[dict[str, str], bytes]


def read(body: bytes, boundary: str = "XX", cuts: list[int] | None = None) -> list[Part]:
    """The parts of `body`, fed in pieces that end at `cuts`."""
    parser = Parser(boundary)
    found: list[Part] = []
    headers: dict[str, str] = {}
    content = b""
    edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts or ()), len(body)]
    events = []
    for start, stop in pairwise(edges):
        events += [bytes(e) if isinstance(e, memoryview) else e for e in parser.feed(body[start:stop])]
    events += list(parser.finish())
    for event in events:
        if isinstance(event, PartBegin):
            headers, content = event.headers, b""
        elif isinstance(event, PartEnd):
            found.append((headers, content))
        else:
            assert isinstance(event, bytes)
            content += event
    return found


TRICKY = (
    b"preamble\r\n--XX\r\nContent-Type: application/dicom\r\n\r\nabc\r\n--XXY\r\n\r\r\n\r\n--XX \t\r\n\r\n\r\n--XX\r\n"
    b"A: b\r\n\r\n--XX--\r\nepilogue\r\n--XX\r\n"
)
EXPECTED = [({"content-type": "application/dicom"}, b"abc\r\n--XXY\r\n\r\r\n"), ({}, b""), ({"a": "b"}, b"")]


@given(st.lists(st.integers(0, 1000), max_size=20))
def test_reads_the_same_however_it_is_cut(cuts: list[int]) -> None:
    assert read(TRICKY, cuts=cuts) == EXPECTED


def test_reads_byte_by_byte() -> None:
    assert read(TRICKY, cuts=list(range(len(TRICKY)))) == EXPECTED


# bytes that delimiters are made of, so that near misses are likely
NEAR = st.lists(st.sampled_from([b"\r", b"\n", b"-", b"X", b"--XX", b"\n--X", b"a", b" "]), max_size=30).map(b"".join)


@given(st.lists(NEAR, min_size=1, max_size=4), st.lists(st.integers(0, 1000), max_size=8))
def test_gives_back_what_was_written(contents: list[bytes], cuts: list[int]) -> None:
    boundary = "QQBOUNDARYQQ"
    body = b"".join(b"--%b\r\nN: 1\r\n\r\n%b\r\n" % (boundary.encode(), content) for content in contents)
    body += f"--{boundary}--".encode()
    assert read(body, boundary, cuts) == [({"n": "1"}, content) for content in contents]


def test_takes_lines_that_end_in_lf() -> None:
    assert read(b"--XX\nContent-Type: a/b\n\nline\n--XX\n\nx\n--XX--\n") == [
        ({"content-type": "a/b"}, b"line"),
        ({}, b"x"),
    ]


def test_takes_a_last_boundary_without_hyphens() -> None:
    assert read(b"--XX\r\n\r\nabc\r\n--XX") == [({}, b"abc")]


def test_unfolds_headers() -> None:
    assert read(b"--XX\r\nA: one\r\n two\r\n\r\nx\r\n--XX--") == [({"a": "one two"}, b"x")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary at all",
        b"--XX\r\n\r\nabc",
        b"--XX\r\nContent-Type: a",
        b"--XX\r\nno colon\r\n\r\nx\r\n--XX--",
        b"--XX\r\nA: " + b"x" * (HEADER_LIMIT + 10) + b"\r\n\r\nx\r\n--XX--",
    ],
)
def test_refuses_what_is_no_multipart(body: bytes) -> None:
    with pytest.raises(MalformedMultipart):
        read(body)


@pytest.mark.parametrize("boundary", ["", "x" * 201, "a\nb", "ä"])
def test_refuses_impossible_boundaries(boundary: str) -> None:
    with pytest.raises(MalformedMultipart):
        Parser(boundary)


def test_content_passes_without_being_held() -> None:
    parser = Parser("XX")
    list(parser.feed(b"--XX\r\n\r\n"))
    chunk = bytes(range(256)) * 1024
    for _ in range(50):
        given_back = sum(len(event) for event in parser.feed(chunk) if isinstance(event, memoryview))
        assert len(chunk) - given_back < 300
