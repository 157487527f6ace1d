"""The commands and their options. Each hands over to a module of its own."""

from pathlib import Path
from typing import Annotated

import typer

from isocenter import __version__, telemetry
from isocenter.cli import (
    commit_app,
    compress_app,
    editing_app,
    exceptions_app,
    hl7_app,
    jobs_app,
    modality_app,
    mpps_app,
    notices_app,
    options,
    patients_app,
    reconcile_app,
    registry_app,
    workitem_app,
    worklist_app,
)
from isocenter.cli.ending import stop, told
from isocenter.cli.installed import HERE, Installation, with_installation, with_settings
from isocenter.cli.securing import NONE, Security, with_security

app = typer.Typer(
    name="isocenter",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="An imaging archive: DICOM, DICOMweb, one program.",
    epilog="Exit status: 0 done, 1 something failed, 2 wrong usage or settings, 3 no peer.",
)
index_app = typer.Typer(no_args_is_help=True, help="The index.")
store_app = typer.Typer(no_args_is_help=True, help="The object store.")
config_app = typer.Typer(no_args_is_help=True, help="The settings.")
user_app = typer.Typer(no_args_is_help=True, help="Users who may call with a passcode.")
app.add_typer(index_app, name="index")
app.add_typer(store_app, name="store")
app.add_typer(config_app, name="config")
app.add_typer(user_app, name="user")
app.add_typer(registry_app.group("ae", "AEs hosted here"), name="ae")
app.add_typer(registry_app.group("peer", "peers"), name="peer")
app.add_typer(commit_app.app, name="commit")
app.add_typer(compress_app.app, name="compress")
app.add_typer(exceptions_app.app, name="exceptions")
app.add_typer(hl7_app.app, name="hl7")
app.add_typer(worklist_app.app, name="worklist")
app.add_typer(workitem_app.app, name="workitem")
app.add_typer(mpps_app.app, name="mpps")
app.add_typer(notices_app.app, name="notices")
app.add_typer(patients_app.app, name="patients")
app.add_typer(reconcile_app.app, name="reconcile")
editing_app.add_to(app)
modality_app.add_to(app)
jobs_app.add_to(app)


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
    hl7_port: Annotated[int | None, typer.Option(help="HL7 port; 0 for any free one.", metavar="N")] = None,
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
        "hl7": {"port": hl7_port} if hl7_port is not None else None,
        "host": host,
        "database": database,
        "insecure": insecure or None,
    }
    with told():
        stop(serving.run(config, given))


@app.command()
@with_security
@with_installation
def echo(
    peer: options.PeerName = "ISOCENTER",
    calling: options.Calling = options.CALLING,
    repeat: Annotated[int, typer.Option(min=1, help="How many times.")] = 1,
    json: options.Json = False,
    here: Installation = HERE,
    security: Security = NONE,
) -> None:
    """Verify a peer with C-ECHO."""
    from isocenter.cli import echoing, peering

    with told():
        target = peering.named(peer, here.settings(), calling, security)
        stop(echoing.run(target, repeat, as_json=json))


@app.command()
@with_security
@with_installation
def send(
    peer: options.PeerName,
    paths: Annotated[list[Path], typer.Argument(help="Files and folders, searched recursively.")],
    calling: options.Calling = options.CALLING,
    retries: Annotated[int, typer.Option(min=0, help="Further tries for what failed for lack of something.")] = 3,
    associations: Annotated[int, typer.Option(min=1, max=32, help="Associations at once.")] = 1,
    commit: Annotated[bool, typer.Option("--commit", help="Ask for storage commitment of what was sent.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="How long to wait for its report.", metavar="SECONDS")] = 120.0,
    json: options.Json = False,
    here: Installation = HERE,
    security: Security = NONE,
) -> None:
    """Send DICOM files to a peer with C-STORE."""
    from isocenter.cli import peering, sending

    with told():
        target = peering.named(peer, here.settings(), calling, security)
        asked = wait if commit else None
        stop(sending.run(target, paths, retries=retries, associations=associations, as_json=json, commit=asked))


@app.command()
@with_security
@with_installation
def find(
    peer: options.PeerName,
    key: options.Key = None,
    level: options.Level = "study",
    model: options.Model = "study",
    limit: Annotated[int, typer.Option(min=0, help="Cancel after so many matches; 0: never.")] = 0,
    tree: Annotated[bool, typer.Option("--tree", help="List what lies below each match too, level by level.")] = False,
    calling: options.Calling = options.CALLING,
    json: options.Json = False,
    here: Installation = HERE,
    security: Security = NONE,
) -> None:
    """Query a peer with C-FIND."""
    from isocenter.cli import finding, peering
    from isocenter.cli.identifiers import Asked

    with told():
        asked = Asked.of(key or [], level, model)
        target = peering.named(peer, here.settings(), calling, security)
        stop(finding.run(target, asked, limit=limit, as_json=json, tree=tree))


@app.command()
@with_security
@with_installation
def move(
    peer: options.PeerName,
    to: Annotated[str, typer.Option("--to", help="The AE title that the objects go to.", metavar="TITLE")],
    key: options.Key = None,
    level: options.Level = "study",
    model: options.Model = "study",
    calling: options.Calling = options.CALLING,
    json: options.Json = False,
    here: Installation = HERE,
    security: Security = NONE,
) -> None:
    """Have a peer send objects elsewhere with C-MOVE."""
    from isocenter.cli import peering, retrieving
    from isocenter.cli.identifiers import Asked

    with told():
        asked = Asked.of(key or [], level, model)
        target = peering.named(peer, here.settings(), calling, security)
        stop(retrieving.move(target, asked, to, as_json=json))


@app.command()
@with_security
@with_installation
def get(
    peer: options.PeerName,
    out: Annotated[Path, typer.Option("--out", help="The folder for the files.", metavar="DIR")] = Path(),
    key: options.Key = None,
    level: options.Level = "study",
    model: options.Model = "study",
    calling: options.Calling = options.CALLING,
    json: options.Json = False,
    here: Installation = HERE,
    security: Security = NONE,
) -> None:
    """Retrieve objects from a peer with C-GET."""
    from isocenter.cli import peering, retrieving
    from isocenter.cli.identifiers import Asked

    with told():
        asked = Asked.of(key or [], level, model)
        target = peering.named(peer, here.settings(), calling, security)
        stop(retrieving.get(target, asked, out, as_json=json))


@app.command()
@with_settings
def token(here: Installation = HERE) -> None:
    """Make a new admin token; the old one is no longer good."""
    from isocenter.cli import maintaining

    with told():
        stop(maintaining.new_token(here))


@index_app.command("rebuild")
@with_installation
def index_rebuild(
    here: Installation = HERE,
    json: options.Json = False,
) -> None:
    """Make the index anew from the store and its journal. The server must be stopped."""
    from isocenter.cli import maintaining

    with told():
        stop(maintaining.rebuild(here, as_json=json))


@index_app.command("attributes")
@with_installation
def index_attributes(
    here: Installation = HERE,
    json: options.Json = False,
) -> None:
    """List the further attributes that the settings have indexed, and how far that has come."""
    from isocenter.cli import maintaining

    with told():
        stop(maintaining.attributes(here, as_json=json))


@store_app.command("verify")
@with_installation
def store_verify(
    pixels: Annotated[
        bool, typer.Option("--pixels", help="Decode what was compressed here, and compare the samples too.")
    ] = False,
    here: Installation = HERE,
    json: options.Json = False,
) -> None:
    """Compare every object with the digest that was recorded when it was received."""
    from isocenter.cli import maintaining

    with told():
        stop(maintaining.verify(here, pixels=pixels, as_json=json))


@app.command()
@with_installation
def backup(
    to: Annotated[Path, typer.Argument(help="A folder that does not exist yet.", metavar="FOLDER")],
    copy: Annotated[bool, typer.Option("--copy", help="Copy the objects, also where hard links would do.")] = False,
    here: Installation = HERE,
    json: options.Json = False,
) -> None:
    """Copy index and store, consistently, while the server runs."""
    from isocenter.cli import maintaining

    with told():
        stop(maintaining.backup(to, here, copy=copy, as_json=json))


@app.command()
@with_installation
def restore(
    source: Annotated[Path, typer.Argument(help="A folder that `backup` made.", metavar="FOLDER")],
    here: Installation = HERE,
    json: options.Json = False,
) -> None:
    """Bring a backup back into an empty data folder, and verify it."""
    from isocenter.cli import maintaining

    with told():
        stop(maintaining.restore(source, here, as_json=json))


@user_app.command("hash")
def user_hash() -> None:
    """Ask for a passcode and print its hash, for the passcode of a [[user]]."""
    from isocenter.cli import identifying

    with told():
        stop(identifying.hash_passcode())


@config_app.command("check")
@with_settings
def config_check(here: Installation = HERE) -> None:
    """Say whether the settings are right."""
    from isocenter.cli import configuring

    with told():
        stop(configuring.check(here))


@config_app.command("show")
@with_settings
def config_show(here: Installation = HERE, json: options.Json = False) -> None:
    """Print the resolved settings, secrets masked, with the source of each that is no default."""
    from isocenter.cli import configuring

    with told():
        stop(configuring.show(here, as_json=json))


@app.command()
@with_settings
def conformance(
    form: Annotated[str, typer.Option("--format", help="html, pdf, md, or all.", metavar="FORMAT")] = "html",
    output: Annotated[Path, typer.Option("--output", help="The folder for the files.", metavar="DIR")] = Path(),
    ae: Annotated[str, typer.Option("--ae", help="Only this hosted AE.", metavar="TITLE")] = "",
    here: Installation = HERE,
) -> None:
    """Write the DICOM conformance statement of this installation."""
    from isocenter.cli import conforming

    with told():
        stop(conforming.write(here, form=form, output=output, title=ae))
