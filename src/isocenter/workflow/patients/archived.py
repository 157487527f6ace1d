"""The archived studies of a patient, who is updated, merged or whose studies move: by journalled edits.

Each method may be asked again for what is done already, and does nothing then. An identity is matched with its issuer:
a number of another issuer, or of none, is another patient's.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, select

from isocenter.archive.edits.checks import Target
from isocenter.archive.edits.history import Past, called_now, edit_of, later_edits
from isocenter.archive.edits.making import Edits, Who
from isocenter.database import Database
from isocenter.database.prepared import Prepared
from isocenter.dicom.dictionary import vr_of
from isocenter.index.level_models import columns, from_column, loaded
from isocenter.index.tables import edit, patient, patient_id, study, study_accession
from isocenter.workflow.patients.attributes import ARCHIVED, IDENTIFYING, Changes, differing, parts_of, values
from isocenter.workflow.patients.moved import Orders
from isocenter.workflow.patients.tables import patient_event
from isocenter.workflow.worklist.attributes import ISSUER, PATIENT_ID, Model, written

_COLUMNS: Final = tuple(columns("P").items())
_BINDS: Final = 500


def model_of(connection: Connection, identity: str) -> Model | None:
    """The archived patient of exactly this identity; None where there is none."""
    wanted = [patient.c[key.column] for _, key in _COLUMNS]
    row = connection.execute(select(*wanted, patient.c.attributes).where(patient.c.identity == identity)).first()
    if row is None:
        return None
    found: Model = loaded(row[-1])
    for (tag, key), text in zip(_COLUMNS, row, strict=False):
        if text:
            found[f"{tag:08X}"] = dict(from_column(key.vr, str(text)))
    return found


def studies_of(connection: Connection, identity: str) -> list[str]:
    """The UIDs of the patient's archived studies."""
    joined = select(study.c.study_uid).join(patient, patient.c.id == study.c.patient)
    return list(connection.execute(joined.where(patient.c.identity == identity).order_by(study.c.id)).scalars())


def patient_of(connection: Connection, study_uid: str) -> str:
    """The identity of the patient of an archived study; '' where there is no such study."""
    joined = select(patient.c.identity).join(study, patient.c.id == study.c.patient)
    return str(connection.execute(joined.where(study.c.study_uid == study_uid)).scalar() or "")


class Filed(NamedTuple):
    """An archived study, as far as orders that move concern it."""

    study_uid: str
    identity: str
    """Whose it is."""
    origin: str
    """Under what number it came."""
    orders: Orders


def filed(connection: Connection, study_uids: Iterable[str]) -> list[Filed]:
    """Those of these studies that there are."""
    found, wanted = list[Filed](), sorted(set(study_uids))
    for start in range(0, len(wanted), _BINDS):
        s, p, a = study.c, patient.c, study_accession.c
        joined = study.join(patient, p.id == s.patient).outerjoin(study_accession, a.study == s.id)
        query = select(s.study_uid, p.identity, s.moved_from, s.accession, a.accession).select_from(joined)
        rows = connection.execute(query.where(s.study_uid.in_(wanted[start : start + _BINDS])))
        several = dict[str, Filed]()
        for uid, identity, origin, *accessions in rows:
            one = several.get(uid) or Filed(uid, identity, origin or identity, Orders.of((uid,)))
            several[uid] = one._replace(orders=one.orders.with_those(Orders.of((), accessions)))
        found += several.values()
    return found


def of_orders(connection: Connection, identity: str, orders: Orders) -> list[str]:
    """The UIDs of the patient's archived studies of these orders."""
    s, a = study.c, study_accession.c
    joined = study.join(patient, patient.c.id == s.patient).outerjoin(study_accession, a.study == s.id)
    mine = select(s.study_uid).select_from(joined).where(patient.c.identity == identity).distinct()
    numbers = sorted(orders.accessions)
    named = s.study_uid.in_(sorted(orders.studies)) | s.accession.in_(numbers) | a.accession.in_(numbers)
    return list(connection.execute(mine.where(named)).scalars())


def follower_of(connection: Connection, identity: str) -> str:
    """The identity of the archived patient who was once called by this one; '' for none."""
    value, issuer = parts_of(identity)
    c = patient_id.c
    joined = select(patient.c.identity).join(patient_id, patient.c.id == c.patient)
    query = joined.where(c.value == value, c.issuer == issuer, c.kind == "prior").order_by(c.id)
    return str(connection.execute(query).scalar() or "")


# made once: each message asks for them
_IDENTITIES: Final = Prepared(select(patient.c.identity).where(patient.c.patient_id == bindparam("wanted")))


def identities_of(connection: Connection, patient_id: str) -> list[str]:
    """The archived patients of this number, whoever assigned it."""
    return [row[0] for row in _IDENTITIES.rows(connection, wanted=patient_id)]


def edits_by(connection: Connection, actor: str, reason: str, since: int) -> list[str]:
    """The edits that `actor` made for `reason` since then and that still hold, the latest first."""
    c = edit.c
    query = select(c.uid).where(c.at >= since, c.actor == actor, c.reason == reason, c.reverted_by == "")
    return list(connection.execute(query.order_by(c.id.desc())).scalars())


def moved_by(connection: Connection, actor: str, reason: str, since: int) -> list[str]:
    """The studies that edits of `actor` for `reason` have moved since then, taken back or not."""
    c = edit.c
    query = select(c.study_uid).where(c.at >= since, c.actor == actor, c.reason == reason, c.kind == "move-study")
    return list(connection.execute(query.distinct()).scalars())


class Archived:
    """The archive's patients, as far as messages change them."""

    def __init__(self, database: Database, edits: Edits) -> None:
        self._database, self._edits = database, edits

    def update(self, identity: str, changes: Changes, who: Who) -> None:
        """Correct what all of the patient's objects say of him, where they say something else. A patient of whom there
        are no objects is none of the archive's."""
        with self._database.reading() as connection:
            held = model_of(connection, identity)
        wanted = _archived(held or {}, changes)
        if held is not None and wanted:
            self._edits.attributes(Target.patient(identity), wanted, who)

    def merge(self, prior: str, identity: str, changes: Changes, who: Who) -> None:
        """Merge the patient `prior`, if there are objects of him, into `identity`, who is made with `changes` where
        there are none of her. Raises Refused(BAD_REQUEST)."""
        with self._database.reading() as connection:
            held, there = model_of(connection, prior), model_of(connection, identity)
            former = follower_of(connection, identity)
        if held is None:
            return
        if there is not None:
            self._edits.merge_patients(prior, identity, who)
            return
        if former == prior:
            self._rename(prior, identity, who)
        else:
            self._merge_into_new(prior, identity, {**_given(held), **changes}, who)
        self.update(identity, changes, who)

    def _rename(self, prior: str, identity: str, who: Who) -> None:
        """Give a patient back a number that was merged into his own."""
        value, issuer = parts_of(identity)
        named: dict[str, Any] = dict(written(PATIENT_ID, value))
        if parts_of(prior)[1] != issuer:
            named[ISSUER] = written(ISSUER, issuer)[ISSUER] if issuer else None
        self._edits.attributes(Target.patient(prior), named, who)

    def _merge_into_new(self, prior: str, identity: str, model: Mapping[str, Any], who: Who) -> None:
        """A study that moves makes the patient, into whom the other is merged then, if he has more. It is no change of
        his number: that would leave the new number with him once it is taken back."""
        with self._database.reading() as connection:
            studies = studies_of(connection, prior)
        self.move(studies[:1], prior, identity, model, who)
        if len(studies) > 1:
            self._edits.merge_patients(prior, identity, who)

    def move(self, study_uids: Iterable[str], prior: str, identity: str, model: Mapping[str, Any], who: Who) -> None:
        """Give those of the studies that are the patient `prior`'s to the patient `identity`, of whom `model` tells
        where the archive doesn't know him yet."""
        value, issuer = parts_of(identity)
        named = {**_given(model), **written(PATIENT_ID, value), **(written(ISSUER, issuer) if issuer else {})}
        for uid in study_uids:
            with self._database.reading() as connection:
                owner = patient_of(connection, uid)
            if owner == prior:
                self._edits.move_study(uid, named, who)

    def revert(self, uids: Iterable[str], who: Who, *, structural: bool) -> None:
        """Take edits back, the latest first. Raises Refused where others stand on them.

        Where they are of a merge (`structural`), what a patient has been called since does not stand in the way: the
        one who stays keeps that.
        """
        patients = set[str]()
        for uid in uids:
            with self._database.reading() as connection:
                past = edit_of(connection, uid)
                later = later_edits(connection, past)
                gone = _is_gone(connection, past)
            patients |= {str(past.arguments.get("identity", "")), str(past.old.get("identity_after", ""))}
            if not _stays(past, structural=structural, gone=gone, followed=bool(later)):
                self._edits.revert(uid, who)
        self._revert_left(patients, who)

    def _revert_left(self, patients: Collection[str], who: Who) -> None:
        """Take back what was left standing because of edits that are none any more."""
        with self._database.reading() as connection:
            found = _left_over(connection, patients)
        for uid in found:
            with self._database.reading() as connection:
                past = edit_of(connection, uid)
                named = called_now(connection, str(past.old.get("identity_after", "")))
                free = _stands(connection, past, named) and not later_edits(connection, past)
            if free:
                self._edits.revert(uid, who)


def _is_gone(connection: Connection, past: Past) -> bool:
    """Whether it went with a merge that was taken back: a study that was moved is its former patient's again, or the
    patient who was corrected is none any more."""
    if past.kind == "attributes":
        return model_of(connection, str(past.old.get("identity_after", ""))) is None
    if past.kind != "move-study":
        return False
    return bool(patient_of(connection, str(past.arguments["study_uid"])) == past.old["patient"]["identity"])


def _stays(past: Past, *, structural: bool, gone: bool, followed: bool) -> bool:
    """Whether there is nothing to be taken back, or not yet. A correction of one whom a person has merged away since,
    or given another number (`gone` and `followed`), can't be: taking it back is refused."""
    if past.kind != "attributes" or _renames(past.arguments):
        return gone
    return not followed if gone else structural and followed


def _is_left_over(connection: Connection, uid: str) -> bool:
    """Whether an edit is of a message that was undone, and was left standing because of a later one."""
    past = edit_of(connection, uid)
    c = patient_event.c
    same = (c.actor == past.actor) & (c.reason == past.reason)
    undone = list(connection.execute(select(c.undone_at).where(same)).scalars())
    return past.kind == "attributes" and bool(undone) and all(undone)


def _left_over(connection: Connection, patients: Collection[str]) -> list[str]:
    """The corrections of these patients that messages made which are undone, and that still hold, the latest first."""
    e, c = edit.c, patient_event.c
    undone = select(c.actor, c.reason).where(c.undone_at != 0, c.identity.in_(patients) | c.prior.in_(patients))
    made = undone.distinct().subquery()
    joined = edit.join(made, (made.c.actor == e.actor) & (made.c.reason == e.reason))
    query = select(e.uid).select_from(joined).where(e.kind == "attributes", e.reverted_by == "")
    uids = connection.execute(query.order_by(e.id.desc())).scalars()
    return [uid for uid in uids if _is_left_over(connection, uid)]


def _stands(connection: Connection, past: Past, named: str) -> bool:
    """Whether the patient of this number is the one that was corrected, and still says so."""
    edits = loaded(str(connection.execute(select(patient.c.edits).where(patient.c.identity == named)).scalar() or ""))
    changes = past.arguments.get("changes", {})
    return all(tag in edits and values(edits[tag]) == values(new) for tag, new in changes.items())


def _renames(arguments: Mapping[str, Any]) -> bool:
    return not IDENTIFYING.isdisjoint(arguments.get("changes", {}))


def _archived(held: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    """Those of `changes` that concern the objects, and differ. All are of type 2: what is deleted becomes empty."""
    wanted = {tag: changes[tag] for tag in ARCHIVED if tag in changes}
    return {tag: new or {"vr": vr_of(int(tag, 16))} for tag, new in differing(held, wanted).items()}


def _given(model: Mapping[str, Any]) -> dict[str, Any]:
    return {tag: model[tag] for tag in ARCHIVED if values(model.get(tag))}
