"""Databases for the services' tests."""

from databases import sqlite_url

__all__ = ["sqlite_url"]
