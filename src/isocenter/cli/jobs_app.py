"""The command `push` and the command group `jobs`."""

from typing import Annotated

import typer

from isocenter.cli import options
from isocenter.cli.ending import stop, told
from isocenter.cli.installed import HERE, Installation, with_installation

app = typer.Typer(no_args_is_help=True, help="Background work: what waits, runs and has ended.")

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="The job, as `jobs list` numbers it.")]


def add_to(root: typer.Typer) -> None:
    """Adds the commands to the program."""
    root.add_typer(app, name="jobs")
    root.command()(push)


@with_installation
def push(
    peers: Annotated[list[str], typer.Argument(metavar="PEER...", help="Titles of peers that are known here.")],
    study: Annotated[list[str] | None, typer.Option("--study", metavar="UID", help="Of the index.")] = None,
    series: Annotated[list[str] | None, typer.Option("--series", metavar="UID", help="Of the index.")] = None,
    instance: Annotated[list[str] | None, typer.Option("--instance", metavar="UID", help="Of the index.")] = None,
    ae: Annotated[str, typer.Option("--ae", metavar="TITLE", help="The AE of ours that sends.")] = "",
    commit: Annotated[bool, typer.Option("--commit", help="Ask for storage commitment of what was sent.")] = False,
    wait: Annotated[float, typer.Option("--wait", min=0, metavar="SECONDS", help="Wait so long for the end.")] = 0.0,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Have the server send stored objects to peers with C-STORE, a job for each peer."""
    from isocenter.cli import pushing

    with told():
        chosen = pushing.Chosen(tuple(study or ()), tuple(series or ()), tuple(instance or ()))
        order = pushing.Order(tuple(peers), ae, commit, wait)
        stop(pushing.push(chosen, order, here.settings(), as_json=json))


@app.command("list")
@with_installation
def list_(
    state: Annotated[str, typer.Option("--state", help="waiting, running, done, failed or cancelled.")] = "",
    kind: Annotated[str, typer.Option("--kind", help="Only those of this kind, such as `send`.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, the newest first.")] = 100,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """List jobs with how far they have come."""
    from isocenter.cli import jobs

    with told():
        stop(jobs.list_all(state, kind, limit, here.settings(), as_json=json))


@app.command()
@with_installation
def show(
    number: Number,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Tell all that is known of a job."""
    from isocenter.cli import jobs

    with told():
        stop(jobs.show(number, here.settings(), as_json=json))


@app.command()
@with_installation
def cancel(
    number: Number,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Cancel a job that waits or runs; one that sends aborts its association."""
    from isocenter.cli import jobs

    with told():
        stop(jobs.cancel(number, here.settings(), as_json=json))


@app.command()
@with_installation
def restart(
    number: Number,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Carry out again what has ended, or now what waits for another try."""
    from isocenter.cli import jobs

    with told():
        stop(jobs.restart(number, here.settings(), as_json=json))
