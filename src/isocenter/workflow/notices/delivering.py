"""Tells what is to be told: a job for each destination, so that one that is slow or away holds up nobody else."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from isocenter import telemetry
from isocenter.jobs.alone import Alone
from isocenter.jobs.runner import Again, Running
from isocenter.workflow.notices.outgoing import Destination, Notice, Outgoing
from isocenter.workflow.notices.plan import HOOK, Plan

log = telemetry.logger("workflow.notices")

_BUSY = 0.5
"""Seconds until a destination that is being told is looked at again."""


class Account:
    """What becomes of each notice."""

    def __init__(self, outgoing: Outgoing, plan: Plan) -> None:
        self._outgoing, self._plan = outgoing, plan

    def sent(self, one: Notice, status: int | None = None, comment: str = "") -> None:
        """It was told."""
        log.info("notice.sent", **_said(one), status=_code(one, status))
        self._outgoing.sent(one, status, comment)

    def dropped(self, one: Notice, comment: str) -> None:
        """There is nothing to tell any more."""
        log.info("notice.dropped", **_said(one), comment=comment)
        self._outgoing.dropped(one, comment)

    def failed(self, one: Notice, comment: str, status: int | None = None, *, passing: bool = True) -> None:
        """It was not told. `passing`: another try may do."""
        retries, first = self._plan.tries(one.to)
        if passing and self._outgoing.postpone(one, comment, status, first=first, retries=retries):
            log.warning("notice.postponed", **_said(one), comment=comment, tries=one.attempts + 1)
            return
        if not passing:
            self._outgoing.failed(one, comment, status)
        log.error("notice.failed", **_said(one), comment=comment, status=_code(one, status))


class Way(Protocol):
    """How notices of a kind are told."""

    def tell(self, destination: Destination, due: Sequence[Notice], account: Account, running: Running) -> None:
        """Tell all of these, and give account of each; what it raises counts as a failed try of none."""


class Deliverer:
    """Carries out the jobs of kind `outgoing.KIND`. `ways` by kind of notice."""

    def __init__(self, outgoing: Outgoing, plan: Plan, ways: Mapping[str, Way]) -> None:
        self._outgoing, self._ways = outgoing, dict(ways)
        self._account = Account(outgoing, plan)
        self._alone = Alone()

    def handle(self, running: Running) -> Again | None:
        """Tell a destination all that is due (`jobs.runner.Handler`)."""
        destination = Destination(**running.payload)
        way = self._ways[destination.kind]
        with self._alone.at(destination) as mine:
            if not mine:
                return Again(_BUSY)
            while not (running.cancelled() or running.stopping) and (due := self._mine(destination)):
                way.tell(destination, due, self._account, running)
            wait = self._outgoing.wait(destination)
        return None if wait is None else Again(wait)

    def _mine(self, destination: Destination) -> list[Notice]:
        return [one for one in self._outgoing.due(destination) if self._outgoing.claim(one)]


def _said(one: Notice) -> dict[str, Any]:
    return {"kind": one.kind, "destination": one.destination, "on": one.event, "study": one.study_uid}


def _code(one: Notice, status: int | None) -> str:
    """As the way of that kind writes it."""
    if status is None:
        return ""
    return str(status) if one.kind == HOOK else f"{status:04X}"
