"""Edits after receipt: checked, journalled, then carried out by the index writer, so that every answer agrees at once.

    Edits(database, store, writer).attributes(Target.study(uid), {"00081030": {...}}, who)

The stored objects stay as received; `archive.leaving` lays the edits over them as they leave. Each edit can be taken
back (`revert`), the latest first where two concern the same attribute.
"""

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from isocenter import telemetry
from isocenter.archive.edits.checks import Changes, Target, check_changes, patient_model
from isocenter.archive.edits.history import (
    Past,
    called_now,
    edit_of,
    is_rejected,
    later_edits,
    past_of,
    present_of,
)
from isocenter.database import Database
from isocenter.errors import Reason, Refused, Retriable
from isocenter.index.journal import edit_record, refusal_record
from isocenter.index.level_models import dumped
from isocenter.index.records import Edit, Outcome
from isocenter.index.writer import Writer
from isocenter.store.api import Store

log = telemetry.logger("archive.edit")

_DEADLINE = 120.0
_INVERSE = {
    "move-study": "move-study",
    "merge-patients": "unmerge-patients",
    "unmerge-patients": "merge-patients",
    "split-series": "split-series",
}


class Who(NamedTuple):
    """Who edits, and why."""

    actor: str
    reason: str = ""


class Edited(NamedTuple):
    """What an edit came to. In a dry run `uid` is '' and nothing has changed."""

    uid: str
    kind: str
    objects: int
    old: Mapping[str, Any]
    new: Mapping[str, Any]


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class Edits:
    """The explicit changes to what the archive holds. With `dry_run`, every method only tells what it would do."""

    def __init__(
        self,
        database: Database,
        store: Store,
        writer: Writer,
        *,
        clock: Callable[[], int] = now,
        dry_run: bool = False,
    ) -> None:
        self._database, self._store, self._writer = database, store, writer
        self._clock, self._dry_run = clock, dry_run

    def attributes(self, target: Target, changes: Changes, who: Who) -> Edited:
        """Give a patient, study or series these values; None takes an attribute out.

        Raises Refused(NOT_FOUND), Refused(BAD_REQUEST), Retriable; so do the others."""
        check_changes(target.level, changes)
        return self._do("attributes", {**target.arguments(), "changes": dict(changes)}, who, target)

    def move_study(self, study_uid: str, patient: Changes, who: Who) -> Edited:
        """Give a study to the patient of the Patient ID and issuer in `patient`, who is made of its attributes where
        there is none."""
        arguments = {"study_uid": study_uid, "patient": patient_model(patient)}
        return self._do("move-study", arguments, who, Target.study(study_uid))

    def merge_patients(self, prior: str, identity: str, who: Who) -> Edited:
        """Merge the patient of identity `prior` into another (`edit_checks.identity`)."""
        return self._do("merge-patients", {"prior": prior, "identity": identity}, who, Target.patient(prior))

    def split_series(self, study_uid: str, series_uid: str, to_study: str, who: Who) -> Edited:
        """Move a series to another study, which is made like its own where there is none."""
        arguments = {"study_uid": study_uid, "series_uid": series_uid, "to_study": to_study}
        return self._do("split-series", arguments, who, Target.series(study_uid, series_uid))

    def unreject(self, study_uid: str, series_uid: str, sop_uid: str, who: Who) -> Edited:
        """Bring back what rejection notes took out of sight."""
        arguments = {"study_uid": study_uid, "series_uid": series_uid, "sop_uid": sop_uid}
        with self._database.reading() as connection:
            if not is_rejected(connection, arguments):
                raise Refused(Reason.NOT_FOUND, "nothing of that is rejected")
        return self._do("unreject", arguments, who, None)

    def settle(self, conflict: Mapping[str, str], who: Who) -> Edited:
        """Close a conflict, named by its kind, UIDs and store key, as it is."""
        return self._do("settle-conflict", dict(conflict), who, None)

    def revert(self, uid: str, who: Who) -> Edited:
        """Take the edit `uid` back."""
        with self._database.reading() as connection:
            past = past_of(connection, uid)
            arguments, kind = _inverse(past)
            if kind == "attributes" and "identity" in arguments:  # she may have got a former number back
                arguments["identity"] = called_now(connection, str(arguments["identity"]))
            if later := later_edits(connection, past):
                raise Refused(Reason.BAD_REQUEST, f"edit {later[0]} came later: take that back first")
        return self._do(kind, arguments, who, None, reverts=uid)

    def _do(
        self, kind: str, arguments: Mapping[str, Any], who: Who, target: Target | None, *, reverts: str = ""
    ) -> Edited:
        with self._database.reading() as connection:
            old = present_of(connection, target, arguments) if target else {}
        if self._dry_run:
            return Edited("", kind, int(old.pop("objects", 0)), old, arguments)
        edit = Edit(uuid.uuid4().hex, kind, self._clock(), who.actor, who.reason, dumped(arguments), reverts)
        self._store.append_journal(edit_record(edit))
        outcome = self._carried_out(edit)
        with self._database.reading() as connection:
            done = edit_of(connection, edit.uid)
        telemetry.count("isocenter_edits_total", kind=kind)
        log.info("archive.edited", edit=edit.uid, kind=kind, objects=outcome.objects)
        return Edited(edit.uid, kind, outcome.objects, done.old, arguments)

    def _carried_out(self, edit: Edit) -> Outcome:
        try:
            return self._writer.submit(edit).result(_DEADLINE)
        except Refused:
            # or the next start would find it undone, and do it when it can be done
            self._store.append_journal(refusal_record(edit, self._clock()))
            raise
        except TimeoutError as late:
            raise Retriable(Reason.OUT_OF_RESOURCES, "the index does not answer") from late


def _inverse(past: Past) -> tuple[dict[str, Any], str]:
    """Arguments and kind of the edit that takes `past` back."""
    if past.reverted_by:
        raise Refused(Reason.BAD_REQUEST, "the edit was taken back already")
    if past.kind == "attributes":
        values = past.old["values"]
        locked = {tag: old["value"] for tag, old in values.items() if old["locked"]}
        free = {tag: old["value"] for tag, old in values.items() if not old["locked"]}
        target = {name: value for name, value in past.arguments.items() if name not in ("changes", "unlocked")}
        if "identity_after" in past.old:
            target["identity"] = past.old["identity_after"]
        return {**target, "changes": locked, "unlocked": free}, "attributes"
    kind = _INVERSE.get(past.kind)
    if kind is None:
        raise Refused(Reason.BAD_REQUEST, f"an edit of kind {past.kind} can't be taken back")
    return dict(past.old), kind
