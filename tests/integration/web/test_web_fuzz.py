"""No combination of resource, media types, parameters, headers and object is answered 500, or broken off."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG4HP41,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
)

from isocenter.config import Settings
from isocenter.conformance.building import statement
from isocenter.web.dicomweb import service as dicomweb
from web_archive import STOW, Archive, image, multipart, opened_archive, part10, send

KINDS = [
    "*/*", "application/dicom", "application/dicom+json", "application/dicom+xml", "application/json",
    "application/zip",
    "application/octet-stream", "image/jpeg", "image/jp2", "image/dicom+jp2", "image/png", "image/gif", "video/mp4",
    "video/mpeg", "application/pdf", "text/html", "text/markdown", "application/*", "image/*", "multipart/*", "*", "",
    "application/vnd.sun.wadl+xml", "nonsense", "a/b/c", "\"", ";;", "\u00e4/\u00f6",
]  # fmt: skip
SYNTAXES = ["*", ExplicitVRLittleEndian, ImplicitVRLittleEndian, "1.2.840.10008.1.2.2", DeflatedExplicitVRLittleEndian,
            JPEGBaseline8Bit, JPEG2000Lossless, MPEG4HP41, "1.2.3", "", "\"", "x"]  # fmt: skip
PARAMETERS = [
    "includefield", "limit", "offset", "fuzzymatching", "emptyvaluematching", "multiplevaluematching", "PatientName",
    "PatientID", "StudyDate", "StudyTime", "StudyInstanceUID", "ModalitiesInStudy", "00080020", "NumberOfFrames",
    "Rows",
    "RequestAttributesSequence.ScheduledProcedureStepID", "NumberOfStudyRelatedInstances", "accept", "charset", "_wadl",
    "viewport", "window", "quality", "annotation", "iccprofile", "reason", "Nonsense", "", "00091010", "7FE00010",
    "AT.",
    "RetrieveURL", "PixelData", "InstanceNumber", "SOPInstanceUID", "PatientBirthDate", "AcquisitionDateTime",
]  # fmt: skip
VALUES = [
    "", "*", "?", "1", "0", "-1", "99999999999999999999", "true", "false", "20240131", "-20240131", "20240131-", "-",
    "x",
    "all", "00100010,PatientName", "\\", "\\\\*", "a\\b", '""', "^=^=", "*^*=*", "[", "[!a]", "%", "_", "'",
    "\u5c71\u7530",
    "\x00", "1.2.3,4.5.6", "P1", "CT", "1,2", "None", "Infinity", "1e9", "120000.5-130000", "\ud83d\ude00",
]  # fmt: skip
HEADERS = {
    "Accept-Encoding": ["gzip", "zstd", "deflate", "identity;q=0", "gzip;q=nan", "*", "*;q=0", ",,", ";q"],
    "Range": ["bytes=0-9", "bytes=-1", "bytes=5-", "bytes=9-2", "bytes=-0", "bytes=-", "bytes=0-1,4-5", "lines=1"],
    "If-None-Match": ["*", '"x"', "W/", ","],
    "If-Match": ["*", '"x"'],
    "If-Range": ['"x"', "Sat, 01 Jan 2000 00:00:00 GMT"],
    "Forwarded": ["host=x", 'host="[";proto=gopher', "for=;;", "host=a b"],
    "X-Forwarded-Prefix": ["/a", "//", "javascript:"],
    "Prefer": ["respond-async"],
    "Origin": ["null"],
}


def objects() -> list[Dataset]:
    """Images as they should be, and what else an archive holds."""
    report = image(2, study="report", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")
    for name in ("PixelData", "Rows", "Columns", "BitsAllocated", "SamplesPerPixel"):
        delattr(report, name)
    pdf = image(3, study="pdf", SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1", EncapsulatedDocument=b"%PDF-1.4" * 300)
    del pdf.PixelData
    compressed = image(4, study="compressed", syntax=JPEGBaseline8Bit, BitsAllocated=8, NumberOfFrames=2)
    compressed.PixelData = encapsulate([b"\xff\xd8a\xff\xd9", b"\xff\xd8b\xff\xd9"])
    video = image(5, study="video", syntax=MPEG4HP41, NumberOfFrames=10)
    video.PixelData = encapsulate([b"no video at all!"])
    for made in (compressed, video):
        made["PixelData"].VR = "OB"
    short = image(6, study="short", NumberOfFrames=100)
    nothing = image(7, study="nothing", Rows=0, Columns=0, PixelData=b"", SpecificCharacterSet="ISO 2022 IR 87")
    deflated = image(8, study="deflated", syntax=DeflatedExplicitVRLittleEndian)
    implicit = image(9, study="implicit", syntax=ImplicitVRLittleEndian)
    return [image(1), report, pdf, compressed, video, short, nothing, deflated, implicit]


OBJECTS = objects()
PATHS = [path for path, _ in dicomweb._RESOURCES] + ["/"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Archive]]:
    with opened_archive(tmp_path_factory.mktemp("archive")) as (client, archive):
        send(client, *OBJECTS)
        object.__setattr__(archive.context, "statement", lambda: statement(Settings(), date="2026-01-31"))
        yield client, archive


def media_ranges() -> st.SearchStrategy[str]:
    syntax = st.sampled_from(SYNTAXES).map(lambda uid: f'; transfer-syntax="{uid}"' if uid else "")
    plain = st.builds(lambda kind, more: f"{kind}{more}", st.sampled_from(KINDS), st.just("") | syntax)
    parts = st.builds(
        lambda kind, more: f'multipart/related; type="{kind}"{more}', st.sampled_from(KINDS), st.just("") | syntax
    )
    weight = st.sampled_from(["", "; q=0.5", "; q=0", "; q=x", "; q=nan"])
    one = st.builds(lambda kind, q: kind + q, plain | parts, weight)
    return st.lists(one, max_size=3).map(lambda each: ", ".join(each).strip())


paths = st.sampled_from(PATHS)
queries = st.lists(st.tuples(st.sampled_from(PARAMETERS), st.sampled_from(VALUES) | media_ranges()), max_size=3)
headers = st.dictionaries(st.sampled_from(list(HEADERS)), st.integers(0, 8), max_size=3).map(
    lambda chosen: {name: HEADERS[name][number % len(HEADERS[name])] for name, number in chosen.items()}
)
FRAMES = st.sampled_from(["1", "2", "1,2", "0", "x", "1,1,1", "99", "999999999", "-1", "1,", "\u0661"])
BULK = st.sampled_from(
    ["7FE00010", "00420011", "00091010", "00081140/1/00081150", "zz", "7FE00010/1/7FE00010", "00100010"]
)
CODES = st.sampled_from(["113001^DCM", "113001", "x", "^"])


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_nothing_is_answered_500(site: tuple[httpx.Client, Archive], data: st.DataObject) -> None:
    client, _ = site
    made = data.draw(st.sampled_from(OBJECTS))
    path = data.draw(paths)
    where = path.format(
        study=made.StudyInstanceUID, series=made.SeriesInstanceUID, instance=made.SOPInstanceUID,
        uid=made.SOPInstanceUID, transaction=made.StudyInstanceUID, workitem=made.SOPInstanceUID, aetitle="WATCHER",
        frames=data.draw(FRAMES) if "{frames}" in path else "", code=data.draw(CODES) if "{code}" in path else "",
        **{"bulk+": data.draw(BULK) if "{bulk+}" in path else ""},
    )  # fmt: skip
    asked = dict(data.draw(headers))
    accept = data.draw(st.none() | media_ranges())
    if accept is not None:
        asked["Accept"] = accept
    method = data.draw(st.sampled_from(["GET"] * 6 + ["HEAD", "OPTIONS", "DELETE", "PUT"]))
    sent = {name: value.encode("utf-8", "surrogatepass") for name, value in asked.items()}
    parameters = [(name, value.encode("utf-8", "surrogatepass")) for name, value in data.draw(queries)]
    answer = client.request(method, where, params=parameters, headers=sent)
    event(str(answer.status_code))
    assert answer.status_code not in (500, 501, 502), (method, where, parameters, asked, answer.text)
    if answer.status_code >= 400 and method != "HEAD":
        assert answer.json()["status"] == answer.status_code


def models() -> st.SearchStrategy[Any]:
    """What may stand in metadata: attributes right and wrong."""
    leaves = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=5)
    uid = st.just({"vr": "UI", "Value": ["1.2.3"]})
    values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(
        st.sampled_from(["vr", "Value", "BulkDataURI", "InlineBinary", "Alphabetic", "00100010", "x"]), inner,
        max_size=3), max_leaves=6)  # fmt: skip
    vrs = st.sampled_from(["UI", "PN", "SQ", "US", "FD", "AT", "DS", "OB", "UN", "UT", "XX", "", None, 3])
    attribute = st.fixed_dictionaries({"vr": vrs}, optional={"Value": values, "InlineBinary": values,
                                                             "BulkDataURI": values}) | values  # fmt: skip
    tags = st.sampled_from(["00080005", "00100010", "00081140", "00280010", "7FE00010", "00090010", "00020010", "x",
                            "FFFEE000", "00080000"])  # fmt: skip
    known = st.fixed_dictionaries({}, optional={"00080016": uid, "00080018": uid, "0020000D": uid, "0020000E": uid})
    return st.builds(lambda a, b: {**a, **b}, known, st.dictionaries(tags, attribute, max_size=3))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_body_is_answered_500(site: tuple[httpx.Client, Archive], data: st.DataObject) -> None:
    client, _ = site
    told = json.dumps(data.draw(models() | st.lists(models(), max_size=2))).encode()
    file = part10(OBJECTS[0])
    bodies = {
        "json": told, "cut": told[: len(told) // 2], "xml": b"<NativeDicomModel><DicomAttribute/></NativeDicomModel>",
        "file": file, "half": file[: data.draw(st.integers(0, len(file)))], "none": b"",
        "parts": multipart([file, told]),
    }  # fmt: skip
    body = bodies[data.draw(st.sampled_from(list(bodies)))]
    kinds = [
        "application/dicom+json",
        "application/dicom+xml",
        "application/dicom",
        "application/json",
        "image/jpeg",
        "",
    ]
    kind = data.draw(st.sampled_from(kinds))
    if data.draw(st.booleans()):
        location = data.draw(st.sampled_from(["", "Content-Location: x\r\n", "Content-Type: y\r\n", "nonsense\r\n"]))
        body = b"--BOUNDARY\r\nContent-Type: %b\r\n%b\r\n%b\r\n--BOUNDARY--" % (kind.encode(), location.encode(), body)
        kind = f'multipart/related; type="{kind}"; boundary=BOUNDARY'
    given_headers = {"Content-Type": data.draw(st.sampled_from([kind, STOW["Content-Type"]]))}
    if coding := data.draw(st.sampled_from(["", "gzip", "deflate", "br"])):
        given_headers["Content-Encoding"] = coding
    answer = client.post(
        data.draw(st.sampled_from(["/studies", "/studies/1.2.3"])), content=body, headers=given_headers
    )
    event(str(answer.status_code))
    assert answer.status_code not in (500, 501, 502), (body, given_headers, answer.text)
