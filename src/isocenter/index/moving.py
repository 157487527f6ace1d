"""Patients, and what moves between them: studies to another patient, patients into one another, their ids.

A patient's identity is issuer, backslash, id. What it was once called stays as `patient_id` rows of kind `prior`: an
object that comes with such a name belongs to this patient.
"""

from typing import Any, Final

from isocenter.errors import Reason, Refused
from isocenter.index import keys
from isocenter.index.level_models import (
    Model,
    columns,
    dumped,
    further_tags,
    identity_of,
    loaded,
    read,
    without,
    write,
)
from isocenter.index.overlaying import refresh_study
from isocenter.index.sessions import Session

_PATIENT: Final = ("identity", "patient_id", "issuer", "changed_at")
_IDS: Final = ("patient", "value", "issuer", "kind")
_CALLED: Final = "patient = ? AND value = ? AND issuer = ? AND kind = 'prior'"


def parts_of(identity: str) -> tuple[str, str]:
    """(id, issuer) as `patient_id` rows hold an identity; of a patient without id, the study's UID stands for it."""
    issuer, _, value = identity.rpartition("\\")
    return value, issuer


def patient_of(session: Session, identity: str) -> int | None:
    """The patient of exactly this identity, locked."""
    found = session.rows("SELECT id FROM patient WHERE identity = ?", (identity,))
    if not found:
        return None
    session.lock("patient", [found[0][0]])
    return int(found[0][0])


def required_patient(session: Session, identity: str) -> int:
    """The same. Raises Refused(NOT_FOUND)."""
    found = patient_of(session, identity)
    if found is None:
        raise Refused(Reason.NOT_FOUND, "there is no such patient")
    return found


def followed(session: Session, identity: str) -> int | None:
    """The patient who was once called by this identity."""
    query = "SELECT patient FROM patient_id WHERE value = ? AND issuer = ? AND kind = 'prior' ORDER BY id"
    found = session.rows(query, parts_of(identity))
    return int(found[0][0]) if found else None


def survivor(session: Session, prior: str, identity: str) -> int:
    """Who has the place of the merged-away patient `prior`: who is remembered as having been called so, whatever she is
    called now; else who was `identity` at the merge. Raises Refused(NOT_FOUND)."""
    for found in (followed(session, prior), patient_of(session, identity), followed(session, identity)):
        if found is not None:
            session.lock("patient", [found])
            return found
    raise Refused(Reason.NOT_FOUND, "there is no such patient")


def saved(session: Session, patient: int) -> dict[str, Any]:
    """What it takes to make the patient again."""
    identity, edits, given = session.rows("SELECT identity, edits, given FROM patient WHERE id = ?", (patient,))[0]
    found = {"identity": identity, "model": read(session, "P", patient), "edits": loaded(edits)}
    return {**found, "given": loaded(given)} if given else found


def made(session: Session, patient: dict[str, Any], at: int, now: int) -> int:
    """The patient that `patient` (as `saved` has it) describes, found or made. One who was merged away is not made
    again: raises Refused(BAD_REQUEST).

    What a person said of a patient whom no object had named (`given`) is not overwritten by the objects that come, as
    no edit is: it is laid over them."""
    identity = str(patient["identity"])
    found = patient_of(session, identity)
    if found is not None:
        return found
    if followed(session, identity) is not None:
        raise Refused(Reason.BAD_REQUEST, "this Patient ID was merged into another patient")
    value, issuer = ("", "") if identity.startswith("\\\\") else parts_of(identity)
    new = session.insert("patient", _PATIENT, [(identity, value, issuer, now)], "identity")
    row_id = new.get(identity) or required_patient(session, identity)
    if value:
        session.append("patient_id", _IDS, [(row_id, value, issuer, "primary")])
    write(session, "P", row_id, without(patient.get("model", {})))
    edits, given = patient.get("edits") or {}, _indexed(patient.get("given") or {})
    session.run(
        "UPDATE patient SET edits = ?, given = ?, edited_at = ? WHERE id = ?",
        (dumped(edits) if edits else "", dumped(given) if given else "", at, row_id),
    )
    return row_id


def _indexed(model: Model) -> Model:
    """What the index keeps of a patient, but for what identifies it."""
    kept = columns("P").keys() | further_tags("P")
    return {tag: attribute for tag, attribute in without(model).items() if int(tag, 16) in kept}


def studies_of(session: Session, patient: int) -> list[tuple[int, str]]:
    """(id, Study Instance UID) of the patient's studies, locked."""
    found = session.rows("SELECT id, study_uid FROM study WHERE patient = ? ORDER BY id", (patient,))
    session.lock("study", [row[0] for row in found])
    return [(row[0], row[1]) for row in found]


def move(session: Session, study: int, patient: int, at: int, now: int, *, back: bool = False) -> None:
    """Give the study to another patient; `back` to whom its objects name, who is as they say."""
    origin, former = session.rows(
        "SELECT s.moved_from, p.identity FROM study s JOIN patient p ON p.id = s.patient WHERE s.id = ?", (study,)
    )[0]
    identity = session.rows("SELECT identity FROM patient WHERE id = ?", (patient,))[0][0]
    origin = origin or former
    session.run(
        "UPDATE study SET patient = ?, moved_from = ?, edited_at = ? WHERE id = ?",
        (patient, "" if back and origin == identity else origin, at, study),
    )
    refresh_study(session, study, now)


def drop_if_empty(session: Session, patient: int) -> None:
    """A patient without studies goes, unless something is to be remembered of it."""
    kept = session.rows(
        "SELECT 1 FROM study WHERE patient = ? UNION ALL "
        "SELECT 1 FROM patient_id WHERE patient = ? AND kind = 'prior' UNION ALL "
        "SELECT 1 FROM patient WHERE id = ? AND edits <> ''",
        (patient, patient, patient),
    )
    if not kept:
        drop(session, patient)


def drop(session: Session, patient: int) -> None:
    """Take the row out, with what hangs on it."""
    session.run("DELETE FROM patient_id WHERE patient = ?", (patient,))
    session.run("DELETE FROM attribute WHERE level = 'P' AND owner = ?", (patient,))
    session.run("DELETE FROM patient WHERE id = ?", (patient,))


def rename(session: Session, patient: int, model: Model) -> None:
    """Give the patient the id and issuer of `model`; the former ones become prior ones. Raises Refused."""
    former = str(session.rows("SELECT identity FROM patient WHERE id = ?", (patient,))[0][0])
    whole = {**read(session, "P", patient), **model}
    try:
        identity, value, issuer = identity_of(whole)
    except ValueError as fault:
        raise Refused(Reason.BAD_REQUEST, str(fault)) from fault
    if identity == former:
        return
    if patient_of(session, identity) is not None:
        raise Refused(Reason.BAD_REQUEST, "another patient has this Patient ID: merge the two")
    if followed(session, identity) not in (None, patient):
        raise Refused(Reason.BAD_REQUEST, "this Patient ID was merged into another patient")
    session.run(
        "UPDATE patient SET identity = ?, patient_id = ?, issuer = ? WHERE id = ?", (identity, value, issuer, patient)
    )
    forget_prior(session, patient, identity)
    session.run("DELETE FROM patient_id WHERE patient = ? AND kind = 'primary'", (patient,))
    session.append("patient_id", _IDS, [(patient, value, issuer, "primary")])
    remember_prior(session, patient, former)


def remember_prior(session: Session, patient: int, identity: str) -> None:
    """What comes with this identity belongs to `patient`."""
    session.append("patient_id", _IDS, [(patient, *parts_of(identity), "prior")])


def forget_prior(session: Session, patient: int, identity: str) -> None:
    """No longer."""
    session.run(f"DELETE FROM patient_id WHERE {_CALLED}", (patient, *parts_of(identity)))  # noqa: S608


def has_prior(session: Session, patient: int, identity: str) -> bool:
    """Whether the patient was once called so."""
    return bool(session.rows(f"SELECT 1 FROM patient_id WHERE {_CALLED}", (patient, *parts_of(identity))))  # noqa: S608


def merge(session: Session, prior: int, patient: int, at: int, now: int) -> dict[str, Any]:
    """All studies and ids of `prior` become those of `patient`; the row of `prior` goes. What takes it back."""
    old: dict[str, Any] = {"patient": saved(session, prior), "studies": [], "priors": []}
    touch(session, patient, at, now)
    for study, uid in studies_of(session, prior):
        old["studies"].append(uid)
        move(session, study, patient, at, now)
    for value, issuer in session.rows(
        "SELECT value, issuer FROM patient_id WHERE patient = ? AND kind = 'prior' ORDER BY id", (prior,)
    ):
        old["priors"].append(f"{issuer}\\{value}")
    drop(session, prior)
    for identity in (*old["priors"], old["patient"]["identity"]):
        remember_prior(session, patient, identity)
    return old


def unmerge(session: Session, patient: int, arguments: dict[str, Any], at: int, now: int) -> None:
    """Take a merge back: its studies, and those that followed it, go to the patient of then. Of his former ids those
    go with him that nobody has got since."""
    identity = str(arguments["patient"]["identity"])
    priors = [each for each in arguments["priors"] if has_prior(session, patient, each)]
    for each in (identity, *priors):
        forget_prior(session, patient, each)
    prior = made(session, arguments["patient"], at, now)
    if prior == patient:
        raise Refused(Reason.BAD_REQUEST, "the patient who stayed has this Patient ID by now: change that first")
    for each in priors:
        remember_prior(session, prior, each)
    back = saved(session, prior) == arguments["patient"]
    named = set(arguments["studies"])
    origins = {identity, *arguments["priors"]}
    for study, uid in studies_of(session, patient):
        origin = session.rows("SELECT moved_from FROM study WHERE id = ?", (study,))[0][0]
        if uid in named or origin in origins:
            move(session, study, prior, at, now, back=back)


def touch(session: Session, patient: int, at: int, now: int) -> None:
    """An edit concerns the patient: series that come later look for it."""
    session.run("UPDATE patient SET edited_at = ?, changed_at = ? WHERE id = ?", (at, now, patient))


ISSUER_AND_ID: Final = frozenset({f"{keys.PATIENT_ID:08X}", f"{keys.ISSUER:08X}"})
