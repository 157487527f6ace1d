"""The command group `compress`."""

from typing import Annotated

import typer

from isocenter.cli import options
from isocenter.cli.ending import stop, told
from isocenter.cli.installed import HERE, Installation, with_installation

app = typer.Typer(no_args_is_help=True, help="Compression of what is stored.")

Study = Annotated[list[str] | None, typer.Option("--study", metavar="UID", help="Only this study; may be repeated.")]
To = Annotated[
    str,
    typer.Option(
        "--to", metavar="SYNTAX", help="All that is uncompressed to this, such as JPEGLSLossless, instead of the rules."
    ),
]


@app.command()
@with_installation
def plan(
    study: Study = None,
    to: To = "",
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Tell what would be compressed, without doing it."""
    from isocenter.cli import compressing

    with told():
        order = compressing.Order(tuple(study or ()), to)
        stop(compressing.plan(order, here.settings(), as_json=json))


@app.command()
@with_installation
def run(
    study: Study = None,
    to: To = "",
    wait: Annotated[float, typer.Option("--wait", min=0, metavar="SECONDS", help="Wait so long for the end.")] = 0.0,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Have the server compress what is stored, at once; a job for each study."""
    from isocenter.cli import compressing

    with told():
        order = compressing.Order(tuple(study or ()), to, wait)
        stop(compressing.run(order, here.settings(), as_json=json))


@app.command()
@with_installation
def status(
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Tell what was compressed, what that saved, what was left and why."""
    from isocenter.cli import compressing

    with told():
        stop(compressing.status(here.settings(), as_json=json))


@app.command()
@with_installation
def cancel(
    study: Study = None,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Cancel jobs that compress, of some studies or all. What is done stays."""
    from isocenter.cli import compressing

    with told():
        stop(compressing.cancel(study or [], here.settings(), as_json=json))
