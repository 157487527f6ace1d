"""The command group `patients`: registered patients, and what was done to them."""

from typing import Annotated

import typer

from isocenter.cli import options
from isocenter.cli.ending import stop, told
from isocenter.cli.installed import HERE, Installation, with_installation

app = typer.Typer(
    no_args_is_help=True, help="Patients across archive, worklist and procedure steps: what messages did, undone."
)

By = Annotated[str, typer.Option("--by", help="Who does it, for the audit; by default the user.", metavar="NAME")]
Why = Annotated[str, typer.Option("--why", help="Why, for the audit.", metavar="TEXT")]
PatientId = Annotated[str, typer.Argument(metavar="PATIENT-ID")]
OfPatient = Annotated[str, typer.Option("--patient", metavar="PATIENT-ID", help="Only those of one patient.")]
Issuer = Annotated[str, typer.Option("--issuer", help="Issuer of Patient ID.", metavar="TEXT")]
PriorIssuer = Annotated[str, typer.Option("--prior-issuer", help="Issuer of the prior Patient ID.", metavar="TEXT")]


@app.command()
@with_installation
def events(
    patient: OfPatient = "",
    issuer: Issuer = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, the newest first.")] = 100,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """List merges, moves and updates that changed archived studies, worklist items or procedure steps."""
    from isocenter.cli import patients

    with told():
        stop(patients.events((patient, issuer), limit, patients.How(here, json)))


@app.command()
@with_installation
def show(
    patient: PatientId,
    issuer: Issuer = "",
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Tell what is registered of a patient: visits, merges, links; with --json demographics too."""
    from isocenter.cli import patients

    with told():
        stop(patients.show((patient, issuer), patients.How(here, json)))


@app.command()
@with_installation
def merge(
    prior: Annotated[str, typer.Argument(metavar="PRIOR-ID", help="The Patient ID that is given up.")],
    into: Annotated[str, typer.Argument(metavar="PATIENT-ID", help="The one that stays.")],
    prior_issuer: PriorIssuer = "",
    issuer: Issuer = "",
    by: By = "",
    why: Why = "",
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Merge a patient into another everywhere, as ADT^A40 does."""
    from isocenter.cli import patients

    with told():
        how = patients.How(here, json, by, why)
        stop(patients.merge((prior, prior_issuer), (into, issuer), how))


@app.command()
@with_installation
def undo(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="The event, as `patients events` numbers it.")],
    by: By = "",
    why: Why = "",
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Take back all that a message did to a patient: edits of archived studies, worklist items, procedure steps."""
    from isocenter.cli import patients

    with told():
        stop(patients.undo(number, patients.How(here, json, by, why)))
