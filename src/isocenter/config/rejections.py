"""The settings of rejection notes: what becomes, title by title, of objects that one takes out of sight (IHE IOCM)."""

from typing import Literal

from isocenter.config.kinds import Frozen, Seconds

RejectionTitle = Literal["quality", "safety", "worklist", "expired"]
"""Document titles of rejection notes: 113001, 113037, 113038 and 113039 of CID 7010."""
Resend = Literal["refuse", "hide", "revive"]


class Rejection(Frozen, frozen=True, kw_only=True):
    """Objects that notes of one title have rejected."""

    resend: Resend = "hide"
    """One that is sent again: refused with status 0111; acknowledged and left out of sight; or back in sight. By
    default `hide` for quality, `refuse` for safety and worklist, `revive` for expired."""
    remove_after: Seconds | None = None
    """Seconds after which rejected objects are deleted for good. Not given: never."""


class Rejections(Frozen, frozen=True, kw_only=True):
    """What becomes of rejected objects, by the title of the note."""

    quality: Rejection = Rejection()
    """Rejected for Quality Reasons (113001)."""
    safety: Rejection = Rejection(resend="refuse")
    """Rejected for Patient Safety Reasons (113037)."""
    worklist: Rejection = Rejection(resend="refuse")
    """Incorrect Modality Worklist Entry (113038)."""
    expired: Rejection = Rejection(resend="revive")
    """Data Retention Policy Expired (113039)."""
