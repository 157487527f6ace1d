"""Fuzz target for multipart bodies: any bytes, however cut, give the same parts or the same refusal.

    .venv/bin/python tests/fuzz/fuzz_multipart.py [seconds]

`make test` runs `check_*` under Hypothesis for a moment; Atheris finds them by name.
"""

import random
import sys
import time

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


def made(chance: random.Random) -> bytes:
    """A body made of what matters to the parser."""
    return b"".join(chance.choice(WORDS) for _ in range(chance.randrange(40)))


def main(seconds: float) -> None:
    """Run the checks over random bodies for so long; the seed of a failure is printed."""
    until, runs = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        number = random.randrange(1 << 48)
        chance = random.Random(number)
        data = made(chance)
        runs += 1
        try:
            check_multipart(data, chance.randrange(40))
            check_media(data)
        except Exception:
            print(f"fails with seed {number}: {data!r}", file=sys.stderr)
            raise
    print(f"{runs} inputs, none failed")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60)
