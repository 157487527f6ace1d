"""When a study is complete, as the change feed tells it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from archives import Running, made, running, series_uid, sop_uid, study_uid
from isocenter.archive.deletion import Deletions
from isocenter.database import changes
from isocenter.index.writer import LocalWriter
from isocenter.workflow import completeness
from isocenter.workflow.completeness import State
from isocenter.workflow.notices import following, requests
from isocenter.workflow.notices.availability import StepView
from notified_peers import Work, settings_of

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
