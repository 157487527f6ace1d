"""The command group `commit`."""

from pathlib import Path
from typing import Annotated

import typer

from isocenter.cli import options
from isocenter.cli.ending import stop, told
from isocenter.cli.installed import HERE, Installation, with_installation
from isocenter.cli.securing import NONE, Security, with_security

app = typer.Typer(no_args_is_help=True, help="Storage commitment: asking other archives, and what was asked here.")

Wait = Annotated[float, typer.Option("--wait", min=0, metavar="SECONDS", help="How long to wait for the report.")]
Number = Annotated[int, typer.Argument(metavar="NUMBER", help="The request, as `commit list` numbers it.")]


@app.command()
@with_security
@with_installation
def request(
    peer: options.PeerName,
    paths: Annotated[list[Path] | None, typer.Argument(help="Files and folders, searched recursively.")] = None,
    study: Annotated[list[str] | None, typer.Option("--study", metavar="UID", help="Of the index.")] = None,
    series: Annotated[list[str] | None, typer.Option("--series", metavar="UID", help="Of the index.")] = None,
    instance: Annotated[list[str] | None, typer.Option("--instance", metavar="UID", help="Of the index.")] = None,
    uids: Annotated[
        Path | None,
        typer.Option(
            "--uids", metavar="FILE", help="A line for each: SOP Class and Instance UID, or one of the index."
        ),
    ] = None,
    ae: Annotated[str, typer.Option("--ae", metavar="TITLE", help="The AE of ours that asks.")] = "",
    wait: Wait = 60.0,
    json: options.Json = False,
    here: Installation = HERE,
    security: Security = NONE,
) -> None:
    """Ask a peer to commit to instances; by the running server, or at once where the peer is written out."""
    from isocenter.cli import committing

    named = committing.Named(tuple(paths or ()), uids, tuple(study or ()), tuple(series or ()), tuple(instance or ()))
    with told():
        asks = ae or (options.CALLING if "@" in peer else "")
        stop(committing.request(peer, named, committing.Way(here, json, asks, wait, security)))


@app.command()
@with_installation
def again(
    number: Number,
    wait: Wait = 60.0,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Ask anew for what a peer has not committed to."""
    from isocenter.cli import committing

    with told():
        stop(committing.again(number, committing.Way(here, json, wait=wait)))


@app.command("list")
@with_installation
def list_(
    role: Annotated[
        str,
        typer.Option("--role", help="scp, web: what others asked of us, over DIMSE, over HTTP; scu: what we asked."),
    ] = "",
    state: Annotated[str, typer.Option("--state", help="Only those in this state.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, the newest first.")] = 100,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """List requests for commitment."""
    from isocenter.cli import committing

    with told():
        stop(committing.list_all(role, state, limit, committing.Way(here, json)))


@app.command()
@with_installation
def show(
    number: Number,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Show what is known of each instance of a request."""
    from isocenter.cli import committing

    with told():
        stop(committing.show(number, committing.Way(here, json)))
