"""The databases that these tests use."""

from databases import any_database, any_url, postgresql_url, sqlite_url

__all__ = ["any_database", "any_url", "postgresql_url", "sqlite_url"]
