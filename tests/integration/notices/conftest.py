"""Databases for tests of notifications."""

from databases import any_url, postgresql_url, sqlite_url

__all__ = ["any_url", "postgresql_url", "sqlite_url"]
