"""Compression as jobs: when they come about, when they are due, and that they can be stopped."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from archives import Running, made, running, study_uid
from compressing_archives import J2K, image, work
from isocenter.database import changes
from isocenter.dicom import uids
from isocenter.imaging.engine import Engine
from isocenter.jobs import Again, Queue, Runner
from isocenter.jobs.queue import State
from isocenter.jobs.runner import Running as Job
from isocenter.lifecycle.compressing import now
from isocenter.lifecycle.working import FOLLOWING, KIND, Following, enqueue

MINUTE = 60_000_000


@pytest.fixture
def archive(tmp_path: Path, sqlite_url: str) -> Iterator[Running]:
    with running(tmp_path, sqlite_url) as made_one:
        yield made_one


def jobs(archive: Running) -> list[State]:
    return Queue(archive.database).states(kind=KIND)


def syntaxes(archive: Running) -> list[str]:
    return [row.syntax for row in archive.rows("instance")]


def run_one(archive: Running, queue: Queue, handler: object) -> None:
    assert Runner(queue, {KIND: handler}).run_once()  # type: ignore[dict-item]


@pytest.mark.req("M-STORE-03")
def test_what_is_received_gets_a_job_once_there_are_rules(archive: Running) -> None:
    archive.send(made(1, study=1))
    queue = Queue(archive.database)
    following = Following(archive.database, queue, delay=60.0)
    following.step()
    assert jobs(archive) == [], "what was there before is left to `compress run`"
    archive.send(made(1, study=2), made(2, study=2), made(1, study=3))
    following.step()
    assert [queue.payload(each.id)["study"] for each in jobs(archive)] == [study_uid(3), study_uid(2)]
    assert all(each.due_at > now() + MINUTE // 2 for each in jobs(archive))
    again = Following(archive.database, queue, delay=60.0)
    again.step()
    archive.send(made(3, study=2))
    again.step()
    assert len(jobs(archive)) == 2, "after a restart it goes on where it was; a study has one job that waits"


def test_jobs_and_place_in_the_feed_are_written_together(archive: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(archive.database)
    following = Following(archive.database, queue, delay=0.0)
    archive.send(made(1))
    with monkeypatch.context() as patched:
        patched.setattr(changes, "acknowledge", _fails)
        with pytest.raises(RuntimeError):
            following.step()
    assert jobs(archive) == []
    following.step()
    assert len(jobs(archive)) == 1


def _fails(*_: object) -> None:
    raise RuntimeError


def test_it_follows_as_a_job_of_its_own(archive: Running) -> None:
    queue = Queue(archive.database)
    following = Following(archive.database, queue, delay=0.0)
    number = queue.enqueue(FOLLOWING, unique_key=FOLLOWING)
    archive.send(made(1))
    assert Runner(queue, {FOLLOWING: following.handle}).run_once()
    assert len(jobs(archive)) == 1
    state = queue.state(number)
    assert state is not None
    assert state.state == "waiting", "it comes back"


def test_a_study_is_left_alone_until_it_has_settled(archive: Running, engine: Engine) -> None:
    archive.send(image(1), image(2))
    arrived = max(row.received_at for row in archive.rows("instance"))
    queue = Queue(archive.database)
    number = enqueue(queue, study_uid())
    at = [arrived + MINUTE // 2]
    worker = work(archive, engine, {**J2K, "settled": 60}, clock=lambda: at[0])
    run_one(archive, queue, worker.handle)
    assert syntaxes(archive) == [uids.EXPLICIT_LE] * 2
    state = queue.state(number)
    assert state is not None
    assert (state.state, state.progress) == ("waiting", "0 compressed, 0 left, 2 waiting, 0 bytes saved")
    assert 0 < state.due_at - now() <= MINUTE // 2
    at[0] = arrived + MINUTE
    queue.restart(number)
    run_one(archive, queue, worker.handle)
    assert syntaxes(archive) == [uids.JPEG_2000_LOSSLESS] * 2
    assert [each.state for each in jobs(archive)] == ["done"]


def test_each_rule_has_its_own_age(archive: Running, engine: Engine) -> None:
    archive.send(image(1, Modality="CT"), image(2, series=2, Modality="MR"))
    arrived = max(row.received_at for row in archive.rows("instance"))
    queue = Queue(archive.database)
    enqueue(queue, study_uid())
    rules = [{**J2K, "modalities": ["CT"], "settled": 0}, {"to": "JPEGLSLossless", "settled": 0, "age": 3600}]
    run_one(archive, queue, work(archive, engine, *rules, clock=lambda: arrived + MINUTE).handle)
    assert sorted(syntaxes(archive)) == [uids.EXPLICIT_LE, uids.JPEG_2000_LOSSLESS]
    (state,) = jobs(archive)
    assert state.state == "waiting"
    assert 58 * MINUTE < state.due_at - now() <= 59 * MINUTE


class _Stopping(Job):
    """A job that is told, once an object is done, to stop or that the program ends."""

    def __init__(self, archive: Running, queue: Queue, *, cancel: bool) -> None:
        leased = queue.lease([KIND], "test", 60)
        assert leased is not None
        super().__init__(leased, queue)
        self._archive, self._cancel = archive, cancel

    @property
    def _done(self) -> bool:
        return uids.JPEG_2000_LOSSLESS in syntaxes(self._archive)

    def cancelled(self) -> bool:
        return self._cancel and self._done

    @property
    def stopping(self) -> bool:
        return not self._cancel and self._done


@pytest.mark.parametrize("cancel", [True, False], ids=["cancelled", "the server stops"])
def test_it_stops_between_two_objects_and_goes_on(archive: Running, engine: Engine, cancel: bool) -> None:
    archive.send(image(1), image(2), image(3))
    queue = Queue(archive.database)
    enqueue(queue, study_uid(), at_once=True)
    handle = work(archive, engine, J2K).handle
    result = handle(_Stopping(archive, queue, cancel=cancel))
    assert result == (None if cancel else Again(0.0)), "a stopped one comes back"
    assert sorted(syntaxes(archive)) == [uids.EXPLICIT_LE, uids.EXPLICIT_LE, uids.JPEG_2000_LOSSLESS]
    enqueue(queue, study_uid(), at_once=True)
    run_one(archive, queue, handle)
    assert syntaxes(archive) == [uids.JPEG_2000_LOSSLESS] * 3


def test_without_rules_a_job_has_nothing_to_do(archive: Running, engine: Engine) -> None:
    archive.send(image(1))
    queue = Queue(archive.database)
    enqueue(queue, study_uid())
    run_one(archive, queue, work(archive, engine).handle)
    assert [each.state for each in jobs(archive)] == ["done"]
    enqueue(queue, study_uid(), to="JPEGLSLossless", at_once=True)
    run_one(archive, queue, work(archive, engine).handle)
    assert syntaxes(archive) == [uids.JPEG_LS_LOSSLESS], "but what the job itself asks for"
