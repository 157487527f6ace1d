"""`isocenter config`, and the settings that other commands need."""

import json
from pathlib import Path
from typing import Any

import typer

from isocenter import config
from isocenter.cli.ending import Exit
from isocenter.config import Loaded, Settings


def loaded(file: Path | None, data: Path | None, **given: Any) -> Loaded:
    """The settings that a command runs with."""
    return config.load_with_origins(file, overrides={"data": str(data) if data else None, **given})


def settings_of(file: Path | None, data: Path | None, **given: Any) -> Settings:
    """As `loaded`, the settings alone."""
    return loaded(file, data, **given).settings


def check(file: Path | None, data: Path | None) -> Exit:
    """`config check`."""
    found = loaded(file, data)
    typer.echo(f"The settings are right ({found.file or 'no settings file'}).")
    return Exit.OK


def show(file: Path | None, data: Path | None, *, as_json: bool) -> Exit:
    """`config show`."""
    found = loaded(file, data)
    if as_json:
        typer.echo(json.dumps({"settings": config.masked(found.settings), "origins": dict(found.origins)}, indent=2))
    else:
        typer.echo(config.show(found.settings, found.origins), nl=False)
    return Exit.OK
