"""Prepared statements behave as SQLAlchemy's own: values, rows, errors, the transaction they are in."""

import pytest
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from isocenter.database import Database
from isocenter.database.prepared import Prepared
from isocenter.database.tables import archive

INSERT = Prepared(insert(archive).inline(), "name", "value")
RETURNING = Prepared(insert(archive).returning(archive.c.value), "name", "value")
FIND = Prepared(select(archive.c.name, archive.c.value).where(archive.c.value == bindparam("wanted")))
RENAME = Prepared(update(archive).where(archive.c.name == bindparam("wanted"), archive.c.value != "kept"), "value")


def test_rows_are_written_and_found(any_database: Database) -> None:
    with any_database.writing() as connection:
        INSERT.run(connection, [{"name": "one", "value": "é%s?"}, {"name": "two", "value": "é%s?"}])
        assert RETURNING.first(connection, name="three", value="kept") == ("kept",)
    with any_database.reading() as connection:
        assert sorted(FIND.rows(connection, wanted="é%s?")) == [("one", "é%s?"), ("two", "é%s?")]
        assert FIND.first(connection, wanted="nothing") is None


def test_an_update_tells_how_many_and_keeps_its_own_values(any_database: Database) -> None:
    with any_database.writing() as connection:
        INSERT.run(connection, [{"name": "one", "value": "kept"}, {"name": "two", "value": "old"}])
        assert RENAME.run(connection, [{"wanted": "one", "value": "new"}]) == 0
        assert RENAME.run(connection, [{"wanted": "two", "value": "new"}]) == 1


def test_what_is_written_goes_with_its_transaction(any_database: Database) -> None:
    def fail() -> None:
        with any_database.writing() as connection:
            INSERT.run(connection, [{"name": "one", "value": "lost"}])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with any_database.reading() as connection:
        assert FIND.rows(connection, wanted="lost") == []


def test_errors_are_those_of_sqlalchemy_and_hold_no_values(any_database: Database) -> None:
    def twice() -> None:
        with any_database.writing() as connection:
            INSERT.run(connection, [{"name": "one", "value": "secret"}])
            RETURNING.rows(connection, name="one", value="secret")

    with pytest.raises(IntegrityError) as wrong:
        twice()
    assert wrong.value.params is None
    missing = Prepared(select(archive.c.name.label("x")).where(archive.c.value.op("->!")(bindparam("wanted")) == "1"))
    with any_database.reading() as connection, pytest.raises((ProgrammingError, OperationalError)):
        missing.rows(connection, wanted="1")
