"""`/api/reconciliation`: studies that are to be reconciled, and procedure steps that nothing was scheduled for.

GET  /api/reconciliation?state=open&ae=TWF        the studies that wait, and the steps
GET  /api/reconciliation/{id}                     one of them beside its candidates
POST /api/reconciliation/{id}/candidates          ask the worklists: {"keys": {"PatientName": "Doe*"}}
POST /api/reconciliation/{id}/choose              {"candidate": 0, "reason": "..."}
POST /api/reconciliation/{id}/attributes          type in: {"changes": {"00100020": {...}}, "reason": "..."}
POST /api/reconciliation/{id}/release             as it is, or as it was matched
POST /api/reconciliation/{id}/reject              keep it out of the archive
POST /api/reconciliation/{id}/reopen              let what comes later wait again
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from isocenter.config import HostedAE
from isocenter.database import Database
from isocenter.web.problem import bad_request, not_found
from isocenter.web.reply import Reply
from isocenter.web.workflow_api.service import Asked, Resources, json_reply
from isocenter.workflow.reconciling.deciding import Desk, Who
from isocenter.workflow.reconciling.matching import asked_by_hand
from isocenter.workflow.reconciling.overview import Overview, shown
from isocenter.workflow.reconciling.rows import Study
from isocenter.workflow.reconciling.states import UNDECIDED, State
from isocenter.workflow.reconciling.worklists import Worklists

MOUNT: Final = "/api/reconciliation"
_PAGE = 100
_MOST = 500


class Reconciliation:
    """The handlers. `ae_of`: an AE by its title, as it is now."""

    def __init__(self, database: Database, desk: Desk, worklists: Worklists, ae_of: Callable[[str], HostedAE]) -> None:
        self._overview, self._desk, self._worklists, self._ae_of = Overview(database), desk, worklists, ae_of

    @property
    def resources(self) -> Resources:
        """Paths and methods."""
        return {
            "": {"GET": self.listed},
            "/{id}": {"GET": self.one},
            "/{id}/candidates": {"POST": self.search},
            "/{id}/choose": {"POST": self.choose},
            "/{id}/attributes": {"POST": self.type_in},
            "/{id}/release": {"POST": self.release},
            "/{id}/reject": {"POST": self.reject},
            "/{id}/reopen": {"POST": self.reopen},
        }

    def listed(self, asked: Asked) -> Reply:
        """What waits for a person, a page at a time."""
        limit = min(asked.number("limit", _PAGE) or _PAGE, _MOST)
        states = _states(asked.query.get("state", ""))
        found = self._overview.listed(
            states=states, ae=asked.query.get("ae", ""), patient_id=asked.query.get("PatientID", ""),
            after=asked.number("after"), limit=limit,
        )  # fmt: skip
        steps = self._overview.steps(before=asked.number("steps_before"), limit=limit)
        return json_reply({"studies": [one.told() for one in found], "steps": steps})

    def one(self, asked: Asked) -> Reply:
        """All that is known of one."""
        return json_reply(self._overview.detailed(_id(asked)))

    def search(self, asked: Asked) -> Reply:
        """Ask the worklists for what a person says; the answers are the candidates from then on."""
        keys = asked.object().get("keys")
        if not isinstance(keys, dict) or not all(isinstance(value, str) for value in keys.values()):
            raise bad_request("keys is an object of keywords and texts")
        question = asked_by_hand(keys)
        study = self._overview.study(_id(asked))
        found = self._worklists.search(self._ae_of(study.ae), question)
        self._desk.offer(study.id, found)
        return self.one(asked)

    def choose(self, asked: Asked) -> Reply:
        """One of the candidates."""
        body = asked.object()
        candidate, extra = body.get("candidate"), body.get("changes")
        if not isinstance(candidate, int) or isinstance(candidate, bool):
            raise bad_request("candidate is the number of one of the candidates")
        return _told(self._desk.choose(_id(asked), candidate, _who(asked, body), extra=_changes(extra)))

    def type_in(self, asked: Asked) -> Reply:
        """Values by hand."""
        body = asked.object()
        return _told(self._desk.type_in(_id(asked), _changes(body.get("changes")), _who(asked, body)))

    def release(self, asked: Asked) -> Reply:
        """As it is."""
        return _told(self._desk.release(_id(asked), _who(asked, asked.object())))

    def reject(self, asked: Asked) -> Reply:
        """Not at all."""
        return _told(self._desk.reject(_id(asked), _who(asked, asked.object())))

    def reopen(self, asked: Asked) -> Reply:
        """Decide again of what comes later."""
        return _told(self._desk.reopen(_id(asked), _who(asked, asked.object())))


def _id(asked: Asked) -> int:
    text = asked.path["id"]
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise not_found("study")
    return int(text)


def _states(text: str) -> frozenset[State]:
    if not text:
        return UNDECIDED
    if text == "all":
        return frozenset(State)
    try:
        return frozenset(State(each) for each in text.split(","))
    except ValueError as fault:
        raise bad_request(f"state is all, or some of {', '.join(State)}") from fault


def _changes(value: Any) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise bad_request("changes is an object of the DICOM JSON model")
    return value or {}


def _who(asked: Asked, body: Mapping[str, Any]) -> Who:
    reason = body.get("reason", "")
    if not isinstance(reason, str):
        raise bad_request("reason is a text")
    return Who(asked.actor, reason)


def _told(study: Study) -> Reply:
    return json_reply(shown(study))
