"""Studies that wait: received, matched or decided by a person, and handed over, on both databases."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import held_archives
from archives import MR, ROOT, keys, made, study_uid
from held_archives import WHO, Bench, attribute, value
from isocenter.errors import Refused
from isocenter.index import tables
from isocenter.store.verify import digest_of
from isocenter.workflow.reconciling.states import Finding, State


@pytest.fixture
def bench(tmp_path: Path, sqlite_url: str) -> Iterator[Bench]:
    with held_archives.running(tmp_path, sqlite_url) as made_one:
        yield made_one


def held(bench: Bench, *objects: Any) -> None:
    """Send them to the AE that holds, and let the jobs run."""
    bench.archive.send(*objects or (made(1),))
    bench.settle()


@pytest.mark.req("I-ACT-30", "I-ACT-31", "I-ACT-34", "I-TWF-02", "I-TWF-05", "I-TWF-09", "I-PID-05")
def test_a_confident_match_is_merged_and_handed_over(tmp_path: Path, any_url: str) -> None:
    with held_archives.running(tmp_path, any_url) as bench:
        bench.order()
        bench.order("ANOTHER", PatientID="P2", AccessionNumber="A2")
        bench.archive.send(made(1), made(2, series=2))
        assert bench.archive.rows("instance") == []
        assert len(bench.kept()) == 2
        bench.settle()
        study = bench.study()
        assert (study.state, study.finding, study.handed) == (State.RELEASED, Finding.MATCHED, 2)
        assert bench.kept() == []
        one, two = bench.archived()
    assert [value(each, "PatientName") for each in (one, two)] == ["Doe^Janet", "Doe^Janet"]
    assert value(one, "AccessionNumber") == "A1"
    assert value(one, "ReferringPhysicianName") == "Ward^Ann"
    assert value(one, "StudyInstanceUID") == study_uid()
    (request,) = one["00400275"]["Value"]
    assert (value(request, "RequestedProcedureID"), value(request, "ScheduledProcedureStepID")) == ("RP1", "S1")
    (account,) = one["04000561"]["Value"]
    (former,) = account["04000550"]["Value"]
    assert value(former, "PatientName") == "Doe^Jane"
    assert "00100020" not in former  # it is as it was


@pytest.mark.req("I-TWF-02", "I-ACT-30")
def test_what_waits_is_seen_by_nobody(bench: Bench) -> None:
    held(bench)
    assert bench.study().state is State.OPEN
    assert bench.archive.rows("study") == bench.archive.rows("patient") == bench.archive.objects() == []


@pytest.mark.req("I-TWF-12")
def test_what_is_held_is_answered_as_what_is_archived(bench: Bench) -> None:
    """I-STORE-ST: 0000, A900 for another class than the context's, C000 for what can't be read, C001 for another
    instance than the command's."""
    one = made(1)
    wrong = [one._replace(sop_class=MR), one._replace(data=b"\x10\0\x10\0PN\xff\xffDoe"), one._replace(sop_uid="1.2.3")]
    responses = [bench.archive.store_all(each)[0] for each in (one, *wrong)]
    assert [each.status for each in responses] == [0x0000, 0xA900, 0xC000, 0xC001]
    assert all(each.comment for each in responses[1:])
    assert len(bench.kept()) == 1


def test_an_ae_that_holds_answers_no_queries(bench: Bench) -> None:
    from isocenter.dimse import ContextNotAccepted

    with pytest.raises(ContextNotAccepted):
        bench.archive.find(keys("STUDY", StudyInstanceUID=study_uid()))


@pytest.mark.parametrize(
    ("items", "values", "finding"),
    [
        ([], {}, Finding.NONE),
        ([{}, {"key": "TWO", "step": {"ScheduledProcedureStepID": "S2"}}], {}, Finding.SEVERAL),
        ([{"step": {"Modality": "MR"}}], {}, Finding.NONE),
        ([{"AccessionNumber": "A9"}], {"AccessionNumber": "A1"}, Finding.NONE),
        ([{}], {"AccessionNumber": "A1"}, Finding.MATCHED),
        ([{}], {"PatientID": ""}, Finding.INCOMPLETE),
        ([{}], {"PatientBirthDate": "19991231"}, Finding.CONTRADICTS),
        ([{}], {"PatientSex": "M"}, Finding.CONTRADICTS),
        ([{}], {"PatientBirthDate": "19700301", "PatientSex": "F"}, Finding.MATCHED),
    ],
)
@pytest.mark.req("I-TWF-07")
def test_only_one_match_that_contradicts_nothing_counts(
    bench: Bench, items: list[dict[str, Any]], values: dict[str, str], finding: Finding
) -> None:
    for order in items:
        bench.order(**order)
    held(bench, made(1, **values))
    study = bench.study()
    assert study.finding is finding
    assert study.state is (State.RELEASED if finding is Finding.MATCHED else State.OPEN)
    assert bool(bench.archive.rows("instance")) is (finding is Finding.MATCHED)


def test_objects_of_two_patients_under_one_study_are_left_to_a_person(bench: Bench) -> None:
    bench.order()
    held(bench, made(1), made(2, PatientID="P2"))
    assert (bench.study().finding, bench.study().state) == (Finding.MIXED, State.OPEN)


def test_steps_that_are_over_match_nothing(bench: Bench) -> None:
    from isocenter.workflow.worklist.states import State as StepState

    entry = bench.order()
    with bench.archive.database.writing() as connection:
        bench.worklist.set_state(connection, [entry.id], StepState.CANCELLED)
    held(bench)
    assert bench.study().finding is Finding.NONE


@pytest.mark.req("I-ACT-32", "I-TWF-09")
def test_a_match_may_wait_for_a_persons_word(tmp_path: Path, sqlite_url: str) -> None:
    with held_archives.running(tmp_path, sqlite_url, review=True) as bench:
        bench.order()
        held(bench)
        assert (bench.study().state, bench.archive.rows("instance")) == (State.REVIEW, [])
        bench.desk.release(bench.study().id, WHO)
        bench.settle()
        (model,) = bench.archived()
        assert value(model, "PatientName") == "Doe^Janet"
        decision = bench.study().decision
        assert decision is not None
        assert (decision.how, decision.actor, decision.source) == ("chosen", "tester", "own")


@pytest.mark.req("I-TWF-06", "I-ACT-33")
def test_a_person_chooses_among_several(bench: Bench) -> None:
    bench.order()
    bench.order("TWO", {"ScheduledProcedureStepID": "S2"}, AccessionNumber="A2")
    held(bench)
    study = bench.study()
    place = next(n for n, each in enumerate(study.candidates) if value(each.model, "AccessionNumber") == "A2")
    bench.desk.choose(study.id, place, WHO, extra=attribute("AdmissionID", "V77"))
    bench.settle()
    (model,) = bench.archived()
    assert (value(model, "AccessionNumber"), value(model, "AdmissionID")) == ("A2", "V77")


@pytest.mark.req("I-ACT-33", "I-TWF-09")
def test_a_person_types_the_values_in(bench: Bench) -> None:
    held(bench)
    bench.desk.type_in(bench.study().id, attribute("PatientID", "P9") | attribute("PatientName", "Ørsted^Åse"), WHO)
    bench.settle()
    (model,) = bench.archived()
    assert (value(model, "PatientID"), value(model, "PatientName")) == ("P9", "Ørsted^Åse")
    assert [row.patient_id for row in bench.archive.rows("patient")] == ["P9"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"0020000E": {"vr": "UI", "Value": ["1.2"]}},
        {"7FE00010": {"vr": "OW", "InlineBinary": "AAAA"}},
        {"00100010": {"vr": "LO", "Value": ["x"]}},
        {"00100020": None},
        {"00100020": {"vr": "LO", "Value": ["x" * 65]}},
        {"nonsense": {"vr": "LO", "Value": ["x"]}},
    ],
)
def test_what_may_not_be_typed_in_is_refused_and_nothing_changes(bench: Bench, changes: dict[str, Any]) -> None:
    held(bench)
    with pytest.raises(Refused):
        bench.desk.type_in(bench.study().id, changes, WHO)
    assert (bench.study().state, bench.study().decision) == (State.OPEN, None)


def test_another_patient_of_the_item_leaves_nothing_of_the_former_one(tmp_path: Path, sqlite_url: str) -> None:
    with held_archives.running(tmp_path, sqlite_url, match=("AccessionNumber",), needed=(), agree=()) as bench:
        bench.order(PatientID="P5", PatientSex="", PatientBirthDate="")
        sent = made(1, AccessionNumber="A1", PatientSex="M", PatientBirthDate="19500101", EthnicGroup="x")
        held(bench, sent)
        (model,) = bench.archived()
    assert value(model, "PatientID") == "P5"
    assert (value(model, "PatientSex"), value(model, "PatientBirthDate")) == ("", "")
    assert "00100040" in model
    assert "00102160" not in model
    assert "00102160" in model["04000561"]["Value"][0]["04000550"]["Value"][0]


def test_the_study_uid_may_be_the_worklists(tmp_path: Path, sqlite_url: str) -> None:
    with held_archives.running(tmp_path, sqlite_url, study_uid="worklist", leave=("StudyDescription",)) as bench:
        bench.order()
        held(bench)
        (model,) = bench.archived()
        assert [row.study_uid for row in bench.archive.rows("study")] == [f"{ROOT}.77"]
    assert value(model, "StudyDescription") == "Thorax"


def test_rejected_studies_are_kept_aside_and_what_comes_later_too(bench: Bench) -> None:
    one, two = made(1), made(2)
    held(bench, one)
    bench.desk.reject(bench.study().id, WHO)
    bench.settle()
    held(bench, two)
    assert sorted(bench.archive.set_aside()) == sorted(("reconciliation-rejected", each.data) for each in (one, two))
    assert bench.kept() == bench.archive.rows("instance") == []
    assert [row.reason for row in bench.archive.rows("exception")] == ["reconciliation-rejected"] * 2


def test_what_comes_later_follows_the_decision(bench: Bench) -> None:
    bench.order()
    held(bench, made(1))
    with bench.archive.database.writing() as connection:
        bench.worklist.remove(connection, [each.id for each in bench.worklist.of_patient(connection, "\\P1")])
    held(bench, made(2), made(1))
    assert [value(model, "PatientName") for model in bench.archived()] == ["Doe^Janet"] * 2
    assert (bench.study().handed, bench.kept()) == (3, [])
    assert len(bench.archive.rows("instance_version")) == 0  # the second copy of the first is the first


def test_another_patients_objects_do_not_follow_it(bench: Bench) -> None:
    bench.order()
    held(bench, made(1))
    held(bench, made(2, PatientID="P2"))
    assert (bench.study().state, bench.study().finding, len(bench.kept())) == (State.OPEN, Finding.MIXED, 1)
    bench.desk.reject(bench.study().id, WHO)
    bench.settle()
    assert (len(bench.archived()), len(bench.archive.set_aside())) == (1, 1)


def test_a_decided_study_can_be_reopened(bench: Bench) -> None:
    held(bench, made(1))
    bench.desk.reject(bench.study().id, WHO)
    bench.settle()
    bench.desk.reopen(bench.study().id, WHO)
    held(bench, made(2))
    assert (bench.study().state, len(bench.kept())) == (State.OPEN, 1)
    bench.desk.release(bench.study().id, WHO)
    bench.settle()
    assert len(bench.archived()) == 1


def test_the_same_object_twice_is_held_once(bench: Bench) -> None:
    bench.archive.send(made(1), made(1))
    assert len(bench.kept()) == 1


def test_two_objects_of_one_uid_are_both_kept(bench: Bench) -> None:
    one, other = made(1), made(1, pixels=b"\1\2" * 32)
    held(bench, one, other)
    bench.desk.release(bench.study().id, WHO)
    bench.settle()
    kept = [row.digest for table in ("instance", "instance_version") for row in bench.archive.rows(table)]
    assert sorted(kept) == sorted((one.digest, other.digest))


def test_an_ae_that_takes_no_second_object_refuses_it(tmp_path: Path, sqlite_url: str) -> None:
    with held_archives.running(tmp_path, sqlite_url, duplicates="reject") as bench:
        bench.archive.send(made(1))
        assert bench.archive.status(made(1, pixels=b"\1\2" * 32)) == 0x0111
        assert len(bench.kept()) == 1


def test_objects_of_no_patient_do_not_wait(bench: Bench) -> None:
    from non_patient_objects import palette

    sent = palette()
    assert bench.archive.status(sent) != 0
    assert (len(bench.archive.set_aside()), bench.kept()) == (1, [])


def test_released_as_it_is_every_byte_is_as_it_was(bench: Bench) -> None:
    sent = made(1)
    held(bench, sent)
    bench.desk.release(bench.study().id, WHO)
    bench.settle()
    (row,) = bench.archive.rows("instance")
    with bench.archive.store.open(row.store_key) as stored:
        assert digest_of(stored, row.offset) == sent.digest
    assert row.source_aet == "TESTER"


def test_decisions_are_in_the_audit_trail_and_the_journal(bench: Bench) -> None:
    held(bench)
    bench.desk.type_in(bench.study().id, attribute("PatientName", "Roe^Jane"), WHO)
    with bench.archive.database.reading() as connection:
        told = connection.execute(select(tables.audit)).all()
    (row,) = [row for row in told if row.event == "reconcile.released"]
    assert row.actor == "tester"
    assert all(text in row.detail for text in ("Roe^Jane", "Doe^Jane", "the slip says so", study_uid()))
    (record,) = [one for one in bench.archive.store.journal() if one["kind"] == "reconciliation"]
    assert (record["study_uid"], record["state"]) == (study_uid(), "released")


def test_a_decision_is_made_once(bench: Bench) -> None:
    held(bench)
    number = bench.study().id
    bench.desk.release(number, WHO)
    for again in (bench.desk.release, bench.desk.reject):
        with pytest.raises(Refused):
            again(number, WHO)
    with pytest.raises(Refused):
        bench.desk.choose(number + 1, 0, WHO)


def test_a_person_may_ask_the_worklist_with_wildcards(bench: Bench) -> None:
    from isocenter.workflow.reconciling.matching import asked_by_hand

    bench.order("TWO", PatientID="P2", PatientName="Doering^Max")
    held(bench)
    study = bench.study()
    found = reconciled(bench).search(bench.archive.settings.aes[0], asked_by_hand({"PatientName": "do*"}))
    bench.desk.offer(study.id, found)
    bench.desk.choose(study.id, 0, WHO)
    bench.settle()
    assert [value(model, "PatientID") for model in bench.archived()] == ["P2"]


def reconciled(bench: Bench) -> Any:
    """The worklists of the bench."""
    from isocenter.exchange.peers import Peers
    from isocenter.workflow.reconciling.worklists import Worklists

    return Worklists(bench.archive.database, Peers(bench.archive.settings))


def test_two_values_are_compared_side_by_side(bench: Bench) -> None:
    from isocenter.workflow.reconciling.comparing import compared

    bench.order()
    bench.order("TWO", AccessionNumber="A2", PatientName="doe^jane")
    held(bench)
    rows = {row["attribute"]: row for row in compared(bench.study())}
    assert rows["PatientID"]["same"] == [True, True]
    assert rows["PatientName"] | {"attribute": ""} == {
        "attribute": "", "study": "Doe^Jane", "candidates": ["Doe^Janet", "doe^jane"], "same": [False, True],
    }  # fmt: skip
    assert rows["AccessionNumber"]["candidates"] == ["A1", "A2"]


def test_an_order_that_comes_while_a_study_is_looked_for_is_found(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from isocenter.workflow.reconciling.worklists import Worklists

    real = Worklists.candidates

    def slowly(*given: Any) -> Any:
        found = real(*given)
        if not found:
            bench.order()
            while bench.following.step():
                pass
        return found

    monkeypatch.setattr(Worklists, "candidates", slowly)
    held(bench)
    assert bench.study().finding is Finding.MATCHED
