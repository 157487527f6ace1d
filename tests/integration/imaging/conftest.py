"""Databases for archives whose pixels are looked at."""

from databases import sqlite_url

__all__ = ["sqlite_url"]
