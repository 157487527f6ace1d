"""What one commit does with messages: it brings each as far on as it can.

The first try is made as if none of them were refused, which is nearly always so: no savepoints, one look at what is
known of all of them, one statement that notes all of them. Where one is refused it is undone as a whole, and done again
with care: each by itself, so that what is wrong with one takes nothing of another with it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError

from isocenter import telemetry
from isocenter.database.prepared import Prepared
from isocenter.errors import Refused, Retriable
from isocenter.hl7.acknowledgement import Answered
from isocenter.hl7.errors import Condition, MessageError
from isocenter.workflow.messages import turns
from isocenter.workflow.messages.keeping import Key, Known, Messages, State
from isocenter.workflow.messages.under_way import Stage, Work

log = telemetry.logger("hl7.processing")

_SAVE: Final = Prepared(text("SAVEPOINT message"))
_BACK: Final = Prepared(text("ROLLBACK TO SAVEPOINT message"))
_RELEASE: Final = Prepared(text("RELEASE SAVEPOINT message"))


class NotAllGood(Exception):
    """One of the messages is refused, or was processed by another meanwhile: they are to be done with care."""


class _Overtaken(Exception):
    """Another process has processed the message meanwhile."""


def written(messages: Messages, works: Mapping[Work, bool], *, careful: bool) -> dict[Work, Stage]:
    """What one commit has done with messages, in their order, and where that has brought each. `works`: whether nothing
    of its feed is before it any more by then. Not `careful`: raises NotAllGood, with nothing done."""
    with messages.database.writing() as connection:
        named = (work.message for work in works if work.message is not None)
        turns.take(connection, (work.arrival.feed for work in works), named)
        commit = _Careful(messages, connection) if careful else _Swift(messages, connection, works)
        after = {work: commit.bring(work, free=free) for work, free in works.items()}
        commit.close()
        return after


class _Careful:
    """Each message behind a savepoint."""

    def __init__(self, messages: Messages, connection: Connection) -> None:
        self._messages, self._connection = messages, connection

    def bring(self, work: Work, *, free: bool) -> Stage:
        """Bring one on."""
        if work.known is None or work.stage is Stage.NEW:
            work.known = self.known(work.arrival.key)
            if work.known.state is State.PROCESSED:
                work.answer, work.repeated = work.known.answer, True
                return Stage.DONE
        if work.stage is Stage.NEW and work.kept_first and not (free and work.spares(self._connection)):
            row = self._messages.keep(self._connection, work.arrival, work.known)
            work.known = work.known._replace(id=row, state=State.RECEIVED)
            return Stage.KEPT if work.outside else Stage.READY
        self.end(work)
        return Stage.DONE

    def close(self) -> None:
        """All have been brought on."""

    def known(self, key: Key) -> Known:
        """What there is of a message already."""
        return self._messages.known(self._connection, key)

    def end(self, work: Work) -> None:
        """Do what a message asks for, or note why not."""
        for last in (False, True):
            try:
                with _undone_by_a_fault(self._connection):
                    self._apply(work)
                return
            except (IntegrityError, _Overtaken) as taken:
                # another node may have been faster with the same message: the second look tells
                work.known = self._messages.known(self._connection, work.arrival.key)
                if work.known.state is State.PROCESSED:
                    work.answer, work.repeated = work.known.answer, True
                    return
                if last:
                    work.fault = as_fault(taken)
            except (OperationalError, InterfaceError, Retriable):
                raise
            except Exception as wrong:
                work.fault = as_fault(wrong)
                break
        self._note(work, Answered(work.fault))

    def _apply(self, work: Work) -> None:
        if work.fault is None and work.handler is not None and work.message is not None:
            warnings = tuple(work.handler.apply(self._connection, work.message, work.feed) or ())
            self._note(work, Answered(None, warnings))
        else:
            self._note(work, Answered(work.fault))

    def _note(self, work: Work, answered: Answered) -> None:
        assert work.known is not None
        answer = work.acknowledge(self._connection, answered)
        state = State.PROCESSED if answered.fault is None else State.REFUSED
        told = "; ".join(map(_told, (*([answered.fault] if answered.fault else ()), *answered.warnings)))
        if not self.finish(work, work.known, state, answer, told):
            raise _Overtaken
        work.answer = answer

    def finish(self, work: Work, known: Known, state: State, answer: bytes, told: str) -> bool:
        """Note how it ended; False where another was faster."""
        return bool(self._messages.finish(self._connection, work.arrival, known, state, answer, told))


class _Swift(_Careful):
    """As if nothing could be wrong."""

    def __init__(self, messages: Messages, connection: Connection, works: Mapping[Work, bool]) -> None:
        super().__init__(messages, connection)
        asked = (work.arrival.key for work in works if work.known is None or work.stage is Stage.NEW)
        self._found = messages.all_known(connection, asked)
        self._rows: list[dict[str, Any]] = []

    def close(self) -> None:
        """Note all those that are new at once."""
        try:
            self._messages.add(self._connection, self._rows)
        except IntegrityError as taken:
            raise NotAllGood from taken

    def known(self, key: Key) -> Known:
        """As `all_known` has found."""
        return self._found[key]

    def end(self, work: Work) -> None:
        """Do it; whatever is wrong is looked at with care."""
        try:
            self._apply(work)
        except (OperationalError, InterfaceError, Retriable):
            raise
        except Exception as wrong:
            raise NotAllGood from wrong

    def finish(self, work: Work, known: Known, state: State, answer: bytes, told: str) -> bool:
        """Noted at the end, where it is new."""
        if known.id:
            return super().finish(work, known, state, answer, told)
        self._rows.append(self._messages.row(work.arrival, known, state, answer, told))
        return True


@contextmanager
def _undone_by_a_fault(connection: Connection) -> Iterator[None]:
    """A savepoint, by plain statements: the library's own bookkeeping costs more than a message's."""
    _SAVE.run(connection, [{}])
    try:
        yield
    except BaseException:
        _BACK.run(connection, [{}])
        _RELEASE.run(connection, [{}])
        raise
    _RELEASE.run(connection, [{}])


def as_fault(wrong: Exception) -> MessageError:
    """What a handler raised, as it is told. A fault of ours is logged without its text, which may hold data."""
    if isinstance(wrong, MessageError):
        return wrong
    if isinstance(wrong, Refused):
        return MessageError(Condition.INTERNAL, wrong.comment or str(wrong.reason))
    log.error("hl7.handler-failed", exc_info=True, fault=type(wrong).__name__)
    return MessageError(Condition.INTERNAL, "the message could not be processed")


def _told(fault: MessageError) -> str:
    """What was wrong, for lists: no value of the message stands in it."""
    place = fault.location
    where = f"{place.segment}[{place.sequence}]" + (f"-{place.field}" if place.field else "") if place else ""
    return f"{int(fault.condition)} {where} {fault.comment}".replace("  ", " ")
