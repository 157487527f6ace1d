"""Reconciliation of an AE's studies with a worklist: the table `reconciling` of an `[[ae]]`."""

from typing import Literal

from isocenter.config.kinds import Frozen, Positive, Seconds, Whole

OWN = "own"
"""Names the worklist of this installation where worklists are listed."""


class Reconciling(Frozen, frozen=True, kw_only=True):
    """Which worklist item a study belongs to, and what becomes of the study then (I-TWF-05 to -09, I-REC-01 to -03).

    An AE of role `reconcile` holds every study until this is settled. An AE of role `archive` only looks where
    `worklists` names any, and changes what it has stored on one confident match alone.
    """

    worklists: tuple[str, ...] = ()
    """Where to look: `own`, the worklist of this installation, or the titles of peers that have one. The first that
    has an item that fits is believed. None listed: `own` for the role `reconcile`, nowhere for the role `archive`.
    """
    match: tuple[str, ...] = ("PatientID", "Modality", "AccessionNumber")
    """Attributes that the study and the worklist item must have in common (I-TWF-07). One that the study has no value
    of is not asked for."""
    needed: tuple[str, ...] = ("PatientID",)
    """Those of `match` that a study must have a value of, or nothing is matched without a person."""
    agree: tuple[str, ...] = ("PatientBirthDate", "PatientSex")
    """Attributes that must not contradict each other where both have a value: one match that does is left to a person.
    """
    days: Whole = 0
    """The item is scheduled at most so many days before or after the study's date; 0: at any date."""
    quiet: Seconds = 30.0
    """From the last object of a study until it is looked for."""
    review: bool = False
    """A person confirms a match before the study goes on (I-ACT-32). For the role `reconcile`."""
    study_uid: Literal["keep", "worklist"] = "keep"
    """Study Instance UID of a study that is released: its own, or that of the worklist item. For the role `reconcile`.
    """
    leave: tuple[str, ...] = ()
    """Attributes that are not taken over from the worklist, though they otherwise would be."""
    associations: Positive = 5
    """Questions to remote worklists that may be under way at once, each on an association of its own (I-TWF-08)."""
    retry_delay: Seconds = 60.0
    """Before a worklist that could not be reached is asked again."""
    retries: Whole = 10
    """How often; then the study is left to a person."""
