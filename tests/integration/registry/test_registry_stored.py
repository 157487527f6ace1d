"""Stored AEs and peers on both databases: each change raises the version, and what the settings name is theirs."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert, update
from sqlalchemy.exc import OperationalError

from isocenter import database
from isocenter.config import HostedAE, Peer, Settings
from isocenter.config.settings import ResponseLimits
from isocenter.database import Database
from isocenter.errors import ConfigurationError
from isocenter.registry import tables as stored_tables
from isocenter.registry.changing import Registry
from isocenter.registry.roster import Roster, merged
from isocenter.registry.stored import read
from isocenter.registry.watching import Watch
from isocenter.store.memory import MemoryStore

FILE = Settings(
    aes=(HostedAE(title="ARCHIVE"),), peers=(Peer(title="CT1", host="10.0.0.1"),), dicom_policy="known-peers"
)


def registry(opened: Database, settings: Settings | None = None) -> Registry:
    """To change what is stored, at a time that the test knows."""
    return Registry(opened, MemoryStore(), settings or Settings(), lambda: 1_700_000_000.0)


def roster(opened: Database, settings: Settings | None = None) -> Roster:
    """What holds now."""
    with opened.reading(snapshot=True) as connection:
        return merged(settings or Settings(), read(connection))


@pytest.mark.req("M-SEC-05")
def test_what_is_added_changed_and_removed(any_database: Database) -> None:
    change = registry(any_database)
    assert roster(any_database).version == 0
    assert change.add("peer", "WS", "10.0.0.7", ["port=11112", "allow=store,find"]).version == 1
    added = roster(any_database)
    assert added.version == 1
    assert added.settings.peers == (Peer(title="WS", host="10.0.0.7", port=11112, allow=("store", "find")),)
    assert change.set("peer", "WS", None, ["host=10.0.0.8", "port=104"], ["allow"]).version == 2
    assert roster(any_database).settings.peers == (Peer(title="WS", host="10.0.0.8"),)
    removed = change.remove("peer", "WS", "10.0.0.8")
    assert (removed.version, removed.row.title, removed.row.host) == (3, "WS", "10.0.0.8")
    assert roster(any_database).settings.peers == ()


def test_only_what_was_said_is_stored(any_database: Database) -> None:
    change = registry(any_database)
    change.add("ae", "CACHE", "", ["duplicates=replace", "responses.study=500"])
    with any_database.reading() as connection:
        (row,) = read(connection).rows
    assert row.values == {"title": "CACHE", "duplicates": "replace", "responses": {"study": 500}}
    assert row.changed_at == 1_700_000_000_000_000
    assert roster(any_database).settings.ae("CACHE") == HostedAE(
        title="CACHE", duplicates="replace", responses=ResponseLimits(study=500)
    )


@pytest.mark.req("M-ARCH-06")
def test_the_default_ae_stays_beside_others_and_gives_way_to_a_row_of_its_title(any_database: Database) -> None:
    change = registry(any_database)
    change.add("ae", "CACHE", "", [])
    assert [ae.title for ae in roster(any_database).settings.aes] == ["ISOCENTER", "CACHE"]
    change.set("ae", "ISOCENTER", None, ["case_sensitive=true"], [])
    change.set("ae", "ISOCENTER", None, ["relational=false"], [])
    assert roster(any_database).settings.aes == (
        HostedAE(case_sensitive=True, relational=False),
        HostedAE(title="CACHE"),
    )
    change.remove("ae", "ISOCENTER", None)
    assert roster(any_database).settings.aes[0] == HostedAE()


def test_what_the_settings_name_is_theirs(any_database: Database) -> None:
    change = registry(any_database, FILE)
    for action in (
        lambda: change.add("peer", "CT1", "10.0.0.2", []),
        lambda: change.set("peer", "CT1", None, ["port=1"], []),
        lambda: change.remove("peer", "CT1", None),
        lambda: change.add("ae", "ARCHIVE", "", []),
        lambda: change.remove("ae", "ARCHIVE", None),
    ):
        with pytest.raises(ConfigurationError, match="comes from the settings"):
            action()
    assert roster(any_database, FILE) == Roster(FILE)


def test_a_title_that_the_settings_came_to_name_later(any_database: Database) -> None:
    registry(any_database).add("peer", "CT1", "", [])
    registry(any_database).add("peer", "MR1", "10.0.0.3", [])
    found = roster(any_database, FILE)
    assert found.settings.peers == (*FILE.peers, Peer(title="MR1", host="10.0.0.3"))
    (note,) = found.notes
    assert (note.row.title, note.unreadable, found.unreadable) == ("CT1", False, frozenset())
    # it can be cleared away, though it does not count
    registry(any_database, FILE).remove("peer", "CT1", None)
    assert roster(any_database, FILE).notes == ()


def test_a_title_may_be_at_several_hosts_and_must_then_be_told_apart(any_database: Database) -> None:
    change = registry(any_database)
    change.add("peer", "WS", "10.0.0.1", [])
    change.add("peer", "WS", "10.0.0.2", [])
    for action in (
        lambda: change.add("peer", "WS", "10.0.0.1", ["port=1"]),
        lambda: change.set("peer", "WS", "10.0.0.1", ["host=10.0.0.2"], []),
    ):
        with pytest.raises(ConfigurationError, match="there already"):
            action()
    with pytest.raises(ConfigurationError, match="more than once"):
        change.remove("peer", "WS", None)
    change.remove("peer", "WS", "10.0.0.1")
    found = roster(any_database)
    assert (found.version, [peer.host for peer in found.settings.peers]) == (3, ["10.0.0.2"])
    # one at any host has a name too
    change.add("peer", "WS", "", [])
    with pytest.raises(ConfigurationError, match=r"any host.*say WS@HOST, or WS@ for the one at any host"):
        change.remove("peer", "WS", None)
    change.remove("peer", "WS", "")
    assert [peer.host for peer in roster(any_database).settings.peers] == ["10.0.0.2"]


def test_what_is_refused_changes_nothing(any_database: Database) -> None:
    change = registry(any_database)
    change.add("peer", "WS", "10.0.0.1", [])
    for action, told in (
        (lambda: change.add("peer", "A\\B", "", []), "title"),
        (lambda: change.add("peer", "X", "", ["addresses=nowhere"]), "addresses"),
        (lambda: change.set("peer", "WS", None, ["title=OTHER"], []), "title"),
        (lambda: change.set("peer", "WS", None, ["associations=0"], []), "associations"),
        (lambda: change.set("peer", "NOBODY", None, ["port=1"], []), "there is no peer"),
        (lambda: change.remove("ae", "WS", None), "there is no ae"),
    ):
        with pytest.raises(ConfigurationError, match=told):
            action()
    assert roster(any_database) == Roster(Settings(peers=(Peer(title="WS", host="10.0.0.1"),)), 1)


def test_changes_at_the_same_time_lose_nothing(any_url: str) -> None:
    faults: list[Exception] = []

    def add(number: int) -> None:
        try:
            opened = database.open(any_url, pool_size=1)
            try:
                for i in range(5):
                    registry(opened).add("peer", f"P{number}-{i}", "", [])
            finally:
                opened.close()
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    opened = database.open(any_url, pool_size=1)
    found = roster(opened)
    opened.close()
    assert (found.version, len(found.settings.peers)) == (20, 20)


@pytest.mark.parametrize("settings", ['{"title": "WS", "teleport": true}', "no JSON", "[1]", '{"title": "SW"}'])
def test_a_row_that_this_program_can_not_read_costs_that_row_alone(any_database: Database, settings: str) -> None:
    registry(any_database).add("peer", "CT1", "10.0.0.1", [])
    with any_database.writing() as connection:
        connection.execute(insert(stored_tables.peer).values(title="WS", host="", port=104, settings=settings))
    found = roster(any_database)
    assert [peer.title for peer in found.settings.peers] == ["CT1"]
    assert found.unreadable == {"WS"}
    assert found.notes[0].unreadable
    assert (
        "newer program" in found.notes[0].comment
        or "different things" in found.notes[0].comment
        or "JSON" in (found.notes[0].comment)
    )
    registry(any_database).remove("peer", "WS", None)
    assert roster(any_database).unreadable == frozenset()


class Clock:
    """Time that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_watch_sees_a_change_after_its_interval_or_when_it_is_asked_for(any_database: Database) -> None:
    clock = Clock()
    watch = Watch(Settings(), any_database, interval=0.5, clock=clock)
    first = watch.now()
    registry(any_database).add("peer", "WS", "10.0.0.1", [])
    clock.now += 0.4
    assert watch.now() is first
    clock.now += 0.2
    second = watch.now()
    assert [peer.title for peer in second.settings.peers] == ["WS"]
    clock.now += 10
    assert watch.now() is second
    registry(any_database).remove("peer", "WS", None)
    clock.now += 0.1
    assert watch.now() is second
    assert watch.now(fresh=True).settings.peers == ()


def test_while_the_database_can_not_be_read_what_was_known_holds(
    any_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    registry(any_database).add("peer", "WS", "10.0.0.1", [])
    watch = Watch(Settings(), any_database, clock=clock)
    known = watch.now()
    with monkeypatch.context() as patch:
        patch.setattr(any_database, "reading", _failing)
        clock.now += 10
        assert watch.now() is known
        assert watch.now(fresh=True) is known
        assert Watch(FILE, any_database, clock=clock).now().settings == FILE
    registry(any_database).set("peer", "WS", None, ["port=1"], [])
    clock.now += 10
    assert watch.now().settings.peers[0].port == 1


def _failing(**_: Any) -> Any:
    raise OperationalError("SELECT", {}, Exception("gone"))


def test_one_thread_looks_while_the_others_go_on(any_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    watch = Watch(Settings(), any_database, clock=clock)
    looking, go_on = threading.Event(), threading.Event()
    reading: Callable[..., Any] = any_database.reading

    def slow(**options: Any) -> Any:
        looking.set()
        assert go_on.wait(30)
        return reading(**options)

    monkeypatch.setattr(any_database, "reading", slow)
    clock.now += 1
    thread = threading.Thread(target=watch.now)
    thread.start()
    assert looking.wait(30)
    assert watch.now() is not None  # it would wait for ever otherwise
    go_on.set()
    thread.join(30)
    assert not thread.is_alive()


def test_a_version_alone_makes_a_new_look(any_database: Database) -> None:
    watch = Watch(Settings(), any_database, interval=0)
    registry(any_database).add("peer", "WS", "10.0.0.1", [])
    watch.now(fresh=True)
    with any_database.writing() as connection:
        connection.execute(update(stored_tables.peer).values(settings='{"title": "WS", "host": "10.0.0.1", "port": 7}'))
    assert watch.now(fresh=True).settings.peers[0].port == 104
    with any_database.writing() as connection:
        connection.execute(update(stored_tables.registry).values(version=9))
    assert watch.now(fresh=True).settings.peers[0].port == 7
