"""The OHIF viewer, from its npm package, opens studies of every kind from a running server.

What it showed is kept as pictures in the test's folder (`-s` prints where).
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from browser import viewable
from browser.browsing import OHIF, browser, pages, run
from servers import Server
from web_archive import STOW, multipart, part10

pytestmark = [
    browser,
    pytest.mark.viewer,
    pytest.mark.timeout(600),  # a viewer drawn by software, beside other tests
    pytest.mark.skipif(not (OHIF / "index.html").is_file(), reason="not installed: OHIF (tools/setup-browser-tests)"),
]

_PIXELS = """[...document.querySelectorAll("canvas.cornerstone-canvas")].some((canvas) => {
  const pixels = canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
  let found = 0;
  for (let at = 0; at < pixels.length; at += 64) {
    const red = pixels[at], green = pixels[at + 1], blue = pixels[at + 2];
    if (%s) found += 1;
  }
  return found > 300;
})"""
DRAWN = _PIXELS % "red + green + blue > 150"
"""Whether an image viewport shows something bright."""
COLOURED = _PIXELS % "red > green + 20"
"""The same of something red, which the first segment is drawn in."""
MEASURED = "/64.00 mm|tracking measurements/.test(document.body.textContent)"
"""Whether the report was read: its measurement is drawn, or the viewer asks whether to go on with what it found in it;
on a busy machine it asks without having drawn."""
EMBEDDED = """document.querySelector('object[type="application/pdf"]')?.data"""


class Kind(NamedTuple):
    objects: Callable[[str], list[Dataset]]
    ready: str
    needs: str
    """Part of a request that must have been answered."""
    steps: tuple[tuple[str, str], ...] = ()
    """What a person does to see it ..."""
    first: str = "true"
    """... once this is so: the viewer may lose what is asked for before its first image is there."""
    white: int = 0
    """How much of the page is paper, in pixels."""


KINDS = {
    "ct": Kind(viewable.slices, DRAWN, "/frames/1"),
    "ultrasound": Kind(viewable.loop, DRAWN, "/frames/1"),
    "segmentation": Kind(viewable.segmentation, COLOURED, "/frames/1", (("dblclick", "text=SEGMENTATION"),), DRAWN),
    "report": Kind(viewable.report, MEASURED, "/frames/1", (("dblclick", "text=MEASUREMENTS"),), DRAWN),
    "pdf": Kind(viewable.document, EMBEDDED, "/rendered", white=20_000),
    "video": Kind(viewable.film, DRAWN, "/rendered"),
}


def configuration(root: str) -> bytes:
    """OHIF's settings: our server as its only source."""
    source = {
        "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
        "sourceName": "isocenter",
        "configuration": {
            "friendlyName": "Isocenter",
            "name": "isocenter",
            "qidoRoot": root,
            "wadoRoot": root,
            "wadoUriRoot": root.replace("/dicom-web", "/wado"),
            "qidoSupportsIncludeField": True,
            "supportsFuzzyMatching": True,
            "supportsWildcard": True,
            "imageRendering": "wadors",
            "thumbnailRendering": "thumbnail",
            "enableStudyLazyLoad": True,
            "singlepart": "bulkdata,video,pdf",
            "bulkDataURI": {"enabled": True},
        },
    }
    settings = {
        "routerBasename": "/",
        "extensions": [],
        "modes": [],
        "showStudyList": True,
        "maxNumberOfWebWorkers": 2,
        "showCPUFallbackMessage": False,
        "investigationalUseDialog": {"option": "never"},
        "defaultDataSourceName": "isocenter",
        "dataSources": [source],
    }
    return f"window.config = {json.dumps(settings)};".encode()


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder: Path = tmp_path_factory.mktemp("viewer")
    with Server(folder / "data", settings={"http__origins": json.dumps(["*"])}) as server:
        studies = []
        for name, kind in KINDS.items():
            objects = kind.objects(name)
            body = multipart([part10(each) for each in objects])
            answer = httpx.post(f"{server.url}/dicom-web/studies", content=body, headers=STOW, timeout=60)
            assert answer.status_code == 200, answer.text
            address = f"/viewer?StudyInstanceUIDs={objects[0].StudyInstanceUID}"
            asked = {
                "ready": kind.ready,
                "needs": kind.needs,
                "steps": kind.steps,
                "first": kind.first,
                "white": kind.white,
            }
            studies.append({"name": name, "address": address, **asked})
        settings = {"/app-config.js": ("text/javascript", configuration(f"{server.url}/dicom-web"))}
        with pages(OHIF, settings) as page:
            site = {"page": page, "root": server.url, "folder": str(folder), "patience": 60}
            answers = run("ohif.mjs", {**site, "studies": studies}, patience=400)
        print(f"pictures of the viewer: {folder}")
        yield {each["name"]: each for each in answers}


@pytest.mark.parametrize("name", KINDS)
def test_a_study_is_opened(shown: dict[str, Any], name: str) -> None:
    one = shown[name]
    assert one["shown"], (one["told"], one["asked"])
    assert all(each.startswith(("200", "206", "304")) for each in one["asked"]), one["asked"]
    assert len(Image.open(one["picture"]).convert("RGB").getcolors(1 << 20)) > 50
