"""Fuzz target for pictures over HTTP: no combination of object, resource, Accept, parameters and headers is answered
5xx (503 aside), and what is answered is what its Content-Type says.

    PYTHONPATH=tests .venv/bin/python tests/fuzz/fuzz_pictures.py [seconds]

`make test` runs it under Hypothesis for a moment.
"""

import io
import random
import tempfile
from pathlib import Path
from typing import NamedTuple

import httpx
from PIL import Image

from fuzz.loop import run, seconds_asked
from picture_objects import kinds
from web_archive import opened_archive, send

MEDIA = (
    "*/*", "image/*", "image/jpeg", "image/png", "image/gif", "image/jp2", "image/jph", "image/jphc", "image/webp",
    "video/*", "video/mp4", "video/mpeg", "application/pdf", "application/*", "text/html", "text/*", "model/stl",
    "application/dicom", "multipart/related", "multipart/*", "*", "", "nonsense", '"', ";;",
)  # fmt: skip
SIZES = ("1,1", "64,64", "7,300", "3000,2", "0,0", "-1,4", "1", "", "a,b", "1e9,1", "65536,65536", "64,64,0,0,8,8",
         "64,64,-5,-5,500,500", "64,64,4,4,-4,-4", "64,64,,,0,1", "64,64,1e9,0,1,1", "64,64,.5,.5,.1,.1",
         "64,64,15.9,11.9,0.2,0.2", "64,64,0,0,-1e12,1")  # fmt: skip
VALUES = {
    "viewport": SIZES,
    "window": ("40,400,linear", "0,1,linear", "0,0.5,sigmoid", "1e30,1e-9,linear-exact", "-1e99,1e99,sigmoid", "0,0",
               "nan,1,linear", "1,2,cubic", "", ",,"),
    "quality": ("1", "100", "50", "0", "101", "x", ""),
    "annotation": ("patient", "technique", "patient,technique", "x", ""),
    "iccprofile": ("no", "yes", "srgb", "adobergb", "rommrgb", "displayp3", "x", ""),
    "accept": (*MEDIA, "image/png;q=0.5,*/*"),
    "charset": ("utf-8",),
    "presentationUID": ("1.2.3",),
    "": ("",),
}  # fmt: skip
FRAMES = ("1", "2", "3", "1,2", "2,1,2", "50", "0", "x", "1,,2", "999999999")
HEADERS = {
    "Range": ("bytes=0-9", "bytes=-1", "bytes=5-", "bytes=99999999-", "bytes=9-2", "lines=1"),
    "If-None-Match": ("*", '"x"', "W/"),
    "If-Match": ("*", '"x"'),
    "If-Range": ('"x"',),
    "Accept-Encoding": ("gzip", "identity;q=0"),
}
LEVELS = ("study", "series", "instance", "frames")


class Asked(NamedTuple):
    """One request."""

    method: str
    kind: str
    level: str
    frames: str
    resource: str
    parameters: tuple[tuple[str, str], ...]
    headers: tuple[tuple[str, str], ...]


def make(chance: random.Random, names: tuple[str, ...] = ()) -> Asked:
    """A request for one of these kinds of objects."""
    ranges = [_range(chance) for _ in range(chance.choice((0, 1, 1, 2, 3)))]
    headers = {
        name: chance.choice(HEADERS[name]) for name in chance.sample(list(HEADERS), chance.choice((0, 0, 0, 1, 2)))
    }
    if ranges:
        headers["Accept"] = ", ".join(ranges).strip(" ,")
    chosen = chance.sample(list(VALUES), chance.choice((0, 1, 1, 2, 4)))
    return Asked(
        chance.choice(("GET", "GET", "GET", "GET", "HEAD")),
        chance.choice(names or tuple(kinds())),
        chance.choice(LEVELS),
        chance.choice(FRAMES),
        chance.choice(("rendered", "rendered", "thumbnail")),
        tuple((name, chance.choice(VALUES[name])) for name in chosen),
        tuple(headers.items()),
    )


def _range(chance: random.Random) -> str:
    kind = chance.choice(MEDIA)
    if chance.random() < 0.3:
        kind = f'multipart/related; type="{kind}"'
    return kind + chance.choice(("", "", "", ";q=0.5", ";q=0", ";q=x"))


class Site:
    """An archive with an object of each kind."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.objects = kinds()
        self.names = tuple(self.objects)
        send(client, *self.objects.values())

    def check(self, asked: Asked) -> None:
        """Ask, and look at the answer."""
        made = self.objects[asked.kind]
        where = f"/studies/{made.StudyInstanceUID}"
        where += f"/series/{made.SeriesInstanceUID}" * (asked.level != "study")
        where += f"/instances/{made.SOPInstanceUID}" * (asked.level in ("instance", "frames"))
        where += f"/frames/{asked.frames}" * (asked.level == "frames")
        answer = self.client.request(
            asked.method, f"{where}/{asked.resource}", params=list(asked.parameters), headers=dict(asked.headers)
        )
        assert answer.status_code in (200, 206, 304, 400, 404, 406, 412, 413, 416, 503), answer.status_code
        kind = answer.headers.get("content-type", "")
        if answer.status_code >= 400:
            assert kind == "application/problem+json"
            assert asked.method == "HEAD" or answer.json()["status"] == answer.status_code
        elif answer.status_code == 200 and asked.method != "HEAD":
            self.look(kind, answer.content)

    def look(self, kind: str, content: bytes) -> None:
        """A picture is one, and so is every part."""
        if kind.startswith("multipart/related"):
            boundary = kind.rpartition("boundary=")[2].encode()
            *parts, end = content.split(b"--" + boundary)[1:]
            assert end == b"--\r\n"
            assert parts
            for part in parts:
                head, _, inside = part.partition(b"\r\n\r\n")
                lines = dict(line.split(": ", 1) for line in head.decode().strip().split("\r\n"))
                self.look(lines["Content-Type"], inside.removesuffix(b"\r\n"))
        elif kind in ("image/jpeg", "image/png", "image/gif", "image/jp2"):
            image = Image.open(io.BytesIO(content))
            image.load()
            assert image.get_format_mimetype() == kind
        else:
            assert kind in ("image/jph", "image/jphc", "application/problem+json") or not kind.startswith("image/")
            assert content


def main(seconds: float) -> None:
    """Run for so long."""
    with tempfile.TemporaryDirectory() as folder, opened_archive(Path(folder)) as (client, _):
        site = Site(client)
        run(seconds, lambda chance: make(chance, site.names), site.check)


CHECKS = (Site.check,)

if __name__ == "__main__":
    main(seconds_asked())
