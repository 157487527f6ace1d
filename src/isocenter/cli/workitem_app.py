"""The command group `workitem`."""

from typing import Annotated

import typer

from isocenter.cli import options
from isocenter.cli.ending import stop, told

app = typer.Typer(no_args_is_help=True, help="The unified worklist: workitems (UPS) and who watches them.")

Uid = Annotated[str, typer.Argument(metavar="UID", help="The workitem's SOP Instance UID.")]


@app.command("list")
def list_(
    key: options.Key = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    json: options.Json = False,
    config: options.ConfigFile = None,
    data: options.Data = None,
    database: options.Database = None,
) -> None:
    """List workitems, those that came first first."""
    from isocenter.cli import workitems
    from isocenter.cli.configuring import settings_of

    with told():
        stop(workitems.list_all(key or [], limit, settings_of(config, data, database=database), as_json=json))


@app.command()
def show(
    uid: Uid,
    json: options.Json = False,
    config: options.ConfigFile = None,
    data: options.Data = None,
    database: options.Database = None,
) -> None:
    """Show one, and who is subscribed to it."""
    from isocenter.cli import workitems
    from isocenter.cli.configuring import settings_of

    with told():
        stop(workitems.show(uid, settings_of(config, data, database=database), as_json=json))


@app.command()
def cancel(
    uid: Uid,
    reason: Annotated[str, typer.Option("--reason", help="Reason For Cancellation.", metavar="TEXT")] = "",
    config: options.ConfigFile = None,
    data: options.Data = None,
    database: options.Database = None,
) -> None:
    """Cancel one that nobody performs; ask the performer of another."""
    from isocenter.cli import workitems
    from isocenter.cli.configuring import settings_of

    with told():
        stop(workitems.cancel(uid, reason, settings_of(config, data, database=database)))


@app.command()
def release(
    title: Annotated[str, typer.Argument(metavar="TITLE", help="The subscriber's AE title.")],
    config: options.ConfigFile = None,
    data: options.Data = None,
    database: options.Database = None,
) -> None:
    """Take the deletion locks of a subscriber that is gone for good; its subscriptions stay."""
    from isocenter.cli import workitems
    from isocenter.cli.configuring import settings_of

    with told():
        stop(workitems.release(title, settings_of(config, data, database=database)))
