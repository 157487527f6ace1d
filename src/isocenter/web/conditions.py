"""Conditional requests and ranges (RFC 9110 13, 14) for answers whose state has a tag."""

import hashlib
import re
from collections.abc import Callable, Iterator

from isocenter.web.call import Call
from isocenter.web.problem import Problem
from isocenter.web.reply import Pieces, Reply

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})\Z", re.ASCII)


def tag_of(*state: object, weak: bool = False) -> str:
    """The ETag of a state."""
    digest = hashlib.sha256("\n".join(map(str, state)).encode()).hexdigest()[:32]
    return f'W/"{digest}"' if weak else f'"{digest}"'


def unchanged(call: Call, tag: str) -> bool:
    """Whether the client has this state already. Raises Problem 412 where it wants another than this one."""
    match = call.headers.get("if-match")
    if match is not None and "*" not in _tags(match) and tag not in _tags(match):
        raise Problem(412, "the object is no longer what If-Match names", {"ETag": tag})
    known = [each.removeprefix("W/") for each in _tags(call.headers.get("if-none-match", ""))]
    return "*" in known or tag.removeprefix("W/") in known


def whole_or_range(
    call: Call,
    headers: dict[str, str],
    pieces: Iterator[bytes],
    length: int,
    closing: Callable[[], object] | None = None,
) -> Reply:
    """200 with all of `pieces`, or 206 with the range that is asked for. Raises Problem 416."""
    return range_of(call, headers, lambda start, stop: _cut(pieces, start, stop), length, closing)


def range_of(
    call: Call,
    headers: dict[str, str],
    cut: Callable[[int, int], Iterator[bytes]],
    length: int,
    closing: Callable[[], object] | None = None,
) -> Reply:
    """The same for what can be read from any place on: `cut(start, stop)` gives those bytes."""
    headers["Accept-Ranges"] = "bytes"
    lane = call.context.lanes.retrieve
    wanted = _range(call, headers.get("ETag", ""), length)
    if wanted is None:
        return Reply(200, headers, source=Pieces(cut(0, length), length, closing), lane=lane)
    start, stop = wanted
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{length}"
    return Reply(206, headers, source=Pieces(cut(start, stop), stop - start, closing), lane=lane)


def _tags(header: str) -> list[str]:
    return [each.strip() for each in header.split(",") if each.strip()]


def _range(call: Call, tag: str, length: int) -> tuple[int, int] | None:
    """(start, stop) of a Range header with one range (RFC 9110 14.2); others are passed over, and one of another state
    (If-Range) is too."""
    held = call.headers.get("if-range")
    if held is not None and (held != tag or tag.startswith("W/")):
        return None
    found = _RANGE.match(call.headers.get("range", "").replace(" ", ""))
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    start = int(first) if first else max(length - int(last), 0)
    stop = min(int(last) + 1, length) if first and last else length
    if start >= length:
        raise Problem(416, "the range lies behind the end", {"Content-Range": f"bytes */{length}"})
    return None if stop <= start else (start, stop)


def _cut(pieces: Iterator[bytes], start: int, stop: int) -> Iterator[bytes]:
    at = 0
    for piece in pieces:
        if at + len(piece) > start:
            yield piece[max(start - at, 0) : stop - at]
        at += len(piece)
        if at >= stop:
            return
