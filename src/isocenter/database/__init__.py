"""Engines for SQLite and PostgreSQL, the write lock, migrations and the change feed."""

from isocenter.database.connection import Database, nothing_to_wait_for, open
from isocenter.database.schema import check_schema, migrate

__all__ = ["Database", "check_schema", "migrate", "nothing_to_wait_for", "open"]
