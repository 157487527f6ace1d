"""Media types and their negotiation: Content-Type and Accept as PS3.18 8.7 uses them, read with patience.

Clients leave the quotes off (`type=application/dicom`), add parameters and put the wish into an `accept` query
parameter; all of that is understood.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

JSON = "application/dicom+json"
PLAIN_JSON = "application/json"
XML = "application/dicom+xml"
DICOM = "application/dicom"
OCTETS = "application/octet-stream"
MULTIPART = "multipart/related"

_PIECE = re.compile(r'\s*([^;,="\s]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^;,"]*)))?\s*')
_MOST = 64
"""Media ranges of one header that are looked at."""


class MediaType(NamedTuple):
    """One media type or range. Names are lower case; `parameters` keep their values' case."""

    name: str
    parameters: dict[str, str]
    quality: float = 1.0

    @property
    def multipart(self) -> bool:
        """A `multipart/related` of `root` parts."""
        return self.name == MULTIPART

    @property
    def root(self) -> str:
        """The type of what is inside: of the parts where there are parts."""
        return self.parameters.get("type", "*/*").lower() if self.multipart else self.name

    @property
    def syntax(self) -> str:
        """The transfer syntax wished for: a UID, `*` for as stored, '' for the default."""
        return self.parameters.get("transfer-syntax", "")


def parse(header: str) -> MediaType | None:
    """The media type of a Content-Type header, or None if it has none."""
    return next(_types(header), None)


def accepted(headers: Iterable[str], parameter: str = "") -> list[MediaType]:
    """What the client takes, best first; ties stay in its order. Empty: it didn't say (PS3.18 8.3.3.1, 8.7.5).

    The `accept` query parameter stands before the header.
    """
    ranges = list(_types(parameter)) if parameter else []
    for header in headers:
        ranges += list(_types(header))[:_MOST]
    ranges = [one for one in ranges if one.quality > 0]
    ranges.sort(key=lambda one: -one.quality)
    return ranges


def covers(wished: str, offered: str) -> bool:
    """Whether the media range `wished` includes the type `offered`."""
    return wished in ("*/*", "*", offered) or (wished.endswith("/*") and offered.startswith(wished[:-1]))


def _types(header: str) -> Iterator[MediaType]:
    at = 0
    while at < len(header):
        name = ""
        parameters: dict[str, str] = {}
        while at < len(header):
            found = _PIECE.match(header, at)
            if found is None or found.end() == at:
                at += 1
                continue
            key, quoted, bare = found.groups()
            at = found.end()
            if not name and quoted is None and bare is None:
                name = key.lower()
            else:
                value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else (bare or "").strip()
                parameters.setdefault(key.lower(), value)
            separator = header[at : at + 1]
            at += 1
            if separator == ",":
                break
        if name:
            yield MediaType(name, parameters, _quality(parameters))


def _quality(parameters: dict[str, str]) -> float:
    try:
        return min(max(float(parameters.get("q", "1")), 0.0), 1.0)
    except ValueError:
        return 1.0
