"""Commands on an installation's own data: `token`, `index rebuild`, `store verify`, `backup`, `restore`."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from sqlalchemy.exc import SQLAlchemyError

from isocenter import database
from isocenter.archive.likeness import likeness
from isocenter.cli.ending import Exit, say
from isocenter.cli.installed import Installation
from isocenter.cli.progress import bar
from isocenter.config import Settings
from isocenter.errors import ConfigurationError
from isocenter.imaging.engine import engine_of
from isocenter.index import rebuild as rebuilding
from isocenter.jobs import indexing
from isocenter.lifecycle.proving import PROVED, prove
from isocenter.server import assumed, places, startup, tokens
from isocenter.server import backup as backing
from isocenter.store.api import Finding, Store
from isocenter.store.verify import verify as verified

_GOOD = frozenset({"sound", "no-digest", PROVED})


def new_token(here: Installation) -> Exit:
    """`token`: works at once, also in a running server."""
    settings = here.settings()
    places.make_data_folder(settings)
    if settings.http.token:
        raise ConfigurationError("http.token: the token is set in the settings; change it there")
    typer.echo(tokens.renew(settings.data))
    return Exit.OK


def rebuild(here: Installation, *, as_json: bool) -> Exit:
    """`index rebuild`."""
    settings = _archive(here)
    store = places.open_store(settings)
    with store.exclusive():
        database.migrate(settings.database_url)
        index = database.open(settings.database_url, pool_size=2)
        with closing(index), bar("rebuilding") as advance:
            assume = assumed.assumptions(settings, index)
            report = rebuilding.rebuild(store, index, compare=likeness, assume=assume, progress=advance)
            indexing.note_indexed(index, settings.index.attributes)
        startup.note_stop(settings, store)
    facts = {"objects": dict(report.verdicts), "set_aside": len(report.set_aside), "journal": report.journal}
    _tell(facts, as_json=as_json)
    return Exit.SOME_FAILED if report.set_aside else Exit.OK


def attributes(here: Installation, *, as_json: bool) -> Exit:
    """`index attributes`: also while the server runs."""
    settings = _archive(here)
    database.check_schema(settings.database_url)
    with closing(database.open(settings.database_url, pool_size=1)) as index:
        found = indexing.progress(index)
    rows = [{"attribute": text, "state": _state(text, found)} for text in settings.index.attributes]
    if as_json:
        typer.echo(json.dumps({"attributes": rows, "read": found.read, "total": found.total}))
        return Exit.OK
    for row in rows:
        read = f", {found.read} of {found.total} objects read" if row["state"] == "under way" else ""
        typer.echo(f"{row['attribute']}  {row['state']}{read}")
    if not rows:
        typer.echo("no attributes beside those of every archive")
    return Exit.OK


def _state(text: str, found: indexing.Progress) -> str:
    """What became of one attribute of the settings."""
    if text in found.done:
        return "indexed"
    return "under way" if text in found.under_way else "waiting for the server"


def verify(here: Installation, *, pixels: bool = False, as_json: bool = False) -> Exit:
    """`store verify`: every object against its digest, and every row of the index against the store. `pixels`: also the
    decoded samples of what was compressed here against those that it was made of."""
    settings = _archive(here)
    store = places.open_store(settings)
    verdicts: Counter[str] = Counter()
    bad: list[dict[str, str]] = []
    with bar("verifying") as advance, _proofs(store, settings, wanted=pixels) as proof:
        for number, finding in enumerate(proof(verified(store)), 1):
            verdicts[finding.verdict] += 1
            if finding.verdict not in _GOOD:
                bad.append({"key": finding.key, "verdict": finding.verdict, "comment": finding.comment})
            advance(number, 0)
    try:
        for key in _missing(settings, store):
            verdicts["missing"] += 1
            bad.append({"key": key, "verdict": "missing", "comment": "the index names it"})
    except SQLAlchemyError as error:
        # what the objects themselves showed is told all the same: it may have taken hours
        bad.append({"key": "index", "verdict": "not compared", "comment": type(error).__name__})
    if as_json:
        typer.echo(json.dumps({"objects": dict(verdicts), "bad": bad}))
    else:
        for one in bad:
            say(f"{one['verdict']}: {one['key']} {one['comment']}".rstrip())
        typer.echo(", ".join(f"{n} {verdict}" for verdict, n in sorted(verdicts.items())) or "no objects")
    return Exit.SOME_FAILED if bad else Exit.OK


@contextmanager
def _proofs(
    store: Store, settings: Settings, *, wanted: bool
) -> Iterator[Callable[[Iterator[Finding]], Iterator[Finding]]]:
    """What adds the proofs of pixels to the findings of sound objects, where they are wanted."""
    if not wanted:
        yield iter
        return
    engine = engine_of(settings.imaging)

    def proved(findings: Iterator[Finding]) -> Iterator[Finding]:
        for finding in findings:
            if finding.verdict == "sound":
                with store.open(finding.key) as stored:
                    finding = prove(engine, stored) or finding
            yield finding

    try:
        yield proved
    finally:
        engine.close()


def _missing(settings: Settings, store: Store) -> list[str]:
    try:
        if settings.sqlite and not (path := places.sqlite_file(settings)).exists():
            raise ConfigurationError(f"database: there is no {path}")
        database.check_schema(settings.database_url)
    except ConfigurationError as error:
        say(f"not compared with the index: {error.comment}")
        return []
    index = database.open(settings.database_url, pool_size=1)
    with closing(index):
        return list(backing.missing_objects(index, store))


def backup(to: Path, here: Installation, *, copy: bool = False, as_json: bool) -> Exit:
    """`backup`."""
    manifest = backing.backup(_archive(here), to, copy=copy)
    _tell(asdict(manifest), as_json=as_json)
    return Exit.OK


def restore(source: Path, here: Installation, *, as_json: bool) -> Exit:
    """`restore`."""
    settings = here.settings()
    with bar("verifying") as advance:
        restored = backing.restore(settings, source, advance)
    facts = {**asdict(restored), "unsound": list(restored.unsound)}
    _tell(facts, as_json=as_json)
    return Exit.SOME_FAILED if restored.unsound or restored.missing else Exit.OK


def _archive(here: Installation) -> Settings:
    settings = here.settings()
    if not (settings.store_root / "archive.json").exists():
        raise ConfigurationError(f"data: there is no archive in {settings.data}")
    return settings


def _tell(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        typer.echo(f"{name.replace('_', ' ')}: {_written(value)}")


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{n} {name}" for name, n in sorted(value.items())) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
