"""Databases for the worklist's tests."""

from databases import any_url, empty_url, postgresql_url, sqlite_url

__all__ = ["any_url", "empty_url", "postgresql_url", "sqlite_url"]
