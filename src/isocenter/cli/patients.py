"""`isocenter patients`: what messages, and people, did to patients across archive, worklist and procedure steps."""

import json
from datetime import UTC, datetime
from typing import Any

import typer

from isocenter.archive.edits.checks import identity
from isocenter.archive.edits.making import Who
from isocenter.cli.doing import How
from isocenter.cli.ending import Exit, say
from isocenter.cli.opening import opened
from isocenter.database import Database
from isocenter.errors import ConfigurationError
from isocenter.server.archive import Archive
from isocenter.server.beside import archive_beside
from isocenter.server.registering import registered as parts_of
from isocenter.workflow.patients import registered
from isocenter.workflow.patients.undoing import Done, listed, of_edit


def events(patient: tuple[str, str], limit: int, how: How) -> Exit:
    """`patients events`: of all, or of the patient of this id and issuer."""
    named = identity(*patient) if patient[0] else ""
    with opened(how.settings()) as index, index.reading() as connection:
        found = listed(connection, identity=named, limit=limit)
    if how.json:
        typer.echo(json.dumps([_facts(one) for one in found], ensure_ascii=False))
        return Exit.OK
    for one in found:
        typer.echo(_line(one))
    say(f"{len(found)} events")
    return Exit.OK


def _facts(one: Done) -> dict[str, Any]:
    return {name: value for name, value in one._asdict().items() if name != "undo"} | {"changed": one.counted}


def _line(one: Done) -> str:
    who = f"{one.prior} -> {one.identity}" if one.prior else one.identity
    counted = "".join(f"  {name} {number}" for name, number in one.counted.items())
    undone = f"  undone by {one.undone_by}" if one.undone_at else ""
    return f"{one.id}  {_time(one.at)}  {one.event}  {one.kind}  {who}{counted}  {one.actor}{undone}"


def show(patient: tuple[str, str], how: How) -> Exit:
    """`patients show`."""
    named = identity(*patient)
    with opened(how.settings()) as index:
        found = _registered(index, named)
    if found is None:
        raise ConfigurationError("no such patient is registered")
    if how.json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return Exit.OK
    typer.echo(named)
    for name in ("merged_into", "merged", "linked"):
        if found[name]:
            names = [found[name]] if isinstance(found[name], str) else found[name]
            typer.echo(f"  {name.replace('_', ' ')}: {', '.join(names)}")
    for visit in found["visits"]:
        typer.echo(f"  visit {visit['visit'] or '(no number)'}: {visit['state']}  account {visit['account'] or '-'}")
    return Exit.OK


def _registered(index: Database, named: str) -> dict[str, Any] | None:
    with index.reading() as connection:
        person = registered.of(connection, named)
        if person is None:
            return None
        return {
            "identity": named,
            "attributes": person.model,
            "merged_into": person.merged_into,
            "merged": registered.merged_into(connection, named),
            "linked": registered.links(connection, named),
            "visits": [
                {"visit": each.visit_id, "account": each.account, "state": each.state, "attributes": each.model}
                for each in registered.visits(connection, person.id)
            ],
        }


def merge(prior: tuple[str, str], into: tuple[str, str], how: How) -> Exit:
    """`patients merge`: (Patient ID, issuer) of both."""
    with archive_beside(how.settings()) as archive:
        parts_of(archive).messages.merge(identity(*prior), identity(*into), Who(how.user, how.why))
    say("merged")
    return Exit.OK


def undo(number: int, how: How) -> Exit:
    """`patients undo`."""
    with archive_beside(how.settings()) as archive:
        return _told_undone(parts_of(archive).undoing.undo(number, Who(how.user, how.why)))


def undone_with(archive: Archive, edit: str, who: Who) -> bool:
    """Take back the message that an edit of archived studies belongs to; False where no message made it."""
    with archive.database.reading() as connection:
        one = of_edit(connection, edit)
    if one is None:
        return False
    _told_undone(parts_of(archive).undoing.undo(one.id, who))
    return True


def _told_undone(done: list[Done]) -> Exit:
    for one in done:
        typer.echo(f"undone: {_line(one)}")
    return Exit.OK


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1e6, UTC).isoformat(timespec="seconds")
