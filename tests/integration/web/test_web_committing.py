"""Storage commitment over HTTP (PS3.18 13): requests by instance and by study, results at once and later."""

from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from pydicom.dataset import Dataset

from isocenter.archive.commitment import rows
from isocenter.archive.commitment.accepted import Accepted, Destination
from isocenter.archive.commitment.data import Reference, Requested
from isocenter.archive.commitment.polled import KIND, Polled
from isocenter.config import Commitment, HostedAE
from isocenter.jobs.queue import Queue
from isocenter.jobs.runner import Runner
from web_archive import Archive, image, opened_archive, send

Web = tuple[httpx.Client, Archive]
JSON = {"Content-Type": "application/dicom+json"}
FIRST, SECOND, LOST = (image(n, study="kept") for n in (1, 2, 3))
TRANSACTION = "2.25.1001"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """An archive for what is refused."""
    with opened_archive(tmp_path_factory.mktemp("shared")) as opened:
        yield opened


def _ui(value: str) -> dict[str, Any]:
    return {"vr": "UI", "Value": [value]}


def _sq(*items: dict[str, Any]) -> dict[str, Any]:
    return {"vr": "SQ", "Value": list(items)}


def by_instance(*named: Dataset) -> dict[str, Any]:
    """The request that names instances."""
    items = ({"00081150": _ui(each.SOPClassUID), "00081155": _ui(each.SOPInstanceUID)} for each in named)
    return {"00081199": _sq(*items)}


def by_study(*named: Dataset, study: str = "") -> dict[str, Any]:
    """The request that names instances of the first one's series."""
    first = named[0]
    instances = [{"00081155": _ui(each.SOPInstanceUID)} for each in named]
    by_class = {"00081150": _ui(first.SOPClassUID), "0008114A": _sq(*instances)}
    series = {"0020000E": _ui(first.SeriesInstanceUID), "00081112": _sq(by_class)}
    return {"00081110": _sq({"0020000D": _ui(study or first.StudyInstanceUID), "00081115": _sq(series)})}


def ask(client: httpx.Client, asked: Any, transaction: str = TRANSACTION, **headers: str) -> httpx.Response:
    return client.post(f"/commitment-requests/{transaction}", json=asked, headers={**JSON, **headers})


def _uids(items: dict[str, Any]) -> list[str]:
    return [item["00081155"]["Value"][0] for item in items.get("Value", ())]


def test_what_is_kept_is_committed_and_what_is_not_is_told(web: Web) -> None:
    client, _ = web
    send(client, FIRST, SECOND)
    answer = ask(client, by_instance(FIRST, LOST, SECOND))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom+json")
    said = answer.json()
    assert _uids(said["00081199"]) == [FIRST.SOPInstanceUID, SECOND.SOPInstanceUID]
    (failed,) = said["00081198"]["Value"]
    assert failed["00081155"] == _ui(LOST.SOPInstanceUID)
    assert failed["00081197"]["Value"] == [0x0112]
    assert client.get(f"/commitment-requests/{TRANSACTION}").json() == said


def test_a_request_by_study_is_answered_by_study(web: Web) -> None:
    client, _ = web
    send(client, FIRST, SECOND)
    said = ask(client, [by_study(FIRST, LOST)]).json()
    assert set(said) == {"00081110", "0008119B"}
    for tag, expected in (("00081110", FIRST), ("0008119B", LOST)):
        (study,) = said[tag]["Value"]
        (series,) = study["00081115"]["Value"]
        (by_class,) = series["00081112"]["Value"]
        assert (study["0020000D"], series["0020000E"]) == (_ui(FIRST.StudyInstanceUID), _ui(FIRST.SeriesInstanceUID))
        assert by_class["00081150"] == _ui(FIRST.SOPClassUID)
        assert _uids(by_class["0008114A"]) == [expected.SOPInstanceUID]
        assert ("00081197" in by_class["0008114A"]["Value"][0]) == (expected is LOST)


def test_an_instance_of_another_study_is_not_committed(web: Web) -> None:
    client, _ = web
    send(client, FIRST)
    assert set(ask(client, by_study(FIRST, study="1.2.3")).json()) == {"0008119B"}


def test_xml_goes_in_and_comes_out(web: Web) -> None:
    client, _ = web
    send(client, FIRST)
    document = (
        '<NativeDicomModel><DicomAttribute tag="00081199" vr="SQ"><Item number="1">'
        f'<DicomAttribute tag="00081150" vr="UI"><Value number="1">{FIRST.SOPClassUID}</Value></DicomAttribute>'
        f'<DicomAttribute tag="00081155" vr="UI"><Value number="1">{FIRST.SOPInstanceUID}</Value></DicomAttribute>'
        "</Item></DicomAttribute></NativeDicomModel>"
    )
    headers = {"Content-Type": "application/dicom+xml", "Accept": "application/dicom+xml"}
    answer = client.post(f"/commitment-requests/{TRANSACTION}", content=document, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom+xml")
    tags = [each.get("tag") for each in ElementTree.fromstring(answer.content).iter() if each.get("tag")]
    assert tags == ["00081199", "00081150", "00081155"]


def test_a_transaction_uid_is_for_one_request(web: Web) -> None:
    client, _ = web
    send(client, FIRST, SECOND)
    first = ask(client, by_instance(FIRST, SECOND))
    again = ask(client, by_instance(SECOND, FIRST))
    assert (again.status_code, again.json()) == (200, first.json())
    assert ask(client, by_instance(FIRST)).status_code == 409
    assert len(client.get(f"/commitment-requests/{TRANSACTION}").json()["00081199"]["Value"]) == 2


def test_both_ways_of_asking_know_of_each_other(web: Web) -> None:
    client, archive = web
    send(client, FIRST)
    accepted, destination = Accepted(archive.database), Destination("ISOCENTER", "PEER", "192.0.2.1")
    number = accepted.accept(destination, "new", Requested(TRANSACTION, (_reference(FIRST),)), 0.0)
    assert client.get(f"/commitment-requests/{TRANSACTION}").status_code == 202
    assert ask(client, by_instance(SECOND)).status_code == 409
    assert ask(client, by_instance(FIRST)).status_code == 202
    with archive.database.reading() as connection:
        asked = rows.get(connection, number)
    assert asked is not None
    archive.context.polled.look(asked, HostedAE())  # type: ignore[union-attr]
    assert _uids(client.get(f"/commitment-requests/{TRANSACTION}").json()["00081199"]) == [FIRST.SOPInstanceUID]

    assert ask(client, by_instance(FIRST), "2.25.2").status_code == 200
    later = accepted.accept(destination, "new", Requested("2.25.2", (_reference(SECOND),)), 0.0)
    with archive.database.reading() as connection:
        asked = rows.get(connection, later)
    assert asked is not None
    assert accepted.clashes(asked)


def _reference(made: Dataset) -> Reference:
    return Reference(made.SOPClassUID, made.SOPInstanceUID)


def test_what_takes_longer_is_looked_at_by_a_job(opened: Callable[..., Web]) -> None:
    ae = HostedAE(commitment=Commitment(check="digest"))
    client, archive = opened(ae=ae)
    send(client, FIRST)
    answer = ask(client, by_instance(FIRST, LOST))
    assert (answer.status_code, answer.content) == (202, b"")
    assert int(answer.headers["retry-after"]) > 0
    where = answer.headers["content-location"]
    assert client.get(where).status_code == 202
    polled = archive.context.polled
    assert isinstance(polled, Polled)
    runner = Runner(Queue(archive.database), {KIND: lambda running: polled.handle(running, lambda title: ae)})
    assert runner.run_once()
    said = client.get(where)
    assert (said.status_code, set(said.json())) == (200, {"00081198", "00081199"})


WRONG = [
    ({}, "names no instance"),
    ({"00081199": _sq()}, "names no instance"),
    ([by_instance(FIRST), by_instance(SECOND)], "one DICOM JSON object"),
    (7, "one DICOM JSON object"),
    ({"00081199": 7}, "no sequence"),
    ({"00081199": {"vr": "SQ", "Value": [7]}}, "no sequence"),
    ({"00081199": _sq({"00081155": _ui("1.2")})}, "00081150"),
    ({"00081199": _sq({"00081150": _ui("1.2"), "00081155": _ui("x")})}, "no UID"),
    ({"00081199": _sq({"00081150": _ui("1.2"), "00081155": {"vr": "UI", "Value": ["1.2", "1.3"]}})}, "one value"),
    ({"00081199": _sq({"00081150": _ui("1.2"), "00081155": {"vr": "UI", "Value": [7]}})}, "one value"),
]


@pytest.mark.parametrize(("asked", "said"), WRONG)
def test_wrong_requests(shared: Web, asked: Any, said: str) -> None:
    answer = ask(shared[0], asked)
    assert answer.status_code == 400
    assert said in answer.json()["detail"]
    assert shared[0].get(f"/commitment-requests/{TRANSACTION}").status_code == 404


def test_other_wrong_requests(shared: Web) -> None:
    client, _ = shared
    where = f"/commitment-requests/{TRANSACTION}"
    assert client.post(where, content=b"{", headers=JSON).status_code == 400
    assert client.post(where, content=b"[" * 100_000, headers=JSON).status_code == 400
    assert client.post(where, content=b"x", headers={"Content-Type": "text/plain"}).status_code == 415
    assert ask(client, by_instance(FIRST), "x").status_code == 400
    assert ask(client, by_instance(FIRST), Accept="image/png").status_code == 406
    assert client.get("/commitment-requests/1.2.3").status_code == 404
    assert client.options(where).headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert client.delete(where).status_code == 405


def test_an_archive_that_commits_to_nothing_is_503(opened: Callable[..., Web]) -> None:
    client, _ = opened(ae=HostedAE(services=("store", "find")))
    assert ask(client, by_instance(FIRST)).status_code == 503


def test_the_list_of_requests_names_them(web: Web) -> None:
    client, archive = web
    send(client, FIRST)
    ask(client, by_instance(FIRST))
    found = rows.latest(archive.database, role="web")
    assert [(each.state, each.address, each.transaction_uid) for each in found] == [
        ("reported", "127.0.0.1", TRANSACTION)
    ]
