"""Changes of the stored AEs and peers, each one transaction that raises their version by one.

Before it is committed a change is in the store's journal (`recorded`), so that it outlives the index.

What is stored is checked as the file is. What the settings name is not changed here: it would come back with the next
start, or hide what is stored.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection

from isocenter.config import Entry, HostedAE, Kind, Peer, Settings, assigned, entry, unassigned
from isocenter.database import Database
from isocenter.errors import ConfigurationError
from isocenter.registry import recorded, stored
from isocenter.registry.roster import Row, named, titles_of
from isocenter.store.api import Store


class Changed(NamedTuple):
    """What a change did: the row as it is now, or as it was before it was removed, and the version that it made."""

    row: Row
    version: int


class _Change(NamedTuple):
    """A transaction under way, the version that it makes, and its time in microseconds UTC."""

    connection: Connection
    version: int
    at: int


class Registry:
    """The stored AEs and peers of an installation, to be changed. `clock` gives seconds since 1970.

    What changes them raises Retriable, and changes nothing, where the journal can't be written.
    """

    def __init__(
        self, database: Database, store: Store, settings: Settings, clock: Callable[[], float] = time.time
    ) -> None:
        self._database, self._store, self._clock = database, store, clock
        self._own, self._http_port = titles_of(settings), settings.http_port

    def add(self, kind: Kind, title: str, host: str, words: Sequence[str]) -> Changed:
        """A new row, of words such as `port=104`. ConfigurationError where there is one of this title (and host)."""
        values: dict[str, Any] = {"title": title, **({"host": host} if host else {})}
        with self._transaction() as change:
            found, told = self._checked(kind, assigned(kind, values, words))
            self._refuse_settings(kind, found.title)
            row = _row(kind, found, told, change.at)
            _refuse_twice(change.connection, row)
            self._write(change, row, found, told, over=None)
        return Changed(row, change.version)

    def set(self, kind: Kind, title: str, host: str | None, words: Sequence[str], unset: Sequence[str]) -> Changed:
        """Other values for some keys of a row, and the defaults for those of `unset`. The row's title stays.

        A row of the AE that is hosted by default comes into being where it isn't there yet.
        """
        with self._transaction() as change:
            self._refuse_settings(kind, title)
            default = kind == "ae" and title == HostedAE().title
            before = _the_row(change.connection, kind, title, host, default=default)
            values = unassigned(kind, before.values or {}, unset)
            found, told = self._checked(kind, assigned(kind, {**values, "title": title}, words))
            if found.title != title:
                raise ConfigurationError("title: it stays; add another one and remove this one")
            row = _row(kind, found, told, change.at)
            known = before.changed_at >= 0
            if not known or row.host != before.host:
                _refuse_twice(change.connection, row)
            self._write(change, row, found, told, over=before if known else None)
        return Changed(row, change.version)

    def remove(self, kind: Kind, title: str, host: str | None) -> Changed:
        """Delete a row, also one that is passed over or can't be read."""
        with self._transaction() as change:
            if not any(row.kind == kind and row.title == title for row in stored.read(change.connection).rows):
                self._refuse_settings(kind, title)
            row = _the_row(change.connection, kind, title, host)
            stored.erase(change.connection, row)
            self._store.append_journal(recorded.record(change.version, change.at, row, None))
        return Changed(row, change.version)

    @contextmanager
    def _transaction(self) -> Iterator[_Change]:
        at = int(self._clock() * 1_000_000)
        with self._database.writing() as connection:
            yield _Change(connection, stored.advance(connection, at), at)

    def _write(self, change: _Change, row: Row, found: Entry, told: dict[str, Any], *, over: Row | None) -> None:
        columns = stored.columns(found, told, change.at)
        stored.write(change.connection, row.kind, columns, over=over)
        self._store.append_journal(recorded.record(change.version, change.at, row, columns, over=over))

    def _checked(self, kind: Kind, values: dict[str, Any]) -> tuple[Entry, dict[str, Any]]:
        """The struct, and what was said of it in the types of its fields."""
        found = entry(kind, values, origin=f"{kind} {values['title']!r}")
        if isinstance(found, HostedAE) and self._http_port in found.ports and self._http_port:
            # stored, it would keep the server from starting
            raise ConfigurationError(f"ae.ports: {self._http_port} is the HTTP port")
        return found, _of_keys(msgspec.to_builtins(found), values)

    def _refuse_settings(self, kind: Kind, title: str) -> None:
        if title in self._own[kind]:
            raise ConfigurationError(f"{kind} {title!r} comes from the settings (`config show`): change it there")


def _of_keys(values: dict[str, Any], keys: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _of_keys(values[key], below) if isinstance(below, dict) else values[key] for key, below in keys.items()
    }


def _row(kind: Kind, found: Entry, told: dict[str, Any], at: int) -> Row:
    return Row(kind, found.title, found.host if isinstance(found, Peer) else "", told, at)


def _refuse_twice(connection: Connection, row: Row) -> None:
    if any((r.kind, r.title, r.host) == (row.kind, row.title, row.host) for r in stored.read(connection).rows):
        raise ConfigurationError(f"{row.kind} {named(row)} is there already")


def _the_row(connection: Connection, kind: Kind, title: str, host: str | None, *, default: bool = False) -> Row:
    """The row that is meant; `host` None where there should be one only. One that isn't there yet was changed at -1."""
    titled = [row for row in stored.read(connection).rows if row.kind == kind and row.title == title]
    meant = [row for row in titled if host is None or row.host == host]
    if not meant and default:
        return Row(kind, title, "", {}, -1)
    if not meant:
        raise ConfigurationError(f"there is no {kind} {title!r}{f' at {host}' if host else ''} in the database")
    if len(meant) > 1:
        hosts = ", ".join(row.host or "any host" for row in meant)
        anywhere = "" if all(row.host for row in meant) else f", or {title}@ for the one at any host"
        raise ConfigurationError(f"{kind} {title!r} is there more than once ({hosts}): say {title}@HOST{anywhere}")
    return meant[0]
