"""The change feed: in order, nothing missed, nothing twice, however transactions interleave."""

from contextlib import ExitStack

import pytest

from isocenter.database import Database, changes


def _sops(found: list[changes.Change]) -> list[str]:
    return [change.sop_uid for change in found]


def test_rows_come_in_order_and_once(any_database: Database) -> None:
    with any_database.writing() as connection:
        for n in range(5):
            changes.append(connection, "stored", n, sop_uid=f"1.{n}", store_key="k")
    with any_database.reading() as connection:
        first = changes.read(connection, limit=3)
        rest = changes.read(connection, first[-1].position)
        assert changes.end(connection) == rest[-1].position
    assert _sops(first) + _sops(rest) == [f"1.{n}" for n in range(5)]
    assert first[0].kind == "stored"
    assert first[0].at == 0


def test_a_consumer_goes_on_where_it_was(any_database: Database) -> None:
    with any_database.writing() as connection:
        changes.append(connection, "stored", 1)
        changes.append(connection, "stored", 2)
    with any_database.reading() as connection:
        assert changes.position(connection, "routing") == changes.START
        (first, second) = changes.read(connection)
    for one in (first, second):
        with any_database.writing() as connection:
            changes.acknowledge(connection, "routing", one.position)
    with any_database.reading() as connection:
        assert changes.position(connection, "routing") == second.position
        assert changes.read(connection, second.position) == []


def test_a_change_that_is_rolled_back_never_was(any_database: Database) -> None:
    def change_and_fail() -> None:
        with any_database.writing() as connection:
            changes.append(connection, "stored", 1)
            raise KeyError

    with pytest.raises(KeyError):
        change_and_fail()
    with any_database.reading() as connection:
        assert changes.read(connection) == []


def test_pruning_keeps_the_newest(any_database: Database) -> None:
    with any_database.writing() as connection:
        for n in range(4):
            changes.append(connection, "stored", n)
    with any_database.writing() as connection:
        assert changes.prune(connection, 100) == 3
    with any_database.writing() as connection:
        changes.append(connection, "stored", 4)
    with any_database.reading() as connection:
        assert [change.at for change in changes.read(connection)] == [3, 4]


def test_two_transactions_interleaved(any_database: Database) -> None:
    """Whatever the order of sequence numbers and commits, a reader that never goes back sees every row once."""
    if any_database.dialect == "sqlite":
        pytest.skip("SQLite has one writer: transactions can't interleave")
    seen: list[str] = []
    place = changes.START

    def consume() -> None:
        nonlocal place
        with any_database.reading() as connection:
            for change in changes.read(connection, place):
                seen.append(change.sop_uid)
                place = change.position

    with ExitStack() as early, ExitStack() as late:
        a = early.enter_context(any_database.writing())
        b = late.enter_context(any_database.writing())
        changes.append(a, "stored", 1, sop_uid="a1")
        changes.append(b, "stored", 2, sop_uid="b1")
        changes.append(a, "stored", 3, sop_uid="a2")
        late.close()
        consume()
        assert seen == [], "b is committed, but a, which is older, may still add rows before it"
        changes.append(a, "stored", 4, sop_uid="a3")
        early.close()
        consume()
    assert seen == ["a1", "a2", "a3", "b1"]


def test_an_older_transaction_with_a_later_number(any_database: Database) -> None:
    if any_database.dialect == "sqlite":
        pytest.skip("SQLite has one writer: transactions can't interleave")
    with ExitStack() as early, ExitStack() as late:
        a = early.enter_context(any_database.writing())
        b = late.enter_context(any_database.writing())
        changes.append(b, "stored", 1, sop_uid="b1")  # b is older, a gets the later number and commits first
        changes.append(a, "stored", 2, sop_uid="a1")
        early.close()
        with any_database.reading() as connection:
            assert changes.read(connection) == []
        late.close()
    with any_database.reading() as connection:
        assert _sops(changes.read(connection)) == ["b1", "a1"]


def test_on_sqlite_a_second_writer_waits(any_database: Database) -> None:
    if any_database.dialect == "postgresql":
        pytest.skip("PostgreSQL lets transactions interleave")
    import threading

    inside, begun = threading.Event(), threading.Event()

    def second() -> None:
        begun.set()
        with any_database.writing() as connection:
            inside.set()
            changes.append(connection, "stored", 2, sop_uid="b")

    with any_database.writing() as connection:
        thread = threading.Thread(target=second)
        thread.start()
        assert begun.wait(5)
        changes.append(connection, "stored", 1, sop_uid="a")
        assert not inside.is_set()
    thread.join(10)
    with any_database.reading() as connection:
        assert _sops(changes.read(connection)) == ["a", "b"]
