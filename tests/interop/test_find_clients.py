"""C-FIND as findscu (DCMTK), pynetdicom and our own client see it."""

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pynetdicom import AE
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

from databases import sqlite_url
from find_samples import Archive, encoded, instance, wanted
from isocenter import database, dimse
from isocenter.config.settings import HostedAE, ResponseLimits
from isocenter.dicom import uids
from isocenter.services import find
from isocenter.services.find import FindService, agreed_extensions

__all__ = ["sqlite_url"]

SYNTAXES = (uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE, uids.DEFLATED_LE)
needs_findscu = pytest.mark.skipif(shutil.which("findscu") is None, reason="no findscu")


@contextmanager
def serving(opened: database.Database, ae: HostedAE) -> Iterator[int]:
    """A C-FIND SCP on a free port."""
    service = FindService(opened, ae)
    extended = partial(agreed_extensions, relational=ae.relational)
    policy = dimse.TitlePolicy(
        lambda abstract: dimse.Offer(SYNTAXES, extended=extended) if abstract in find.MODELS else None,
        preference=dimse.Preference.PROPOSER,
    )
    acceptor = dimse.Acceptor(policy, lambda context, command: service)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=acceptor.serve, args=(listener,))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            acceptor.stop()
            thread.join()


@pytest.fixture
def archive(sqlite_url: str) -> Iterator[Archive]:
    """Three patients; the last one's name needs Japanese characters."""
    opened = database.open(sqlite_url)
    made = Archive(opened)
    names = ["DOE^JANE", "MÜLLER^ÄNNE", "Yamada^Tarou=山田^太郎=やまだ^たろう"]
    for number, name in enumerate(names):
        one = instance(PatientName=name, PatientID=f"P{number}", StudyDate=f"2019010{number + 1}", Modality="CT")
        one.SpecificCharacterSet, one.StudyDescription = "ISO_IR 192", "Thorax"
        made.add(one)
    yield made
    made.close()
    opened.close()


def ask(
    port: int,
    identifier: Dataset,
    model: str = uids.STUDY_ROOT_FIND,
    *,
    extended: bytes = b"",
    syntax: str = SYNTAXES[1],
) -> tuple[list[tuple[int, Dataset | None]], str]:
    """(status, identifier) of every response, and the final Error Comment, by pynetdicom."""
    ae = AE()
    ae.add_requested_context(model, [syntax])
    items = []
    if extended:
        item = SOPClassExtendedNegotiation()
        item.sop_class_uid, item.service_class_application_information = model, extended
        items.append(item)
    association = ae.associate("127.0.0.1", port, ext_neg=items)
    assert association.is_established
    try:
        found = [(status, answer) for status, answer in association.send_c_find(identifier, model)]
    finally:
        association.release()
    comment = found[-1][0].get("ErrorComment", "")
    return [(int(status.Status), answer) for status, answer in found], str(comment)


@pytest.mark.req("I-FIND-02", "M-FIND-01")
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_pynetdicom_in_every_syntax(archive: Archive, syntax: str) -> None:
    with serving(archive.database, HostedAE()) as port:
        found, _ = ask(port, wanted("STUDY", ["PatientName", "StudyInstanceUID"], PatientID="P0"), syntax=syntax)
    assert [status for status, _ in found] == [0xFF00, 0x0000]
    answer = found[0][1]
    assert answer is not None
    assert answer.PatientName == "DOE^JANE"
    assert answer.StudyInstanceUID
    assert answer.RetrieveAETitle == "ISOCENTER"
    assert answer.InstanceAvailability == "ONLINE"
    assert answer.QueryRetrieveLevel == "STUDY"
    assert "SpecificCharacterSet" not in answer


@pytest.mark.req("I-CHAR-09")
@pytest.mark.parametrize(
    ("sought", "declared", "answered"),
    [
        ("müller*", "ISO_IR 100", "ISO_IR 100"),
        ("müller*", "ISO_IR 192", "ISO_IR 192"),
        ("MULLER*", None, "ISO_IR 192"),
        ("YAMADA*", "ISO_IR 100", "ISO_IR 192"),
        ("山田*", "ISO_IR 192", "ISO_IR 192"),
        ("山田*", ["", "ISO 2022 IR 87"], ["", "ISO 2022 IR 87"]),
    ],
)
def test_character_sets(archive: Archive, sought: str, declared: str | None, answered: str) -> None:
    identifier = wanted("STUDY", ["PatientID"])
    if declared is not None:
        identifier.SpecificCharacterSet = declared
    identifier.PatientName = sought
    with serving(archive.database, HostedAE()) as port:
        found, _ = ask(port, identifier)
    assert len(found) == 2
    answer = found[0][1]
    assert answer is not None
    assert answer.SpecificCharacterSet == answered
    expected = "Yamada^Tarou=山田^太郎=やまだ^たろう" if answer.PatientID == "P2" else "MÜLLER^ÄNNE"
    assert str(answer.PatientName) == expected


@pytest.mark.req("M-FIND-11")
def test_unsupported_keys_come_back_empty_with_ff01(archive: Archive) -> None:
    identifier = wanted("STUDY", ["PatientName", "SliceThickness", "DigitalSignaturesSequence"], PatientID="P0")
    with serving(archive.database, HostedAE()) as port:
        found, _ = ask(port, identifier, syntax=uids.EXPLICIT_LE)
    assert [status for status, _ in found] == [0xFF01, 0x0000]
    answer = found[0][1]
    assert answer is not None
    assert answer["SliceThickness"].is_empty
    assert len(answer.DigitalSignaturesSequence) == 0


@pytest.mark.req("I-FIND-03", "I-FIND-ST-04")
def test_hierarchical_and_relational(archive: Archive) -> None:
    identifier = wanted("SERIES", ["SeriesInstanceUID"], PatientID="P1")
    with serving(archive.database, HostedAE()) as port:
        found, comment = ask(port, identifier)
        assert [status for status, _ in found] == [0xA900]
        assert "StudyInstanceUID" in comment
        assert "P1" not in comment
        found, _ = ask(port, identifier, extended=b"\1\0\0")
        assert [status for status, _ in found] == [0xFF00, 0x0000]
    with serving(archive.database, HostedAE(relational=False)) as port:
        found, _ = ask(port, identifier, extended=b"\1\0\0")
        assert [status for status, _ in found] == [0xA900]


@pytest.mark.req("I-FIND-02", "I-FIND-05")
@pytest.mark.parametrize("model", list(find.MODELS))
def test_models(archive: Archive, model: str) -> None:
    with serving(archive.database, HostedAE()) as port:
        patients, _ = ask(port, wanted("PATIENT", ["PatientID"]), model)
        series, _ = ask(port, wanted("SERIES", PatientID="P0", StudyInstanceUID="1.2"), model)
        nothing, _ = ask(port, wanted("", ["PatientID"]), model)
    assert len(patients) == (1 if model == uids.STUDY_ROOT_FIND else 4)
    assert patients[-1][0] == (0xA900 if model == uids.STUDY_ROOT_FIND else 0)
    assert series[-1][0] == (0xA900 if model == uids.PATIENT_STUDY_ONLY_FIND else 0)
    assert nothing[-1][0] == 0xA900


@pytest.mark.req("M-FIND-06", "M-FIND-13")
def test_limits(archive: Archive) -> None:
    with serving(archive.database, HostedAE(responses=ResponseLimits(study=2))) as port:
        found, comment = ask(port, wanted("STUDY", ["PatientID"]))
        assert [status for status, _ in found] == [0xC001]
        assert "2" in comment
        found, _ = ask(port, wanted("STUDY", PatientID="P0"))
        assert found[-1][0] == 0


@pytest.mark.req("I-FIND-ST-02", "I-FIND-ST-06")
def test_failures(archive: Archive) -> None:
    context = [dimse.ProposedContext(uids.STUDY_ROOT_FIND, (uids.EXPLICIT_LE,))]
    with (
        serving(archive.database, HostedAE()) as port,
        dimse.connect(("127.0.0.1", port), calling="T", called="ISOCENTER", contexts=context) as association,
    ):
        accepted = association.context_for(uids.STUDY_ROOT_FIND)
        truncated = encoded(wanted("STUDY", PatientID="P0"))[:-1]
        answer = association.invoke(accepted.id, dimse.commands.find_rq(accepted.abstract), truncated)
        assert answer.status == 0xC000
        assert dimse.commands.text(answer.command, dimse.commands.ERROR_COMMENT)
        archive.database.engine.dispose()
        with archive.database.writing() as connection:
            connection.exec_driver_sql("ALTER TABLE series RENAME TO gone")
        identifier = encoded(wanted("STUDY", PatientID="P0"))
        answer = association.invoke(accepted.id, dimse.commands.find_rq(accepted.abstract), identifier)
        assert answer.status == 0xA700
        assert "P0" not in dimse.commands.text(answer.command, dimse.commands.ERROR_COMMENT)


@pytest.mark.req("M-FIND-12", "I-FIND-ST-05")
def test_cancel(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.add(*(instance(PatientID=f"C{i}") for i in range(300)))
    batches, cancelled = [0], threading.Event()
    encoder = find.answer_encoder

    def slow(*args: object, **options: object) -> object:
        encode = encoder(*args, **options)  # type: ignore[arg-type]

        def each(rows: object) -> list[bytes]:
            batches[0] += 1
            if batches[0] == 2:
                assert cancelled.wait(10)
            return encode(rows)  # type: ignore[arg-type]

        return each

    monkeypatch.setattr(find, "answer_encoder", slow)
    context = [dimse.ProposedContext(uids.STUDY_ROOT_FIND, (uids.EXPLICIT_LE,))]
    with (
        serving(archive.database, HostedAE()) as port,
        dimse.connect(("127.0.0.1", port), calling="T", called="ISOCENTER", contexts=context) as association,
    ):
        accepted = association.context_for(uids.STUDY_ROOT_FIND)
        identifier = encoded(wanted("STUDY", PatientID="C*"))
        message = association.request(accepted.id, dimse.commands.find_rq(accepted.abstract), identifier)
        statuses = []
        for answer in association.responses(message):
            statuses.append(answer.status)
            if len(statuses) == 1:
                association.cancel(accepted.id, message)
                cancelled.set()
    assert statuses[-1] == 0xFE00
    assert statuses.count(0xFF00) < 300


@needs_findscu
@pytest.mark.req("M-FIND-01", "I-FIND-01")
@pytest.mark.parametrize("flag", ["-P", "-S", "-O"])
def test_findscu(archive: Archive, tmp_path: Path, flag: str) -> None:
    with serving(archive.database, HostedAE()) as port:
        command = ["findscu", flag, "-X", "-od", str(tmp_path), "-aec", "ISOCENTER", "127.0.0.1", str(port)]
        keys = ["QueryRetrieveLevel=STUDY", "PatientID=P0", "PatientName", "StudyDate=20190101-20190102", "StudyTime"]
        for one in keys:
            command += ["-k", one]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    found = [dcmread(file, force=True) for file in sorted(tmp_path.glob("rsp*"))]
    assert [str(one.PatientName) for one in found] == ["DOE^JANE"]
    assert found[0].StudyDate == "20190101"
    assert found[0].StudyTime in ("", None)


@needs_findscu
@pytest.mark.req("I-FIND-04")
def test_findscu_with_sequences(archive: Archive, tmp_path: Path) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "C1", "LN", "Thorax"
    archive.add(instance(PatientID="S", ProcedureCodeSequence=[code]))
    with serving(archive.database, HostedAE()) as port:
        command = ["findscu", "-S", "-X", "-od", str(tmp_path), "127.0.0.1", str(port), "-k", "0008,0052=STUDY"]
        command += ["-k", "PatientID", "-k", "(0008,1032)[0].CodeValue=C1", "-k", "(0008,1032)[0].CodeMeaning"]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    found = [dcmread(file, force=True) for file in sorted(tmp_path.glob("rsp*"))]
    assert [str(one.PatientID) for one in found] == ["S"]
    item = found[0].ProcedureCodeSequence[0]
    assert (item.CodeValue, item.CodeMeaning) == ("C1", "Thorax")
    assert "CodingSchemeDesignator" not in item
