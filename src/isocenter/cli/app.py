"""The commands and their options. Each hands over to a module of its own."""

from pathlib import Path
from typing import Annotated

import typer

from isocenter import __version__, telemetry
from isocenter.cli import options, registry_app
from isocenter.cli.ending import stop, told

app = typer.Typer(
    name="isocenter",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="An imaging archive: DICOM, DICOMweb, one program.",
    epilog="Exit status: 0 done, 1 something failed, 2 wrong usage or settings, 3 no peer.",
)
index_app = typer.Typer(no_args_is_help=True, help="The index of a stopped server.")
store_app = typer.Typer(no_args_is_help=True, help="The object store.")
config_app = typer.Typer(no_args_is_help=True, help="The settings.")
app.add_typer(index_app, name="index")
app.add_typer(store_app, name="store")
app.add_typer(config_app, name="config")
app.add_typer(registry_app.group("ae", "AEs hosted here"), name="ae")
app.add_typer(registry_app.group("peer", "peers"), name="peer")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"isocenter {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="The version.")] = False,
) -> None:
    telemetry.configure("ERROR")


@app.command()
def serve(
    data: options.Data = None,
    dicom_port: Annotated[int | None, typer.Option(help="DICOM port; 0 for any free one.", metavar="N")] = None,
    http_port: Annotated[int | None, typer.Option(help="HTTP port; 0 for any free one.", metavar="N")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", metavar="ADDRESS")] = None,
    config: options.ConfigFile = None,
    database: options.Database = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Leave everything open beyond loopback.")] = False,
) -> None:
    """Run the server."""
    from isocenter.cli import serving

    given = {
        "data": str(data) if data else None,
        "dicom_port": dicom_port,
        "http_port": http_port,
        "host": host,
        "database": database,
        "insecure": insecure or None,
    }
    with told():
        stop(serving.run(config, given))


@app.command()
def echo(
    peer: options.PeerName = "ISOCENTER",
    calling: options.Calling = options.CALLING,
    repeat: Annotated[int, typer.Option(min=1, help="How many times.")] = 1,
    json: options.Json = False,
    config: options.ConfigFile = None,
    data: options.Data = None,
) -> None:
    """Verify a peer with C-ECHO."""
    from isocenter.cli import echoing, peering

    with told():
        stop(echoing.run(peering.named(peer, config, data, calling), repeat, as_json=json))


@app.command()
def send(
    peer: options.PeerName,
    paths: Annotated[list[Path], typer.Argument(help="Files and folders, searched recursively.")],
    calling: options.Calling = options.CALLING,
    retries: Annotated[int, typer.Option(min=0, help="Further tries for what failed for lack of something.")] = 3,
    associations: Annotated[int, typer.Option(min=1, max=32, help="Associations at once.")] = 1,
    json: options.Json = False,
    config: options.ConfigFile = None,
    data: options.Data = None,
) -> None:
    """Send DICOM files to a peer with C-STORE."""
    from isocenter.cli import peering, sending

    with told():
        target = peering.named(peer, config, data, calling)
        stop(sending.run(target, paths, retries=retries, associations=associations, as_json=json))


@app.command()
def find(
    peer: options.PeerName,
    key: options.Key = None,
    level: options.Level = "study",
    model: options.Model = "study",
    limit: Annotated[int, typer.Option(min=0, help="Cancel after so many matches; 0: never.")] = 0,
    calling: options.Calling = options.CALLING,
    json: options.Json = False,
    config: options.ConfigFile = None,
    data: options.Data = None,
) -> None:
    """Query a peer with C-FIND."""
    from isocenter.cli import finding, peering
    from isocenter.cli.identifiers import Asked

    with told():
        asked = Asked.of(key or [], level, model)
        stop(finding.run(peering.named(peer, config, data, calling), asked, limit=limit, as_json=json))


@app.command()
def move(
    peer: options.PeerName,
    to: Annotated[str, typer.Option("--to", help="The AE title that the objects go to.", metavar="TITLE")],
    key: options.Key = None,
    level: options.Level = "study",
    model: options.Model = "study",
    calling: options.Calling = options.CALLING,
    json: options.Json = False,
    config: options.ConfigFile = None,
    data: options.Data = None,
) -> None:
    """Have a peer send objects elsewhere with C-MOVE."""
    from isocenter.cli import peering, retrieving
    from isocenter.cli.identifiers import Asked

    with told():
        asked = Asked.of(key or [], level, model)
        stop(retrieving.move(peering.named(peer, config, data, calling), asked, to, as_json=json))


@app.command()
def get(
    peer: options.PeerName,
    out: Annotated[Path, typer.Option("--out", help="The folder for the files.", metavar="DIR")] = Path(),
    key: options.Key = None,
    level: options.Level = "study",
    model: options.Model = "study",
    calling: options.Calling = options.CALLING,
    json: options.Json = False,
    config: options.ConfigFile = None,
    data: options.Data = None,
) -> None:
    """Retrieve objects from a peer with C-GET."""
    from isocenter.cli import peering, retrieving
    from isocenter.cli.identifiers import Asked

    with told():
        asked = Asked.of(key or [], level, model)
        stop(retrieving.get(peering.named(peer, config, data, calling), asked, out, as_json=json))


@app.command()
def token(config: options.ConfigFile = None, data: options.Data = None) -> None:
    """Make a new admin token; the old one is no longer good."""
    from isocenter.cli import maintaining

    with told():
        stop(maintaining.new_token(config, data))


@index_app.command("rebuild")
def index_rebuild(
    config: options.ConfigFile = None,
    data: options.Data = None,
    database: options.Database = None,
    json: options.Json = False,
) -> None:
    """Make the index anew from the store and its journal. The server must be stopped."""
    from isocenter.cli import maintaining

    with told():
        stop(maintaining.rebuild(config, data, database, as_json=json))


@store_app.command("verify")
def store_verify(
    config: options.ConfigFile = None,
    data: options.Data = None,
    database: options.Database = None,
    json: options.Json = False,
) -> None:
    """Compare every object with the digest that was recorded when it was received."""
    from isocenter.cli import maintaining

    with told():
        stop(maintaining.verify(config, data, database, as_json=json))


@app.command()
def backup(
    to: Annotated[Path, typer.Argument(help="A folder that does not exist yet.", metavar="FOLDER")],
    copy: Annotated[bool, typer.Option("--copy", help="Copy the objects, also where hard links would do.")] = False,
    config: options.ConfigFile = None,
    data: options.Data = None,
    database: options.Database = None,
    json: options.Json = False,
) -> None:
    """Copy index and store, consistently, while the server runs."""
    from isocenter.cli import maintaining

    with told():
        stop(maintaining.backup(to, config, data, database, copy=copy, as_json=json))


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(help="A folder that `backup` made.", metavar="FOLDER")],
    config: options.ConfigFile = None,
    data: options.Data = None,
    database: options.Database = None,
    json: options.Json = False,
) -> None:
    """Bring a backup back into an empty data folder, and verify it."""
    from isocenter.cli import maintaining

    with told():
        stop(maintaining.restore(source, config, data, database, as_json=json))


@config_app.command("check")
def config_check(config: options.ConfigFile = None, data: options.Data = None) -> None:
    """Say whether the settings are right."""
    from isocenter.cli import configuring

    with told():
        stop(configuring.check(config, data))


@config_app.command("show")
def config_show(config: options.ConfigFile = None, data: options.Data = None, json: options.Json = False) -> None:
    """Print the resolved settings, secrets masked, with the source of each that is no default."""
    from isocenter.cli import configuring

    with told():
        stop(configuring.show(config, data, as_json=json))
