"""`isocenter config`."""

import json

import typer

from isocenter import config
from isocenter.cli.ending import Exit, say
from isocenter.cli.installed import Installation
from isocenter.errors import ConfigurationError
from isocenter.lifecycle import choosing
from isocenter.registry.roster import named
from isocenter.rules import compiled
from isocenter.security.checks import check_security
from isocenter.workflow.orders import planning


def check(here: Installation) -> Exit:
    """`config check`: the settings, and with an archive the AEs and peers that are stored beside them."""
    from isocenter.cli.opening import known

    found = here.loaded()
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


def show(here: Installation, *, as_json: bool) -> Exit:
    """`config show`."""
    found = here.loaded()
    if as_json:
        typer.echo(json.dumps({"settings": config.masked(found.settings), "origins": dict(found.origins)}, indent=2))
    else:
        typer.echo(config.show(found.settings, found.origins), nl=False)
    return Exit.OK
