"""When a study is complete, as the change feed tells it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import web_archive
from archives import CT, Running, made, running, series_uid, sop_uid, study_uid
from isocenter.archive.deletion import Deletions
from isocenter.database import changes
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, encode, items_of, sequence, string_of, text, uid
from isocenter.dimse import ProposedContext
from isocenter.index.writer import LocalWriter
from isocenter.workflow import completeness
from isocenter.workflow.completeness import State
from isocenter.workflow.notices import following, performed, requests
from isocenter.workflow.notices.availability import StepView
from isocenter.workflow.steps.steps import Steps
from notified_peers import Told, Work, listening, settings_of

DONE = StepView("1.2.3", True, frozenset([series_uid()]), frozenset([sop_uid(1), sop_uid(2)]))
OPEN = DONE._replace(sop_uid="1.2.4", ended=False)
VAGUE = StepView("1.2.5", True, frozenset([series_uid()]), vague=True)


@contextmanager
def looked_after(
    folder: Path, url: str, *, steps: Any = (), by_steps: bool = False, **rule: Any
) -> Iterator[tuple[Running, Work]]:
    with running(folder, url) as archive:
        settings = settings_of(archive, completeness={"always": True, "steps": by_steps, **rule})
        yield archive, Work(archive, settings, steps=lambda *_: steps)


def completed(archive: Running) -> list[str]:
    with archive.database.reading() as connection:
        return [each.study_uid for each in changes.read(connection) if each.kind == "complete"]


def state(archive: Running, study: int = 1) -> State | None:
    with archive.database.reading() as connection:
        return completeness.state_of(connection, study_uid(study))


def test_a_study_is_complete_once_nothing_came_for_a_while_and_again_after_more(tmp_path: Path, any_url: str) -> None:
    with looked_after(tmp_path, any_url) as (archive, work):
        archive.send(made(1), made(2), made(1, study=2))
        work.later(59).follow()
        assert completed(archive) == []
        work.later(1).follow()
        assert sorted(completed(archive)) == [study_uid(1), study_uid(2)]
        found = state(archive)
        assert found is not None
        assert (found.instances, found.times) == (2, 1)
        work.later(600).follow()
        assert len(completed(archive)) == 2
        archive.send(made(3))
        work.follow().later(60).follow()
        assert sorted(completed(archive)) == [study_uid(1), study_uid(1), study_uid(2)]
        found = state(archive)
        assert found is not None
        assert (found.instances, found.times) == (3, 2)


def test_the_same_object_again_is_nothing_new(tmp_path: Path, sqlite_url: str) -> None:
    with looked_after(tmp_path, sqlite_url) as (archive, work):
        archive.send(made(1))
        work.later(60).follow()
        archive.send(made(1))
        work.follow().later(60).follow()
        assert completed(archive) == [study_uid()]


def test_a_study_that_comes_again_after_it_was_deleted_is_a_new_one(tmp_path: Path, sqlite_url: str) -> None:
    with looked_after(tmp_path, sqlite_url) as (archive, work):
        archive.send(made(1), made(2))
        work.later(60).follow()
        writer = LocalWriter(archive.database)
        Deletions(archive.database, archive.store, writer).delete(study_uid())
        writer.close()
        work.follow()
        assert state(archive) is None
        archive.send(made(1))
        work.follow().later(60).follow()
        found = state(archive)
        assert found is not None
        assert (found.instances, found.times, len(completed(archive))) == (1, 1, 2)


def test_steps_that_have_ended_make_it_complete_as_soon_as_all_is_here(tmp_path: Path, sqlite_url: str) -> None:
    with looked_after(tmp_path, sqlite_url, steps=[DONE], by_steps=True) as (archive, work):
        archive.send(made(1))
        work.later(100).follow()
        assert completed(archive) == [], "one that the step names is missing"
        archive.send(made(2))
        work.follow().later(5).follow()
        assert completed(archive) == [study_uid()]


@pytest.mark.parametrize(("steps", "after"), [([OPEN], 5400), ([VAGUE], 60), ([], 60)])
def test_steps_that_say_nothing_yet(tmp_path: Path, sqlite_url: str, steps: list[StepView], after: int) -> None:
    with looked_after(tmp_path, sqlite_url, steps=steps, by_steps=True) as (archive, work):
        archive.send(made(1), made(2))
        work.follow().later(after - 10).follow()
        assert completed(archive) == []
        work.later(10).follow()
        assert completed(archive) == [study_uid()]


def test_a_step_that_ends_is_looked_at_once(tmp_path: Path, sqlite_url: str) -> None:
    steps = [OPEN]
    with looked_after(tmp_path, sqlite_url, steps=steps, by_steps=True) as (archive, work):
        archive.send(made(1), made(2))
        work.follow().later(10).follow()
        steps[0] = OPEN._replace(ended=True)
        with archive.database.writing() as connection:
            changes.append(connection, "step-completed", work.clock(), study_uid=study_uid(), sop_uid="1.2.4")
        work.follow()
        assert completed(archive) == [study_uid()]


def test_the_end_of_a_request(tmp_path: Path, any_url: str) -> None:
    with looked_after(tmp_path, any_url, request=True) as (archive, work):
        archive.send(made(1), made(1, study=2))
        requests.ended(archive.database, [study_uid()], work.clock)
        work.follow()
        work.follow()
        assert completed(archive) == [study_uid()]
        archive.send(made(2))
        work.follow().later(5).follow()
        assert completed(archive) == [study_uid()], "that one came by itself"
        work.later(60).follow()
        assert sorted(completed(archive)) == [study_uid(1), study_uid(1), study_uid(2)]


def test_the_end_of_a_request_whose_objects_are_not_followed_yet(tmp_path: Path, sqlite_url: str) -> None:
    with looked_after(tmp_path, sqlite_url, request=True) as (archive, work):
        requests.ended(archive.database, [study_uid()], work.clock)
        work.following.fire()
        archive.send(made(1))
        work.later(1).follow()
        work.follow()
        assert completed(archive) == [study_uid()]
        requests.ended(archive.database, [study_uid(7)], work.clock)
        work.follow().later(5).follow()
        with archive.database.reading() as connection:
            assert connection.execute(following.study_timer.select()).all() == [], "of a study that never came"


def test_nobody_looks_after_studies_any_more(tmp_path: Path, sqlite_url: str) -> None:
    with looked_after(tmp_path, sqlite_url) as (archive, work):
        archive.send(made(1))
        work.follow()
        following.forget(archive.database)
        following.forget(archive.database)
        archive.send(made(1, study=2))
        again = Work(archive, work.settings, ahead=600_000_000)
        archive.send(made(1, study=3))
        again.follow()
        assert completed(archive) == [study_uid(3)]


# --- with what the steps and the web say


def test_a_study_with_a_step_of_its_modality(tmp_path: Path, any_url: str) -> None:
    """From the first message of the modality to the notification, which names the step."""
    told = Told()
    with listening(told), running(tmp_path, any_url, peers=[told.peer]) as archive:
        notice = [{"kind": "availability", "to": ["TOLD"]}]
        settings = settings_of(archive, completeness={"steps": True}, notice=notice)
        work = Work(archive, settings, steps=performed.views(Steps(archive.database)))
        with archive.connect(ProposedContext(MPPS, (uids.EXPLICIT_LE,))) as association:
            assert association.n_create(MPPS, "1.2.3", encoded(BEGUN)).status in (0, 0x0107, 0x0116)
            archive.send(made(1), made(2))
            work.later(200).all()
            assert told.messages == [], "it is in progress"
            assert association.n_set(MPPS, "1.2.3", encoded(ended(sop_uid(1), sop_uid(2), sop_uid(3)))).status == 0
            work.later(200).all()
            assert told.messages == [], "one is missing"
        archive.send(made(3))
        work.follow().later(4).all()
        (message,) = told.messages
        (step,) = items_of(message.data, 0x00081111)
        assert string_of(step, 0x00081155) == "1.2.3"
        assert sorted(message.instances) == [sop_uid(1), sop_uid(2), sop_uid(3)]


MPPS = uids.MODALITY_PERFORMED_PROCEDURE_STEP
BEGUN: DataSet = {
    0x00080060: text("CS", "CT"),
    0x00400241: text("AE", "CT1"),
    0x00400244: text("DA", "20260101"),
    0x00400245: text("TM", "1200"),
    0x00400252: text("CS", "IN PROGRESS"),
    0x00400253: text("SH", "PP1"),
    0x00400270: sequence({0x0020000D: uid(study_uid())}),
    0x00400340: sequence(),
}


def ended(*instances: str) -> DataSet:
    images = ({0x00081150: uid(CT), 0x00081155: uid(each)} for each in instances)
    series: DataSet = {
        0x00080054: text("AE", "ISOCENTER"),
        0x0008103E: text("LO", ""),
        0x00081050: text("PN", ""),
        0x00081070: text("PN", ""),
        0x00081140: sequence(*images),
        0x00181030: text("LO", "Thorax"),
        0x0020000E: uid(series_uid()),
        0x00400220: sequence(),
    }
    return {
        0x00400250: text("DA", "20260101"),
        0x00400251: text("TM", "1230"),
        0x00400252: text("CS", "COMPLETED"),
        0x00400340: sequence(series),
    }


def encoded(data: DataSet) -> bytes:
    return encode(dict(sorted(data.items())), uids.EXPLICIT_LE)


def test_a_request_over_the_web_is_told_only_where_all_was_stored(tmp_path: Path) -> None:
    whole: list[frozenset[str]] = []
    archive = web_archive.Archive(tmp_path)
    archive.context = replace(archive.context, stored_whole=whole.append)
    first, second = web_archive.image(1, study="a"), web_archive.image(1, study="b")
    try:
        with web_archive.served(archive) as client:
            assert web_archive.send(client, first, second).status_code == 200
            assert whole == [{first.StudyInstanceUID, second.StudyInstanceUID}]
            others = web_archive.image(2, study="a"), web_archive.image(2, study="b")
            body = web_archive.multipart([web_archive.part10(each) for each in others])
            answer = client.post(f"/studies/{first.StudyInstanceUID}", content=body, headers=web_archive.STOW)
            assert answer.status_code == 202, "one is of another study"
            assert len(whole) == 1
    finally:
        archive.close()
