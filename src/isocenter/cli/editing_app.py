"""The commands that correct what is stored: edits, merges, moves, splits, rejection; and those that tell of them."""

from typing import Annotated

import typer

from isocenter.cli.doing import HOW, How, with_answer, with_trial
from isocenter.cli.ending import stop, told

Words = Annotated[list[str] | None, typer.Argument(metavar="KEYWORD=VALUE", help="New values; '' empties.")]
Removed = Annotated[
    list[str] | None, typer.Option("--remove", metavar="KEYWORD", help="Take the attribute out. May be repeated.")
]
Issuer = Annotated[str, typer.Option("--issuer", help="Issuer of Patient ID.", metavar="TEXT")]
PatientId = Annotated[str, typer.Argument(metavar="PATIENT-ID")]
Study = Annotated[str, typer.Argument(metavar="STUDY", help="Study Instance UID.")]
Series = Annotated[str, typer.Argument(metavar="SERIES", help="Series Instance UID.")]
Instance = Annotated[str, typer.Argument(metavar="INSTANCE", help="SOP Instance UID.")]
OptionalSeries = Annotated[str, typer.Argument(metavar="SERIES", help="Series Instance UID.")]
Title = Annotated[str, typer.Option("--reason", help="quality, safety, worklist or expired (CID 7010).")]
Modifier = Annotated[str, typer.Option("--modifier", help="Of quality: a code of CID 7011.", metavar="CODE")]

edit_app = typer.Typer(no_args_is_help=True, help="Attributes, corrected after receipt.")
reject_app = typer.Typer(no_args_is_help=True, help="Take objects out of sight with a rejection note.")
audit_app = typer.Typer(no_args_is_help=True, help="What was changed, by whom and why.")
conflict_app = typer.Typer(no_args_is_help=True, help="Objects that contradict what is stored.")


def add_to(app: typer.Typer) -> None:
    """Add these commands to the program's."""
    app.add_typer(edit_app, name="edit")
    app.add_typer(reject_app, name="reject")
    app.add_typer(audit_app, name="audit")
    app.add_typer(conflict_app, name="conflict")
    app.command("merge-patients")(merge_patients)
    app.command("move-study")(move_study)
    app.command("split-series")(split_series)
    app.command("unreject")(unreject)


@edit_app.command("patient")
@with_trial
def edit_patient(
    patient_id: PatientId,
    words: Words = None,
    issuer: Issuer = "",
    remove: Removed = None,
    how: How = HOW,
) -> None:
    """Edit a patient, in all studies."""
    from isocenter.archive.edits.checks import Target, identity
    from isocenter.cli import editing

    with told():
        stop(editing.edit(lambda: Target.patient(identity(patient_id, issuer)), words or [], remove or [], how))


@edit_app.command("study")
@with_trial
def edit_study(
    study: Study,
    words: Words = None,
    remove: Removed = None,
    how: How = HOW,
) -> None:
    """Edit a study."""
    from isocenter.archive.edits.checks import Target
    from isocenter.cli import editing

    with told():
        stop(editing.edit(lambda: Target.study(study), words or [], remove or [], how))


@edit_app.command("series")
@with_trial
def edit_series(
    study: Study,
    series: Series,
    words: Words = None,
    remove: Removed = None,
    how: How = HOW,
) -> None:
    """Edit a series."""
    from isocenter.archive.edits.checks import Target
    from isocenter.cli import editing

    with told():
        stop(editing.edit(lambda: Target.series(study, series), words or [], remove or [], how))


@edit_app.command("revert")
@with_trial
def edit_revert(
    edit: Annotated[str, typer.Argument(metavar="EDIT", help="As `audit list` names it, or what that begins with.")],
    how: How = HOW,
) -> None:
    """Take an edit, a move, a merge or a split back."""
    from isocenter.cli import editing

    with told():
        stop(editing.revert(edit, how))


@with_trial
def merge_patients(
    prior: Annotated[str, typer.Argument(metavar="PRIOR-ID", help="The Patient ID that is given up.")],
    into: Annotated[str, typer.Argument(metavar="PATIENT-ID", help="The one that stays.")],
    prior_issuer: Annotated[str, typer.Option("--prior-issuer", help="Issuer of the first.", metavar="TEXT")] = "",
    issuer: Issuer = "",
    how: How = HOW,
) -> None:
    """Make two patients one."""
    from isocenter.cli import editing

    with told():
        stop(editing.merge((prior, prior_issuer), (into, issuer), how))


@with_trial
def move_study(
    study: Study,
    patient_id: PatientId,
    words: Words = None,
    issuer: Issuer = "",
    how: How = HOW,
) -> None:
    """Give a study to another patient; the values are for one who is not known yet."""
    from isocenter.cli import editing

    with told():
        stop(editing.move(study, (patient_id, issuer), words or [], how))


@with_trial
def split_series(
    study: Study,
    series: Series,
    to: Annotated[str, typer.Option("--to", help="Study Instance UID; none: a new one.", metavar="STUDY")] = "",
    how: How = HOW,
) -> None:
    """Move a series to another study, or to one of its own."""
    from isocenter.cli import editing

    with told():
        stop(editing.split(study, series, to, how))


@reject_app.command("study")
@with_trial
def reject_study(
    study: Study,
    reason: Title,
    modifier: Modifier = "",
    how: How = HOW,
) -> None:
    """Reject all objects of a study."""
    from isocenter.cli import editing

    with told():
        stop(editing.reject([study], reason, modifier, how))


@reject_app.command("series")
@with_trial
def reject_series(
    study: Study,
    series: Series,
    reason: Title,
    modifier: Modifier = "",
    how: How = HOW,
) -> None:
    """Reject all objects of a series."""
    from isocenter.cli import editing

    with told():
        stop(editing.reject([study, series], reason, modifier, how))


@reject_app.command("instance")
@with_trial
def reject_instance(
    study: Study,
    series: Series,
    instance: Instance,
    reason: Title,
    modifier: Modifier = "",
    how: How = HOW,
) -> None:
    """Reject one object."""
    from isocenter.cli import editing

    with told():
        stop(editing.reject([study, series, instance], reason, modifier, how))


@with_trial
def unreject(
    study: Study,
    series: OptionalSeries = "",
    instance: Annotated[str, typer.Argument(metavar="INSTANCE", help="SOP Instance UID.")] = "",
    how: How = HOW,
) -> None:
    """Bring back what was rejected of a study, a series or an instance."""
    from isocenter.cli import editing

    with told():
        names = [each for each in (study, series, instance) if each]
        stop(editing.unreject(names, how))


@audit_app.command("list")
@with_answer
def audit_list(
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.", metavar="N")] = 100,
    how: How = HOW,
) -> None:
    """List what was done, the newest first."""
    from isocenter.cli import editing

    with told():
        stop(editing.audit(limit, how))


@conflict_app.command("list")
@with_answer
def conflict_list(
    settled: Annotated[bool, typer.Option("--all", help="The settled ones too.")] = False,
    how: How = HOW,
) -> None:
    """List the open conflicts, the oldest first."""
    from isocenter.cli import editing

    with told():
        stop(editing.list_conflicts(how, settled=settled))


@conflict_app.command("settle")
@with_trial
def conflict_settle(
    number: Annotated[int, typer.Argument(metavar="N", help="As `conflict list` numbers it.")],
    how: How = HOW,
) -> None:
    """Close a conflict as it is."""
    from isocenter.cli import editing

    with told():
        stop(editing.settle(number, how))
