"""The records of the store's journal that concern the index: deletions, version choices and edits.

A record is durable before the index is told, so that an index that is made anew, or older than the store, is told again
(`index.rebuild`). `kind` says what it is and `at` when it was, in microseconds UTC; the others are fields of
`index.records`.
"""

from collections.abc import Iterable

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, or_, select

from isocenter.index import non_patient
from isocenter.index.records import Deletion, Edit
from isocenter.index.tables import edit, instance, instance_version, series, study
from isocenter.store.api import Record

DELETION, VERSION_CHOICE, EDIT = "deletion", "version-choice", "edit"
EDIT_REFUSED = "edit-refused"
"""An edit's record came before it, and the index would not have it: it is none, now and later."""
EDIT_LATE = "edit-late"
"""An edit that was in doubt (nothing answered) was carried out after edits that came later: when that was."""
RESEND_REFUSED = "resend-refused"
"""An object that came again after a note rejected it was not taken: its file is not the archive's, and goes soon."""
RECONCILIATION = "reconciliation"
"""What was decided of a study that waits for reconciliation; nothing of an index that is made anew."""
EXCEPTION_DISCARD = "exception-discard"
"""Something of the exceptions area was deleted; there is nothing to do for an index that is made anew."""


def deletion_record(what: Deletion) -> Record:
    """The record of a deletion."""
    return {"kind": DELETION, **what._asdict()}


def choice_record(store_key: str, at: int) -> Record:
    """The record of the choice that puts the version `store_key` in force."""
    return {"kind": VERSION_CHOICE, "store_key": store_key, "at": at}


def edit_record(what: Edit) -> Record:
    """The record of an edit; `does` is the kind of edit."""
    fields = what._asdict()
    return {**fields, "kind": EDIT, "does": fields["kind"]}


def refusal_record(what: Edit, at: int) -> Record:
    """The record that an edit was refused."""
    return {"kind": EDIT_REFUSED, "uid": what.uid, "at": at}


def late_record(record: Record, at: int) -> Record:
    """The record that the edit of `record` was carried out at `at` only."""
    return {"kind": EDIT_LATE, "uid": record.get("uid"), "at": at}


def resend_record(store_key: str, at: int) -> Record:
    """The record that the object `store_key`, which had been rejected before, was not taken."""
    return {"kind": RESEND_REFUSED, "store_key": store_key, "at": at}


def settled(records: Iterable[Record]) -> list[Record]:
    """Records in the order of their time: edits that were refused are left out, late ones have the time when they were
    carried out."""
    found = list(records)
    refused = {one.get("uid") for one in found if one.get("kind") == EDIT_REFUSED}
    late = {one.get("uid"): time_of(one) for one in found if one.get("kind") == EDIT_LATE}
    kept = []
    for one in found:
        if one.get("kind") in (EDIT_REFUSED, EDIT_LATE):
            continue
        if one.get("kind") != EDIT:
            kept.append(one)
        elif one.get("uid") not in refused:
            kept.append({**one, "at": late.get(one.get("uid"), time_of(one))})
    return sorted(kept, key=time_of)


def edit_of(record: Record) -> Edit:
    """The edit that a record tells of."""
    fields = {name: record[name] for name in Edit._fields if name in record}
    return Edit(**{**fields, "kind": str(record.get("does", ""))})


def deletion_of(record: Record) -> Deletion:
    """The deletion that a record tells of."""
    fields = {name: record[name] for name in Deletion._fields if name in record}
    return Deletion(**{**fields, "sop_uids": tuple(record.get("sop_uids", ()))})


def chosen_key(record: Record) -> str:
    """The store key that the record of a choice or of a refused object names."""
    return str(record.get("store_key", ""))


def time_of(record: Record) -> int:
    """When it was; 0 where the record doesn't tell."""
    at = record.get("at", 0)
    return at if isinstance(at, int) else 0


def is_undone(connection: Connection, record: Record) -> bool:
    """Whether the index, which may know of the record already, holds something that it would change.

    A choice counts as done where something that arrived after it is in force.
    """
    if record.get("kind") == DELETION:
        return bool(connection.execute(select(_deletable(deletion_of(record)))).scalar())
    if record.get("kind") == EDIT:
        return connection.execute(select(edit.c.id).where(edit.c.uid == str(record.get("uid", "")))).first() is None
    if record.get("kind") == VERSION_CHOICE:
        return connection.execute(_kept(chosen_key(record), time_of(record))).first() is not None
    return True


def newest_edit(connection: Connection) -> int:
    """When the last edit was that the index has; 0 for none."""
    return int(connection.execute(select(func.max(edit.c.at))).scalar() or 0)


def _kept(store_key: str, at: int) -> Select[int]:
    """What is in force in the place of a version, unless it came later than `at`."""
    found = select(instance.c.id).join(instance_version, instance_version.c.instance == instance.c.id)
    return found.where(instance_version.c.store_key == store_key, instance.c.received_at <= at)


def _deletable(what: Deletion) -> ColumnElement[bool]:
    """Something that a deletion names and that was received until then is there, in force or as a version."""
    if not what.study_uid:
        return non_patient.deletable(what)
    named = [study.c.study_uid == what.study_uid]
    if what.series_uid:
        named.append(series.c.series_uid == what.series_uid)
    if what.sop_uid:
        named.append(instance.c.sop_uid == what.sop_uid)
    if what.sop_uids:
        named.append(instance.c.sop_uid.in_(what.sop_uids))
    if what.rejected:
        named.append(instance.c.rejected == what.rejected)
    if what.received_until:
        version = exists().where(
            instance_version.c.instance == instance.c.id, instance_version.c.received_at <= what.received_until
        )
        named.append(or_(instance.c.received_at <= what.received_until, version))
    joined = instance.join(series, series.c.id == instance.c.series).join(study, study.c.id == instance.c.study)
    return exists(select(instance.c.id).select_from(joined).where(and_(*named)))
