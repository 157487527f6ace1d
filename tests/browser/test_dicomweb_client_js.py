"""npm's dicomweb-client in a real browser, of another origin, does all its operations against a running server."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian

from browser.browsing import MODULES, browser, packed, pages, run, unpacked
from picture_objects import DOCUMENT, MP4, kinds, picture
from servers import Server
from web_archive import part10

pytestmark = browser

SENT = [picture("sent", number=n) for n in (1, 2)]
LATE = picture("late")
KINDS = {name: kinds()[name] for name in ("grey", "frames", "colour", "pdf", "mp4", "report")}
LIBRARY = MODULES / "dicomweb-client" / "build" / "dicomweb-client.js"
BLANK = {"/": ("text/html", b"<!doctype html><title>blank</title>")}


def uids(made: Any, level: str = "instance") -> dict[str, str]:
    found = {"studyInstanceUID": str(made.StudyInstanceUID)}
    if level != "study":
        found["seriesInstanceUID"] = str(made.SeriesInstanceUID)
    if level == "instance":
        found["sopInstanceUID"] = str(made.SOPInstanceUID)
    return found


def types(*names: str, syntax: str = "") -> dict[str, Any]:
    more = {"transferSyntaxUID": syntax} if syntax else {}
    return {"mediaTypes": [{"mediaType": name, **more} for name in names]}


FRAMES = KINDS["frames"]
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "store": ("storeInstances", {"datasets": [packed(part10(each)) for each in (LATE, *SENT)]}),
    "studies": ("searchForStudies", {"queryParams": {"AccessionNumber": "Asent"}}),
    "series": ("searchForSeries", uids(SENT[0], "study")),
    "instances": ("searchForInstances", uids(SENT[0], "series")),
    "study metadata": ("retrieveStudyMetadata", uids(SENT[0], "study")),
    "series metadata": ("retrieveSeriesMetadata", uids(SENT[0], "series")),
    "instance metadata": ("retrieveInstanceMetadata", uids(SENT[0])),
    "study": ("retrieveStudy", uids(SENT[0], "study")),
    "series objects": ("retrieveSeries", uids(SENT[0], "series")),
    "instance": ("retrieveInstance", uids(SENT[0])),
    "frames": ("retrieveInstanceFrames", uids(FRAMES) | {"frameNumbers": "1,3"}
               | types("application/octet-stream", syntax=ExplicitVRLittleEndian)),
    "rendered": ("retrieveInstanceRendered", uids(KINDS["grey"])),
    "rendered png": ("retrieveInstanceRendered", uids(KINDS["grey"]) | types("image/png")
                     | {"queryParams": {"viewport": "8,8", "window": "40,400,linear"}}),
    "rendered gif": ("retrieveInstanceRendered", uids(FRAMES) | types("image/gif")),
    "rendered pdf": ("retrieveInstanceRendered", uids(KINDS["pdf"])),
    "rendered video": ("retrieveInstanceRendered", uids(KINDS["mp4"]) | types("video/mp4")),
    "rendered report": ("retrieveInstanceRendered", uids(KINDS["report"])),
    "thumbnail": ("retrieveInstanceThumbnail", uids(KINDS["grey"])),
    "frame rendered": ("retrieveInstanceFramesRendered", uids(FRAMES) | {"frameNumbers": "2"} | types("image/jpeg")),
    "frame thumbnail": ("retrieveInstanceFramesThumbnail", uids(FRAMES) | {"frameNumbers": "2"}),
    "bulk data": ("retrieveBulkData", {"BulkDataURI": "PIXELS"}),
    "nothing": ("retrieveInstanceMetadata", {**uids(SENT[0]), "sopInstanceUID": "1.2.3"}),
}  # fmt: skip


class Given(NamedTuple):
    values: dict[str, Any]
    errors: dict[str, str]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Given]:
    folder: Path = tmp_path_factory.mktemp("installation")
    settings = {"http__origins": json.dumps(["*"])}
    with Server(folder / "data", settings=settings) as server, pages(folder, BLANK) as page:
        root = f"{server.url}/dicom-web"
        where = f"{root}/studies/{FRAMES.StudyInstanceUID}/series/{FRAMES.SeriesInstanceUID}"
        CALLS["bulk data"][1]["BulkDataURI"] = f"{where}/instances/{FRAMES.SOPInstanceUID}/bulkdata/7FE00010"
        first = ["storeInstances", {"datasets": [packed(part10(each)) for each in KINDS.values()]}]
        calls = [first, *map(list, CALLS.values())]
        answers = run("operate.mjs", {"page": page, "library": str(LIBRARY), "root": root, "calls": calls})
        named = dict(zip(["first", *CALLS], answers, strict=True))
        values = {name: unpacked(each["value"]) for name, each in named.items() if "value" in each}
        yield Given(values, {name: each["error"] for name, each in named.items() if "error" in each})


def single(value: Any) -> bytes:
    """The only one of the array buffers that most of its methods give."""
    (found,) = value if isinstance(value, list) else [value]
    return bytes(found)


def test_every_operation_is_answered_but_those_that_cannot_be(given: Given) -> None:
    assert set(given.errors) == {"nothing", "rendered report"}, given.errors
    assert {name for name, text in given.errors.items() if text.startswith("404")} == {"nothing"}


def test_what_was_stored_is_found(given: Given) -> None:
    (study,) = given.values["studies"]
    assert study["0020000D"]["Value"] == [SENT[0].StudyInstanceUID]
    assert len(given.values["series"]) == 1
    assert len(given.values["instances"]) == 2


@pytest.mark.parametrize(("name", "count"), [("study metadata", 2), ("series metadata", 2), ("instance metadata", 1)])
def test_metadata_is_read(given: Given, name: str, count: int) -> None:
    found = given.values[name]
    found = found if isinstance(found, list) else [found]
    assert len(found) == count
    assert {each["00080018"]["Value"][0] for each in found} <= {each.SOPInstanceUID for each in SENT}


@pytest.mark.parametrize(("name", "count"), [("study", 2), ("series objects", 2), ("instance", 1)])
def test_objects_are_retrieved(given: Given, name: str, count: int) -> None:
    found = given.values[name]
    files = found if isinstance(found, list) else [found]
    assert len(files) == count
    read = {dcmread(io.BytesIO(file)).SOPInstanceUID: dcmread(io.BytesIO(file)).PixelData for file in files}
    assert read.items() <= {each.SOPInstanceUID: each.PixelData for each in SENT}.items()


def test_frames_and_bulk_data_are_retrieved(given: Given) -> None:
    size = len(FRAMES.PixelData) // 3
    assert given.values["frames"] == [FRAMES.PixelData[:size], FRAMES.PixelData[2 * size :]]
    assert single(given.values["bulk data"]) == FRAMES.PixelData


@pytest.mark.parametrize(
    ("name", "form", "size"),
    [("rendered", "JPEG", (16, 12)), ("rendered png", "PNG", (8, 6)), ("rendered gif", "GIF", (16, 12)),
     ("thumbnail", "JPEG", (16, 12)), ("frame rendered", "JPEG", (16, 12)), ("frame thumbnail", "JPEG", (16, 12))],
)  # fmt: skip
def test_pictures_are_retrieved(given: Given, name: str, form: str, size: tuple[int, int]) -> None:
    found = Image.open(io.BytesIO(single(given.values[name])))
    assert (found.format, found.size) == (form, size)


def test_documents_and_videos_are_retrieved(given: Given) -> None:
    assert single(given.values["rendered pdf"]) == DOCUMENT
    assert single(given.values["rendered video"]) == MP4
