"""The command group `hl7 mapping`."""

from pathlib import Path
from typing import Annotated

import typer

from isocenter.cli import options
from isocenter.cli.ending import stop, told
from isocenter.cli.installed import HERE, Installation, with_installation, with_settings

app = typer.Typer(no_args_is_help=True, help="How orders become worklist items: mappings and tables of exams.")

Name = Annotated[str | None, typer.Option("--mapping", metavar="NAME", help="rad-4, x-ris or a file; else the feed's.")]
Exams = Annotated[Path | None, typer.Option("--exams", metavar="FILE", help="A table of exams; else the feed's.")]


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="rad-4, x-ris or a file.")] = "rad-4",
) -> None:
    """Print a mapping, a line an attribute: its sources, the conversion, a note."""
    from isocenter.cli import mapping

    with told():
        stop(mapping.show(name))


@app.command()
@with_settings
def check(
    name: Name = None,
    exams: Exams = None,
    here: Installation = HERE,
) -> None:
    """Read a mapping and a table of exams, or those of all feeds, and say what is wrong with them."""
    from isocenter.cli import mapping

    with told():
        stop(mapping.check(name, exams, here.settings()))


@app.command("try")
@with_installation
def try_(
    paths: Annotated[list[Path], typer.Argument(metavar="MESSAGE...", help="Files of messages, and folders of such.")],
    name: Name = None,
    exams: Exams = None,
    known: Annotated[bool, typer.Option("--known", help="With the orders and patients that are known here.")] = False,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Print the worklist items that messages would make; nothing is written."""
    from isocenter.cli import mapping

    with told():
        settings = here.settings()
        stop(mapping.attempt(paths, name, exams, settings, known=known, as_json=json))
