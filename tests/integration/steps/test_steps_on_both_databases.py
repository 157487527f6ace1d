"""What two associations do to one step at once, and the whole life of a step, on SQLite and PostgreSQL."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

import archives
from archives import ROOT
from isocenter.database import Database
from isocenter.dimse import Response
from isocenter.workflow.steps.steps import Steps
from isocenter.workflow.worklist.entries import Worklist
from isocenter.workflow.worklist.states import State
from procedure_steps import Delivering, Modality, Ris, ae_of, begun, ended, of_order, report, taking
from steps_worklist import scheduled

UID = f"{ROOT}.95"


def _at_once(*works: Callable[[], Response]) -> list[int]:
    barrier, found = threading.Barrier(len(works)), list[int]()

    def run(work: Callable[[], Response]) -> None:
        barrier.wait()
        found.append(work().status)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(found)


def test_one_of_two_wins(tmp_path: Path, any_url: str) -> None:
    """Two N-CREATEs of one instance, then two N-SETs that end it: one each is done, the other told why not."""
    with archives.running(tmp_path, any_url) as archive, Modality(archive) as one, Modality(archive) as other:
        for n in range(5):
            uid = f"{UID}.{n}"
            made = _at_once(partial(one.create, uid, begun()), partial(other.create, uid, begun()))
            assert made == [0, 0x0111]
            ends = [ended("COMPLETED"), ended("DISCONTINUED")]
            assert _at_once(partial(one.set, uid, ends[0]), partial(other.set, uid, ends[1])) == [0, 0x0110]


class Deadlock(Exception):
    """What PostgreSQL says to the one that gives way."""

    sqlstate = "40P01"


def test_a_transaction_that_gives_way_to_another_is_done_again(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with archives.running(tmp_path, sqlite_url) as archive, Modality(archive) as modality:
        whole, left = type(archive.database).writing, [3]

        def writing(database: Database) -> AbstractContextManager[Connection]:
            left[0] -= 1
            if left[0] >= 0:
                raise OperationalError("UPDATE", {}, Deadlock())
            return whole(database)

        monkeypatch.setattr(type(archive.database), "writing", writing)
        assert modality.create(UID, begun()).status == 0
        left[0] = 99
        assert modality.set(UID, ended()).status == 0x0110


def test_the_whole_life_of_a_step(tmp_path: Path, any_url: str) -> None:
    peer = Ris()
    ae = ae_of(mpps={"forward": ["RIS"], "notify": ["RIS"], "coercion": True})
    with taking(peer), archives.running(tmp_path, any_url, ae=ae, peers=[peer.peer]) as archive:
        entry = scheduled(archive, "A1", "S1")
        assert report(archive, UID, begun(**of_order("A1", "S1")), ended()) == [0, 0]
        assert set(Delivering(archive).all()) == {"delivered"}
        steps = Steps(archive.database)
        with archive.database.writing() as connection:
            (step,) = steps.of_study(connection, archives.study_uid())
            assert Worklist(archive.database).of_ids(connection, [entry.id])[0].state is State.COMPLETED
            assert steps.merge_patients(connection, "\\P1", "ISS\\P2", {}) == [step.id]
            steps.give(connection, [step.id], "\\P1", {})
            assert steps.of_entry(connection, entry.id)[0].identity == "\\P1"
    assert sorted(peer.told) == ["create", "event 1", "event 2", "set"]
