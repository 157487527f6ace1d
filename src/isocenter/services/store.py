"""C-STORE SCP: the Storage Service Class, PS3.4 B.

The data set streams into the archive's ingest; the answer leaves when object and index are durable (I-STORE-01 to -05,
M-STORE-09, M-STORE-10).
"""

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
        self._preset = ae.preset if ae.preset in statuses.PRESETS else statuses.PRESETS[0]

    def sink(self, association: "Association", context: Context, command: Command) -> "ObjectSink":
        """A place in the archive for the object; what stands against it is told once the data set is through."""
        sink = ObjectSink(self._largest)
        sop_instance = commands.text(command, commands.AFFECTED_SOP_INSTANCE)
        with sink.noting():
            if not sop_instance:
                raise Refused(Reason.CANNOT_UNDERSTAND, "the command names no SOP Instance UID")
            origin = self._origin_of(association)
            sink.reception = self._ingest.receive(origin, context.abstract, sop_instance, context.transfer_syntax)
        return sink

    def perform(self, association: "Association", context: Context, command: Command, sink: Sink | None) -> None:
        """Make the object durable and answer."""
        try:
            self._finish(context, command, sink)
            status, comment = statuses.SUCCESS, ""
        except IsocenterError as failure:
            status = statuses.dimse_status(statuses.Service.STORE, failure.reason, self._preset)
            comment = failure.comment
            log.warning("store.refused", calling=association.calling, reason=failure.reason, status=f"{status:04X}")
        association.respond(context.id, commands.response(command, status, comment))

    def _finish(self, context: Context, command: Command, sink: Sink | None) -> None:
        if not isinstance(sink, ObjectSink):
            raise Refused(Reason.CANNOT_UNDERSTAND, "no data set")
        if sink.failure is not None:
            raise sink.failure
        assert sink.reception is not None
        if commands.text(command, commands.AFFECTED_SOP_CLASS) != context.abstract:
            sink.reception.refuse(Reason.SOP_CLASS_MISMATCH, "SOP Class UID differs from the presentation context's")
        sink.reception.finish()


class ObjectSink:
    """Passes a data set on to a reception; after a failure the rest is dropped, so that the peer can be answered."""

    __slots__ = ("_largest", "_size", "failure", "reception")

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._size = 0
        self.reception: Reception | None = None
        self.failure: IsocenterError | None = None

    def write(self, views: Sequence[memoryview]) -> None:
        """The next bytes of the data set."""
        if self.failure is not None or self.reception is None:
            return
        with self.noting():
            if self._largest:
                self._size += sum(map(len, views))
                if self._size > self._largest:
                    raise Refused(Reason.TOO_LARGE, "the object is larger than this archive takes")
            self.reception.write(views)

    def close(self) -> None:
        """The data set is complete; `StoreService.perform` goes on."""

    def abandon(self) -> None:
        """The association ended in the middle of the object."""
        if self.reception is not None:
            self.reception.abandon()

    def noting(self) -> "_Noting":
        """A block whose failure is kept for the answer."""
        return _Noting(self)


class _Noting:
    """Keeps an IsocenterError as the sink's failure and gives up the reception."""

    __slots__ = ("_sink",)

    def __init__(self, sink: ObjectSink) -> None:
        self._sink = sink

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, IsocenterError):
            return False
        self._sink.failure = error
        self._sink.abandon()
        return True
