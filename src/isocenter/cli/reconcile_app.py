"""The command group `reconcile`."""

from typing import Annotated

import typer

from isocenter.cli import options
from isocenter.cli.ending import stop, told
from isocenter.cli.installed import HERE, Installation, with_installation

app = typer.Typer(no_args_is_help=True, help="Studies that wait for the right patient and order.")

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="The study, as the list numbers it.")]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides; the user of this command if not said.")]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="Why, for the audit trail.")]
Words = Annotated[list[str] | None, typer.Argument(metavar="[KEYWORD=VALUE...]")]


@app.command("list")
@with_installation
def list_(
    state: Annotated[
        str, typer.Option("--state", metavar="STATE", help="arriving, open, review, released, rejected, or all.")
    ] = "",
    ae: Annotated[str, typer.Option("--ae", metavar="TITLE", help="Only what this AE received.")] = "",
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """List the studies that wait, and the procedure steps that nothing was scheduled for."""
    from isocenter.cli import reconciling

    with told():
        stop(reconciling.list_all(state, ae, reconciling.How(here, json)))


@app.command()
@with_installation
def show(
    number: Number,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Show one beside its candidates."""
    from isocenter.cli import reconciling

    with told():
        stop(reconciling.show(number, reconciling.How(here, json)))


@app.command()
@with_installation
def search(
    number: Number,
    words: Words = None,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Ask the worklists for KEYWORD=VALUE, with wildcards; the answers are the candidates from then on."""
    from isocenter.cli import reconciling

    with told():
        stop(reconciling.search(number, words or [], reconciling.How(here, json)))


@app.command()
@with_installation
def choose(
    number: Number,
    candidate: Annotated[int, typer.Argument(metavar="CANDIDATE", min=1, help="The candidate; the first is 1.")] = 1,
    words: Words = None,
    by: By = "",
    why: Why = "",
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """The study belongs to this candidate; KEYWORD=VALUE is typed in beside."""
    from isocenter.cli import reconciling

    with told():
        how = reconciling.How(here, json, by, why)
        stop(reconciling.choose(number, candidate, words or [], how))


@app.command("type")
@with_installation
def type_in(
    number: Number,
    words: Words = None,
    by: By = "",
    why: Why = "",
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Type the values in by hand: KEYWORD=VALUE; the study goes on with them."""
    from isocenter.cli import reconciling

    with told():
        stop(reconciling.type_in(number, words or [], reconciling.How(here, json, by, why)))


@app.command()
@with_installation
def release(
    number: Number,
    by: By = "",
    why: Why = "",
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """The match is right; or, without one, the study goes on as it is."""
    from isocenter.cli import reconciling

    with told():
        how = reconciling.How(here, json, by, why)
        stop(reconciling.decide(number, "release", how))


@app.command()
@with_installation
def reject(
    number: Number,
    by: By = "",
    why: Why = "",
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Keep the study out of the archive: its objects go to the exceptions area."""
    from isocenter.cli import reconciling

    with told():
        how = reconciling.How(here, json, by, why)
        stop(reconciling.decide(number, "reject", how))


@app.command()
@with_installation
def reopen(
    number: Number,
    by: By = "",
    why: Why = "",
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Let objects that come from now on wait again."""
    from isocenter.cli import reconciling

    with told():
        how = reconciling.How(here, json, by, why)
        stop(reconciling.decide(number, "reopen", how))
