"""Engines for SQLite and PostgreSQL, the write lock, migrations and the change feed."""

from isocenter.database.connection import Database, open
from isocenter.database.schema import check_schema, migrate

__all__ = ["Database", "check_schema", "migrate", "open"]
