"""The command group `notices`."""

from typing import Annotated

import typer

from isocenter.cli import options
from isocenter.cli.ending import stop, told
from isocenter.cli.installed import HERE, Installation, with_installation

app = typer.Typer(no_args_is_help=True, help="Notifications: who was told of studies, who is to be, and what we heard.")

Numbers = Annotated[list[int], typer.Argument(metavar="NUMBER...", help="As `notices list` numbers them.")]
Study = Annotated[str, typer.Option("--study", metavar="UID", help="Only those of this study.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="How many, the newest first.")]


@app.command("list")
@with_installation
def list_(
    state: Annotated[str, typer.Option("--state", help="waiting, sent, failed or discarded.")] = "",
    kind: Annotated[str, typer.Option("--kind", help="study-content, availability or hook.")] = "",
    study: Study = "",
    limit: Limit = 100,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """List what was told, waits to be, or could not be."""
    from isocenter.cli import notices

    with told():
        wanted = notices.Wanted(state, kind, study, limit)
        stop(notices.list_all(wanted, here.settings(), as_json=json))


@app.command()
@with_installation
def retry(
    numbers: Annotated[list[int] | None, typer.Argument(metavar="[NUMBER...]", help="As `list` numbers them.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that have failed.")] = False,
    here: Installation = HERE,
) -> None:
    """Tell these now, also such as have been told, as if for the first time."""
    from isocenter.cli import notices

    with told():
        stop(notices.retry(numbers or [], here.settings(), failed=failed))


@app.command()
@with_installation
def discard(
    numbers: Numbers,
    here: Installation = HERE,
) -> None:
    """Don't tell these any more."""
    from isocenter.cli import notices

    with told():
        stop(notices.discard(numbers, here.settings()))


@app.command()
@with_installation
def received(
    number: Annotated[int, typer.Argument(metavar="[NUMBER]", help="Show the data set of this one.")] = 0,
    study: Study = "",
    limit: Limit = 100,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """List what others told us, or show one of them as DICOM JSON."""
    from isocenter.cli import notices

    with told():
        settings = here.settings()
        if number:
            stop(notices.show_received(number, settings))
        else:
            stop(notices.list_received(study, limit, settings, as_json=json))
