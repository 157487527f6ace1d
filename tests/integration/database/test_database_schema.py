"""Migrations on both databases: from nothing, again, equal to the tables, refused when newer, cheap when current."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from isocenter import database
from isocenter.errors import ConfigurationError
from isocenter.index.tables import metadata
from isocenter.workflow import tables as workflow_tables  # noqa: F401  (declares the tables)


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
    """Where there is no file yet, none is made."""
    with pytest.raises(ConfigurationError, match=r"missing|there is no"):
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


def test_from_the_first_schema(empty_url: str) -> None:
    from alembic import command
    from alembic.config import Config

    opened = database.open(empty_url)
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with opened.writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text("INSERT INTO ae (title, settings) VALUES ('OLD', '{\"title\": \"OLD\"}')"))
    with pytest.raises(ConfigurationError, match="0001"):
        database.check_schema(empty_url)
    database.migrate(empty_url)
    database.check_schema(empty_url)
    with opened.reading() as connection:
        assert connection.execute(text("SELECT version FROM registry")).scalar() == 0
        assert connection.execute(text("SELECT title, changed_at FROM ae")).all() == [("OLD", 0)]
    opened.close()
