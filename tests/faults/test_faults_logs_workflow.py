"""Whatever messages, modalities and people tell of patients, rightly or wrongly: the log of a server names none."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from archives import unused_port
from isocenter import dimse
from isocenter.dicom import dataset, uids
from isocenter.dicom.uids import MODALITY_WORKLIST_FIND as WORKLIST
from isocenter.dicom.uids import new_uid
from isocenter.dimse import ProposedContext
from isocenter.hl7.framing import Unframing, framed
from isocenter.hl7.message import parsed
from procedure_steps import MPPS, begun, ended, message
from senders import PATIENTS, SECRETS, connect, sample, store
from servers import Server, until
from workitem_models import TRANSACTION, asked

NAME, NUMBER = PATIENTS[0]
OTHER, OTHER_NUMBER = PATIENTS[1]
_CONFIG = """
[[ae]]
title = "ISOCENTER"
mpps.forward = ["AWAY"]

[[ae]]
title = "TWF"
role = "reconcile"

[[peer]]
title = "AWAY"
host = "127.0.0.1"
port = {port}

[completeness]
quiet = 1

[[notice]]
kind = "availability"
to = ["AWAY"]

[[hook]]
url = "http://127.0.0.1:{port}/"

[[hl7.destination]]
name = "away"
host = "127.0.0.1"
port = {port}
sends = ["order-status", "study-available"]
"""
"""Nobody listens where it is all to go."""
REACHED = (
    *("hl7.refused", "hl7.receiver-lost", "patients.told", "document.stored", "worklist.done", "worklist.refused"),
    *("mpps.done", "mpps.refused", "mpps.unreached", "notice.postponed", "worklist.not_asked"),
)


@pytest.fixture(name="running")
def fixture_running(make_server: Callable[..., Server], tmp_path: Path) -> Iterator[Server]:
    config = tmp_path / "isocenter.toml"
    config.write_text(_CONFIG.format(port=unused_port()))
    settings = {"log_level": "DEBUG", "config": config}
    with make_server(settings=settings, hl7=True) as server:
        yield server


def test_the_log_names_no_patient(running: Server) -> None:
    """Each part is shown to have been reached by what the log does say of it, or the server's answers."""
    hl7(running)
    worklist(running)
    procedure_steps(running)
    workitems(running)
    reconciliation(running)
    for event in REACHED:
        until(lambda event=event: list(running.events(event)), told=event)  # type: ignore[misc]
    assert running.stop() == 0
    log = running.whole_log()
    assert '"level": "debug"' in log or '"level": "info"' in log
    assert not [secret for secret in SECRETS if secret in log or ascii(secret)[1:-1] in log]


# --- messages


def hl7(server: Server) -> None:
    """Orders, updates, a merge, reports; then the like with a fault in every place."""
    good = (
        said("ORM^O01", *order(NUMBER, NAME)),
        said("ADT^A08", pid(NUMBER, f"{OTHER}^Q")),
        said("ORU^R01", pid(NUMBER, NAME), "OBR|1|||X^Report|||20240131|||||||||||ACC9", f"OBX|1|TX|X||of {NAME}"),
        said("ORM^O01", *order(OTHER_NUMBER, OTHER)),
        said("ADT^A40", pid(NUMBER, NAME), f"MRG|{OTHER_NUMBER}^^^HOSP"),
    )
    with socket.create_connection(("127.0.0.1", server.hl7_port), 60) as sock:
        assert [answered(sock, framed(each)) for each in good] == ["AA"] * len(good)
        refused = [answered(sock, framed(each)) != "AA" for each in wrong()]
        assert sum(refused) >= len(refused) - 4, "some of it is but left out, with a warning"
        between = f"{NAME}|{NUMBER}\r".encode()
        assert answered(sock, between + framed(f"{NAME}\rPID|||{NUMBER}".encode())) == "AE"
        sock.sendall(framed(good[0])[:90])  # cut off in the midst


def wrong() -> Iterator[bytes]:
    """Messages that are refused, with a patient wherever something may be told of what is wrong."""
    yield said(f"{NAME}", pid(NUMBER, NAME))
    yield said(f"ADT^{NAME}", pid(NUMBER, NAME))
    yield said("ADT^A08", f"PID|||^^^{NUMBER}||{NAME}")
    yield said("ADT^A08", pid(NUMBER, NAME, born=NAME))
    yield said("ADT^A40", pid(NUMBER, NAME), f"MRG|^^^{NUMBER}")
    yield said("ADT^A29", pid(NUMBER, NAME))
    yield said("ORM^O01", pid(NUMBER, NAME), f"ORC|{NAME}|{NUMBER}", f"OBR|1|{NUMBER}||{NAME}")
    yield said("ORM^O01", *order(NUMBER, NAME, start=NAME))
    yield said("ORM^O01", *order(NUMBER, NAME, placer=OTHER_NUMBER))
    yield said("SIU^S12", f"SCH|{NUMBER}|{NAME}", pid(NUMBER, NAME), f"AIS|1|A|{NAME}|{NAME}")
    yield said("ORU^R01", pid(NUMBER, NAME), f"OBR|{NAME}|||{NAME}", f"OBX|1|ED|X||{NAME}^{NUMBER}^{NAME}^Base64^!")
    yield said("MDM^T02", pid(NUMBER, NAME), f"TXA|1|{NAME}|{NAME}|{NUMBER}", f"OBX|1|{NAME}|X||{NUMBER}")
    yield said("ADT^A08", pid(NUMBER, NAME), charset=NUMBER)
    yield said("ADT^A08", pid(NUMBER, NAME), f"{NAME}|{NUMBER}", control="")
    yield said("ADT^A08", pid(NUMBER, NAME), processing=NAME)


def said(
    kind: str, *segments: str, charset: str = "UNICODE UTF-8", control: str | None = None, processing: str = "P"
) -> bytes:
    """A message."""
    number = new_uid()[-15:] if control is None else control
    header = f"MSH|^~\\&|RIS|HOSP|I|R|20240131||{kind}|{number}|{processing}|2.5||||||{charset}"
    return "".join(f"{line}\r" for line in (header, *segments)).encode()


def pid(number: str, name: str, born: str = "19700101") -> str:
    """A patient."""
    return f"PID|1||{number}^^^HOSP||{name}||{born}|F|||{name}^^{number}"


def order(number: str, name: str, *, placer: str = "", start: str = "20240131100000") -> list[str]:
    """A new order's segments."""
    key = placer or number
    return [
        pid(number, name),
        f"ORC|NW|{key}^RIS||||||^^^{start}",
        f"OBR|1|{key}^RIS||CT^{name}^L||||||||||||||{key[-9:]}|R1|S{number}||||CT|||^^^{start}",
        f"NTE|1||{name}",
    ]


def answered(sock: socket.socket, data: bytes) -> str:
    """The code of the answer to a message."""
    sock.sendall(data)
    frames = Unframing(1 << 20)
    while not (found := frames.feed(sock.recv(65536))):
        pass
    (answer,) = found
    return parsed(answer).value("MSA-1")


# --- worklist, procedure steps, workitems


def worklist(server: Server) -> None:
    """Asked for and made over DICOM and HTTP, rightly and wrongly."""
    keys: dict[str, str] = {"PatientName": NAME.replace("^", "*"), "PatientID": NUMBER, "AccessionNumber": ""}
    bad: dict[str, str] = {"PatientName": NAME, "ScheduledProcedureStepSequence>ScheduledProcedureStepStartDate": NAME}
    with associated(server, WORKLIST) as association:
        for each in (keys, bad):
            list(association.find(WORKLIST, dataset.encode(message(each), uids.EXPLICIT_LE)))
    url = f"{server.url}/api/worklist"
    whole = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": NAME}]}, "00100020": {"vr": "LO", "Value": [NUMBER]}}
    broken: tuple[Any, ...] = ({**whole, NAME: NUMBER}, {**whole, "00100030": {"vr": "DA", "Value": [NAME]}}, [NAME])
    for body in (*broken, {**whole, "00400100": {"vr": "SQ", "Value": [NAME]}}):
        assert httpx.post(url, json=body).status_code == 400
    json_of = {"Content-Type": "application/json"}
    assert httpx.post(url, content=f"{{{NAME}".encode(), headers=json_of).status_code == 400
    for query in ({"PatientName": NAME}, {NAME: NUMBER}, {"limit": NAME}, {"state": NAME}):
        assert httpx.get(url, params=query).status_code < 500
    assert 400 <= httpx.delete(f"{url}/{NAME}").status_code < 500


def procedure_steps(server: Server) -> None:
    """One that is right, and goes on to a peer who is away; others that are not."""
    named: dict[str, str | int | None] = {"PatientName": NAME, "PatientID": NUMBER}
    uid = new_uid()
    wrong = (
        {"PerformedProcedureStepStatus": NAME},
        {"PerformedProcedureStepStartDate": NAME},
        {"Modality": None, "PatientID": NAME},
        {"PatientBirthDate": NUMBER},
    )
    with associated(server, MPPS) as association:

        def create(to: str, **values: str | int | None) -> int:
            return association.n_create(MPPS, to, dataset.encode(begun(**{**named, **values}), uids.EXPLICIT_LE)).status

        assert create(uid) == 0
        assert create(uid) != 0
        for values in wrong:
            create(new_uid(), **values)
        for to, end in ((uid, ended(PatientName=NAME)), (new_uid(), ended()), (uid, ended()), (uid, ended())):
            association.n_set(MPPS, to, dataset.encode(end, uids.EXPLICIT_LE))
        association.n_set(MPPS, uid, f"{NAME}{NUMBER}".encode())


def associated(server: Server, *classes: str) -> dimse.ClientAssociation:
    """An association of a modality."""
    contexts = [ProposedContext(uid, (uids.EXPLICIT_LE,)) for uid in classes]
    return dimse.connect(("127.0.0.1", server.dicom_port), calling="CT1", called="ISOCENTER", contexts=contexts)


def workitems(server: Server) -> None:
    """Of the unified worklist."""
    url, kind = f"{server.url}/dicom-web/workitems", {"Content-Type": "application/dicom+json"}
    named = {"t00100010": {"vr": "PN", "Value": [{"Alphabetic": NAME}]}, "t00100020": {"vr": "LO", "Value": [NUMBER]}}
    right = asked(**named)
    uid = new_uid()
    assert httpx.post(f"{url}?workitem={uid}", json=right, headers=kind).status_code == 201
    assert httpx.post(f"{url}?workitem={uid}", json=right, headers=kind).status_code == 409
    state = {"00741000": {"vr": "CS", "Value": ["IN PROGRESS"]}, "00081195": {"vr": "UI", "Value": [TRANSACTION]}}
    assert httpx.put(f"{url}/{uid}/state", json=[state], headers=kind).status_code == 200
    for body in ({**right, "00741000": NAME}, {**right, NAME: NUMBER}, {**right, "00404005": {"vr": "DT"}}, [[NAME]]):
        assert httpx.post(url, json=body, headers=kind).status_code < 500
    assert httpx.post(url, content=f"[{NAME}".encode(), headers=kind).status_code == 400
    assert httpx.put(f"{url}/{uid}/state", json=[{"00741000": NAME}], headers=kind).status_code < 500
    assert httpx.get(url, params={"PatientName": NAME, NAME: NUMBER}).status_code < 500
    assert httpx.get(f"{url}/{NAME}").status_code < 500


# --- what is held, and told of


def reconciliation(server: Server) -> None:
    """Objects that belong to no order; people who look for one, and type in what they think."""
    for called in ("TWF", "ISOCENTER"):
        with connect(server.dicom_port, called=called) as association:
            assert store(association, sample(1, run=940 + len(called), sender=2)) == 0
    url = f"{server.url}/api/reconciliation"

    def listed() -> list[dict[str, Any]]:
        return list(httpx.get(url).json()["studies"])

    (study,) = until(listed, told="a study is held")
    place = f"{url}/{study['id']}"
    assert httpx.get(url, params={"PatientID": NUMBER, "state": NAME}).status_code < 500
    for keys in ({"PatientName": NAME}, {"PatientName": f"{NAME}*", NAME: NUMBER}, {"PatientBirthDate": NAME}):
        assert httpx.post(f"{place}/candidates", json={"keys": keys}).status_code < 500
    named = {"PatientName": NAME, "PatientID": NUMBER}
    for changes in ({NAME: NUMBER}, {"PatientBirthDate": NAME}, {"Rows": NAME}, named):
        body = json.dumps({"changes": changes, "actor": "ann", "reason": f"it is {NAME}"})
        assert httpx.post(f"{place}/attributes", content=body).status_code < 500
    assert httpx.post(f"{place}/choose", json={"candidate": 99}).status_code < 500
