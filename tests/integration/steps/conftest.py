"""Databases for the tests of performed procedure steps."""

from databases import any_url, postgresql_url, sqlite_url

__all__ = ["any_url", "postgresql_url", "sqlite_url"]
