"""`/api/steps`: the performed procedure steps that were reported here (PS3.4 F).

GET  /api/steps?state=COMPLETED&study=1.2.3       the newest; `matching`, `station`, `before`, `limit` too
GET  /api/steps/{id}                              one: its attributes, what was performed, what has arrived
POST /api/steps/{id}/resolve                      an exception belongs to these: {"entries": [1], "reason": "..."}
POST /api/steps/{id}/accept                       nothing was scheduled for it
"""

from collections.abc import Callable
from typing import Any, Final

from isocenter.config import HostedAE
from isocenter.database import Database
from isocenter.web.problem import bad_request, not_found
from isocenter.web.reply import Reply
from isocenter.web.workflow_api.service import Asked, Resources, json_reply
from isocenter.workflow.steps.exceptions import StepExceptions
from isocenter.workflow.steps.overview import detailed, shown
from isocenter.workflow.steps.steps import Steps

MOUNT: Final = "/api/steps"
_PAGE = 100
_MOST = 500


class PerformedSteps:
    """The handlers. `ae_of`: an AE by its title, as it is now."""

    def __init__(self, database: Database, ae_of: Callable[[str], HostedAE | None]) -> None:
        self._database, self._ae_of, self._steps = database, ae_of, Steps(database)
        self._exceptions = StepExceptions(self._steps)

    @property
    def resources(self) -> Resources:
        """Paths and methods."""
        return {
            "": {"GET": self.listed},
            "/{id}": {"GET": self.one},
            "/{id}/resolve": {"POST": self.resolve},
            "/{id}/accept": {"POST": self.accept},
        }

    def listed(self, asked: Asked) -> Reply:
        """The newest that fit, a page at a time."""
        limit = min(asked.number("limit", _PAGE) or _PAGE, _MOST)
        wanted = {name: asked.query.get(name, "") for name in ("state", "matching", "station")}
        study = asked.query.get("study", "")
        found = self._steps.listed(**wanted, study_uid=study, before=asked.number("before"), limit=limit)
        return json_reply({"steps": [shown(one) for one in found]})

    def one(self, asked: Asked) -> Reply:
        """All that is known of one."""
        return json_reply(detailed(self._database, _id(asked)))

    def resolve(self, asked: Asked) -> Reply:
        """A step that waits belongs to these worklist items, one for each of its scheduled steps, or one for all."""
        entries = asked.object().get("entries")
        if not isinstance(entries, list) or not all(_is_number(each) for each in entries):
            raise bad_request("entries is an array of the ids of worklist items")
        number = _id(asked)
        with self._database.writing() as connection:
            step = self._steps.get(connection, number)
            ae = self._ae_of(step.ae) if step is not None else None
            wanted = ae.mpps.at(step.station) if ae is not None and step is not None else None
            done = self._exceptions.resolve(connection, number, entries, actor=asked.actor, wanted=wanted)
        return json_reply(shown(done))

    def accept(self, asked: Asked) -> Reply:
        """A step that waits is right as it is."""
        with self._database.writing() as connection:
            done = self._exceptions.accept(connection, _id(asked), actor=asked.actor)
        return json_reply(shown(done))


def _id(asked: Asked) -> int:
    text = asked.path["id"]
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise not_found("step")
    return int(text)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
