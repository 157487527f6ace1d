"""MLLP without a socket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.hl7.framing import FrameTooLong, Unframing, framed

MESSAGES = st.lists(st.binary(max_size=40).filter(lambda data: b"\x0b" not in data and b"\x1c" not in data), max_size=5)


@given(MESSAGES, st.lists(st.integers(1, 7)))
def test_messages_come_out_however_the_bytes_come(messages: list[bytes], cuts: list[int]) -> None:
    stream, frames, found = b"".join(map(framed, messages)), Unframing(100), []
    for size in cuts:
        found += frames.feed(stream[:size])
        stream = stream[size:]
    found += frames.feed(stream)
    assert found == messages
    assert not frames.under_way
    assert not frames.passed_over


def test_what_stands_between_messages_is_passed_over() -> None:
    frames = Unframing(100)
    assert frames.feed(b"\r\n\0" + framed(b"one") + b"\n" + framed(b"two") + b"junk") == [b"one", b"two"]
    assert frames.passed_over == 8


def test_an_end_without_its_carriage_return() -> None:
    assert Unframing(100).feed(b"\x0bone\x1c" + framed(b"two")) == [b"one", b"two"]
    frames = Unframing(100)
    assert frames.feed(b"\x0bone\x1c") == []
    assert frames.under_way
    assert frames.feed(b"\n\x0btwo\x1c\r") == [b"one", b"two"]


def test_a_sender_that_starts_over() -> None:
    assert Unframing(100).feed(b"\x0bhalf of it" + framed(b"all of it")) == [b"all of it"]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_message_that_is_too_long(at_once: bool) -> None:
    frames = Unframing(10)
    assert frames.feed(framed(b"ten bytes.")) == [b"ten bytes."]
    if not at_once:
        frames.feed(b"\x0bten bytes.")
    with pytest.raises(FrameTooLong):
        frames.feed(framed(b"eleven byte") if at_once else b"x")


def test_a_message_can_not_end_itself() -> None:
    assert Unframing(100).feed(framed(b"a\x1c\rb")) == [b"a \rb"]
