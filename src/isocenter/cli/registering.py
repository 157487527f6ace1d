"""`isocenter ae` and `isocenter peer`: the AEs and peers that are stored, beside those of the settings.

They work on the index's database and the store's journal, so with a running server and with a stopped one. A running
server sees a change by itself.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import msgspec
import typer

from isocenter.cli.ending import Exit, say
from isocenter.cli.installed import Installation
from isocenter.cli.opening import known, opened
from isocenter.config import Entry, HostedAE, Kind, Loaded, Peer, Settings, from_preset
from isocenter.errors import ConfigurationError
from isocenter.registry.changing import Changed, Registry
from isocenter.registry.roster import Note, Roster, Row, named
from isocenter.server.places import open_store


class Name(NamedTuple):
    """What a command calls an AE or a peer."""

    title: str
    host: str | None = None
    port: int | None = None

    @classmethod
    def of(cls, kind: Kind, text: str) -> "Name":
        """TITLE, and for a peer TITLE@HOST or TITLE@HOST:PORT."""
        title, at, place = text.partition("@")
        if not at or kind == "ae":
            return cls(text)
        host, colon, port = place.rpartition(":") if place.count(":") == 1 or "]:" in place else (place, "", "")
        if colon and not port.isdigit():
            raise ConfigurationError(f"{text!r} is not TITLE@HOST:PORT")
        return cls(title, host.strip("[]"), int(port) if port else None)

    def words(self, words: Sequence[str]) -> list[str]:
        """`words`, and the port if it was said with the name."""
        return [*([f"port={self.port}"] if self.port is not None else []), *words]


class Listed(NamedTuple):
    """An AE or peer that holds, and where it comes from: `database`, `default`, or the source among the settings."""

    entry: Entry
    source: str


def list_all(kind: Kind, here: Installation, *, as_json: bool) -> Exit:
    """`ae list`, `peer list`: all that hold, then the rows that do not count."""
    found = here.loaded()
    roster = _roster(found.settings)
    listed = [*_listed(kind, found, roster)]
    notes = [note for note in roster.notes if note.row.kind == kind]
    if as_json:
        facts = {"version": roster.version, kind: [_facts(each) for each in listed], "ignored": [*map(_ignored, notes)]}
        typer.echo(json.dumps(facts))
    else:
        for each in listed:
            typer.echo(f"{_line(each.entry)}  ({each.source})")
        for note in notes:
            say(f"warning: {kind} {named(note.row)} in the database is passed over: {note.comment}")
    return Exit.SOME_FAILED if any(note.unreadable for note in notes) else Exit.OK


def show(kind: Kind, text: str, here: Installation, *, as_json: bool) -> Exit:
    """`ae show`, `peer show`: every key with its value."""
    name = Name.of(kind, text)
    found = here.loaded()
    listed = _listed(kind, found, _roster(found.settings))
    shown = [each for each in listed if each.entry.title == name.title and name.host in (None, _host(each.entry))]
    if not shown:
        raise ConfigurationError(f"there is no {kind} {text!r}")
    if as_json:
        typer.echo(json.dumps([_facts(each) for each in shown]))
        return Exit.OK
    for each in shown:
        typer.echo(f"{_line(each.entry)}  ({each.source})")
        given = from_preset(each.entry) if isinstance(each.entry, HostedAE) else {}
        for key, value in msgspec.to_builtins(each.entry).items():
            of_it = any(name.partition(".")[0] == key for name in given)
            typer.echo(f"  {key} = {json.dumps(value)}{'  (preset)' if of_it else ''}")
    return Exit.OK


def presets(name: str | None, *, as_json: bool) -> Exit:
    """`ae presets`: their names, or what one of them gives to an AE, with the sources."""
    from isocenter.declarations.presets import FIELDS

    shown = {preset: fields for preset, fields in FIELDS.items() if name in (None, preset)}
    if not shown:
        raise ConfigurationError(f"there is no preset {name!r}: {', '.join(FIELDS)}")
    if as_json:
        told = {p: {key: given._asdict() for key, given in fields.items()} for p, fields in shown.items()}
        typer.echo(json.dumps(told))
        return Exit.OK
    for preset, fields in shown.items():
        typer.echo(preset if name is None else f"{preset} gives an AE:")
        for key, given in fields.items() if name else ():
            typer.echo(f"  {f'{key} = {json.dumps(given.value)}':56}  {given.source}")
    return Exit.OK


def add(kind: Kind, text: str, words: Sequence[str], here: Installation, *, as_json: bool) -> Exit:
    """`ae add`, `peer add`."""
    name = Name.of(kind, text)
    work = _Work(lambda registry: registry.add(kind, name.title, name.host or "", name.words(words)))
    return work.done("added", here, as_json=as_json)


def change(
    kind: Kind, text: str, words: Sequence[str], unset: Sequence[str], here: Installation, *, as_json: bool
) -> Exit:
    """`ae set`, `peer set`."""
    name = Name.of(kind, text)
    if not words and not unset and name.port is None:
        raise ConfigurationError("nothing to change: give KEY=VALUE or --unset KEY")
    work = _Work(lambda registry: registry.set(kind, name.title, name.host, name.words(words), unset))
    return work.done("changed", here, as_json=as_json)


def remove(kind: Kind, text: str, here: Installation, *, as_json: bool) -> Exit:
    """`ae remove`, `peer remove`."""
    name = Name.of(kind, text)
    work = _Work(lambda registry: registry.remove(kind, name.title, name.host))
    return work.done("removed", here, as_json=as_json)


class _Work(NamedTuple):
    """One change, told when it is made."""

    make: Callable[[Registry], Changed]

    def done(self, what: str, here: Installation, *, as_json: bool) -> Exit:
        settings = here.settings()
        with opened(settings) as index, closing(open_store(settings)) as store:
            row, version = self.make(Registry(index, store, settings))
        if as_json:
            facts = {"change": what, "kind": row.kind, "title": row.title, "host": row.host}
            typer.echo(json.dumps({**facts, "settings": row.values, "version": version}))
        else:
            typer.echo(f"{row.kind} {named(row)} {what}: {_told(row)} (version {version})")
        return Exit.OK


def _told(row: Row) -> str:
    said = {key: value for key, value in (row.values or {}).items() if key not in ("title", "host")}
    return ", ".join(f"{key} = {json.dumps(value)}" for key, value in said.items()) or "all else as by default"


def _roster(settings: Settings) -> Roster:
    """As `known`; without an archive those of the settings."""
    return known(settings) if (settings.store_root / "archive.json").exists() else Roster(settings)


def _listed(kind: Kind, found: Loaded, roster: Roster) -> Iterator[Listed]:
    own = found.settings.aes if kind == "ae" else found.settings.peers
    entries: tuple[Entry, ...] = roster.settings.aes if kind == "ae" else roster.settings.peers
    for entry in entries:
        yield Listed(entry, found.origins.get(kind, "default") if any(entry is one for one in own) else "database")


def _host(entry: Entry) -> str:
    return entry.host if isinstance(entry, Peer) else ""


def _line(entry: Entry) -> str:
    if isinstance(entry, Peer):
        place = (
            f"at {entry.host} port {entry.port}" if entry.host else f"from {', '.join(entry.addresses) or 'anywhere'}"
        )
        return f"{entry.title:16}  {place}, may {' '.join(entry.allow) or 'nothing'}"
    return f"{entry.title:16}  {entry.role}, {entry.preset}, offers {' '.join(entry.services) or 'nothing'}"


def _facts(listed: Listed) -> dict[str, Any]:
    return {**msgspec.to_builtins(listed.entry), "source": listed.source}


def _ignored(note: Note) -> dict[str, Any]:
    return {"title": note.row.title, "host": note.row.host, "why": note.comment, "unreadable": note.unreadable}
