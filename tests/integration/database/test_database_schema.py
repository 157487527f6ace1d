"""Migrations on both databases: from nothing, again, equal to the tables, refused when newer, cheap when current."""

import subprocess
import sys

import pytest
from sqlalchemy import text

from isocenter import database
from isocenter.errors import ConfigurationError
from isocenter.index.tables import metadata


def test_from_nothing_and_again(empty_url: str) -> None:
    database.migrate(empty_url)
    database.migrate(empty_url)
    database.check_schema(empty_url)


def test_migrations_equal_the_tables(empty_url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    database.migrate(empty_url)
    opened = database.open(empty_url)
    with opened.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    opened.close()
    if opened.dialect == "sqlite":  # that index is PostgreSQL's
        differences = [d for d in differences if "ix_change_transaction" not in repr(d)]
    assert differences == []


def test_an_empty_database_is_refused_by_the_check(empty_url: str) -> None:
    with pytest.raises(ConfigurationError, match="missing"):
        database.check_schema(empty_url)


def test_a_newer_schema_is_refused(any_url: str) -> None:
    opened = database.open(any_url)
    with opened.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    opened.close()
    for refused in (database.migrate, database.check_schema):
        with pytest.raises(ConfigurationError, match="newer"):
            refused(any_url)


def test_a_start_on_a_current_schema_does_without_alembic(any_url: str) -> None:
    program = (
        "import sys; from isocenter import database; database.migrate(sys.argv[1]);"
        "print([m for m in ('alembic', 'mako') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, any_url], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
