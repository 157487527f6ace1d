"""How objects are de-identified where that is asked for."""

from typing import Literal

from isocenter.config.kinds import Frozen, Secret


class Deidentification(Frozen, frozen=True, kw_only=True):
    """The Basic Application Level Confidentiality Profile of PS3.15 E, and its options."""

    secret: Secret = ""
    """What new UIDs and pseudonyms are made with; several servers that share it give the same ones. Empty: one is made
    at the first use and kept in the data folder."""
    burned_in: Literal["refuse", "warn"] = "refuse"
    """What happens to objects whose pixels may tell who the patient is: those that say so, those of classes that often
    have annotations burned in (ultrasound, secondary capture, photographs) and don't say that they have none, and
    encapsulated documents."""
    dates: Literal["remove", "shift", "keep"] = "remove"
    """Dates and times go, are moved back by as many days for all objects of a patient, or stay."""
    keep: tuple[Literal["uids", "device", "institution", "characteristics"], ...] = ()
    """What stays besides: UIDs, the identity of devices, the institution, the patient's age, sex, size and weight."""
