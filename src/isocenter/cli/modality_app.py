"""The command `modality`."""

from pathlib import Path
from typing import Annotated

import typer

from isocenter.cli import options
from isocenter.cli.ending import stop, told
from isocenter.cli.installed import HERE, Installation, with_installation
from isocenter.cli.securing import NONE, Security, with_security
from isocenter.cli.worklist_app import (
    Accession,
    Date,
    Key,
    Modality,
    PatientId,
    PatientName,
    Procedure,
    Station,
    Step,
    given_by,
)

_NOBODY = "none"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(modality)


@with_security
@with_installation
def modality(
    peer: options.PeerName = "ISOCENTER",
    worklist: Annotated[str, typer.Option(help="Another worklist than PEER; `none`: no query.", metavar="PEER")] = "",
    mpps: Annotated[str, typer.Option(help="Another MPPS SCP than PEER; `none`: no report.", metavar="PEER")] = "",
    store: Annotated[str, typer.Option(help="Another storage SCP than PEER.", metavar="PEER")] = "",
    commit: Annotated[
        str, typer.Option(help="Another storage commitment SCP than that of the images; `none`.", metavar="PEER")
    ] = "",
    accession: Accession = "",
    patient_id: PatientId = "",
    patient_name: PatientName = "",
    procedure_id: Procedure = "",
    step_id: Step = "",
    date: Date = "",
    kind: Modality = "",
    station: Station = "",
    key: Key = None,
    limit: Annotated[int, typer.Option(min=1, help="Items of the worklist; the rest is cancelled.")] = 100,
    every: Annotated[bool, typer.Option("--all", help="Perform all that match, one after the other.")] = False,
    together: Annotated[bool, typer.Option("--group", help="Perform all that match as one step.")] = False,
    unscheduled: Annotated[
        bool, typer.Option("--unscheduled", help="A step that nobody scheduled, of the patient that the options name.")
    ] = False,
    images: Annotated[int, typer.Option(min=1, max=10_000, help="Images of a step.")] = 3,
    seed: Annotated[int, typer.Option(help="The same seed makes the same pixels.")] = 0,
    discontinue: Annotated[
        str,
        typer.Option(help="Discontinue each step, for a reason of context group 9300.", metavar="CODE^SCHEME^MEANING"),
    ] = "",
    store_first: Annotated[bool, typer.Option("--store-first", help="Store before the step is ended.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="For the report on commitment.", metavar="SECONDS")] = 120.0,
    listen: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Take the report at this port too.", metavar="PORT")
    ] = None,
    keep: Annotated[Path | None, typer.Option(help="Write the images into this folder.", metavar="FOLDER")] = None,
    name: Annotated[str, typer.Option(help="Station Name.", metavar="TEXT")] = "",
    calling: options.Calling = "MODALITY",
    json: options.Json = False,
    here: Installation = HERE,
    security: Security = NONE,
) -> None:
    """Be a modality: query a worklist, report the step, make and store images, have them committed."""
    from isocenter.acquire.modality import Device
    from isocenter.cli import modality as performing
    from isocenter.cli import worklisting
    from isocenter.cli.peering import Target, named

    with told():
        settings = here.settings()

        def target(title: str, default: str = peer) -> Target | None:
            return None if title == _NOBODY else named(title or default, settings, calling, security)

        storage = target(store)
        if storage is None:
            raise typer.BadParameter("images have to go somewhere", param_hint="--store")
        given = given_by(
            accession=accession,
            patient_id=patient_id,
            patient_name=patient_name,
            procedure_id=procedure_id,
            step_id=step_id,
            date=date,
            modality=kind,
            station=station,
        )
        keys = worklisting.named(given, key or []) or performing.of_today()
        partners = performing.Partners(
            None if unscheduled else target(worklist), target(mpps), storage, target(commit, store or peer)
        )
        device = Device(
            station=calling,
            modality=kind or "CT",
            name=name,
            images=images,
            archive=storage.peer.title,
            stores_first=store_first,
            reason=performing.reason_of(discontinue),
            seed=seed,
        )
        patient = performing.patient_of(keys) if unscheduled else None
        choice = performing.Choice(keys, limit, every, together, patient)
        stop(performing.run(device, partners, choice, performing.Way(wait, listen, keep, json)))
