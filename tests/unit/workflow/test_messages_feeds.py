"""Whose message it is, in which character set, and who may send."""

import pytest

from isocenter.config.hl7 import Feed, Hl7
from isocenter.hl7.errors import MessageError
from isocenter.hl7.message import parsed
from isocenter.workflow.messages.feeds import NOBODY, Doorkeeper, feed_of, is_within, read, salvaged

FEEDS = Hl7(
    feeds=(
        Feed(name="ris-a", application="RIS", facility="A"),
        Feed(application="RIS", facility="B"),
        Feed(name="lab", addresses=("10.1.0.0/16", "::1")),
        Feed(name="mpi", application="MPI", addresses=("10.2.0.9",)),
    )
)


def header(application: str, facility: str = "", more: str = "") -> bytes:
    return f"MSH|^~\\&|{application}|{facility}|I|R|20240131||ADT^A08|7|P|2.5{more}\rPID|||MÜLLER\r".encode("latin-1")


@pytest.mark.parametrize(
    ("application", "facility", "address", "expected"),
    [
        ("RIS", "A", "10.1.0.1", "ris-a"),
        ("RIS", "B", "1.1.1.1", "RIS^B"),
        ("RIS", "C", "10.1.2.3", "lab"),
        ("RIS", "C", "::ffff:10.1.2.3", "lab"),
        ("RIS", "C", "::1", "lab"),
        ("RIS", "C", "1.1.1.1", "RIS^C"),
        ("MPI", "A", "10.2.0.9", "mpi"),
        ("MPI", "A", "10.2.0.8", "MPI^A"),
    ],
)
def test_the_first_feed_that_fits(application: str, facility: str, address: str, expected: str) -> None:
    assert feed_of(FEEDS, parsed(header(application, facility), "8859/1").header, address).name == expected


def test_known_senders() -> None:
    closed, anyone = Doorkeeper(FEEDS, open=False), Doorkeeper(FEEDS, open=True)
    assert [closed.admits(each) for each in ("10.1.9.9", "10.2.0.9", "10.2.0.8", "127.0.0.1", "::1")] == [
        True, True, False, False, True,
    ]  # fmt: skip
    assert anyone.admits("8.8.8.8")
    assert not Doorkeeper(Hl7(), open=False).admits("127.0.0.1")
    assert is_within("fe80::1%eth0", ("fe80::/10",))


@pytest.mark.parametrize(
    ("feed", "more", "expected"),
    [
        (Feed(character_set="8859/1"), "", "MÜLLER"),
        (Feed(character_set="8859/5"), "||||||8859/1", "MÜLLER"),
        (Feed(character_set="8859/1", character_set_forced=True), "||||||UNICODE UTF-8", "MÜLLER"),
        (Feed(character_set="8859/1", character_set_forced=True), "||||||NONSENSE|DEU", "MÜLLER"),
        (Feed(character_set="8859/1", character_set_forced=True), "", "MÜLLER"),
    ],
)
def test_character_sets_of_a_feed(feed: Feed, more: str, expected: str) -> None:
    for data in (header("RIS", more=more), header("RIS", more=more).replace(b"\r", b"\r\n")):
        _, message = read(data, Hl7(feeds=(feed,)), "1.1.1.1")
        assert message.value("PID-3") == expected


def test_without_one_it_can_not_be_read() -> None:
    with pytest.raises(MessageError, match="character set"):
        read(header("RIS"), Hl7(), "1.1.1.1")


@pytest.mark.parametrize(
    ("data", "control_id"),
    [
        (header("RIS") + b"\xff\xfe\r", "7"),
        (b"noise MSH|^~\\&|R|F|||||ADT|9\rxx", "9"),
        (header("RIS", more="||||||KLINGON"), "7"),
        ("MSH|^~\\&|R|F|||||ADT^A08|W|P|2.5\r".encode("utf-16"), "W"),
        (header("M\xdcLL"), "7"),
        (b"MSH", ""), (b"", ""), (b"MSH|^~\\&", ""), (b"PID|||1", ""), (b"\xff\xfeM", ""), (b"MSHa" * 3000, ""),
    ],
)  # fmt: skip
def test_what_can_be_made_of_a_header(data: bytes, control_id: str) -> None:
    found = salvaged(data)
    assert found.header.control_id == control_id
    assert (found is NOBODY) == (control_id == "" and data != b"MSH|^~\\&")
