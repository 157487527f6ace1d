"""The command groups `ae` and `peer`: the same five commands for both."""

from typing import TYPE_CHECKING, Annotated

import typer

from isocenter.cli import options
from isocenter.cli.ending import stop, told
from isocenter.cli.installed import HERE, Installation, with_installation

if TYPE_CHECKING:
    from isocenter.config import Kind

Words = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="As in the settings file: port=104 allow=store,find")
]
Unset = Annotated[
    list[str] | None, typer.Option("--unset", metavar="KEY", help="Back to the default. May be repeated.")
]


def group(kind: "Kind", what: str) -> typer.Typer:
    """The commands for one kind; `what` names it in their help."""
    app = typer.Typer(no_args_is_help=True, help=f"The {what}: those of the settings, and those that are stored.")
    form = "TITLE" if kind == "ae" else "TITLE[@HOST[:PORT]]"
    named = typer.Argument(metavar=form, help="The AE title." if kind == "ae" else "The peer, and where it is.")

    @app.command("list")
    @with_installation
    def list_(
        json: options.Json = False,
        here: Installation = HERE,
    ) -> None:
        from isocenter.cli import registering

        with told():
            stop(registering.list_all(kind, here, as_json=json))

    @app.command()
    @with_installation
    def show(
        name: Annotated[str, named],
        json: options.Json = False,
        here: Installation = HERE,
    ) -> None:
        from isocenter.cli import registering

        with told():
            stop(registering.show(kind, name, here, as_json=json))

    @app.command()
    @with_installation
    def add(
        name: Annotated[str, named],
        words: Words = None,
        json: options.Json = False,
        here: Installation = HERE,
    ) -> None:
        from isocenter.cli import registering

        with told():
            stop(registering.add(kind, name, words or [], here, as_json=json))

    @app.command("set")
    @with_installation
    def set_(
        name: Annotated[str, named],
        words: Words = None,
        unset: Unset = None,
        json: options.Json = False,
        here: Installation = HERE,
    ) -> None:
        from isocenter.cli import registering

        with told():
            stop(registering.change(kind, name, words or [], unset or [], here, as_json=json))

    @app.command()
    @with_installation
    def remove(
        name: Annotated[str, named],
        json: options.Json = False,
        here: Installation = HERE,
    ) -> None:
        from isocenter.cli import registering

        with told():
            stop(registering.remove(kind, name, here, as_json=json))

    if kind == "ae":

        @app.command()
        def presets(
            name: Annotated[str | None, typer.Argument(metavar="PRESET", help="Whose settings are printed.")] = None,
            json: options.Json = False,
        ) -> None:
            from isocenter.cli import registering

            with told():
                stop(registering.presets(name, as_json=json))

    _explain(app, what)
    return app


_HELP = {
    "list": "List the {}, with where each comes from.",
    "show": "Print one of the {} with all its settings.",
    "add": "Add one to the stored {}. A running server sees it at once.",
    "set": "Change settings of one of the stored {}.",
    "remove": "Remove one of the stored {}.",
    "presets": "List the presets that {} may have, or what one of them sets.",
}


def _explain(app: typer.Typer, what: str) -> None:
    for command in app.registered_commands:
        assert command.callback is not None
        command.help = _HELP[command.name or command.callback.__name__].format(what)
