"""What a start makes of an index that is not the store's, or is no index."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import func, select

from filed_archive import Archive
from isocenter import database
from isocenter.config import HostedAE, Peer, Settings
from isocenter.declarations.workitem import GLOBAL
from isocenter.dicom.part10 import Receipt
from isocenter.index import tables
from isocenter.index.rebuild import Assumed
from isocenter.registry.changing import Registry
from isocenter.server import assumed, places, startup, workitems
from isocenter.server.banner import banner
from isocenter.server.ports import Listeners
from isocenter.workflow.workitems import keying, models
from isocenter.workflow.workitems.events import Receiver
from isocenter.workflow.workitems.matching import Query
from isocenter.workflow.workitems.matching import page as search_page
from isocenter.workflow.worklist.entries import Worklist
from workitem_models import asked


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation with five objects, stopped."""
    made = Settings(data=tmp_path / "data")
    places.make_data_folder(made)
    store = places.open_store(made)
    with store.exclusive():
        startup.prepare(made, store)
        with closing(database.open(made.database_url)) as index:
            archive = Archive(store, index)
            for n in range(5):
                archive.receive(1, n)
            archive.writer.close()
        startup.note_stop(made, store)
        store.close()
    return made


def started(settings: Settings) -> int:
    """Prepare a start; how many objects it adopted."""
    store = places.open_store(settings)
    with store.exclusive():
        return int(startup.prepare(settings, store)["adopted"])


def instances(settings: Settings) -> int:
    """How many instances the index holds."""
    with closing(database.open(settings.database_url)) as index, index.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(tables.instance)).scalar_one())


def damaged(settings: Settings) -> list[str]:
    """What was put aside."""
    return sorted(path.name.rpartition("-")[0] for path in settings.data.glob("index.db.damaged-*"))


def test_after_a_clean_stop_nothing_is_compared(settings: Settings) -> None:
    assert started(settings) == 0
    assert instances(settings) == 5


@pytest.mark.parametrize("content", [b"no database at all" * 1000, b"SQLite format 3\0" + b"\xa5" * 8000])
def test_a_file_that_is_no_database_is_put_aside(settings: Settings, content: bytes) -> None:
    places.sqlite_file(settings).write_bytes(content)
    assert started(settings) == 5
    assert instances(settings) == 5
    assert damaged(settings) == ["index.db.damaged"]


def test_the_workflow_is_taken_out_of_a_damaged_file(settings: Settings) -> None:
    """What lies on pages that can be read: the archive's rows are made from the store, these are nowhere else."""
    with closing(database.open(settings.database_url)) as index, index.writing() as connection:
        worklist = Worklist(index)
        for number in range(400):
            worklist.put(connection, f"order {number}", item(number))
        connection.exec_driver_sql("DELETE FROM archive WHERE name = 'last-stop'")
    with closing(sqlite3.connect(places.sqlite_file(settings))) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with closing(database.open(settings.database_url)) as index, index.reading() as connection:
        page_size = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
        pages = "SELECT pageno FROM dbstat WHERE name = 'instance'"
        archive = [row[0] for row in connection.exec_driver_sql(pages)]
        leaf = "SELECT pageno FROM dbstat WHERE name = 'worklist_item' AND pagetype = 'leaf' ORDER BY pageno"
        worklist_pages = [row[0] for row in connection.exec_driver_sql(leaf)]
    broken = [*archive, worklist_pages[len(worklist_pages) // 2]]
    with places.sqlite_file(settings).open("r+b") as pages_of:
        for page in broken:
            pages_of.seek((page - 1) * page_size)
            pages_of.write(b"\xa5" * page_size)
    assert started(settings) == 5
    assert instances(settings) == 5
    assert "index.db.damaged" in {name.partition("-")[0] for name in damaged(settings)}
    with closing(database.open(settings.database_url)) as index, index.reading() as connection:
        left = Worklist(index).of_patient(connection, "\\P1")
        assert 350 < len(left) < 400, "but for one page"
        numbers = {int(entry.order_key.split()[1]) for entry in left}
        assert {0, 1, 398, 399} <= numbers
        (entry,) = Worklist(index).of_order(connection, "order 399")
        assert entry.model["00100010"] == item(399)["00100010"]


@pytest.mark.parametrize("readable", [True, False])
def test_work_items_of_a_damaged_file_are_found_and_their_subscribers_told(settings: Settings, readable: bool) -> None:
    """What could be taken over is a warm start to those who are told; where nothing could, it is a cold one."""
    notified = replace(settings, workitem=replace(settings.workitem, notify=("DESK",)))
    with closing(database.open(settings.database_url)) as index, index.writing() as connection:
        items = workitems.worklist(index, settings)
        items.create(connection, "2.25.1", models.canonical(asked(t00741202={"vr": "LO", "Value": ["EVENING"]})))
        items.subscriptions.subscribe(connection, GLOBAL, Receiver("WATCHER", "ISOCENTER", "::1", "web"), lock=False)
        connection.exec_driver_sql("DELETE FROM archive WHERE name = 'last-stop'")
        broken = [row[0] for row in connection.exec_driver_sql("SELECT pageno FROM dbstat WHERE name = 'instance'")]
        page_size = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
    with closing(sqlite3.connect(places.sqlite_file(settings))) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with places.sqlite_file(settings).open("r+b") as pages_of:
        for page in broken if readable else [1]:
            pages_of.seek((page - 1) * page_size)
            pages_of.write(b"\xa5" * page_size)
    assert started(notified) == 5
    with closing(database.open(settings.database_url)) as index:
        query = Query(keys=(((0x00741202,), "EVENING"),))
        assert [each.uid for each in search_page(index, query).found] == ["2.25.1"] * readable
        with index.reading() as connection:
            assert keying.complete(connection)
            (last,) = workitems.worklist(index, settings).events.waiting(connection, "DESK")
    kept = "WARM START" if readable else "COLD START"
    assert [last.model[tag]["Value"] for tag in ("00741244", "00741246")] == [[kept], [kept]]


def item(number: int) -> dict[str, Any]:
    return {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Müller^Jörg"}]},
        "00100020": {"vr": "LO", "Value": ["P1"]},
        "00080050": {"vr": "SH", "Value": [f"A{number}"]},
        "00400100": {"vr": "SQ", "Value": [{"00080060": {"vr": "CS", "Value": ["CT"]}}]},
    }


def test_an_empty_file_is_a_lost_index(settings: Settings) -> None:
    places.sqlite_file(settings).write_bytes(b"")
    assert started(settings) == 5
    assert damaged(settings) == []


def test_rows_that_were_lost_are_found_again(settings: Settings) -> None:
    """An index from before: the rows are gone, and so is its memory of the stop."""
    with closing(database.open(settings.database_url)) as index, index.writing() as connection:
        connection.exec_driver_sql("DELETE FROM instance WHERE sop_uid = '1.2.3.1.1.3'")
        connection.exec_driver_sql("DELETE FROM archive WHERE name = 'last-stop'")
    assert started(settings) == 1
    assert instances(settings) == 5
    assert damaged(settings) == []


def test_an_interrupted_rebuild_is_finished(settings: Settings) -> None:
    from isocenter.index.rebuild import rebuild

    def interrupt(done: int, _all: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with closing(database.open(settings.database_url)) as index, pytest.raises(KeyboardInterrupt):
        rebuild(places.open_store(settings), index, progress=interrupt)
    assert instances(settings) < 5
    started(settings)
    assert instances(settings) == 5


def change(settings: Settings, action: Callable[[Registry], object]) -> None:
    """Change the stored AEs and peers, while no server runs."""
    with (
        closing(database.open(settings.database_url)) as index,
        closing(places.open_store(settings)) as store,
    ):
        action(Registry(index, store, settings))


def lose(settings: Settings) -> None:
    """The index is gone."""
    places.sqlite_file(settings).unlink()


def damage(settings: Settings) -> None:
    """The index is no database any more."""
    places.sqlite_file(settings).write_bytes(b"SQLite format 3\0" + b"\xa5" * 8000)


def titles(settings: Settings) -> tuple[list[str], list[str]]:
    """Which AEs and peers a start finds."""
    store = places.open_store(settings)
    with store.exclusive():
        found = startup.with_registry(settings, startup.prepare(settings, store))
    return [ae.title for ae in found.aes], [peer.title for peer in found.peers]


@pytest.mark.parametrize("harm", [lose, damage])
@pytest.mark.req("M-SEC-05", "M-ARCH-06")
def test_stored_aes_and_peers_outlive_the_index(settings: Settings, harm: Callable[[Settings], None]) -> None:
    change(settings, lambda registry: registry.add("peer", "WS", "10.0.0.1", ["issuer=WARD"]))
    change(settings, lambda registry: registry.add("peer", "GONE", "10.0.0.2", []))
    change(settings, lambda registry: registry.add("ae", "CACHE", "", []))
    change(settings, lambda registry: registry.remove("peer", "GONE", None))
    assert titles(settings) == (["ISOCENTER", "CACHE"], ["WS"])
    harm(settings)
    assert titles(settings) == (["ISOCENTER", "CACHE"], ["WS"])
    assert instances(settings) == 5


def test_an_older_index_learns_of_later_changes(settings: Settings, tmp_path: Path) -> None:
    change(settings, lambda registry: registry.add("peer", "OLD", "", []))
    shutil.copy(places.sqlite_file(settings), tmp_path / "copy.db")
    change(settings, lambda registry: registry.remove("peer", "OLD", None))
    change(settings, lambda registry: registry.add("peer", "NEW", "", []))
    lose(settings)
    shutil.copy(tmp_path / "copy.db", places.sqlite_file(settings))
    with closing(places.open_store(settings)) as store:
        store.remove_pack("last-stop")  # as after a run of the server since the copy
    assert titles(settings)[1] == ["NEW"]


def test_they_come_back_without_any_object(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data")
    places.make_data_folder(settings)
    assert titles(settings) == (["ISOCENTER"], [])
    change(settings, lambda registry: registry.add("peer", "WS", "", []))
    lose(settings)
    assert titles(settings)[1] == ["WS"]


@pytest.mark.req("M-SEC-05")
def test_what_is_stored_of_a_sender_counts_for_what_is_adopted(settings: Settings) -> None:
    """An index that is made anew knows the peers again before the objects that depend on them."""
    change(settings, lambda registry: registry.add("peer", "SENDER", "127.0.0.1", ["issuer=WARD"]))
    lose(settings)
    assert started(settings) == 5
    with closing(database.open(settings.database_url)) as index, index.reading() as connection:
        issuers = connection.execute(select(tables.patient.c.issuer)).scalars().all()
    assert issuers == ["WARD"]


def test_assumptions_are_those_of_settings_and_database(settings: Settings) -> None:
    own = Settings(data=settings.data, aes=(HostedAE(title="FILED", character_set="ISO_IR 6"),))
    change(own, lambda registry: registry.add("peer", "CT1", "10.0.0.1", ["issuer=A", "character_set=ISO_IR 100"]))
    change(own, lambda registry: registry.add("peer", "CT1", "10.0.0.2", ["issuer=B"]))
    change(own, lambda registry: registry.add("ae", "CACHE", "", ["character_set=ISO_IR 144"]))

    with closing(database.open(own.database_url)) as index:
        assume = assumed.assumptions(own, index)
        assert assume(Receipt("CT1", "FILED", "10.0.0.1", 0, "")) == Assumed("A", "ISO_IR 100")
        assert assume(Receipt("CT1", "CACHE", "10.0.0.2", 0, "")) == Assumed("B", "ISO_IR 144")
        assert assume(Receipt("MR1", "GONE", "10.0.0.3", 0, "")) == Assumed("", "ISO_IR 6")


def test_the_banner_counts_what_is_stored(settings: Settings) -> None:
    known = replace(settings, dicom_policy="known-peers", peers=(Peer(title="CT1"),))
    change(known, lambda registry: registry.add("peer", "WS", "", []))
    change(known, lambda registry: registry.add("ae", "CACHE", "", []))
    store = places.open_store(known)
    with store.exclusive():
        prepared = startup.prepare(known, store)
    listeners = Listeners(None, None, 11112, 8042)  # type: ignore[arg-type]
    told = banner(startup.with_registry(known, prepared), listeners, None)
    assert "ISOCENTER, CACHE\n" in told
    assert "2 known peers" in told
