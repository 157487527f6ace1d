"""C-FIND as an AE is set: the form of person names, keys that have to be there, ids of a patient."""

from pathlib import Path
from typing import Any

import pytest

from archives import CT, keys, made, running, study_uid
from isocenter.config import HostedAE
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, decode, encode, items_of, sequence, string_of, text
from isocenter.dimse import BufferSink, ProposedContext, commands


def texts(answers: list[tuple[int, DataSet]], tag: int) -> list[str]:
    """The values of one key."""
    return [string_of(answer, tag) for status, answer in answers if status in (0xFF00, 0xFF01)]


@pytest.mark.req("I-STORE-09", "I-FIND-07", "I-FIND-08")
def test_person_names_in_their_canonical_form(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url, ae=HostedAE(person_names="canonical")) as archive:
        archive.send(
            made(1, PatientName="van der Doe^Jane=ignored", ReferringPhysicianName="Ref^Ann\\Other"),
            made(1, study=2, PatientName="Solo", RequestingPhysician="Ask^Bob"),
        )
        found = archive.find(keys("STUDY", PatientName="VAN*^ja*", ReferringPhysicianName="", StudyInstanceUID=""))
        assert texts(found, 0x00100010) == ["VAN DER DOE^JANE^^^"]
        assert texts(found, 0x00080090)[0].startswith("REF^ANN^^^")
        found = archive.find(keys("STUDY", PatientName="solo^*", RequestingPhysician="", StudyInstanceUID=""))
        assert texts(found, 0x00100010) == ["SOLO^^^^"]
        assert texts(found, 0x00321032) == ["ASK^BOB^^^"]
        # the object itself is as it was
        assert b"van der Doe^Jane" in archive.data_of(archive.objects()[0]) + archive.data_of(archive.objects()[1])


@pytest.mark.req("X-QR-23")
@pytest.mark.parametrize(
    ("model", "level", "values", "good"),
    [
        (uids.PATIENT_ROOT_FIND, "PATIENT", {"PatientName": ""}, False),
        (uids.PATIENT_ROOT_FIND, "PATIENT", {"PatientName": "*"}, False),
        (uids.PATIENT_ROOT_FIND, "PATIENT", {"PatientBirthDate": "19700101"}, False),
        (uids.PATIENT_ROOT_FIND, "PATIENT", {"PatientName": "D*"}, True),
        (uids.PATIENT_ROOT_FIND, "PATIENT", {"PatientID": "P?"}, True),
        (uids.PATIENT_ROOT_FIND, "STUDY", {"PatientID": "P1", "StudyInstanceUID": ""}, True),
        (uids.STUDY_ROOT_FIND, "STUDY", {"StudyInstanceUID": ""}, False),
        (uids.STUDY_ROOT_FIND, "STUDY", {"PatientSex": "F"}, False),
        (uids.STUDY_ROOT_FIND, "STUDY", {"StudyDate": "20240101-"}, True),
        (uids.STUDY_ROOT_FIND, "STUDY", {"PatientName": "Doe"}, True),
        (uids.STUDY_ROOT_FIND, "SERIES", {"StudyInstanceUID": study_uid(), "SeriesInstanceUID": ""}, True),
    ],
)
def test_keys_that_have_to_be_there(
    tmp_path: Path, sqlite_url: str, model: str, level: str, values: Any, good: bool
) -> None:
    with running(tmp_path, sqlite_url, ae=HostedAE(required_keys=True)) as archive:
        archive.send(made(1))
        statuses = [status for status, _ in archive.find(keys(level, **values), model=model)]
    assert statuses[-1] == (0 if good else 0xC001)


@pytest.mark.req("I-FIND-04", "I-PID-01")
def test_other_patient_ids_and_their_issuers(tmp_path: Path, any_url: str) -> None:
    def with_other(number: int, study: int, issuer: str) -> Any:
        plain = made(number, study=study, pixels=b"")
        other: DataSet = {0x00100020: text("LO", "OTHER"), 0x00100021: text("LO", issuer)}
        data = {**decode(plain.data, uids.EXPLICIT_LE), 0x00101002: sequence(other), 0x00100021: text("LO", "MAIN")}
        return plain._replace(data=encode(data, uids.EXPLICIT_LE))

    with running(tmp_path, any_url) as archive:
        archive.send(with_other(1, 1, "A"), with_other(1, 2, "B"))
        inner: DataSet = {0x00100020: text("LO", "OTHER"), 0x00100021: text("LO", "B")}
        identifier = {**keys("STUDY", StudyInstanceUID="", IssuerOfPatientID="MAIN"), 0x00101002: sequence(inner)}
        answers = archive.find(identifier)
    assert texts(answers, 0x0020000D) == [study_uid(2)]
    (item,) = items_of(answers[0][1], 0x00101002)
    assert (string_of(item, 0x00100020), string_of(item, 0x00100021)) == ("OTHER", "B")


@pytest.mark.req("I-FIND-11")
def test_a_private_query_class_that_works_like_one_of_the_standard(tmp_path: Path, sqlite_url: str) -> None:
    finding, getting = "1.2.826.0.1.3680043.10.999.90.1", "1.2.826.0.1.3680043.10.999.90.2"
    classes = (f"{finding}:{uids.STUDY_ROOT_FIND}", f"{getting}:{uids.STUDY_ROOT_GET}")
    with running(tmp_path, sqlite_url, ae=HostedAE(query_classes=classes)) as archive:
        archive.send(made(1))
        answers = archive.find(keys("STUDY", PatientName="doe*", StudyInstanceUID=""), model=finding)
        assert texts(answers, 0x0020000D) == [study_uid()]
        contexts = [ProposedContext(getting, (uids.EXPLICIT_LE,)), ProposedContext(CT, (uids.EXPLICIT_LE,), scp=True)]
        with archive.connect(*contexts) as association:
            identifier = encode(keys("STUDY", StudyInstanceUID=study_uid()), uids.EXPLICIT_LE)
            sinks = [BufferSink(1 << 20)]
            last = list(association.get(getting, identifier, lambda *_: sinks[0]))[-1]
            assert (last.status, last.completed) == (0, 1)
            # a find on the context of another service is no query
            request = commands.find_rq(getting)
            assert association.invoke(association.context_for(getting).id, request, identifier).status == 0x0122


@pytest.mark.req("I-FIND-11")
def test_without_that_setting_it_is_no_query_class(tmp_path: Path, sqlite_url: str) -> None:
    with (
        running(tmp_path, sqlite_url) as archive,
        archive.connect(
            ProposedContext(CT, (uids.EXPLICIT_LE,)), ProposedContext("1.2.3.4", (uids.EXPLICIT_LE,))
        ) as peer,
    ):
        identifier = encode(keys("STUDY", StudyInstanceUID=study_uid()), uids.EXPLICIT_LE)
        for request in (commands.find_rq("1.2.3.4"), commands.move_rq("1.2.3.4", "DEST"), commands.get_rq("1.2.3.4")):
            assert peer.invoke(peer.context_for("1.2.3.4").id, request, identifier).status == 0x0122
