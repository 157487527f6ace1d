"""Edits that were made, conflicts that are open, and how what is to be edited stands now."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from isocenter.archive.edits.checks import Target
from isocenter.database import Database
from isocenter.declarations.rejections import NOTE
from isocenter.errors import Reason, Refused
from isocenter.index.level_models import TABLES, columns
from isocenter.index.tables import (
    audit,
    conflict,
    edit,
    instance,
    metadata,
    patient,
    patient_id,
    rejection,
    series,
    study,
)


class Past(NamedTuple):
    """An edit that was made."""

    id: int
    uid: str
    kind: str
    actor: str
    at: int
    reason: str
    arguments: Mapping[str, Any]
    old: Mapping[str, Any]
    reverted_by: str


class Entry(NamedTuple):
    """A row of the audit; `at` in microseconds UTC."""

    id: int
    event: str
    actor: str
    at: int
    detail: Mapping[str, Any]


_COLUMNS = (edit.c.id, edit.c.uid, edit.c.kind, edit.c.actor, edit.c.at, edit.c.reason, edit.c.arguments, edit.c.old)


def edit_of(connection: Connection, uid: str) -> Past:
    """The edit `uid`. Raises Refused(NOT_FOUND)."""
    row = connection.execute(select(*_COLUMNS, edit.c.reverted_by).where(edit.c.uid == uid)).first()
    if row is None:
        raise Refused(Reason.NOT_FOUND, "there is no such edit")
    return _past(row)


def past_of(connection: Connection, prefix: str) -> Past:
    """The edit whose uid begins with `prefix`, as a person writes it. Raises Refused."""
    below = select(edit.c.uid).where(edit.c.uid >= prefix, edit.c.uid < f"{prefix}g").limit(2)
    found = list(connection.execute(below).scalars()) if len(prefix) >= 4 else []
    if len(found) != 1:
        raise Refused(Reason.NOT_FOUND, "there is no such edit" if not found else "that is the beginning of several")
    return edit_of(connection, found[0])


def later_edits(connection: Connection, past: Past) -> list[str]:
    """Edits that came after `past`, still hold, and stand on what it did."""
    later = select(*_COLUMNS, edit.c.reverted_by).where(edit.c.id > past.id, edit.c.reverted_by == "")
    found = [_past(row) for row in connection.execute(later.order_by(edit.c.id.desc()))]
    # what takes back an edit that was made later still is none of them
    reverting = {one.uid for one in found if _reverts(connection, one.uid)}
    return [one.uid for one in found if one.uid not in reverting and _meet(past, one)]


def _reverts(connection: Connection, uid: str) -> bool:
    return connection.execute(select(edit.c.id).where(edit.c.reverted_by == uid)).first() is not None


def _meet(first: Past, second: Past) -> bool:
    """Whether the second edit changes what the first did."""
    if first.kind == second.kind == "attributes":
        same = all(first.arguments.get(n) == second.arguments.get(n) for n in ("level", "study_uid", "series_uid"))
        patients = {first.arguments.get("identity"), first.old.get("identity_after")}
        tags = first.old["values"].keys() & second.old["values"].keys()
        return same and second.arguments.get("identity") in patients and (bool(tags) or _renames(second))
    if first.kind == "attributes" and first.arguments.get("level") == "P" and second.kind == "merge-patients":
        return second.arguments.get("prior") in (first.arguments.get("identity"), first.old.get("identity_after"))
    if "attributes" in (first.kind, second.kind):
        return False
    return bool(_named(first) & _named(second))


def _renames(past: Past) -> bool:
    """Whether an edit gave a patient another id: by the former one nobody finds it."""
    return past.old.get("identity_after") not in (None, past.arguments.get("identity"))


def _named(past: Past) -> set[str]:
    """The patients, or the study and series, that an edit moves."""
    arguments = past.arguments
    if past.kind in ("merge-patients", "unmerge-patients"):
        prior = arguments.get("prior") or arguments["patient"]["identity"]
        return {str(prior)}
    if past.kind == "split-series":
        return {str(arguments["series_uid"])}
    return {str(arguments.get("study_uid", ""))} - {""} if past.kind == "move-study" else set()


def _past(row: Any) -> Past:
    return Past._make((*row[:6], json.loads(row[6] or "{}"), json.loads(row[7] or "{}"), row[8]))


def called_now(connection: Connection, identity: str) -> str:
    """The identity of the patient who is, or else once was, called by this one; the same where there is none."""
    c = patient_id.c
    issuer, _, value = identity.rpartition("\\")
    joined = select(patient.c.identity).join(patient_id, patient.c.id == c.patient)
    once = joined.where(c.value == value, c.issuer == issuer, c.kind == "prior").order_by(c.id)
    now = connection.execute(select(patient.c.identity).where(patient.c.identity == identity)).scalar()
    return str(now or connection.execute(once).scalar() or identity)


def present_of(connection: Connection, target: Target, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What the edit would change, as it is. Raises Refused(NOT_FOUND) where that is not there."""
    row_id, objects = _row(connection, target)
    table = metadata.tables[TABLES[target.level]]
    row = connection.execute(select(table).where(table.c.id == row_id)).mappings().one()
    further = json.loads(row["attributes"] or "{}")
    old: dict[str, Any] = {"objects": objects}
    known = columns(target.level)
    for tag in arguments.get("changes", ()):
        key = known.get(int(tag, 16))
        old[tag] = row[key.column] if key else further.get(tag)
    return old


def _row(connection: Connection, target: Target) -> tuple[int, int]:
    """Primary key of the target and how many objects it holds."""
    if target.level == "P":
        found = connection.execute(select(patient.c.id).where(patient.c.identity == target.identity)).scalar()
        held = select(func.count()).select_from(instance.join(study, study.c.id == instance.c.study))
        held = held.where(study.c.patient == found)
    elif target.level == "S":
        found = connection.execute(select(study.c.id).where(study.c.study_uid == target.study_uid)).scalar()
        held = select(func.count()).where(instance.c.study == found)
    else:
        joined = select(series.c.id).join(study, study.c.id == series.c.study)
        named = joined.where(study.c.study_uid == target.study_uid, series.c.series_uid == target.series_uid)
        found = connection.execute(named).scalar()
        held = select(func.count()).where(instance.c.series == found)
    if found is None:
        level = {"P": "patient", "S": "study", "E": "series"}[target.level]
        raise Refused(Reason.NOT_FOUND, f"there is no such {level}")
    return int(found), int(connection.execute(held).scalar() or 0)


def is_rejected(connection: Connection, named: Mapping[str, str]) -> bool:
    """Whether a note rejects something of a study, a series or an instance ('' for what is not named)."""
    columns = {"study_uid": study.c.study_uid, "series_uid": series.c.series_uid, "sop_uid": instance.c.sop_uid}
    joined = instance.join(series, series.c.id == instance.c.series).join(study, study.c.id == instance.c.study)
    there = [columns[name] == uid for name, uid in named.items() if uid]
    awaited = [rejection.c[name] == uid for name, uid in named.items() if uid]
    queries = (
        select(instance.c.id).select_from(joined).where(*there, instance.c.rejected.not_in((0, NOTE))),
        select(rejection.c.id).where(*awaited, rejection.c.revoked == 0),
    )
    return any(connection.execute(query.limit(1)).first() is not None for query in queries)


def history(database: Database, *, limit: int = 100) -> list[Entry]:
    """The audit, the newest first."""
    query = select(audit.c.id, audit.c.event, audit.c.actor, audit.c.at, audit.c.detail)
    with database.reading() as connection:
        rows = connection.execute(query.order_by(audit.c.id.desc()).limit(limit)).all()
    return [Entry(*row[:4], _object(row[4])) for row in rows]


def _object(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {"detail": found}


def conflicts(database: Database, *, all_of_them: bool = False) -> Iterator[dict[str, Any]]:
    """The open conflicts, oldest first; with `all_of_them` the settled ones too."""
    names = ("id", "kind", "study_uid", "series_uid", "sop_uid", "store_key", "opened_at", "settled_at")
    query = select(*(conflict.c[name] for name in names)).order_by(conflict.c.id)
    if not all_of_them:
        query = query.where(conflict.c.settled_at.is_(None))
    with database.reading() as connection:
        rows = connection.execute(query).all()
    for row in rows:
        yield dict(zip(names, row, strict=True))
