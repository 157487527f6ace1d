"""The command group `exceptions`."""

from pathlib import Path
from typing import Annotated

import typer

from isocenter.cli import options
from isocenter.cli.ending import stop, told
from isocenter.cli.installed import HERE, Installation, with_installation, with_settings

app = typer.Typer(no_args_is_help=True, help="Objects that were received and could not be kept.")

Keys = Annotated[list[str] | None, typer.Argument(metavar="KEY", help="Keys, or what they begin with.")]
All = Annotated[bool, typer.Option("--all", help="All of them, as far as --reason and --calling let them through.")]
Why = Annotated[str, typer.Option("--reason", help="Only those with this reason.", metavar="REASON")]
From = Annotated[str, typer.Option("--calling", help="Only those from this AE title.", metavar="TITLE")]


@app.command("list")
@with_settings
def list_(
    reason: Why = "",
    calling: From = "",
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """List them, the oldest first."""
    from isocenter.cli import exceptions

    with told():
        chosen = exceptions.Chosen((), reason=reason, calling=calling)
        stop(exceptions.list_all(chosen, here, as_json=json))


@app.command()
@with_settings
def show(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key, or what it begins with.")],
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Tell all that is known of one."""
    from isocenter.cli import exceptions

    with told():
        stop(exceptions.show(key, here, as_json=json))


@app.command()
@with_installation
def retry(
    keys: Keys = None,
    everything: All = False,
    reason: Why = "",
    calling: From = "",
    by_data_set: Annotated[
        bool, typer.Option("--by-data-set", help="Take the UIDs of the data set, not those of the sender's command.")
    ] = False,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Receive them again, with the settings that hold now."""
    from isocenter.cli import exceptions

    with told():
        chosen = exceptions.Chosen(tuple(keys or ()), everything, reason, calling)
        stop(exceptions.retry(chosen, here, by_data_set=by_data_set, as_json=json))


@app.command()
@with_installation
def discard(
    keys: Keys = None,
    everything: All = False,
    reason: Why = "",
    calling: From = "",
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Delete them for good. The journal and the audit trail tell of it."""
    from isocenter.cli import exceptions

    with told():
        chosen = exceptions.Chosen(tuple(keys or ()), everything, reason, calling)
        stop(exceptions.discard(chosen, here, as_json=json))


@app.command()
@with_settings
def export(
    keys: Keys = None,
    everything: All = False,
    reason: Why = "",
    calling: From = "",
    out: Annotated[Path, typer.Option("--out", help="The folder for the files.", metavar="DIR")] = Path(),
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Write them as files, to be looked at or mended. They stay in the archive."""
    from isocenter.cli import exceptions

    with told():
        chosen = exceptions.Chosen(tuple(keys or ()), everything, reason, calling)
        stop(exceptions.export(chosen, out, here, as_json=json))
