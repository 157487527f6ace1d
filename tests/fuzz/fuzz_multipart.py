"""Fuzz target for multipart bodies: any bytes, however cut, give the same parts or the same refusal.

    PYTHONPATH=tests .venv/bin/python tests/fuzz/fuzz_multipart.py [seconds]

`make test` runs `check_*` under Hypothesis for a moment; Atheris finds them by name.
"""

import random

from fuzz.loop import run, seconds_asked
from isocenter.web import media
from isocenter.web.multipart import MalformedMultipart, Parser, PartBegin, PartEnd

BOUNDARY = "XX"
WORDS = (
    b"\r\n--XX", b"\n--XX", b"--XX", b"--", b"\r\n", b"\n", b"\r", b" ", b"\r\n\r\n", b"A: b", b":", b"X", b"-", b"\0",
    b"content",
)  # fmt: skip

Parts = list[tuple[dict[str, str], bytes]]


def parse(pieces: list[bytes]) -> Parts | None:
    """The parts of a body that comes in `pieces`; None if it is refused."""
    parser = Parser(BOUNDARY)
    found: Parts = []
    headers: dict[str, str] | None = None
    content = b""
    try:
        for events in (*map(parser.feed, pieces), parser.finish()):
            for event in events:
                if isinstance(event, PartBegin):
                    assert headers is None, "a part begins in a part"
                    headers, content = event.headers, b""
                elif isinstance(event, PartEnd):
                    assert headers is not None, "a part ends that did not begin"
                    found.append((headers, content))
                    headers = None
                else:
                    assert headers is not None, "content outside a part"
                    content += event
    except MalformedMultipart:
        return None
    return found


def check_multipart(data: bytes, cut: int = 7) -> None:
    """Whole, in pieces and byte by byte a body is read alike."""
    whole = parse([data])
    assert parse([data[i : i + 1] for i in range(len(data))]) == whole
    assert parse([data[:cut], b"", data[cut:]]) == whole
    if whole is not None:
        assert sum(len(content) for _, content in whole) <= len(data)


def check_media(data: bytes) -> None:
    """Any header text is read."""
    for one in media.accepted([data.decode("latin-1")]):
        assert one.name
        assert 0 < one.quality <= 1


CHECKS = (check_multipart, check_media)


def made(chance: random.Random) -> tuple[bytes, int]:
    """A body made of what matters to the parser, and where it is cut."""
    return b"".join(chance.choice(WORDS) for _ in range(chance.randrange(40))), chance.randrange(40)


def check(one: tuple[bytes, int]) -> None:
    """The body as such, and its bytes as a header."""
    check_multipart(*one)
    check_media(one[0])


def main(seconds: float) -> None:
    """Run the checks over random bodies for so long."""
    run(seconds, made, check)


if __name__ == "__main__":
    main(seconds_asked())
