"""Explicit edits, carried out inside a transaction: what a person corrects after receipt, and its way back.

The stored objects stay as they are. Edited values stand in the index, locked against later arrivals, and are laid over
the objects as they leave (`index.overlaying`). Each edit is a row of `edit` that holds what takes it back, and a row of
`audit`. The same edit carried out twice is carried out once.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from isocenter.errors import Reason, Refused
from isocenter.index import moving, rejecting, splitting
from isocenter.index.level_models import TABLES, dumped, loaded, read, without, write
from isocenter.index.overlaying import refresh_series, refresh_study
from isocenter.index.records import Edit, Outcome, Verdict
from isocenter.index.sessions import Session
from isocenter.index.substituting import successor

Arguments: TypeAlias = Mapping[str, Any]

_EDIT = (
    *("level", "study_uid", "series_uid", "sop_uid", "changes", "actor", "at"),
    *("uid", "kind", "reason", "arguments", "old"),
)
_CHANGE = ("kind", "study_uid", "series_uid", "sop_uid", "store_key", "at")
_OBJECTS_OF: Final = {
    "P": "SELECT count(*) FROM instance i JOIN study s ON s.id = i.study WHERE s.patient = ?",
    "S": "SELECT count(*) FROM instance WHERE study = ?",
    "E": "SELECT count(*) FROM instance WHERE series = ?",
}


class Done:
    """What an edit did: what takes it back, how many objects it concerns, and which studies answer differently."""

    def __init__(self, old: Arguments, objects: int, changed: list[tuple[str, str]]) -> None:
        self.old, self.objects, self.changed = old, objects, changed


def carry_out(session: Session, edit: Edit, now: int) -> Outcome:
    """Carry out `edit`. Raises Refused, and then nothing is changed, where what it names is not there or can't be so.

    `now`: microseconds UTC."""
    known = session.rows("SELECT id FROM edit WHERE uid = ?", (edit.uid,))
    if known:
        return Outcome(Verdict.EDITED)
    arguments = loaded(edit.arguments)
    done = KINDS[edit.kind](session, arguments, edit.at, now)
    _note(session, edit, arguments, done)
    session.append("change", _CHANGE, [("edited", study, series, "", "", now) for study, series in done.changed])
    return Outcome(Verdict.EDITED, objects=done.objects)


def _note(session: Session, edit: Edit, arguments: Arguments, done: Done) -> None:
    row = (
        str(arguments.get("level", "")),
        str(arguments.get("study_uid", "")),
        str(arguments.get("series_uid", "")),
        str(arguments.get("sop_uid", "")),
        dumped(arguments.get("changes", {})),
        edit.actor,
        edit.at,
        edit.uid,
        edit.kind,
        edit.reason,
        dumped(arguments),
        dumped(done.old),
    )
    session.append("edit", _EDIT, [row])
    if edit.reverts:
        session.run("UPDATE edit SET reverted_by = ? WHERE uid = ?", (edit.uid, edit.reverts))
    told = {"uid": edit.uid, "reason": edit.reason, "reverts": edit.reverts, "objects": done.objects}
    detail = dumped({**told, "new": arguments, "old": done.old})
    event = f"edit.{edit.kind}"
    heard = "SELECT 1 FROM audit WHERE event = ? AND at = ? AND detail LIKE ?"  # a rebuilt index has the audit already
    if not session.rows(heard, (event, edit.at, f'%"uid":"{edit.uid}"%')):
        session.append("audit", ("event", "actor", "detail", "at"), [(event, edit.actor, detail, edit.at)])


# --- attributes


def _attributes(session: Session, arguments: Arguments, at: int, now: int) -> Done:
    """Give a patient, study or series these values (`changes`), and take the lock from others (`unlocked`, with the
    value that they go back to)."""
    level, row_id = _target(session, arguments)
    changes, unlocked = dict(arguments.get("changes", {})), dict(arguments.get("unlocked", {}))
    before = read(session, level, row_id)
    edits = loaded(session.rows(f"SELECT edits FROM {TABLES[level]} WHERE id = ?", (row_id,))[0][0])  # noqa: S608
    old = {
        tag: {"value": before.get(tag, edits.get(tag)), "locked": tag in edits} for tag in sorted({*changes, *unlocked})
    }
    values = {**unlocked, **changes}
    if level == "P":
        if moving.ISSUER_AND_ID & values.keys():
            moving.rename(session, row_id, {tag: values[tag] for tag in moving.ISSUER_AND_ID & values.keys()})
        values = without(values)
    write(session, level, row_id, values)
    if level == "S":
        _accession(session, row_id, before, values)
    kept = {tag: value for tag, value in {**edits, **changes}.items() if tag not in unlocked}
    session.run(
        f"UPDATE {TABLES[level]} SET edits = ?, edited_at = ?, changed_at = ? WHERE id = ?",  # noqa: S608
        (dumped(kept) if kept else "", at, now, row_id),
    )
    changed = _refresh(session, level, row_id, now)
    undo: dict[str, Any] = {"values": old}
    if level == "P":
        undo["identity_after"] = session.rows("SELECT identity FROM patient WHERE id = ?", (row_id,))[0][0]
    return Done(undo, _objects(session, level, row_id), changed)


def _target(session: Session, arguments: Arguments) -> tuple[str, int]:
    """Level and row that the arguments name, locked. Raises Refused(NOT_FOUND)."""
    level = str(arguments["level"])
    if level == "P":
        return level, moving.required_patient(session, str(arguments["identity"]))
    study = splitting.required_study(session, str(arguments["study_uid"]))
    if level == "S":
        return level, study
    return level, splitting.required_series(session, study, str(arguments["series_uid"]))


def _refresh(session: Session, level: str, row_id: int, now: int) -> list[tuple[str, str]]:
    """Bring what hangs on the row up to date; (study, series) UIDs of what changed."""
    if level == "E":
        refresh_series(session, row_id, now)
        query = "SELECT s.study_uid, e.series_uid FROM series e JOIN study s ON s.id = e.study WHERE e.id = ?"
        return [(row[0], row[1]) for row in session.rows(query, (row_id,))]
    if level == "S":
        studies = [(row_id, session.rows("SELECT study_uid FROM study WHERE id = ?", (row_id,))[0][0])]
    else:
        studies = moving.studies_of(session, row_id)
    for study, _ in studies:
        refresh_study(session, study, now)
    return [(uid, "") for _, uid in studies]


def _accession(session: Session, study: int, before: Arguments, values: Arguments) -> None:
    """The study is found by its new accession number, and no longer by the former one."""
    tag = "00080050"
    if tag not in values:
        return
    former = [value for value in (before.get(tag) or {}).get("Value", []) if value]
    for value in former:
        session.run("DELETE FROM study_accession WHERE study = ? AND accession = ?", (study, value))
    row = session.rows("SELECT accession, accession_issuer FROM study WHERE id = ?", (study,))[0]
    if row[0]:
        session.append("study_accession", ("study", "accession", "issuer"), [(study, *row)])


def _objects(session: Session, level: str, row_id: int) -> int:
    return int(session.rows(_OBJECTS_OF[level], (row_id,))[0][0])


# --- patients and studies


def _move(session: Session, arguments: Arguments, at: int, now: int) -> Done:
    """Give a study to another patient, who is made if need be."""
    uid = str(arguments["study_uid"])
    study = splitting.required_study(session, uid)
    former = int(session.rows("SELECT patient FROM study WHERE id = ?", (study,))[0][0])
    old = {"study_uid": uid, "patient": moving.saved(session, former), "back": True}
    patient = _owner(session, arguments, at, now)
    if patient == former:
        raise Refused(Reason.BAD_REQUEST, "the study is this patient's already")
    moving.move(session, study, patient, at, now, back=_as_then(session, patient, arguments))
    moving.drop_if_empty(session, former)
    return Done(old, _objects(session, "S", study), [(uid, "")])


def _owner(session: Session, arguments: Arguments, at: int, now: int) -> int:
    """Whose the study becomes. One that goes back goes to whom it was taken from, whatever she is called now, or to who
    has her place."""
    identity = str(arguments["patient"]["identity"])
    if "back" in arguments and moving.patient_of(session, identity) is None:
        called = moving.followed(session, identity)
        if called is not None:
            session.lock("patient", [called])
            return called
    return moving.made(session, arguments["patient"], at, now)


def _as_then(session: Session, patient: int, arguments: Arguments) -> bool:
    """Whether a move is taken back and the patient is as before it."""
    return "back" in arguments and moving.saved(session, patient) == arguments["patient"]


def _merge(session: Session, arguments: Arguments, at: int, now: int) -> Done:
    prior, patient = sorted_patients(session, str(arguments["prior"]), str(arguments["identity"]))
    old = moving.merge(session, prior, patient, at, now)
    changed = [(uid, "") for uid in old["studies"]]
    return Done({**old, "identity": arguments["identity"]}, _objects(session, "P", patient), changed)


def sorted_patients(session: Session, prior: str, identity: str) -> tuple[int, int]:
    """Both patients of a merge, locked in one order. Raises Refused."""
    if prior == identity:
        raise Refused(Reason.BAD_REQUEST, "a patient can't be merged into itself")
    found = {each: moving.required_patient(session, each) for each in sorted((prior, identity))}
    return found[prior], found[identity]


def _unmerge(session: Session, arguments: Arguments, at: int, now: int) -> Done:
    """Take a merge back. Who stayed may have been called something else since, or have been merged away too."""
    prior = str(arguments["patient"]["identity"])
    patient = moving.survivor(session, prior, str(arguments["identity"]))
    identity = session.rows("SELECT identity FROM patient WHERE id = ?", (patient,))[0][0]
    moving.unmerge(session, patient, dict(arguments), at, now)
    moving.drop_if_empty(session, patient)
    row = moving.required_patient(session, prior)
    changed = [(uid, "") for _, uid in moving.studies_of(session, row)]
    return Done({"prior": prior, "identity": identity}, _objects(session, "P", row), changed)


def _split(session: Session, arguments: Arguments, at: int, now: int) -> Done:
    moved = splitting.split(session, arguments, at, now)
    uids = [(str(arguments["study_uid"]), str(arguments["series_uid"])), (moved.to_study, str(arguments["series_uid"]))]
    return Done(moved.old, moved.objects, uids)


def _unreject(session: Session, arguments: Arguments, at: int, now: int) -> Done:
    objects = rejecting.revoke(session, arguments, at, now)
    return Done({}, objects, [(str(arguments["study_uid"]), str(arguments.get("series_uid", "")))])


def _settle(session: Session, arguments: Arguments, at: int, now: int) -> Done:
    """Close a conflict: someone looked at it, and it is as it should be."""
    names = ("kind", "study_uid", "series_uid", "sop_uid", "store_key")
    where = " AND ".join(f"{name} = ?" for name in names)
    values = [str(arguments.get(name, "")) for name in names]
    values[-1] = successor(session, values[-1]) or values[-1]
    if not session.rows(f"SELECT id FROM conflict WHERE settled_at IS NULL AND {where}", values):  # noqa: S608
        raise Refused(Reason.NOT_FOUND, "there is no such conflict, or it is settled")
    session.run(f"UPDATE conflict SET settled_at = ? WHERE settled_at IS NULL AND {where}", (at, *values))  # noqa: S608
    return Done({}, 0, [])


KINDS: Final[Mapping[str, Callable[[Session, Arguments, int, int], Done]]] = {
    "attributes": _attributes,
    "move-study": _move,
    "merge-patients": _merge,
    "unmerge-patients": _unmerge,
    "split-series": _split,
    "unreject": _unreject,
    "settle-conflict": _settle,
}
