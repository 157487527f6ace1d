"""How HTTP says what came of a request to the worklist: the tables of PS3.18 11.4.3 to 11.12.3."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

from isocenter.declarations.workitem import Status
from isocenter.web.problem import Problem
from isocenter.workflow.workitems.entries import Gone
from isocenter.workflow.workitems.models import Rejected

_INCONSISTENT: Final = "The submitted request is inconsistent with the state of the UPS Instance."
WARNINGS: Final[Mapping[Status, str]] = MappingProxyType(
    {
        Status.CREATED_WITH_MODIFICATIONS: "The Workitem was created with modifications.",
        Status.LOCK_NOT_GRANTED: "Deletion Lock not granted.",
        Status.ALREADY_CANCELED: "The UPS is already in the requested state of CANCELED.",
        Status.ALREADY_COMPLETED: "The UPS is already in the requested state of COMPLETED.",
        Status.NO_LONGER_UPDATED: _INCONSISTENT,
        Status.ALREADY_IN_PROGRESS: _INCONSISTENT,
        Status.ONLY_CREATED_SCHEDULED: _INCONSISTENT,
        Status.FINAL_STATE_NOT_MET: _INCONSISTENT,
        Status.NOT_IN_PROGRESS: "The target URI did not reference a claimed Workitem.",
        Status.COMPLETED: _INCONSISTENT,
        Status.PERFORMER_OUT_OF_REACH: _INCONSISTENT,
    }
)
_CODES: Final[Mapping[Status, int]] = MappingProxyType(
    {
        Status.DUPLICATE_INSTANCE: 409,
        Status.NO_SUCH_WORKITEM: 404,
        Status.NO_LONGER_UPDATED: 409,
        Status.ALREADY_IN_PROGRESS: 409,
        Status.ONLY_CREATED_SCHEDULED: 409,
        Status.FINAL_STATE_NOT_MET: 409,
        Status.NOT_IN_PROGRESS: 409,
        Status.COMPLETED: 409,
        Status.PERFORMER_OUT_OF_REACH: 409,
        Status.RESOURCE_LIMITATION: 413,
    }
)
"""Others are 400."""


def warning(text: str) -> str:
    """A Warning header."""
    return f'299 isocenter "{text}"'


def warned(status: Status) -> dict[str, str]:
    """The Warning header of a request that was carried out."""
    return {"Warning": warning(WARNINGS[status])} if status in WARNINGS else {}


@contextmanager
def told(*, transaction_given: bool = False, updating: bool = False) -> Iterator[None]:
    """What the worklist refuses becomes a Problem. `updating`: a workitem in a final state is 400 (PS3.18 11.6.2)."""
    try:
        yield
    except Rejected as refusal:
        code = _CODES.get(refusal.status, 400)
        if isinstance(refusal, Gone):
            code = 410
        if updating and refusal.status is Status.NO_LONGER_UPDATED:
            code = 400
        text = WARNINGS.get(refusal.status, "")
        if refusal.status is Status.WRONG_TRANSACTION:
            text = f"The Transaction UID is {'incorrect' if transaction_given else 'missing'}."
        raise Problem(code, refusal.comment, {"Warning": warning(text)} if text else {}) from refusal
