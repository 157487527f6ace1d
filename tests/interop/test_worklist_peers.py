"""Worklists with real peers: findscu and pynetdicom ask ours, ours asks wlmscpfs."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import ModalityWorklistInformationFind  # type: ignore[attr-defined]

from archives import Running, running, unused_port
from databases import migrated
from isocenter import dimse
from isocenter.dicom.dataset import encode
from isocenter.dicom.json_reading import element_of
from isocenter.dicom.part10 import outgoing_header
from isocenter.dicom.uids import EXPLICIT_LE, MODALITY_WORKLIST_FIND
from isocenter.dimse import ProposedContext
from isocenter.workflow.worklist.asking import Answers, ask, identifier
from isocenter.workflow.worklist.making import in_step
from peer_programs import background, listens, needs, run
from worklist_items import attribute, model, put

STEP = "(0040,0100)[0]."


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("worklist")
    with running(folder, migrated(folder)) as found:
        entries = [model(n, Modality="MR" if n % 5 == 0 else "CT") for n in range(1, 31)]
        put(found.database, model(0, PatientName="Grün^Zoë=山田^太郎", Modality="US"), *entries)
        yield found


def findscu(archive: Running, folder: Path, *keys: str, ok: bool = True) -> list[Dataset]:
    """The answers that DCMTK's findscu writes."""
    from pydicom import dcmread

    words = [word for key in keys for word in ("-k", key)]
    run("findscu", "-W", "-X", "-od", folder, "-aec", "ISOCENTER", "127.0.0.1", archive.port, *words, ok=ok)
    return [dcmread(path, force=True) for path in sorted(folder.glob("rsp*.dcm"))]


@needs("findscu")
@pytest.mark.req("I-ACT-10", "I-ACT-15", "I-WLM-02", "M-MWL-01")
def test_findscu_asks_for_its_modality_and_day(archive: Running, tmp_path: Path) -> None:
    keys = ("PatientName", "PatientID", f"{STEP}Modality=MR", f"{STEP}0040,0002=20260105-20260106", f"{STEP}0040,0009")
    found = findscu(archive, tmp_path, *keys)
    assert [str(each.PatientID) for each in found] == [f"P{n}" for n in (5, 10, 15, 20, 25, 30)]
    step = found[0].ScheduledProcedureStepSequence[0]
    assert (step.Modality, step.ScheduledProcedureStepID) == ("MR", "S5")
    assert found[0].StudyInstanceUID


@needs("findscu")
def test_findscu_reads_names_of_another_script(archive: Running, tmp_path: Path) -> None:
    (found,) = findscu(archive, tmp_path, "PatientName", f"{STEP}Modality=US")
    assert found.PatientName == "Grün^Zoë=山田^太郎"
    assert found.SpecificCharacterSet == "ISO_IR 192"


@needs("findscu")
def test_findscu_cancels(archive: Running) -> None:
    words = ("-v", "-W", "--cancel", "2", "-aec", "ISOCENTER", "127.0.0.1", archive.port, "-k", "PatientName")
    said = run("findscu", *words)
    assert re.search(r"Find Response: 2 \(Pending\)", said.stdout + said.stderr)


@pytest.fixture(scope="module")
def asking(archive: Running) -> Iterator[Any]:
    """An association of pynetdicom."""
    entity = AE("PYNETDICOM")
    entity.add_requested_context(ModalityWorklistInformationFind)
    association = entity.associate("127.0.0.1", archive.port, ae_title="ISOCENTER")
    assert association.is_established
    yield association
    association.release()


def queried(asking: Any, **keys: Any) -> list[Dataset]:
    """The matches; the last status must be success."""
    wanted = Dataset()
    wanted.PatientID = ""
    step = Dataset()
    step.Modality = keys.pop("Modality", "")
    step.ScheduledStationAETitle = ""
    wanted.ScheduledProcedureStepSequence = [step]
    for keyword, value in keys.items():
        setattr(wanted, keyword, value)
    responses = list(asking.send_c_find(wanted, ModalityWorklistInformationFind))
    assert responses[-1][0].Status == 0x0000
    return [data_set for _, data_set in responses[:-1]]


@pytest.mark.req("I-ACT-15", "I-WLM-07")
def test_pynetdicom_asks_over_one_association(asking: Any) -> None:
    assert len(queried(asking)) == 31
    (found,) = queried(asking, PatientName="FAMILY7^*")
    assert found.PatientID == "P7"
    assert found.ScheduledProcedureStepSequence[0].ScheduledStationAETitle == "CT1"
    assert [each.PatientID for each in queried(asking, Modality="US")] == ["P0"]
    assert queried(asking, AccessionNumber="NOSUCH") == []


# --- theirs


@pytest.fixture(scope="module")
def wlmscpfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """DCMTK's worklist SCP over a folder of five; its port."""
    folder = tmp_path_factory.mktemp("wlmscpfs")
    place = folder / "WORKLIST"
    place.mkdir()
    for number in range(5):
        entry = model(number, Modality="CT" if number % 2 else "MR", PatientName=f"Grün{number}^Zoë")
        whole = {
            **entry,
            "0020000D": attribute(0x0020000D, f"1.2.3.{number}"),
            "00080005": attribute(0x00080005, "ISO_IR 100"),
        }
        data_set = {int(tag, 16): element_of(value, "ISO_IR 100") for tag, value in whole.items()}
        header = outgoing_header(MODALITY_WORKLIST_FIND, f"1.2.4.{number}", EXPLICIT_LE)
        (place / f"{number}.wl").write_bytes(header + encode(data_set, EXPLICIT_LE))
    (place / "lockfile").touch()
    port = unused_port()
    with background(["wlmscpfs", "-dfr", "-csk", "-dfp", str(folder), str(port)], folder / "log"):
        listens(port)
        yield port


def asked(port: int, limit: int = 0, **keys: str) -> Answers:
    """What wlmscpfs answers to our SCU."""
    from isocenter.dicom.dictionary import tag_of

    named = [(in_step((tag_of(keyword) or 0,)), value) for keyword, value in keys.items()]
    context = ProposedContext(MODALITY_WORKLIST_FIND, (EXPLICIT_LE,))
    with dimse.connect(("127.0.0.1", port), calling="ISOCENTER", called="WORKLIST", contexts=[context]) as association:
        return ask(association, identifier(named), limit=limit)


@needs("wlmscpfs")
@pytest.mark.req("M-MWL-10", "M-MWL-11", "M-MWL-13", "X-MOD-42", "X-MOD-44")
def test_ours_asks_wlmscpfs(wlmscpfs: int) -> None:
    answers = asked(wlmscpfs, Modality="CT", ScheduledProcedureStepStartDate="20260105")
    assert answers.complete
    assert [item["0020000D"]["Value"] for item in answers.items] == [["1.2.3.1"], ["1.2.3.3"]]
    assert answers.items[0]["00100010"]["Value"] == [{"Alphabetic": "Grün1^Zoë"}]
    assert answers.dropped == 0
    assert len(asked(wlmscpfs).items) == 5
    assert len(asked(wlmscpfs, limit=2).items) == 2
    assert asked(wlmscpfs, PatientID="NOSUCH").items == []


@needs("wlmscpfs")
@pytest.mark.req("X-MOD-44")
def test_answers_to_a_key_that_it_ignored_are_left_out(wlmscpfs: int) -> None:
    """wlmscpfs returns Requested Procedure Description, and matches nothing by it."""
    answers = asked(wlmscpfs, RequestedProcedureDescription="Abdomen")
    assert (answers.items, answers.dropped, answers.status) == ([], 5, 0)
    assert len(asked(wlmscpfs, RequestedProcedureDescription="Che*").items) == 5
