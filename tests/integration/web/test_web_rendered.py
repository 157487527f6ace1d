"""WADO-RS rendered resources and thumbnails: which representation is answered, and with what around it."""

import io
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from picture_objects import CDA_DOCUMENT, DOCUMENT, MP4, bare, kinds, picture
from picture_objects import REPORT as REPORT_CLASS
from web_archive import Archive, opened_archive, send

KINDS = kinds()
SERIES = [picture("series", number=n, Modality="CT") for n in range(1, 6)]
BESIDE = [picture("mixed"), picture("mixed", 2, series="2", number=2, SeriesNumber=2)]
BROWSER = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
PICTURES = ("grey", "frames", "colour", "palette", "bits", "floats", "big", "deflated", "implicit")
NO_PICTURES = ("pdf", "cda", "stl", "mp4", "mpeg", "report", "waveform", "unknown", "empty")


class Site(NamedTuple):
    client: httpx.Client
    archive: Archive

    def get(self, made: Dataset, tail: str = "/rendered", accept: str | None = None, **headers: str) -> httpx.Response:
        asked = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(path(made) + tail, headers=asked | ({"Accept": accept} if accept is not None else {}))


def path(made: Dataset, level: str = "instance") -> str:
    found = f"/studies/{made.StudyInstanceUID}"
    if level != "study":
        found += f"/series/{made.SeriesInstanceUID}"
    return found + f"/instances/{made.SOPInstanceUID}" * (level == "instance")


def mixed() -> list[Dataset]:
    """A study of images and a report, the report in the first series."""
    report = bare("mixed", REPORT_CLASS, "SR", SeriesNumber=0)
    report.SeriesInstanceUID, report.SOPInstanceUID = "2.25.1", "2.25.2"
    report.file_meta.MediaStorageSOPInstanceUID = "2.25.2"
    return [report, *BESIDE]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with opened_archive(tmp_path_factory.mktemp("archive")) as (client, archive):
        send(client, *KINDS.values(), *SERIES, *mixed())
        yield Site(client, archive)


def opened(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


class Part(NamedTuple):
    headers: dict[str, str]
    content: bytes


def parts(answer: httpx.Response) -> list[Part]:
    assert answer.status_code == 200, answer.text
    boundary = answer.headers["content-type"].rpartition("boundary=")[2].encode()
    found = []
    for each in answer.content.split(b"--" + boundary)[1:-1]:
        head, _, content = each.partition(b"\r\n\r\n")
        pairs = (line.split(": ", 1) for line in head.decode().strip().split("\r\n"))
        found.append(Part({name.lower(): value for name, value in pairs}, content.removesuffix(b"\r\n")))
    return found


# --- one instance


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("accept", [None, "*/*", BROWSER, "image/jpeg"])
def test_one_image_alone_is_one_picture(site: Site, kind: str, accept: str | None) -> None:
    answer = site.get(KINDS[kind], accept=accept)
    assert answer.headers["content-type"] == "image/jpeg"
    found = opened(answer)
    assert (found.format, found.size) == ("JPEG", (16, 12))


@pytest.mark.parametrize(
    ("accept", "form"),
    [("image/png", "PNG"), ("image/gif", "GIF"), ("image/jp2", "JPEG2000"), ("image/webp, image/png;q=0.1", "PNG")],
)
def test_it_comes_in_the_media_type_that_is_asked_for(site: Site, accept: str, form: str) -> None:
    answer = site.get(KINDS["grey"], accept=accept)
    assert opened(answer).format == form
    assert accept.split(";")[0].endswith(answer.headers["content-type"])


@pytest.mark.parametrize("kind", ["image/jph", "image/jphc"])
def test_it_comes_as_high_throughput_jpeg_2000(site: Site, kind: str) -> None:
    answer = site.get(KINDS["grey"], accept=kind)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)


def test_accept_may_be_a_parameter(site: Site) -> None:
    answer = site.get(KINDS["grey"], "/rendered?accept=image/png", accept=BROWSER)
    assert answer.headers["content-type"] == "image/png"


def test_frames_make_an_animation_where_the_media_type_has_them(site: Site) -> None:
    found = opened(site.get(KINDS["frames"], accept="image/gif"))
    assert (found.format, found.n_frames) == ("GIF", 3)
    found = opened(site.get(KINDS["frames"], "/frames/1,3/rendered", accept="image/gif"))
    assert found.n_frames == 2


@pytest.mark.parametrize(
    ("parameter", "size"),
    [("8,8", (8, 6)), ("160,60", (80, 60)), ("8,8,0,0,8,8", (8, 8)), ("32,32,4,2,-6,6", (32, 32))],
)
def test_a_viewport_is_filled_without_distortion(site: Site, parameter: str, size: tuple[int, int]) -> None:
    assert opened(site.get(KINDS["grey"], f"/rendered?viewport={parameter}")).size == size


def test_a_negative_width_turns_left_and_right(site: Site) -> None:
    plain = opened(site.get(KINDS["grey"], "/rendered?viewport=16,12,0,0,16,12", accept="image/png"))
    turned = opened(site.get(KINDS["grey"], "/rendered?viewport=16,12,0,0,-16,12", accept="image/png"))
    assert turned.tobytes() == plain.transpose(Image.Transpose.FLIP_LEFT_RIGHT).tobytes()


def test_a_window_is_laid_over_the_objects_own(site: Site) -> None:
    dark = opened(site.get(KINDS["grey"], "/rendered?window=4000,10,linear", accept="image/png"))
    bright = opened(site.get(KINDS["grey"], "/rendered?window=-4000,10,linear-exact", accept="image/png"))
    assert dark.getextrema() == (0, 0)
    assert bright.getextrema() == (255, 255)


def test_quality_is_paid_for_in_bytes(site: Site) -> None:
    sizes = [len(site.get(KINDS["colour"], f"/rendered?quality={each}").content) for each in (5, 100)]
    assert sizes[0] < sizes[1]


def test_an_icc_profile_is_in_the_picture_where_it_is_asked_for(site: Site) -> None:
    with_profile = opened(site.get(KINDS["colour"], "/rendered?iccprofile=srgb", accept="image/png"))
    without = opened(site.get(KINDS["colour"], "/rendered?iccprofile=no", accept="image/png"))
    assert with_profile.info.get("icc_profile")
    assert not without.info.get("icc_profile")


def test_annotations_are_drawn_where_they_are_asked_for(site: Site) -> None:
    drawn = site.get(KINDS["grey"], "/rendered?viewport=400,400&annotation=patient", accept="image/png")
    plain = site.get(KINDS["grey"], "/rendered?viewport=400,400", accept="image/png")
    assert opened(drawn).tobytes() != opened(plain).tobytes()


@pytest.mark.parametrize("parameter", ["quality=0", "viewport=1", "window=1,2,3,4", "annotation=x", "iccprofile=x"])
def test_what_a_parameter_cannot_be_is_told(site: Site, parameter: str) -> None:
    answer = site.get(KINDS["grey"], f"/rendered?{parameter}")
    assert answer.status_code == 400
    assert parameter.partition("=")[0] in answer.json()["detail"]


def test_an_unknown_parameter_is_passed_over_with_a_warning(site: Site) -> None:
    answer = site.get(KINDS["grey"], "/rendered?color=red")
    assert answer.status_code == 200
    assert answer.headers["warning"].startswith("299 isocenter ")


# --- frames


def test_one_frame_alone_is_one_picture(site: Site) -> None:
    found = [site.get(KINDS["frames"], f"/frames/{n}/rendered?window=300,600", accept="image/png") for n in (1, 3)]
    assert opened(found[0]).getpixel((0, 0)) < opened(found[1]).getpixel((0, 0))


def test_several_frames_are_parts_in_their_order(site: Site) -> None:
    answer = site.get(KINDS["frames"], "/frames/3,1/rendered", accept="image/png")
    assert answer.headers["content-type"].startswith('multipart/related; type="image/png"; boundary=')
    where = f"{site.archive.root}{path(KINDS['frames'])}/frames"
    assert [part.headers["content-location"] for part in parts(answer)] == [
        f"{where}/3/rendered",
        f"{where}/1/rendered",
    ]
    alone = [site.get(KINDS["frames"], f"/frames/{n}/rendered", accept="image/png").content for n in (3, 1)]
    assert [part.content for part in parts(answer)] == alone


@pytest.mark.parametrize(
    ("frames", "status"), [("4", 404), ("1,4", 404), ("0", 400), ("x", 400), ("1,", 400), ("999999999", 404)]
)
@pytest.mark.parametrize("what", ["rendered", "thumbnail"])
def test_frames_that_are_not_there_are_told(site: Site, what: str, frames: str, status: int) -> None:
    answer = site.get(KINDS["frames"], f"/frames/{frames}/{what}")
    assert (answer.status_code, answer.json()["status"]) == (status, status)


def test_a_frame_that_only_the_header_promises_is_not_there(site: Site) -> None:
    assert site.get(KINDS["short"], "/frames/2/rendered").status_code == 404
    assert site.get(KINDS["short"], "/frames/1/rendered").status_code == 200


# --- several instances


def test_a_series_is_its_pictures_in_parts(site: Site) -> None:
    answer = site.client.get(path(SERIES[0], "series") + "/rendered?viewport=8,8")
    assert answer.headers["content-type"].startswith('multipart/related; type="image/jpeg"')
    found = parts(answer)
    assert [Image.open(io.BytesIO(part.content)).size for part in found] == [(8, 6)] * 5
    expected = [f"{site.archive.root}{path(each)}/frames/1/rendered" for each in SERIES]
    assert [part.headers["content-location"] for part in found] == expected
    again = site.client.get(found[0].headers["content-location"] + "?viewport=8,8")
    assert again.content == found[0].content


def test_every_frame_of_an_instance_is_a_part_where_parts_are_asked_for(site: Site) -> None:
    answer = site.get(KINDS["frames"], accept='multipart/related; type="image/jpeg"')
    assert len(parts(answer)) == 3


def test_an_animation_is_one_part_of_a_study(site: Site) -> None:
    answer = site.client.get(path(BESIDE[0], "study") + "/rendered", headers={"Accept": "image/gif"})
    found = [Image.open(io.BytesIO(part.content)) for part in parts(answer)]
    assert [getattr(each, "n_frames", 1) for each in found] == [1, 2]


def test_what_cannot_be_shown_is_left_out_with_a_warning(site: Site) -> None:
    answer = site.client.get(path(BESIDE[0], "study") + "/rendered", headers={"Accept": "image/png"})
    assert len(parts(answer)) == 3
    assert '299 isocenter "1 ' in answer.headers["warning"]


def test_a_study_of_one_document_is_that_document(site: Site) -> None:
    answer = site.client.get(path(KINDS["pdf"], "study") + "/rendered")
    assert (answer.headers["content-type"], answer.content) == ("application/pdf", DOCUMENT)


def test_damage_behind_the_first_part_costs_that_part(site: Site) -> None:
    good = picture("both", number=1)
    bad = KINDS["damaged"]
    bad.StudyInstanceUID, bad.SeriesInstanceUID, bad.InstanceNumber = good.StudyInstanceUID, good.SeriesInstanceUID, 2
    bad.SOPInstanceUID = bad.file_meta.MediaStorageSOPInstanceUID = "2.25.77"
    send(site.client, good, bad, picture("both", number=3))
    found = parts(site.client.get(path(good, "series") + "/rendered"))
    kinds_of = [part.headers["content-type"] for part in found]
    assert kinds_of == ["image/jpeg", "application/problem+json", "image/jpeg"]


# --- documents and videos


@pytest.mark.parametrize(
    ("kind", "media_type", "content"),
    [("pdf", "application/pdf", DOCUMENT), ("cda", "text/xml", CDA_DOCUMENT), ("stl", "model/stl", b"solid\0"),
     ("mp4", "video/mp4", MP4), ("mpeg", "video/mpeg", b"\0\0\x01\xba" + bytes(100))],
)  # fmt: skip
def test_a_document_or_video_comes_as_it_is(site: Site, kind: str, media_type: str, content: bytes) -> None:
    for accept in (None, "*/*", media_type, media_type.split("/")[0] + "/*"):
        answer = site.get(KINDS[kind], accept=accept)
        assert answer.headers["content-type"] == media_type
        assert answer.content == content
    ((headers, inside),) = parts(site.get(KINDS[kind], accept=f'multipart/related; type="{media_type}"'))
    assert (headers["content-type"], inside) == (media_type, content)
    assert headers["content-location"].endswith(f"{path(KINDS[kind])}/rendered")


@pytest.mark.parametrize(("start", "stop"), [(0, 10), (990, 1010), (4000, len(MP4))])
def test_a_video_is_played_by_ranges(site: Site, start: int, stop: int) -> None:
    answer = site.get(KINDS["mp4"], Range=f"bytes={start}-{stop - 1}")
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(MP4)}"
    assert answer.content == MP4[start:stop]


def test_a_document_that_a_browser_would_run_is_locked_up(site: Site) -> None:
    answer = site.get(KINDS["cda"])
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("kind", NO_PICTURES)
@pytest.mark.parametrize("tail", ["/rendered", "/frames/1/rendered"])
def test_what_is_no_image_is_no_picture(site: Site, kind: str, tail: str) -> None:
    answer = site.get(KINDS[kind], tail, accept="image/*")
    assert (answer.status_code, answer.json()["status"]) == (406, 406)


@pytest.mark.parametrize("kind", ["report", "waveform", "unknown"])
def test_what_cannot_be_shown_at_all_is_406(site: Site, kind: str) -> None:
    answer = site.get(KINDS[kind])
    assert answer.status_code == 406
    assert "nothing that can be shown" in answer.json()["detail"]


def test_damaged_pixels_are_406_in_words(site: Site) -> None:
    fresh = kinds()["damaged"]
    answer = site.get(fresh)
    assert answer.status_code in (404, 406)
    send(site.client, fresh)
    answer = site.get(fresh)
    assert answer.status_code == 406
    assert "can't be shown" in answer.json()["detail"]


@pytest.mark.parametrize("accept", ["text/html", "image/webp", "application/dicom", "video/mp4", "nonsense"])
def test_what_a_picture_is_not_made_in_is_406_with_what_it_is(site: Site, accept: str) -> None:
    for tail in ("/rendered", "/thumbnail"):
        answer = site.get(KINDS["grey"], tail, accept=accept)
        assert answer.status_code == 406
        assert "image/jpeg" in answer.json()["detail"]


# --- thumbnails


@pytest.mark.parametrize("kind", [name for name in KINDS if name != "damaged"])
def test_everything_has_a_thumbnail(site: Site, kind: str) -> None:
    found = opened(site.get(KINDS[kind], "/thumbnail?viewport=64,64"))
    assert found.format == "JPEG"
    assert max(found.size) <= 64


def test_a_thumbnail_is_no_larger_than_its_viewport_or_the_image(site: Site) -> None:
    large = picture("large", rows=600, columns=400)
    send(site.client, large)
    assert opened(site.get(large, "/thumbnail")).size == (171, 256)
    assert opened(site.get(large, "/thumbnail?viewport=100,20")).size == (13, 20)
    assert opened(site.get(KINDS["grey"], "/thumbnail")).size == (16, 12)


def test_a_thumbnail_has_no_region(site: Site) -> None:
    answer = site.get(KINDS["grey"], "/thumbnail?viewport=10,10,0,0")
    assert answer.status_code == 400


@pytest.mark.parametrize("level", ["series", "study"])
def test_the_middle_image_stands_for_many(site: Site, level: str) -> None:
    answer = site.client.get(path(SERIES[0], level) + "/thumbnail?viewport=64,64")
    assert answer.headers["content-location"] == f"{site.archive.root}{path(SERIES[2])}/thumbnail"
    assert answer.content == site.get(SERIES[2], "/thumbnail?viewport=64,64").content


def test_a_series_of_images_stands_before_a_report(site: Site) -> None:
    answer = site.client.get(path(BESIDE[0], "study") + "/thumbnail")
    assert answer.headers["content-location"].endswith(path(BESIDE[0]) + "/thumbnail")


def test_a_study_without_images_is_an_icon(site: Site) -> None:
    answer = site.client.get(path(KINDS["report"], "study") + "/thumbnail", headers={"Accept": "image/png"})
    assert opened(answer).format == "PNG"


def test_what_is_not_there_has_no_pictures(site: Site) -> None:
    for tail in ("/rendered", "/thumbnail"):
        assert site.client.get(f"/studies/1.2.3{tail}").status_code == 404
        assert site.client.get(f"/studies/1.2.3/series/4/instances/5{tail}").status_code == 404
        assert site.client.post(path(KINDS["grey"]) + tail).status_code == 405


# --- what is around them


@pytest.mark.parametrize("tail", ["/rendered", "/thumbnail", "/frames/1/rendered"])
def test_a_picture_that_the_client_has_is_not_made_again(site: Site, tail: str) -> None:
    first = site.get(KINDS["grey"], tail)
    assert first.headers["cache-control"].startswith("private")
    tag = first.headers["etag"]
    again = site.get(KINDS["grey"], tail, If_None_Match=tag)
    assert (again.status_code, again.content) == (304, b"")
    assert site.get(KINDS["grey"], tail + "?viewport=5,5", If_None_Match=tag).status_code == 200
    assert site.get(KINDS["grey"], tail, accept="image/png", If_None_Match=tag).status_code == 200


def test_head_has_the_headers_alone(site: Site) -> None:
    answer = site.client.head(path(KINDS["grey"]) + "/rendered")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 100


def test_too_many_at_once_are_asked_to_come_back(site: Site) -> None:
    lane = site.archive.context.lanes.render
    room, lane._room = lane._room, 0
    try:
        answer = site.get(KINDS["grey"])
    finally:
        lane._room = room
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert site.get(KINDS["grey"]).status_code == 200


def test_a_picture_larger_than_may_be_made_is_413(site: Site) -> None:
    answer = site.get(KINDS["grey"], "/rendered?viewport=65536,65536")
    assert answer.status_code == 413


def test_the_capabilities_name_the_resources_and_their_parameters(site: Site) -> None:
    found = site.client.get("/", headers={"Accept": "application/json"}).json()["paths"]
    rendered = found["/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/rendered"]["get"]
    assert {each["name"] for each in rendered["parameters"]} == {
        "accept", "annotation", "quality", "viewport", "window", "iccprofile",
    }  # fmt: skip
    assert "image/png" in rendered["responses"]["default"]["content"]
    assert {each["name"] for each in found["/studies/{study}/thumbnail"]["get"]["parameters"]} == {"accept", "viewport"}
