"""The command group `mpps`."""

from pathlib import Path
from typing import Annotated

import typer

from isocenter.cli import options
from isocenter.cli.ending import stop, told
from isocenter.cli.installed import HERE, Installation, with_installation
from isocenter.cli.securing import NONE, Security, with_security

app = typer.Typer(
    no_args_is_help=True, help="Performed procedure steps (MPPS): reporting them, and those reported here."
)

File = Annotated[
    Path | None, typer.Option("--file", metavar="FILE", help="Attributes: a DICOM JSON object, or a DICOM file.")
]
Keys = Annotated[
    list[str] | None,
    typer.Option("--key", "-k", metavar="KEYWORD=VALUE", help="An attribute; a dot steps into a sequence's item."),
]
Bare = Annotated[bool, typer.Option("--bare", help="Send what is given and nothing else.")]
Uid = Annotated[str, typer.Argument(metavar="UID", help="The step's SOP Instance UID.")]
Number = Annotated[int, typer.Argument(metavar="NUMBER", help="The step, as `mpps list` numbers it.")]


@app.command()
@with_security
@with_installation
def create(
    peer: options.PeerName,
    uid: Annotated[
        str, typer.Option("--uid", metavar="UID", help="Its SOP Instance UID; a new one if not given.")
    ] = "",
    file: File = None,
    key: Keys = None,
    bare: Bare = False,
    calling: options.Calling = options.CALLING,
    json: options.Json = False,
    here: Installation = HERE,
    security: Security = NONE,
) -> None:
    """Report that a step has begun (N-CREATE)."""
    from isocenter.cli import peering, reporting_steps

    with told():
        given = reporting_steps.Given(file, tuple(key or ()), bare)
        target = peering.named(peer, here.settings(), calling, security)
        stop(reporting_steps.create(target, uid, given, as_json=json))


@app.command("set")
@with_security
@with_installation
def set_(
    peer: options.PeerName,
    uid: Uid,
    status: Annotated[str, typer.Option("--status", help="COMPLETED or DISCONTINUED, to end it.")] = "",
    file: File = None,
    key: Keys = None,
    bare: Bare = False,
    calling: options.Calling = options.CALLING,
    json: options.Json = False,
    here: Installation = HERE,
    security: Security = NONE,
) -> None:
    """Change a step that is in progress, or end it (N-SET)."""
    from isocenter.cli import peering, reporting_steps

    with told():
        given = reporting_steps.Given(file, tuple(key or ()), bare)
        target = peering.named(peer, here.settings(), calling, security)
        stop(reporting_steps.change(target, uid, status, given, as_json=json))


@app.command()
@with_security
@with_installation
def get(
    peer: options.PeerName,
    uid: Uid,
    key: Annotated[
        list[str] | None,
        typer.Option("--key", "-k", metavar="KEYWORD", help="An attribute to ask for; none: all. May be repeated."),
    ] = None,
    calling: options.Calling = options.CALLING,
    json: options.Json = False,
    here: Installation = HERE,
    security: Security = NONE,
) -> None:
    """Read a step (N-GET)."""
    from isocenter.cli import peering, reporting_steps

    with told():
        target = peering.named(peer, here.settings(), calling, security)
        stop(reporting_steps.get(target, uid, tuple(key or ()), as_json=json))


@app.command("list")
@with_installation
def list_(
    state: Annotated[str, typer.Option("--state", help="IN PROGRESS, COMPLETED or DISCONTINUED.")] = "",
    matching: Annotated[str, typer.Option("--matching", help="How it belongs to the worklist.")] = "",
    station: Annotated[str, typer.Option("--station", metavar="TITLE", help="Performed Station AE Title.")] = "",
    study: Annotated[str, typer.Option("--study", metavar="UID", help="Of this study.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, the newest first.")] = 100,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """List the steps that were reported here."""
    from isocenter.cli import steps

    with told():
        wanted = steps.Wanted(state.upper(), matching, station, study)
        stop(steps.list_all(wanted, limit, here, as_json=json))


@app.command()
@with_installation
def show(
    number: Number,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Show one of them: its attributes, what is amiss, what has arrived, whom it was passed on to."""
    from isocenter.cli import steps

    with told():
        stop(steps.show(number, here, as_json=json))


@app.command()
@with_installation
def exceptions(
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, the newest first.")] = 100,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """List steps that the worklist does not know, with the worklist items that may be meant."""
    from isocenter.cli import steps

    with told():
        stop(steps.exceptions(limit, here, as_json=json))


@app.command()
@with_installation
def resolve(
    number: Number,
    entry: Annotated[
        list[int] | None,
        typer.Option(
            "--entry", metavar="ID", help="The worklist item; may be repeated, one for each item of the step."
        ),
    ] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Nothing was scheduled: take it as it is.")] = False,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Say which worklist item an exception belongs to."""
    from isocenter.cli import steps

    with told():
        stop(steps.resolve(number, tuple(entry or ()), here, accept=accept, as_json=json))


@app.command()
@with_installation
def deliveries(
    state: Annotated[str, typer.Option("--state", help="waiting, delivered, failed or discarded.")] = "",
    peer: Annotated[str, typer.Option("--peer", metavar="TITLE", help="Only for this peer.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, the newest first.")] = 100,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """List what was and what has still to be passed on to peers."""
    from isocenter.cli import steps

    with told():
        stop(steps.deliveries(state, peer, limit, here, as_json=json))


Numbers = Annotated[list[int] | None, typer.Argument(metavar="NUMBER", help="As `mpps deliveries` numbers them.")]


@app.command()
@with_installation
def restart(
    numbers: Numbers = None,
    here: Installation = HERE,
) -> None:
    """Try again at once to deliver what failed: these, or all."""
    from isocenter.cli import steps

    with told():
        stop(steps.restart(tuple(numbers or ()), here))


@app.command()
@with_installation
def discard(
    numbers: Annotated[list[int], typer.Argument(metavar="NUMBER", help="As `mpps deliveries` numbers them.")],
    here: Installation = HERE,
) -> None:
    """Give deliveries up for good; what they held back goes on."""
    from isocenter.cli import steps

    with told():
        stop(steps.discard(tuple(numbers), here))
