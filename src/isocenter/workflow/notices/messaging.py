"""HL7 messages that we send of our own: how orders stand, as their steps are performed, and that studies are available.

The follower of the change feed calls it in the transaction in which it takes the changes, so that each destination gets
one message for each of them, whatever is killed when.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection

from isocenter import telemetry
from isocenter.config.hl7 import Destination, Hl7, Sends
from isocenter.database.changes import Change
from isocenter.errors import IsocenterError
from isocenter.hl7.message import Message
from isocenter.workflow.messages.outbox import Outbox
from isocenter.workflow.notices.following import Also
from isocenter.workflow.outgoing import Status, counted, of_archived, order_status, study_available
from isocenter.workflow.steps.steps import Steps
from isocenter.workflow.worklist.entries import Worklist

log = telemetry.logger("workflow.notices")

_STATUSES: Final = {
    "step-created": Status.IN_PROGRESS,
    "step-completed": Status.COMPLETED,
    "step-discontinued": Status.DISCONTINUED,
}
_COMPLETE: Final = "complete"


def messenger(hl7: Hl7, worklist: Worklist, steps: Steps, outbox: Outbox) -> Also:
    """What has the destinations told of changes."""
    teller = _Teller(hl7, worklist, steps, outbox)

    def take(connection: Connection, found: Sequence[Change]) -> None:
        for one in found:
            if one.kind in _STATUSES:
                teller.order(connection, one)
            elif one.kind == _COMPLETE:
                teller.study(connection, one)

    return take


class _Teller:
    def __init__(self, hl7: Hl7, worklist: Worklist, steps: Steps, outbox: Outbox) -> None:
        self._hl7, self._worklist, self._steps, self._outbox = hl7, worklist, steps, outbox

    def order(self, connection: Connection, one: Change) -> None:
        """How the orders stand of which a step says that it performs them. Of one that nobody ordered nobody is
        told."""
        destinations = self._wanting("order-status")
        step = self._steps.of_uid(connection, one.sop_uid) if destinations else None
        if step is None:
            return
        performed = self._worklist.of_ids(connection, self._steps.entries_of(connection, step.id))
        models = [entry.model for entry in performed if entry.study_uid == one.study_uid]
        when, status = _stamp(one.at), _STATUSES[one.kind]
        for each in destinations:
            for model in models:
                form = each.order_status_as
                self._send(connection, each, one, partial(order_status, model, status, when, form=form))

    def study(self, connection: Connection, one: Change) -> None:
        """That a study is available: to each of its orders, or as the archive knows it where nobody ordered it."""
        destinations = self._wanting("study-available")
        if not destinations:
            return
        models = list(self._of_study(connection, one.study_uid))
        available = counted(connection, one.study_uid)
        when = _stamp(one.at)
        for each in destinations:
            for model in models:
                form = each.study_available_as
                self._send(connection, each, one, partial(study_available, model, when, available, form=form))

    def _of_study(self, connection: Connection, study_uid: str) -> Iterator[dict[str, Any]]:
        """A model for each order, though it be of several steps."""
        orders = {entry.order_key: entry.model for entry in self._worklist.of_study(connection, study_uid)}
        if orders:
            yield from orders.values()
        elif archived := of_archived(connection, study_uid):
            yield archived

    def _wanting(self, what: Sends) -> list[Destination]:
        return [each for each in self._hl7.destinations if what in each.sends]

    def _send(self, connection: Connection, to: Destination, one: Change, made: Callable[[], Message]) -> None:
        """What can't be said is no reason to say nothing more to anybody."""
        try:
            self._outbox.add(connection, to.name, made())
        except (IsocenterError, ValueError, LookupError) as fault:
            log.error(
                "message.unmade", exc_info=True, destination=to.name, on=one.kind, study=one.study_uid,
                fault=type(fault).__name__,
            )  # fmt: skip
            return
        telemetry.count("isocenter_notices_total", kind="hl7", outcome="queued")


def _stamp(at: int) -> str:
    """Microseconds UTC as HL7 writes times, in this machine's zone with its offset."""
    return datetime.fromtimestamp(at / 1e6).astimezone().strftime("%Y%m%d%H%M%S%z")
