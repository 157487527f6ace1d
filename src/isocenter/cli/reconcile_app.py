"""The command group `reconcile`."""

from typing import Annotated

import typer

from isocenter.cli.doing import HOW, How, with_account, with_answer
from isocenter.cli.ending import stop, told

app = typer.Typer(no_args_is_help=True, help="Studies that wait for the right patient and order.")

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="The study, as the list numbers it.")]
Words = Annotated[list[str] | None, typer.Argument(metavar="[KEYWORD=VALUE...]")]


@app.command("list")
@with_answer
def list_(
    state: Annotated[
        str, typer.Option("--state", metavar="STATE", help="arriving, open, review, released, rejected, or all.")
    ] = "",
    ae: Annotated[str, typer.Option("--ae", metavar="TITLE", help="Only what this AE received.")] = "",
    how: How = HOW,
) -> None:
    """List the studies that wait, and the procedure steps that nothing was scheduled for."""
    from isocenter.cli import reconciling

    with told():
        stop(reconciling.list_all(state, ae, how))


@app.command()
@with_answer
def show(
    number: Number,
    how: How = HOW,
) -> None:
    """Show one beside its candidates."""
    from isocenter.cli import reconciling

    with told():
        stop(reconciling.show(number, how))


@app.command()
@with_answer
def search(
    number: Number,
    words: Words = None,
    how: How = HOW,
) -> None:
    """Ask the worklists for KEYWORD=VALUE, with wildcards; the answers are the candidates from then on."""
    from isocenter.cli import reconciling

    with told():
        stop(reconciling.search(number, words or [], how))


@app.command()
@with_account
def choose(
    number: Number,
    candidate: Annotated[int, typer.Argument(metavar="CANDIDATE", min=1, help="The candidate; the first is 1.")] = 1,
    words: Words = None,
    how: How = HOW,
) -> None:
    """The study belongs to this candidate; KEYWORD=VALUE is typed in beside."""
    from isocenter.cli import reconciling

    with told():
        stop(reconciling.choose(number, candidate, words or [], how))


@app.command("type")
@with_account
def type_in(
    number: Number,
    words: Words = None,
    how: How = HOW,
) -> None:
    """Type the values in by hand: KEYWORD=VALUE; the study goes on with them."""
    from isocenter.cli import reconciling

    with told():
        stop(reconciling.type_in(number, words or [], how))


@app.command()
@with_account
def release(
    number: Number,
    how: How = HOW,
) -> None:
    """The match is right; or, without one, the study goes on as it is."""
    from isocenter.cli import reconciling

    with told():
        stop(reconciling.decide(number, "release", how))


@app.command()
@with_account
def reject(
    number: Number,
    how: How = HOW,
) -> None:
    """Keep the study out of the archive: its objects go to the exceptions area."""
    from isocenter.cli import reconciling

    with told():
        stop(reconciling.decide(number, "reject", how))


@app.command()
@with_account
def reopen(
    number: Number,
    how: How = HOW,
) -> None:
    """Let objects that come from now on wait again."""
    from isocenter.cli import reconciling

    with told():
        stop(reconciling.decide(number, "reopen", how))
