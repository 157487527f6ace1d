"""The command group `worklist`."""

from pathlib import Path
from typing import Annotated

import typer

from isocenter.cli import options
from isocenter.cli.ending import stop, told
from isocenter.cli.installed import HERE, Installation, with_installation
from isocenter.cli.securing import NONE, Security, with_security

app = typer.Typer(no_args_is_help=True, help="Worklists: asking others, and the entries of the own one.")


def _key(name: str, what: str, metavar: str = "TEXT") -> typer.models.OptionInfo:
    found: typer.models.OptionInfo = typer.Option(name, help=what, metavar=metavar)
    return found


PatientId = Annotated[str, _key("--patient-id", "Patient ID.")]
PatientName = Annotated[str, _key("--patient-name", "Patient's Name.", "FAMILY^GIVEN")]
Accession = Annotated[str, _key("--accession", "Accession Number.")]
Procedure = Annotated[str, _key("--procedure-id", "Requested Procedure ID.")]
Step = Annotated[str, _key("--step-id", "Scheduled Procedure Step ID.")]
Date = Annotated[str, _key("--date", "Start date, or a range of dates.", "YYYYMMDD")]
Time = Annotated[str, _key("--time", "Start time, or a range of times.", "HHMM")]
Modality = Annotated[str, _key("--modality", "Modality.")]
Station = Annotated[str, _key("--station", "Scheduled Station AE Title.", "TITLE")]
Physician = Annotated[str, _key("--physician", "Scheduled Performing Physician's Name.", "FAMILY^GIVEN")]
Key = Annotated[
    list[str] | None,
    typer.Option(
        "--key", "-k", metavar="KEYWORD=VALUE", help="Any other attribute; steps into sequences are dots. Repeatable."
    ),
]
All = Annotated[bool, typer.Option("--all", help="All that match, if it is more than one.")]

_KEYWORDS = {
    "patient_id": "PatientID",
    "patient_name": "PatientName",
    "accession": "AccessionNumber",
    "procedure_id": "RequestedProcedureID",
    "step_id": "ScheduledProcedureStepID",
    "date": "ScheduledProcedureStepStartDate",
    "time": "ScheduledProcedureStepStartTime",
    "modality": "Modality",
    "station": "ScheduledStationAETitle",
    "physician": "ScheduledPerformingPhysicianName",
}


def given_by(**values: str) -> list[tuple[str, str]]:
    """Keywords and values by the names of the options."""
    return [(_KEYWORDS[name], value) for name, value in values.items()]


@app.command()
@with_security
@with_installation
def query(
    peer: options.PeerName,
    patient_id: PatientId = "",
    patient_name: PatientName = "",
    accession: Accession = "",
    procedure_id: Procedure = "",
    step_id: Step = "",
    date: Date = "",
    time: Time = "",
    modality: Modality = "",
    station: Station = "",
    physician: Physician = "",
    key: Key = None,
    limit: Annotated[int, typer.Option(min=0, help="Cancel after so many; 0: never.")] = 100,
    calling: options.Calling = options.CALLING,
    json: options.Json = False,
    here: Installation = HERE,
    security: Security = NONE,
) -> None:
    """Ask a peer which procedure steps are scheduled."""
    from isocenter.cli import peering, worklisting

    given = given_by(
        patient_id=patient_id, patient_name=patient_name, accession=accession, procedure_id=procedure_id,
        step_id=step_id, date=date, time=time, modality=modality, station=station, physician=physician,
    )  # fmt: skip
    with told():
        keys = worklisting.named(given, key or [])
        target = peering.named(peer, here.settings(), calling, security)
        stop(worklisting.query(target, keys, limit=limit, as_json=json))


@app.command()
@with_installation
def create(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Entries as DICOM JSON, one or an array; - reads them.")
    ] = None,
    patient_id: PatientId = "",
    patient_name: PatientName = "",
    accession: Accession = "",
    procedure_id: Procedure = "",
    step_id: Step = "",
    date: Date = "",
    time: Time = "",
    modality: Modality = "",
    station: Station = "",
    physician: Physician = "",
    key: Key = None,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Make entries: of a file, or one of options. Without a date and a time it is scheduled for now."""
    from isocenter.cli import worklisting

    given = given_by(
        patient_id=patient_id, patient_name=patient_name, accession=accession, procedure_id=procedure_id,
        step_id=step_id, date=date, time=time, modality=modality, station=station, physician=physician,
    )  # fmt: skip
    with told():
        stop(worklisting.create(here, worklisting.named(given, key or []), file, as_json=json))


@app.command("list")
@with_installation
def list_(
    patient_id: PatientId = "",
    patient_name: PatientName = "",
    accession: Accession = "",
    procedure_id: Procedure = "",
    date: Date = "",
    modality: Modality = "",
    station: Station = "",
    state: Annotated[str, typer.Option("--state", help="Those in this state, or all.", metavar="STATE")] = "",
    key: Key = None,
    limit: Annotated[int, typer.Option(min=0, help="How many, the earliest first; 0: all.")] = 100,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """List entries of the own worklist; those that are over only where --state says so."""
    from isocenter.cli import worklisting

    given = given_by(
        patient_id=patient_id, patient_name=patient_name, accession=accession, procedure_id=procedure_id,
        date=date, modality=modality, station=station,
    )  # fmt: skip
    with told():
        stop(worklisting.list_all(here, worklisting.named(given, key or []), state, limit, as_json=json))


@app.command()
@with_installation
def cancel(
    accession: Accession = "",
    procedure_id: Procedure = "",
    step_id: Step = "",
    key: Key = None,
    everything: All = False,
    here: Installation = HERE,
) -> None:
    """Cancel entries of the own worklist: no query finds them any more, unless it asks for cancelled ones."""
    _end(accession, procedure_id, step_id, key, (everything, False), here)


@app.command()
@with_installation
def remove(
    accession: Accession = "",
    procedure_id: Procedure = "",
    step_id: Step = "",
    key: Key = None,
    everything: All = False,
    here: Installation = HERE,
) -> None:
    """Take entries out of the own worklist for good."""
    _end(accession, procedure_id, step_id, key, (everything, True), here)


def _end(
    accession: str,
    procedure_id: str,
    step_id: str,
    key: list[str] | None,
    how: tuple[bool, bool],
    here: Installation,
) -> None:
    from isocenter.cli import worklisting

    everything, gone = how
    given = given_by(accession=accession, procedure_id=procedure_id, step_id=step_id)
    with told():
        stop(worklisting.cancel(here, worklisting.named(given, key or []), everything=everything, gone=gone))
