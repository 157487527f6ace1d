"""The command group `patients`: registered patients, and what was done to them."""

from typing import Annotated

import typer

from isocenter.cli.doing import HOW, How, with_account, with_answer
from isocenter.cli.ending import stop, told

app = typer.Typer(
    no_args_is_help=True, help="Patients across archive, worklist and procedure steps: what messages did, undone."
)

PatientId = Annotated[str, typer.Argument(metavar="PATIENT-ID")]
OfPatient = Annotated[str, typer.Option("--patient", metavar="PATIENT-ID", help="Only those of one patient.")]
Issuer = Annotated[str, typer.Option("--issuer", help="Issuer of Patient ID.", metavar="TEXT")]
PriorIssuer = Annotated[str, typer.Option("--prior-issuer", help="Issuer of the prior Patient ID.", metavar="TEXT")]


@app.command()
@with_answer
def events(
    patient: OfPatient = "",
    issuer: Issuer = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, the newest first.")] = 100,
    how: How = HOW,
) -> None:
    """List merges, moves and updates that changed archived studies, worklist items or procedure steps."""
    from isocenter.cli import patients

    with told():
        stop(patients.events((patient, issuer), limit, how))


@app.command()
@with_answer
def show(
    patient: PatientId,
    issuer: Issuer = "",
    how: How = HOW,
) -> None:
    """Tell what is registered of a patient: visits, merges, links; with --json demographics too."""
    from isocenter.cli import patients

    with told():
        stop(patients.show((patient, issuer), how))


@app.command()
@with_account
def merge(
    prior: Annotated[str, typer.Argument(metavar="PRIOR-ID", help="The Patient ID that is given up.")],
    into: Annotated[str, typer.Argument(metavar="PATIENT-ID", help="The one that stays.")],
    prior_issuer: PriorIssuer = "",
    issuer: Issuer = "",
    how: How = HOW,
) -> None:
    """Merge a patient into another everywhere, as ADT^A40 does."""
    from isocenter.cli import patients

    with told():
        stop(patients.merge((prior, prior_issuer), (into, issuer), how))


@app.command()
@with_account
def undo(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="The event, as `patients events` numbers it.")],
    how: How = HOW,
) -> None:
    """Take back all that a message did to a patient: edits of archived studies, worklist items, procedure steps."""
    from isocenter.cli import patients

    with told():
        stop(patients.undo(number, how))
