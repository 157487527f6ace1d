"""What is held survives an end of the program between any two steps, a lost database, and an index made anew."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

import held_archives
from archives import Object, made
from held_archives import WHO, Bench, attribute, value
from isocenter.archive.ingest import Reception
from isocenter.dicom.part10 import Receipt
from isocenter.index import rebuild, tables
from isocenter.index.adoption import Assumed
from isocenter.store.filesystem import FilesystemStore
from isocenter.workflow.reconciling import adopting, rows
from isocenter.workflow.reconciling.states import State
from isocenter.workflow.reconciling.tables import held_instance, held_study

OBJECTS = (made(1), made(2), made(3, series=2))


class Killed(BaseException):
    """The program ends here."""


@pytest.fixture
def bench(tmp_path: Path, sqlite_url: str) -> Iterator[Bench]:
    with held_archives.running(tmp_path, sqlite_url) as made_one:
        yield made_one


def sent(bench: Bench, *objects: Object) -> None:
    bench.archive.send(*objects or OBJECTS)


def ends(what: Any, name: str, *, after: bool, at: int, patch: pytest.MonkeyPatch) -> None:
    """The call number `at` of `what.name` ends the program, once, before it begins or after it is done."""
    real: Callable[..., Any] = getattr(what, name)
    calls = iter(range(1000))

    def call(*args: Any, **kwargs: Any) -> Any:
        last = next(calls) == at
        if last and not after:
            raise Killed
        result = real(*args, **kwargs)
        if last:
            raise Killed
        return result

    patch.setattr(what, name, call)


STEPS = [
    (Reception, "finish", 0),
    (Reception, "finish", 2),
    (rows, "mark_handed", 0),
    (FilesystemStore, "remove", 0),
    (FilesystemStore, "remove", 2),
    (rows, "drop", 0),
]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("what", "name", "at"), STEPS)
@pytest.mark.req("I-ACT-34", "I-TWF-09")
def test_handing_over_can_end_anywhere(bench: Bench, what: Any, name: str, at: int, after: bool) -> None:
    bench.order()
    sent(bench)
    with pytest.MonkeyPatch.context() as patch:
        ends(what, name, after=after, at=at, patch=patch)
        with pytest.raises(Killed):
            bench.settle()
    bench.again()
    study = bench.study()
    assert (study.state, bench.kept()) == (State.RELEASED, [])
    assert sorted(row.sop_uid for row in bench.archive.rows("instance")) == sorted(each.sop_uid for each in OBJECTS)
    assert {value(model, "PatientName") for model in bench.archived()} == {"Doe^Janet"}
    assert bench.archive.rows("instance_version") == bench.archive.rows("conflict") == []
    assert len(bench.archive.set_aside()) == 0


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("what", "name", "at"), [(FilesystemStore, "set_aside", 1), (rows, "mark_handed", 0)])
def test_rejecting_can_end_anywhere(bench: Bench, what: Any, name: str, at: int, after: bool) -> None:
    sent(bench)
    bench.settle()
    bench.desk.reject(bench.study().id, WHO)
    with pytest.MonkeyPatch.context() as patch:
        ends(what, name, after=after, at=at, patch=patch)
        with pytest.raises(Killed):
            bench.settle()
    bench.again()
    assert bench.kept() == bench.archive.rows("instance") == []
    assert sorted(data for _, data in bench.archive.set_aside()) == sorted(each.data for each in OBJECTS)


@pytest.mark.parametrize("name", ["change", "decision_text"])
def test_a_decision_that_was_not_committed_is_none(bench: Bench, name: str) -> None:
    sent(bench)
    bench.settle()
    with pytest.MonkeyPatch.context() as patch:
        ends(rows, name, after=False, at=0, patch=patch)
        with pytest.raises(Killed):
            bench.desk.release(bench.study().id, WHO)
    assert (bench.study().state, bench.study().decision) == (State.OPEN, None)
    bench.settle()
    assert bench.archive.rows("instance") == []


def forget(bench: Bench) -> None:
    """As a database that knows nothing of what is held."""
    with bench.archive.database.writing() as connection:
        connection.execute(delete(held_instance))
        connection.execute(delete(held_study))


def assume(_receipt: Receipt) -> Assumed:
    return Assumed()


def test_a_database_that_is_made_anew_knows_what_is_held_and_what_was_decided(bench: Bench) -> None:
    sent(bench)
    sent(bench, made(1, study=2, PatientID="P2"))
    bench.settle()
    first, second = bench.studies()
    bench.desk.type_in(first.id, attribute("PatientName", "Roe^Jane"), WHO)
    forget(bench)
    assert adopting.adopt(bench.held, bench.archive.database, titles=["TWF"], assume=assume) == 4
    known = {study.study_uid: study for study in bench.studies()}
    assert known[first.study_uid].state is State.RELEASED
    assert known[second.study_uid].state is State.ARRIVING
    bench.settle()
    assert {value(model, "PatientName") for model in bench.archived()} == {"Roe^Jane"}
    assert len(bench.kept()) == 1
    assert adopting.adopt(bench.held, bench.archive.database, titles=["TWF"], assume=assume) == 0


def test_a_held_file_that_no_row_knows_is_held_again_once(bench: Bench) -> None:
    sent(bench, made(1))
    with bench.archive.database.writing() as connection:
        connection.execute(delete(held_instance))
    sent(bench, made(1))
    assert len(bench.kept()) == 2
    assert adopting.adopt(bench.held, bench.archive.database, titles=["TWF"], assume=assume) == 0
    assert len(bench.kept()) == 1


def test_what_can_not_be_read_is_set_aside(bench: Bench) -> None:
    sent(bench, made(1))
    (key,) = bench.kept()
    with bench.held.open(key) as stored:
        path = Path(stored.path)
        header = stored.pread(600, 0)
    path.chmod(0o600)
    path.write_bytes(header[:300])
    forget(bench)
    assert adopting.adopt(bench.held, bench.archive.database, titles=["TWF"], assume=assume) == 0
    assert (bench.kept(), len(bench.archive.set_aside())) == ([], 1)


def test_a_held_file_that_is_not_what_was_received_does_not_go_to_the_archive(bench: Bench) -> None:
    sent(bench)
    bench.settle()
    key = bench.kept()[0]
    with bench.held.open(key) as stored:
        path = Path(stored.path)
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\xff")
    bench.desk.release(bench.study().id, WHO)
    bench.settle()
    assert (len(bench.archived()), bench.kept()) == (2, [])
    assert [reason for reason, _ in bench.archive.set_aside()] == ["cannot-understand"]


def test_an_index_that_is_made_anew_does_not_show_what_is_held(bench: Bench) -> None:
    bench.order()
    sent(bench, made(1))
    bench.settle()
    sent(bench, made(1, study=2, PatientID="P2"))
    bench.settle()
    before = bench.archive.rows("instance")
    assert len(before) == 1
    report = rebuild.rebuild(bench.archive.store, bench.archive.database)
    assert report.verdicts.total() == 1
    assert [row.store_key for row in bench.archive.rows("instance")] == [before[0].store_key]
    assert [study.state for study in bench.studies()] == [State.RELEASED, State.OPEN]
    assert len(bench.kept()) == 1


def test_a_backup_has_what_is_held(bench: Bench, tmp_path: Path) -> None:
    from isocenter.config import Settings
    from isocenter.server.backup import backup, restore
    from isocenter.server.reconciling import held_store

    sent(bench)
    settings = Settings(data=bench.archive.settings.data, free_space_floor=0)
    backup(settings, tmp_path / "copy")
    elsewhere = Settings(data=tmp_path / "elsewhere", free_space_floor=0)
    restored = restore(elsewhere, tmp_path / "copy")
    assert (restored.objects, restored.missing) == (0, 0)
    held = held_store(elsewhere)
    assert sorted(held.keys()) == bench.kept()
    assert held.archive_id == bench.held.archive_id
    held.close()


def test_what_a_lost_database_had_held_is_held_again_at_the_start(bench: Bench, tmp_path: Path) -> None:
    from isocenter import database
    from isocenter.config import HostedAE, Settings
    from isocenter.server import places, startup
    from isocenter.server.backup import backup, restore

    sent(bench)
    backup(Settings(data=bench.archive.settings.data, free_space_floor=0), tmp_path / "copy")
    aes = (HostedAE(), HostedAE(title="TWF", role="reconcile"))
    elsewhere = Settings(data=tmp_path / "elsewhere", aes=aes, free_space_floor=0)
    restore(elsewhere, tmp_path / "copy")
    for part in elsewhere.data.glob("index.db*"):
        part.unlink()
    store = places.open_store(elsewhere)
    with store.exclusive():
        startup.prepare(elsewhere, store)
    store.close()
    opened = database.open(elsewhere.database_url)
    with opened.reading() as connection:
        (study,) = rows.listed(connection, ae="TWF")
        assert rows.waiting(connection, [study.id]) == {study.id: (3, 2)}
        assert connection.execute(tables.instance.select()).all() == []
    opened.close()
