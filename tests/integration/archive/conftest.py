"""Databases for the archive's tests."""

from databases import sqlite_url

__all__ = ["sqlite_url"]
