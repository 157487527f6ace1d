"""HL7 messages of our own: one for each change and destination, in the same transaction as its place in the feed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from archives import Running, made, running, study_uid
from isocenter.config.hl7 import Destination, Hl7, Sends
from isocenter.config.settings import Settings
from isocenter.database import changes
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, encode, sequence, text, uid
from isocenter.dimse import ProposedContext
from isocenter.hl7.message import Message, parsed
from isocenter.workflow.messages.outbox import Outbox
from isocenter.workflow.notices.messaging import messenger
from isocenter.workflow.steps.steps import Steps
from isocenter.workflow.worklist.attributes import written
from isocenter.workflow.worklist.entries import Worklist
from notified_peers import Work

STEP = "1.2.3.400"


@dataclass
class Told:
    """What stands in the outbox, for one destination."""

    outbox: Outbox

    def __call__(self, destination: str) -> list[Message]:
        queued = self.outbox.listed(destination=destination)
        return [parsed(self.outbox.content(each.id) or b"") for each in queued]


def destination(name: str, *sends: Sends, **more: Any) -> Destination:
    return Destination(name=name, host="127.0.0.1", application=name.upper(), sends=sends, **more)


@contextmanager
def messaging(folder: Path, url: str, *destinations: Destination) -> Iterator[tuple[Running, Work, Told]]:
    hl7 = Hl7(destinations=destinations)
    with running(folder, url) as archive:
        outbox = Outbox(archive.database, hl7)
        also = messenger(hl7, Worklist(archive.database), Steps(archive.database), outbox)
        settings = Settings(data=folder, hl7=hl7)
        yield archive, Work(archive, settings, also=[also]), Told(outbox)


def ordered(archive: Running, study: str, accession: str = "A7", order: str = "order") -> None:
    step = {**written("00400009", f"S-{accession}"), **written("00080060", "CT"), **written("00400002", "20260101")}
    model = {
        **written("00100020", "P1"), **written("00100010", "Doe^Jane"), **written("00080050", accession),
        **written("0020000D", study), **written("00401001", accession),
        "00400100": {"vr": "SQ", "Value": [step]},
    }  # fmt: skip
    with archive.database.writing() as connection:
        Worklist(archive.database).put(connection, order, model)


MPPS = uids.MODALITY_PERFORMED_PROCEDURE_STEP


def report(archive: Running, state: str, *items: tuple[str, str], step: str = STEP) -> None:
    """What a modality says: IN PROGRESS creates the step, of the studies and accession numbers in `items`."""
    scheduled: list[DataSet] = [
        {
            0x00080050: text("SH", accession),
            0x0020000D: uid(study),
            0x00400009: text("SH", f"S-{accession}"),
            0x00401001: text("SH", accession),
        }
        for study, accession in items
    ]
    data: DataSet = {0x00400252: text("CS", state)}
    with archive.connect(ProposedContext(MPPS, (uids.EXPLICIT_LE,))) as association:
        if state == "IN PROGRESS":
            data |= {
                0x00080060: text("CS", "CT"),
                0x00100020: text("LO", "P1"),
                0x00400241: text("AE", "CT1"),
                0x00400244: text("DA", "20260101"),
                0x00400245: text("TM", "1200"),
                0x00400253: text("SH", "PP1"),
                0x00400270: sequence(*scheduled),
            }
            answer = association.n_create(MPPS, step, encode(dict(sorted(data.items())), uids.EXPLICIT_LE))
        else:
            answer = association.n_set(MPPS, step, encode(data, uids.EXPLICIT_LE))
    assert answer.status in (0, 1, 0x0107, 0x0116), hex(answer.status)


@pytest.mark.req("P-BRG-01")
@pytest.mark.parametrize(("ended", "order", "result"), [("COMPLETED", "CM", "R"), ("DISCONTINUED", "DC", "X")])
def test_how_an_order_stands(tmp_path: Path, any_url: str, ended: str, order: str, result: str) -> None:
    """A message for each event, to each destination that wants it, in the form that it wants."""
    status, other = destination("ris", "order-status"), destination("his", "order-status", order_status_as="OMG")
    with messaging(tmp_path, any_url, status, other, destination("viewer", "study-available")) as (archive, work, told):
        ordered(archive, study_uid())
        report(archive, "IN PROGRESS", (study_uid(), "A7"))
        report(archive, ended)
        work.follow()
        first, second = told("ris")
        assert [each.value("MSH-9.1") for each in told("his")] == ["OMG", "OMG"]
        assert told("viewer") == []
    assert [each.value("ORC-5") for each in (first, second)] == ["IP", order]
    assert [each.value("OBR-25") for each in (first, second)] == ["I", result]
    assert (first.value("MSH-9.1"), first.value("ORC-1"), first.value("OBR-18")) == ("ORM", "SC", "A7")
    assert (first.value("MSH-5"), first.value("PID-3")) == ("RIS", "P1")


def test_a_step_of_several_orders_and_one_of_none(tmp_path: Path, sqlite_url: str) -> None:
    with messaging(tmp_path, sqlite_url, destination("ris", "order-status")) as (archive, work, told):
        ordered(archive, study_uid(1), "A1", "one")
        ordered(archive, study_uid(1), "A2", "two")
        ordered(archive, study_uid(2), "A3", "three")
        report(archive, "IN PROGRESS", (study_uid(1), "A1"), (study_uid(1), "A2"), (study_uid(2), "A3"))
        report(archive, "IN PROGRESS", step="1.2.3.401")
        work.follow()
        assert sorted(each.value("OBR-18") for each in told("ris")) == ["A1", "A2", "A3"]


def test_a_study_is_available(tmp_path: Path, sqlite_url: str) -> None:
    """Told for its order; as the archive knows it where there is none; and again once it got more."""
    ris, his = destination("ris", "study-available"), destination("his", "study-available", study_available_as="OMI")
    with messaging(tmp_path, sqlite_url, ris, his) as (archive, work, told):
        ordered(archive, study_uid(1))
        archive.send(made(1), made(2, series=2), made(1, study=2, AccessionNumber="B8"))
        work.later(61).follow()
        by_accession = {each.value("OBR-18"): each for each in told("ris")}
        assert set(by_accession) == {"A7", "B8"}
        of_order = by_accession["A7"]
        assert (of_order.value("MSH-9.1"), of_order.value("ORC-5")) == ("ORU", "A")
        observed = {each.value(3): each.value(5) or each.value(5, 2) for each in of_order.all("OBX")}
        assert observed["NumberOfStudyRelatedInstances"] == "2"
        assert study_uid(1) in of_order.written()
        assert [each.value("MSH-9.1") for each in told("his")] == ["OMI", "OMI"]
        archive.send(made(3))
        work.follow().later(61).follow()
        assert len(told("ris")) == 3


def test_one_for_each_change_whatever_fails(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with messaging(tmp_path, sqlite_url, destination("ris", "study-available")) as (archive, work, told):
        archive.send(made(1))
        work.follow().later(61)
        with monkeypatch.context() as patched:
            patched.setattr("isocenter.workflow.notices.following.changes.acknowledge", _fails)
            with pytest.raises(RuntimeError):
                work.follow()
        assert told("ris") == [], "it was undone with its place in the feed"
        work.follow()
        work.follow()
        assert len(told("ris")) == 1


def test_what_can_not_be_said_holds_up_nothing(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with messaging(tmp_path, sqlite_url, destination("ris", "study-available")) as (archive, work, told):
        with archive.database.writing() as connection:
            changes.append(connection, "complete", 1, study_uid="1.2.3")
        with monkeypatch.context() as patched:
            patched.setattr("isocenter.workflow.notices.messaging.study_available", _unsaid)
            archive.send(made(1))
            work.later(61).follow()
        archive.send(made(1, study=2))
        work.follow().later(61).follow()
        assert [study_uid(2) in each.written() for each in told("ris")] == [True]


def _fails(*_: object, **__: object) -> None:
    raise RuntimeError


def _unsaid(*_: object, **__: object) -> None:
    raise ValueError
