"""`isocenter config`, and the settings that other commands need."""

import json
from pathlib import Path
from typing import Any

import typer

from isocenter import config
from isocenter.cli.ending import Exit, say
from isocenter.config import Loaded, Settings
from isocenter.errors import ConfigurationError
from isocenter.lifecycle import choosing
from isocenter.registry.roster import named
from isocenter.rules import compiled
from isocenter.security.checks import check_security
from isocenter.workflow.orders import planning


def loaded(file: Path | None, data: Path | None, **given: Any) -> Loaded:
    """The settings that a command runs with."""
    return config.load_with_origins(file, overrides={"data": str(data) if data else None, **given})


def settings_of(file: Path | None, data: Path | None, **given: Any) -> Settings:
    """As `loaded`, the settings alone."""
    return loaded(file, data, **given).settings


def check(file: Path | None, data: Path | None) -> Exit:
    """`config check`: the settings, and with an archive the AEs and peers that are stored beside them."""
    from isocenter.cli.opening import known

    found = loaded(file, data)
    compiled(found.settings)
    choosing.compiled(found.settings)
    planning.check(found.settings.hl7.feeds)
    check_security(found.settings)
    typer.echo(f"The settings are right ({found.file or 'no settings file'}).")
    if not (found.settings.store_root / "archive.json").exists():
        return Exit.OK
    try:
        notes = known(found.settings).notes
    except ConfigurationError as error:
        say(f"warning: {error.comment}")  # the next start may bring the schema up to date
        return Exit.OK
    for note in notes:
        say(f"warning: {note.row.kind} {named(note.row)} in the database is passed over: {note.comment}")
    return Exit.SOME_FAILED if any(note.unreadable for note in notes) else Exit.OK


def show(file: Path | None, data: Path | None, *, as_json: bool) -> Exit:
    """`config show`."""
    found = loaded(file, data)
    if as_json:
        typer.echo(json.dumps({"settings": config.masked(found.settings), "origins": dict(found.origins)}, indent=2))
    else:
        typer.echo(config.show(found.settings, found.origins), nl=False)
    return Exit.OK
