"""C-STORE SCP: the Storage Service Class, PS3.4 B.

The data set streams into the archive's ingest; the answer leaves when object and index are durable (I-STORE-01 to -05,
M-STORE-09, M-STORE-10).
"""

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from isocenter import telemetry
from isocenter.archive.ingest import Ingest, Origin, Reception
from isocenter.config.settings import HostedAE
from isocenter.declarations import statuses
from isocenter.dimse import commands
from isocenter.dimse.commands import Command
from isocenter.dimse.service import Context, Sink
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.rules import Outcome

if TYPE_CHECKING:
    from isocenter.dimse.association import Association

log = telemetry.logger("services.store")

OriginOf = Callable[["Association"], Origin]
"""Who an association's objects come from, with what is assumed for that peer."""


class StoreService:
    """Answers the C-STORE requests of one hosted AE. `largest`: bytes of the largest data set taken, 0 for any."""

    def __init__(self, ingest: Ingest, ae: HostedAE, origin_of: OriginOf, *, largest: int = 0) -> None:
        self._ingest = ingest
        self._origin_of = origin_of
        self._largest = largest
        self._known = threading.local()
        self._preset = ae.preset

    def sink(self, association: "Association", context: Context, command: Command) -> "ObjectSink":
        """A place in the archive for the object; what stands against it is told once the data set is through."""
        sop_instance = commands.text(command, commands.AFFECTED_SOP_INSTANCE)
        try:
            origin = self._origin(association)
            reception = self._ingest.receive(origin, context.abstract, sop_instance, context.transfer_syntax)
        except IsocenterError as failure:
            return ObjectSink(None, failure=failure)
        return ObjectSink(reception, self._largest)

    def _origin(self, association: "Association") -> Origin:
        """Worked out once an association, which has a thread of its own."""
        if getattr(self._known, "association", None) is not association:
            self._known.association, self._known.origin = association, self._origin_of(association)
        origin: Origin = self._known.origin
        return origin

    def perform(self, association: "Association", context: Context, command: Command, sink: Sink | None) -> None:
        """Make the object durable and answer."""
        try:
            status, comment = self._finish(context, command, sink)
        except IsocenterError as failure:
            status = statuses.dimse_status(statuses.Service.STORE, failure.reason, self._preset)
            comment = failure.comment
            log.warning(
                "store.refused", calling=association.calling, reason=failure.reason, status=f"{status:04X}",
                sop_uid=commands.text(command, commands.AFFECTED_SOP_INSTANCE),
            )  # fmt: skip
        association.respond(context.id, commands.response(command, status, comment))

    def _finish(self, context: Context, command: Command, sink: Sink | None) -> tuple[int, str]:
        if not isinstance(sink, ObjectSink):
            raise Refused(Reason.CANNOT_UNDERSTAND, "no data set")
        reception = sink.complete()
        if commands.text(command, commands.AFFECTED_SOP_CLASS) != context.abstract:
            reception.refuse(Reason.SOP_CLASS_MISMATCH, "SOP Class UID differs from the presentation context's")
        stored = reception.finish()
        if stored.sop_uid != reception.sop_instance:
            return statuses.COERCED, "kept under another SOP Instance UID"
        if stored.outcome.tell:
            return told(stored.outcome)
        if stored.remark:
            return statuses.DOES_NOT_MATCH_SOP_CLASS, stored.remark
        return statuses.SUCCESS, ""


def told(outcome: Outcome) -> tuple[int, str]:
    """Status and Error Comment for a sender who is to know what rules did (PS3.4 B.2.3)."""
    if outcome.coerced:
        return statuses.COERCED, "elements were coerced"
    return statuses.ELEMENTS_DISCARDED, "elements were discarded"


class ObjectSink:
    """Passes a data set on to a reception; after a failure the rest is dropped, so that the peer can be answered."""

    __slots__ = ("_failure", "_largest", "_reception", "_size")

    def __init__(self, reception: Reception | None, largest: int = 0, *, failure: IsocenterError | None = None) -> None:
        self._reception = reception
        self._largest = largest
        self._size = 0
        self._failure = failure

    def write(self, views: Sequence[memoryview]) -> None:
        """The next bytes of the data set."""
        if self._reception is None:
            return
        try:
            if self._largest:
                self._size += sum(map(len, views))
                if self._size > self._largest:
                    raise Refused(Reason.TOO_LARGE, "the object is larger than this archive takes")
            self._reception.write(views)
        except IsocenterError as failure:
            self._failure = failure
            self.abandon()

    def close(self) -> None:
        """The data set is complete; `StoreService.perform` goes on."""

    def abandon(self) -> None:
        """The association ended in the middle of the object, or there is no place for it."""
        reception, self._reception = self._reception, None
        if reception is not None:
            reception.abandon()

    def complete(self) -> Reception:
        """The reception with the whole data set in it. Raises what failed on the way."""
        if self._reception is None:
            raise self._failure or Refused(Reason.CANNOT_UNDERSTAND, "no data set")
        return self._reception
