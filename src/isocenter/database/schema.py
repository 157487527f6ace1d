"""The schema's version: bringing a database to ours, and refusing one that is newer.

Alembic is imported only where there is something to do: a start on an up-to-date schema reads one row.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, make_url, text

from isocenter.database.connection import Database, open
from isocenter.errors import ConfigurationError

REVISIONS = (
    *("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008"),
    *("0009", "0010", "0011", "0012", "0013", "0014", "0015", "0016"),
    "0018",
)
"""Every revision under `migrations/versions`, oldest first."""
HEAD = REVISIONS[-1]
_ADVISORY_LOCK = 0x15_0C_E7_E2
"""Held while a PostgreSQL schema is migrated, so that nodes which start together take turns."""


def migrate(url: str | Path) -> None:
    """Bring the database at `url` to this program's schema, from nothing or from any released one.

    Raises ConfigurationError if the schema is newer than the program.
    """
    database = open(url, pool_size=1)
    try:
        if _current(database) != HEAD:
            with database.writing() as connection:
                _upgrade(connection)
    finally:
        database.close()


def check_schema(url: str | Path) -> None:
    """Raise ConfigurationError unless the schema at `url` is exactly ours. No file is made where there is none."""
    if (path := _absent(url)) is not None:
        raise ConfigurationError(f"database: there is no {path}; name the index, if it is elsewhere")
    database = open(url, pool_size=1)
    try:
        current = _current(database)
    finally:
        database.close()
    if current != HEAD:
        raise ConfigurationError(f"database: its schema is {current or 'missing'}, this program needs {HEAD}; migrate")


def _absent(url: str | Path) -> Path | None:
    """The file of an SQLite database that is not there."""
    found = make_url(url) if isinstance(url, str) and "://" in url else None
    if found is not None and (found.get_backend_name() != "sqlite" or not found.database):
        return None
    path = Path(found.database or "") if found is not None else Path(url)
    return None if path.exists() else path


def _current(database: Database) -> str:
    """The revision recorded in the database, '' for an empty one."""
    with database.reading() as connection:
        return revision(connection)


def revision(connection: Connection) -> str:
    """The revision that `connection` sees, '' if there is no schema. Raises ConfigurationError for an unknown one."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    found: str = connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or ""
    if found and found not in REVISIONS:
        raise ConfigurationError(
            f"database: its schema ({found}) is newer than this program ({HEAD}); start the newer program"
        )
    return found


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    if revision(connection) == HEAD:
        return  # another node was faster
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
