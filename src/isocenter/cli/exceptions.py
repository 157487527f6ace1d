"""`isocenter exceptions`: works on the store, beside a running server or without one."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import typer

from isocenter.archive.exceptions import Exceptions, RefusedAgain, file_of, found, identity_of, own_identity, sender_of
from isocenter.archive.ingest import Origin
from isocenter.cli import acting
from isocenter.cli.ending import Exit, say
from isocenter.cli.installed import Installation
from isocenter.cli.progress import bar
from isocenter.config import Peer, Settings, may_call_from
from isocenter.declarations.sop_classes import name_of
from isocenter.errors import ConfigurationError, IsocenterError
from isocenter.registry.roster import merged
from isocenter.registry.stored import read
from isocenter.rules import compiled
from isocenter.server.archive import Archive
from isocenter.server.beside import archive_beside
from isocenter.server.origins import origin_of
from isocenter.server.places import open_store
from isocenter.store.api import Exceptional, Store


class Chosen(NamedTuple):
    """Which entries a command is about."""

    keys: tuple[str, ...]
    everything: bool = False
    reason: str = ""
    calling: str = ""

    def of(self, store: Store) -> list[Exceptional]:
        """The entries, oldest first. Raises Refused(NOT_FOUND), ConfigurationError where nothing is chosen."""
        if self.keys:
            return [found(store, key) for key in self.keys]
        if not self.everything:
            raise ConfigurationError("give keys, or --all")
        return self.filtered(store)

    def filtered(self, store: Store) -> list[Exceptional]:
        """All entries that the filters let through."""
        return [
            entry
            for entry in store.exceptions()
            if self.reason in ("", entry.reason) and self.calling in ("", sender_of(entry).calling)
        ]


def list_all(chosen: Chosen, here: Installation, *, as_json: bool) -> Exit:
    """`exceptions list`."""
    with _store(here) as store:
        entries = chosen.filtered(store)
    if as_json:
        typer.echo(json.dumps([_facts(entry) for entry in entries]))
        return Exit.OK
    for entry in entries:
        sender, comment = sender_of(entry), entry.facts.get("comment", "")
        ends = f"{sender.calling or '?'} -> {sender.called or '?'}"
        often = f"  {entry.times} times, last {_when(entry.last_at)}" if entry.times > 1 else ""
        typer.echo(f"{entry.key}  {_when(entry.at)}{often}  {ends}  {entry.reason}: {comment}".rstrip(": "))
    say(f"{len(entries)} in all")
    return Exit.OK


def show(key: str, here: Installation, *, as_json: bool) -> Exit:
    """`exceptions show`."""
    with _store(here) as store:
        entry = found(store, key)
        facts = _facts(entry) | {"data_set": own_identity(store, entry)._asdict()}
    if as_json:
        typer.echo(json.dumps(facts))
        return Exit.OK
    named = name_of(facts["sop_class"]) if facts["sop_class"] else ""
    for name, value in (facts | {"sop_class_name": named}).items():
        typer.echo(f"{name.replace('_', ' ')}: {_written(value)}")
    return Exit.OK


def retry(chosen: Chosen, here: Installation, *, by_data_set: bool, as_json: bool) -> Exit:
    """`exceptions retry`."""
    settings = here.settings()
    with archive_beside(settings) as archive:
        work, origin_for = _exceptions(archive), _origins(settings, archive)

        def one(entry: Exceptional) -> dict[str, Any]:
            own = own_identity(archive.store, entry)
            identity = (
                own if by_data_set else type(own)(*(a or b for a, b in zip(identity_of(entry), own, strict=True)))
            )
            stored = work.retry(entry, origin_for(entry), identity)
            told = {"stored": stored.verdict, "sop_uid": stored.sop_uid}
            return told | ({"remark": stored.remark} if stored.remark else {})

        return _each("retrying", chosen.of(archive.store), one, as_json=as_json)


def discard(chosen: Chosen, here: Installation, *, as_json: bool) -> Exit:
    """`exceptions discard`."""
    with archive_beside(here.settings()) as archive:
        work = _exceptions(archive)

        def one(entry: Exceptional) -> dict[str, Any]:
            work.discard(entry)
            return {"discarded": True}

        return _each("discarding", chosen.of(archive.store), one, as_json=as_json)


def export(chosen: Chosen, out: Path, here: Installation, *, as_json: bool) -> Exit:
    """`exceptions export`."""
    with _store(here) as store:
        entries = chosen.of(store)
        out.mkdir(parents=True, exist_ok=True)

        def one(entry: Exceptional) -> dict[str, Any]:
            path = out / f"{entry.key}.dcm"
            try:
                with path.open("xb") as target:
                    target.writelines(file_of(store, entry))
            except FileExistsError as error:
                raise ConfigurationError(f"{path} is there already") from error
            return {"file": str(path)}

        return _each("exporting", entries, one, as_json=as_json)


# --- one after the other


def _each(
    label: str, entries: Sequence[Exceptional], work: Callable[[Exceptional], dict[str, Any]], *, as_json: bool
) -> Exit:
    """Do it to each, and tell what came of it; one that fails doesn't stop the others."""
    results: list[dict[str, Any]] = []
    with bar(label) as advance:
        for number, entry in enumerate(entries, 1):
            try:
                results.append({"key": entry.key, **work(entry)})
            except RefusedAgain as again:
                told = {"key": entry.key, "failed": again.reason, "comment": again.comment}
                results.append(told | ({"now": again.key} if again.key != entry.key else {}))
            except IsocenterError as error:
                results.append({"key": entry.key, "failed": error.reason, "comment": error.comment})
            advance(number, len(entries))
    failed = sum("failed" in result for result in results)
    if as_json:
        typer.echo(json.dumps({"done": len(results) - failed, "failed": failed, "entries": results}))
    else:
        for result in results:
            typer.echo("  ".join(f"{name}: {_written(value)}" if name != "key" else str(value)
                                 for name, value in result.items()))  # fmt: skip
    return Exit.SOME_FAILED if failed else Exit.OK


def _exceptions(archive: Archive) -> Exceptions:
    return Exceptions(archive.store, archive.database, archive.ingest, actor=f"cli:{acting.user()}")


def _origins(settings: Settings, archive: Archive) -> Callable[[Exceptional], Origin]:
    """With what each sender's objects are received now: the AE they were sent to, or the first where it is gone."""
    with archive.database.reading(snapshot=True) as connection:
        now = merged(settings, read(connection)).settings
    rules = compiled(settings)

    def origin(entry: Exceptional) -> Origin:
        sender = sender_of(entry)
        peer = _peer(now.peers_titled(sender.calling), sender.address)
        ae = now.ae(sender.called) or now.aes[0]
        titles = sender.calling, sender.called
        return origin_of(ae, peer, titles, sender.address, standard=settings.standard, rules=rules)

    return origin


def _peer(titled: tuple[Peer, ...], address: str) -> Peer | None:
    here = [peer for peer in titled if address and (address == peer.host or may_call_from(peer, address))]
    return next(iter((*here, *titled)), None)


# --- telling


@contextmanager
def _store(here: Installation) -> Iterator[Store]:
    settings = here.settings()
    if not (settings.store_root / "archive.json").exists():
        raise ConfigurationError(f"data: there is no archive in {settings.data}")
    store = open_store(settings)
    try:
        yield store
    finally:
        store.close()


def _facts(entry: Exceptional) -> dict[str, Any]:
    told = {name: value for name, value in asdict(entry).items() if name not in ("facts", "at", "offset")}
    facts = {**identity_of(entry)._asdict(), **sender_of(entry)._asdict(), "comment": entry.facts.get("comment", "")}
    return {**told, "received": _when(entry.at), "last_at": _when(entry.last_at or entry.at), **facts}


def _when(at: int) -> str:
    return datetime.fromtimestamp(at / 1e6, UTC).isoformat(timespec="seconds")


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_written(each)}" for name, each in value.items())
    return str(value) if value not in ("", None) else "-"
