"""Databases for the tests of the departmental workflow."""

from databases import any_url, postgresql_url, sqlite_url

__all__ = ["any_url", "postgresql_url", "sqlite_url"]
