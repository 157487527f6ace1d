"""New studies of an archive AE that are looked for in a worklist: corrected by edits, on one confident match alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import archives
import held_archives
from archives import keys, made, study_uid
from edited_archives import editor, located, wado
from held_archives import WHO, Bench, attribute, value
from isocenter.archive.edits.making import Who
from isocenter.dicom.dataset import string_of
from isocenter.workflow.reconciling.overview import Overview
from isocenter.workflow.reconciling.states import Finding, Place, State
from procedure_steps import Modality, begun


@pytest.fixture
def bench(tmp_path: Path, sqlite_url: str) -> Iterator[Bench]:
    with held_archives.running(tmp_path, sqlite_url, title="ARCHIVE", role="archive", worklists=("own",)) as made_one:
        yield made_one


def stored(bench: Bench, *objects: Any) -> None:
    """Send them, and let the jobs run."""
    bench.archive.send(*objects or (made(1),))
    bench.settle()


def found(bench: Bench, keyword: str) -> str:
    """The value that a query at study level gets of the only study."""
    from isocenter.dicom.dictionary import tag_of

    tag = tag_of(keyword)
    assert tag is not None
    answers = bench.archive.find(keys("STUDY", StudyInstanceUID=study_uid(), **{keyword: ""}))
    return string_of(answers[0][1], tag)


@pytest.mark.req("I-REC-01", "I-REC-03", "I-PID-05")
def test_a_new_study_takes_over_what_its_order_says(tmp_path: Path, any_url: str) -> None:
    with held_archives.running(tmp_path, any_url, title="ARCHIVE", role="archive", worklists=("own",)) as bench:
        bench.order()
        stored(bench, made(1), made(2, series=2, Modality="SR"))
        study = bench.study()
        assert (study.place, study.state, study.finding) == (Place.ARCHIVE, State.RELEASED, Finding.MATCHED)
        assert [found(bench, each) for each in ("PatientName", "AccessionNumber")] == ["Doe^Janet", "A1"]
        (first, second) = located(bench.archive.database)
        data = wado(bench.archive.store, first)
        assert string_of(data, 0x00100010) == "Doe^Janet"
        former = data[0x04000561].value[0][0x04000550].value[0]  # type: ignore[index]
        assert string_of(former, 0x00100010) == "Doe^Jane"
        assert 0x00400275 in data
        assert 0x00400275 not in wado(bench.archive.store, second)
        with bench.archive.store.open(first.store_key) as opened:
            assert opened.pread(first.size, first.offset) == made(1).data
        made_edits = bench.archive.rows("edit")
        assert {each.actor for each in made_edits} == {"isocenter"}
        for each in reversed(made_edits):
            editor(bench.archive).revert(each.uid, Who("tester"))
        assert found(bench, "PatientName") == "Doe^Jane"


def test_nothing_changes_without_one_confident_match(bench: Bench) -> None:
    bench.order()
    bench.order("TWO", {"ScheduledProcedureStepID": "S2"})
    stored(bench)
    assert (bench.study().state, bench.study().finding) == (State.OPEN, Finding.SEVERAL)
    assert found(bench, "PatientName") == "Doe^Jane"
    bench.desk.choose(bench.study().id, 0, WHO)
    bench.settle()
    assert found(bench, "PatientName") == "Doe^Janet"


def test_it_is_off_unless_worklists_are_named(tmp_path: Path, sqlite_url: str) -> None:
    with held_archives.running(tmp_path, sqlite_url, title="ARCHIVE", role="archive") as bench:
        bench.order()
        stored(bench)
        assert (bench.studies(), found(bench, "PatientName")) == ([], "Doe^Jane")


def test_a_study_is_looked_for_once(bench: Bench) -> None:
    bench.order()
    stored(bench)
    editor(bench.archive).revert(bench.archive.rows("edit")[-1].uid, Who("tester"))
    before = found(bench, "PatientName")
    stored(bench, made(2))
    assert found(bench, "PatientName") == before
    assert len(bench.studies()) == 1


def test_an_order_that_comes_after_the_study_is_found_too(bench: Bench) -> None:
    stored(bench)
    assert bench.study().finding is Finding.NONE
    bench.order()
    bench.settle()
    assert (bench.study().state, found(bench, "PatientName")) == (State.RELEASED, "Doe^Janet")


def test_another_patients_order_moves_the_study(tmp_path: Path, sqlite_url: str) -> None:
    wanted = {"match": ("AccessionNumber",), "needed": ("AccessionNumber",), "agree": ()}
    with held_archives.running(
        tmp_path, sqlite_url, title="ARCHIVE", role="archive", worklists=("own",), **wanted
    ) as bench:
        bench.order(PatientID="P5")
        stored(bench, made(1, AccessionNumber="A1"))
        assert [row.patient_id for row in bench.archive.rows("patient")] == ["P5"]
        assert [each.kind for each in bench.archive.rows("edit")].count("move-study") == 1


def test_values_typed_in_become_edits_and_rejecting_leaves_the_study_alone(bench: Bench) -> None:
    stored(bench)
    bench.desk.type_in(bench.study().id, attribute("AccessionNumber", "A7"), WHO)
    bench.settle()
    assert found(bench, "AccessionNumber") == "A7"
    stored(bench, made(1, study=2, PatientID="P2"))
    (_, second) = bench.studies()
    bench.desk.reject(second.id, WHO)
    bench.settle()
    assert len(bench.archive.rows("study")) == 2
    assert value(second.model, "PatientID") == "P2"


@pytest.mark.req("X-RIS-32")
def test_steps_that_nothing_was_scheduled_for_are_listed_beside(tmp_path: Path, sqlite_url: str) -> None:
    with archives.running(tmp_path, sqlite_url) as archive, Modality(archive) as modality:
        order = {"ScheduledStepAttributesSequence>AccessionNumber": "NOSUCH"}
        assert modality.create(f"{archives.ROOT}.900", begun(**order)).status == 0
        (told,) = Overview(archive.database).steps()
    assert [told[each] for each in ("patient_id", "accession", "modality")] == ["P1", "NOSUCH", "CT"]
    assert told["sop_uid"] == f"{archives.ROOT}.900"
