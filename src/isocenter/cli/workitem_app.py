"""The command group `workitem`."""

from typing import Annotated

import typer

from isocenter.cli import options
from isocenter.cli.ending import stop, told
from isocenter.cli.installed import HERE, Installation, with_installation

app = typer.Typer(no_args_is_help=True, help="The unified worklist: workitems (UPS) and who watches them.")

Uid = Annotated[str, typer.Argument(metavar="UID", help="The workitem's SOP Instance UID.")]


@app.command("list")
@with_installation
def list_(
    key: options.Key = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """List workitems, those that came first first."""
    from isocenter.cli import workitems

    with told():
        stop(workitems.list_all(key or [], limit, here.settings(), as_json=json))


@app.command()
@with_installation
def show(
    uid: Uid,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Show one, and who is subscribed to it."""
    from isocenter.cli import workitems

    with told():
        stop(workitems.show(uid, here.settings(), as_json=json))


@app.command()
@with_installation
def cancel(
    uid: Uid,
    reason: Annotated[str, typer.Option("--reason", help="Reason For Cancellation.", metavar="TEXT")] = "",
    here: Installation = HERE,
) -> None:
    """Cancel one that nobody performs; ask the performer of another."""
    from isocenter.cli import workitems

    with told():
        stop(workitems.cancel(uid, reason, here.settings()))


@app.command()
@with_installation
def release(
    title: Annotated[str, typer.Argument(metavar="TITLE", help="The subscriber's AE title.")],
    here: Installation = HERE,
) -> None:
    """Take the deletion locks of a subscriber that is gone for good; its subscriptions stay."""
    from isocenter.cli import workitems

    with told():
        stop(workitems.release(title, here.settings()))
