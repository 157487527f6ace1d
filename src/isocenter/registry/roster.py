"""What holds where settings and database both speak of AEs and peers (docs/decisions/0005).

A title that the settings name (file, environment, command line) is theirs alone: rows of that title are passed over.
All other rows stand beside them. The AE that is hosted where nobody names one gives way to a row of its title.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from msgspec.structs import replace

from isocenter.config import Entry, HostedAE, Kind, Peer, Settings, entry
from isocenter.errors import ConfigurationError


class Row(NamedTuple):
    """One stored AE or peer. `host` is '' for an AE; `values` is None where the row holds no JSON object."""

    kind: Kind
    title: str
    host: str
    values: dict[str, Any] | None
    changed_at: int
    """Microseconds UTC."""


class Stored(NamedTuple):
    """All that is stored, at one version."""

    version: int
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """A row that does not count, and why."""

    row: Row
    comment: str
    unreadable: bool = False
    """This program can't read it; else it is passed over for the settings' sake."""


@dataclass(frozen=True, slots=True)
class Roster:
    """The AEs and peers that hold at one version."""

    settings: Settings
    """The installation's, with the stored AEs and peers among its own."""
    version: int = 0
    unreadable: frozenset[str] = frozenset()
    """Titles of peers that can't be read: nobody knows what such a caller may do, so it may nothing."""
    notes: tuple[Note, ...] = ()


class Directory(Protocol):
    """Knows the AEs and peers that hold now."""

    def now(self, *, fresh: bool = False) -> Roster:
        """The roster. `fresh`: of this very moment, for one who misses something in it."""


class Fixed:
    """The AEs and peers of the settings alone."""

    def __init__(self, settings: Settings) -> None:
        self._roster = Roster(settings)

    def now(self, *, fresh: bool = False) -> Roster:
        """See `Directory`."""
        return self._roster


def titles_of(settings: Settings) -> dict[str, frozenset[str]]:
    """The titles that the settings name, by kind."""
    aes = frozenset(ae.title for ae in settings.aes) if settings.aes_given else frozenset()
    return {"ae": aes, "peer": frozenset(peer.title for peer in settings.peers)}


def merged(settings: Settings, stored: Stored) -> Roster:
    """The roster of the installation's own `settings` and what is stored."""
    own, notes = titles_of(settings), list[Note]()
    aes: dict[str, HostedAE] = {ae.title: ae for ae in settings.aes}
    peers: list[Peer] = list(settings.peers)
    for row in stored.rows:
        if row.title in own[row.kind]:
            notes.append(Note(row, f"the settings name {row.title!r}"))
            continue
        try:
            found = read_row(row)
        except ConfigurationError as error:
            notes.append(Note(row, error.comment, unreadable=True))
            continue
        if isinstance(found, Peer):
            peers.append(found)
        else:
            aes[found.title] = found
    return Roster(
        replace(settings, aes=tuple(aes.values()), peers=tuple(peers)), stored.version, _shut(notes), tuple(notes)
    )


def read_row(row: Row) -> Entry:
    """What a row says. ConfigurationError where it says what this program does not know."""
    origin = f"{row.kind} {named(row)} in the database"
    if row.values is None:
        raise ConfigurationError(f"{origin}: it is no JSON object")
    try:
        found = entry(row.kind, row.values, origin=origin)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error.comment}. Was it stored by a newer program?") from error
    if (found.title, found.host if isinstance(found, Peer) else "") != (row.title, row.host):
        raise ConfigurationError(f"{origin}: its columns and its JSON object name different things")
    return found


def named(row: Row) -> str:
    """A row for a person: its title, and where a peer is."""
    return f"{row.title!r} at {row.host}" if row.host else repr(row.title)


def _shut(notes: Iterable[Note]) -> frozenset[str]:
    return frozenset(note.row.title for note in notes if note.unreadable and note.row.kind == "peer")
