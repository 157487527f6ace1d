"""Small answers: problems, the Native DICOM Model, the Store Instances Response Module, frame media types."""

import json
from xml.etree import ElementTree

import pytest

from isocenter.archive.ingest import Stored
from isocenter.declarations.statuses import http_status
from isocenter.dicom.native_model import xml_of
from isocenter.errors import Reason, Refused, Retriable
from isocenter.imaging.plan import may_transcode
from isocenter.web import media
from isocenter.web.dicomweb import frame_media
from isocenter.web.dicomweb.incoming import Taken
from isocenter.web.dicomweb.store_response import module, status_of
from isocenter.web.problem import problem_of

GOOD = Taken("1.2", "1.3", Stored("stored", "1.4", "1.5", "1.3", "key", 10))
BAD = Taken("1.2", "1.6", None, Refused(Reason.SOP_CLASS_MISMATCH))
FULL = Taken("1.2", "1.7", None, Retriable(Reason.OUT_OF_STORAGE))
ODD = Taken(refusal=Refused(Reason.CANNOT_UNDERSTAND))
FOREIGN = Taken("1.2", "1.8", None, Refused(Reason.STUDY_MISMATCH))
BUSY = Taken("1.2", "1.9", None, Retriable(Reason.UNABLE_TO_PROCESS))
FORBIDDEN = Taken("1.2", "1.10", None, Refused(Reason.NOT_AUTHORIZED))


@pytest.mark.req("I-STOW-ST-01", "I-STOW-ST-02", "I-STOW-ST-03", "I-STOW-ST-06", "I-STOW-ST-07")
@pytest.mark.parametrize(
    ("taken", "status"),
    [
        ([GOOD], 200), ([GOOD, BAD], 202), ([BAD], 409), ([BAD, FULL], 409), ([FULL], 503), ([ODD], 400),
        ([ODD, BAD], 409), ([GOOD, ODD], 202), ([FOREIGN], 409), ([BUSY, FULL], 503), ([FORBIDDEN], 403),
    ],
)  # fmt: skip
def test_status_of_a_store(taken: list[Taken], status: int) -> None:
    assert status_of(taken, False) == status


def test_a_body_that_breaks_off_is_no_full_success() -> None:
    assert status_of([GOOD], True) == 202
    assert status_of([FULL], True) == 503
    assert status_of([BAD], True) == 409


@pytest.mark.req("I-STOW-RS-05", "I-STOW-RS-06", "I-STOW-RS-07")
def test_the_module_names_each_instance() -> None:
    found = json.loads(module([GOOD, BAD, FULL, ODD], "http://x/dicom-web", "", False))
    assert [item["00081155"]["Value"][0] for item in found["00081199"]["Value"]] == ["1.3"]
    assert found["00081199"]["Value"][0]["00081190"]["Value"] == [
        "http://x/dicom-web/studies/1.4/series/1.5/instances/1.3"
    ]
    assert [item["00081197"]["Value"][0] for item in found["00081198"]["Value"]] == [0xA900, 0xA710]
    assert [item["00081197"]["Value"][0] for item in found["0008119A"]["Value"]] == [0xC000]
    assert "00081198" not in json.loads(module([GOOD], "R", "", False))
    others = json.loads(module([FOREIGN, BUSY, FORBIDDEN], "R", "", True))
    assert [item["00081197"]["Value"][0] for item in others["00081198"]["Value"]] == [0xC409, 0xA700, 0x0124]
    assert [item["00081197"]["Value"][0] for item in others["0008119A"]["Value"]] == [0xC000]


def test_the_native_model() -> None:
    rows = {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00091010": {"vr": "UN", "InlineBinary": "AAE="},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Ø^<B>", "Ideographic": "山田"}]},
        "00281050": {"vr": "DS", "Value": [1.5, None, 2]},
        "00400275": {"vr": "SQ", "Value": [{"00400009": {"vr": "SH", "Value": ["a\x01b"]}}]},
        "7FE00010": {"vr": "OW", "BulkDataURI": "http://x/a?b&c"},
    }
    tree = ElementTree.fromstring(xml_of(json.dumps(rows).encode()))
    space = {"n": "http://dicom.nema.org/PS3.19/models/NativeDICOM"}
    family = tree.find(".//n:DicomAttribute[@keyword='PatientName']/n:PersonName/n:Alphabetic/n:GivenName", space)
    assert family is not None
    assert family.text == "<B>"
    assert [v.get("number") for v in tree.iterfind("n:DicomAttribute[@tag='00281050']/n:Value", space)] == ["1", "3"]
    inner = tree.find(".//n:Item[@number='1']/n:DicomAttribute/n:Value", space)
    assert inner is not None
    assert inner.text == "a\ufffdb"
    bulk = tree.find(".//n:BulkData", space)
    assert bulk is not None
    assert bulk.get("uri") == "http://x/a?b&c"


def test_what_passes_is_503() -> None:
    found = problem_of(Retriable(Reason.PROCESSING_FAILURE, "try again"))
    assert (found.status, found.headers) == (503, {"Retry-After": "5"})
    assert json.loads(found.body())["detail"] == "try again"
    assert problem_of(Refused(Reason.NOT_FOUND)).status == 404
    assert problem_of(Refused(Reason.TRANSFER_SYNTAX_NOT_SUPPORTED)).status == 406
    assert all(problem_of(Refused(reason)).status == http_status(reason) for reason in Reason)


EXPLICIT, JPEG, J2K = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90"
SV1, VIDEO = "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.102"


@pytest.mark.req("I-RS-02")
@pytest.mark.parametrize(
    ("accept", "syntax", "count", "expected"),
    [
        ("", EXPLICIT, 1, (True, media.OCTETS, EXPLICIT)),
        ("*/*", J2K, 2, (True, "image/jp2", J2K)),
        (f"*/*; transfer-syntax={J2K}", EXPLICIT, 2, (True, "image/jp2", J2K)),
        (f"*/*; transfer-syntax={EXPLICIT}", J2K, 2, (True, media.OCTETS, EXPLICIT)),
        ("application/octet-stream", EXPLICIT, 1, (False, media.OCTETS, EXPLICIT)),
        ("application/octet-stream", EXPLICIT, 2, None),
        ("application/octet-stream", J2K, 1, (False, media.OCTETS, EXPLICIT)),
        ("multipart/related; type=application/octet-stream; transfer-syntax=*", JPEG, 1, (True, media.OCTETS, JPEG)),
        ("multipart/related; type=application/octet-stream", JPEG, 1, (True, media.OCTETS, EXPLICIT)),
        ("multipart/related; type=application/octet-stream", VIDEO, 1, None),
        (f"application/octet-stream; transfer-syntax={J2K}", EXPLICIT, 1, None),
        ('multipart/related; type="image/jpeg"', JPEG, 3, (True, "image/jpeg", JPEG)),
        ('multipart/related; type="image/dicom+jp2"', J2K, 3, (True, "image/jp2", J2K)),
        ('multipart/related; type="image/jpeg"', EXPLICIT, 1, (True, "image/jpeg", SV1)),
        (f'multipart/related; type="image/jpeg"; transfer-syntax={SV1}', JPEG, 1, (True, "image/jpeg", SV1)),
        (f'multipart/related; type="image/jpeg"; transfer-syntax={J2K}', JPEG, 1, None),
        (f"image/jpeg; transfer-syntax={JPEG}", EXPLICIT, 1, None),  # loses
        ("image/jpeg", JPEG, 1, (False, "image/jpeg", JPEG)),
        ("image/*", J2K, 1, (False, "image/jp2", J2K)),
        ("image/*", EXPLICIT, 1, None),
        ("video/mpeg", EXPLICIT, 1, None),
        ("multipart/related; type=image/jpx, multipart/related; type=application/octet-stream", EXPLICIT, 1,
         (True, media.OCTETS, EXPLICIT)),
    ],
)  # fmt: skip
def test_frame_media_types(accept: str, syntax: str, count: int, expected: tuple[bool, str, str] | None) -> None:
    form = frame_media.choose(media.accepted([accept]), syntax, count, lambda wanted: may_transcode(syntax, wanted))
    assert form == expected
