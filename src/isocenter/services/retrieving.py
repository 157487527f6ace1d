"""What C-MOVE and C-GET share: which instances an identifier names, and the account of sub-operations.

PS3.4 C.4.2, C.4.3.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Final, NamedTuple, TypeAlias

from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from isocenter import telemetry
from isocenter.archive.leaving import changes_of
from isocenter.archive.non_patient import locate as non_patient_instances
from isocenter.archive.query import Model, Query, find
from isocenter.archive.query_identifier import Terms, from_identifier, has_unsupported
from isocenter.archive.rejection.rejected import view_of
from isocenter.archive.retrieval.frame_list import FramesFailure
from isocenter.archive.retrieval.instances import Located, Selection, kinds, locate
from isocenter.config.settings import HostedAE, Peer
from isocenter.database import Database
from isocenter.declarations import non_patient, statuses
from isocenter.declarations.query_keys import Key, Level, unique_key
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, decode, strings_of
from isocenter.dimse import Association, BufferedService, Context, commands
from isocenter.dimse.commands import Command
from isocenter.errors import IsocenterError, Reason, Refused, Retriable
from isocenter.exchange.contexts import Kind, Preferred
from isocenter.exchange.departing import Departures
from isocenter.exchange.sending import Opened, Opener, Sendable, Sent, send
from isocenter.rules import Ends
from isocenter.services import composite
from isocenter.services.account import Account
from isocenter.services.find import AccessOf, everything, limits_of, terms_of
from isocenter.store.api import Store

log = telemetry.logger("services.retrieve")

MOVE_MODELS: Final[Mapping[str, Model]] = {
    uids.PATIENT_ROOT_MOVE: Model.PATIENT_ROOT,
    uids.STUDY_ROOT_MOVE: Model.STUDY_ROOT,
    uids.PATIENT_STUDY_ONLY_MOVE: Model.PATIENT_STUDY_ONLY,
}
GET_MODELS: Final[Mapping[str, Model]] = {
    uids.PATIENT_ROOT_GET: Model.PATIENT_ROOT,
    uids.STUDY_ROOT_GET: Model.STUDY_ROOT,
    uids.PATIENT_STUDY_ONLY_GET: Model.PATIENT_STUDY_ONLY,
}
_PATIENT_ID, _ISSUER = 0x00100020, 0x00100021
_STUDY, _SERIES, _SOP_INSTANCE = 0x0020000D, 0x0020000E, 0x00080018
_UNIQUE = frozenset({(_PATIENT_ID,), (_STUDY,), (_SERIES,), (_SOP_INSTANCE,)})
_UNIVERSAL = frozenset("*")
_FIELDS: Final[Mapping[Level, str]] = {
    Level.STUDY: "study_uids",
    Level.SERIES: "series_uids",
    Level.IMAGE: "sop_uids",
}


def selection(database: Database, identifier: DataSet, terms: Terms, limits: Mapping[Level, int]) -> Selection:
    """The instances that an identifier names: by unique keys, or by any keys that C-FIND would match (M-MOVE-04).

    Raises Refused(IDENTIFIER_MISMATCH) where it breaks its model's rules or names nothing, Refused(TOO_MANY_MATCHES)
    where it names more than the AE retrieves at its level (M-MOVE-06).
    """
    query = from_identifier(identifier, terms, limits=limits)
    if all(set(text) <= _UNIVERSAL for _, text in query.keys):
        raise Refused(Reason.IDENTIFIER_MISMATCH, "the identifier has no key with a value")
    named = {path[0]: text for path, text in query.keys if path in _UNIQUE and not set("*?") & set(text)}
    by_keys = Selection(
        patient_ids=(named[_PATIENT_ID],) if _PATIENT_ID in named else (),
        study_uids=_listed(named.get(_STUDY, "")),
        series_uids=_listed(named.get(_SERIES, "")),
        sop_uids=_listed(named.get(_SOP_INSTANCE, "")),
        access=terms.access,
        view=terms.view,
    )
    if len(named) == len(query.keys) and not query.refuse_above:
        return by_keys
    return _found(database, query, by_keys)


def _found(database: Database, query: Query, by_keys: Selection) -> Selection:
    """What a search finds, by its UIDs at the query's level and the unique keys above."""
    if query.level is Level.PATIENT:
        # by their studies: another issuer's patient may have the same Patient ID
        query = replace(query, level=Level.STUDY, returns=(unique_key(Level.STUDY).path,), refuse_above=0)
    tag = unique_key(query.level).path[0]
    values = tuple(str(row.value(tag)) for page in find(database, query) for row in page)
    if not values:
        # nothing matches, and a selection without any UID selects nothing
        return Selection(access=by_keys.access, view=by_keys.view)
    return replace(by_keys, **{_FIELDS[query.level]: values})  # type: ignore[arg-type]


def _listed(text: str) -> tuple[str, ...]:
    return tuple(uid for uid in (part.strip(" \0") for part in text.split("\\")) if uid)


def opener(store: Store) -> "StoredOpener":
    """Opens located instances in `store` for sending."""
    return StoredOpener(store)


class StoredOpener:
    """See `exchange.sending.Opener`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __call__(self, item: Sendable, stack: ExitStack) -> Opened:
        """The data set in the stored file. Raises Refused where that is gone or cut: half an object would cost the
        association."""
        assert isinstance(item, Located)
        stored = stack.enter_context(self._store.open(item.store_key))
        if stored.size < item.offset + item.size:
            raise Refused(Reason.UNABLE_TO_PROCESS, "the object is shorter than recorded")
        if item.overlay:
            return Opened(stored.fileno(), item.offset, item.size, changes_of(self._store, item))
        return Opened(stored.fileno(), item.offset, item.size)


class Work(NamedTuple):
    """The sub-operations of a request."""

    kinds: dict[Kind, int]
    """How many instances there are of each kind."""
    items: Callable[[], Iterator[Located]]
    """The instances, in the order in which they leave; may be asked for again."""
    opened: Opener


Way: TypeAlias = Callable[["Run", Work], None]
"""Performs the sub-operations of a request."""


class RetrieveService(BufferedService):
    """The frame of both services: identifier in, sub-operations by `_perform`, counts and final response out."""

    service: statuses.Service
    models: Mapping[str, Model]
    """The SOP classes whose identifiers go by a query model."""
    direct: frozenset[str]
    """Those whose identifiers name instances alone (`services.composite`)."""
    without_patient: Mapping[str, non_patient.Model]
    """Those for instances that belong to no patient."""

    def __init__(
        self,
        database: Database,
        store: Store,
        ae: HostedAE,
        access: AccessOf = everything,
        more: tuple[Key, ...] = (),
        departures: Departures | None = None,
    ) -> None:
        """`more`: query keys of this installation beside those of every archive; `departures`: what is laid over
        objects as they leave."""
        self._database, self._more, self._departures = database, more, departures
        self._store = store
        self._ae = ae
        self._access = access
        self._preset = ae.preset

    def answer(self, association: Association, context: Context, command: Command, data: bytes | None) -> None:
        """Retrieve, with a pending response after each sub-operation. Failures carry an Error Comment."""
        run = Run(association, context, command, stops=self._ae.after_failure == "stop")
        try:
            self._retrieve(run, data)
        except IsocenterError as failure:
            if not association.open:
                raise
            run.failure = failure
            run.account.lose_rest()
        self._end(run)

    def departing(self, opened: Opener, ends: Ends, peer: Peer | None = None) -> Opener:
        """`opened` with what is laid over objects for the destination that `ends` names, which may be a known peer."""
        return opened if self._departures is None else self._departures.opener(opened, self._ae, ends, peer)

    def way(self, run: "Run") -> Way:
        """How the sub-operations of this request are performed; called before anything is searched for."""
        raise NotImplementedError

    def _retrieve(self, run: "Run", data: bytes | None) -> None:
        association, context = run.association, run.context
        sop_class = self._ae.works_like(context.abstract)
        if sop_class not in self.models and sop_class not in self.direct and sop_class not in self.without_patient:
            raise Refused(Reason.SOP_CLASS_NOT_SUPPORTED, "no retrieval of this SOP class")
        if data is None:
            raise Refused(Reason.CANNOT_UNDERSTAND, "no identifier")
        identifier = decode(data, context.transfer_syntax)
        way = self.way(run)
        with ExitStack() as stack:
            if sop_class in self.models:
                work = self._by_model(run, identifier, self.models[sop_class])
            elif sop_class in self.without_patient:
                work = self._without_patient(identifier, self.without_patient[sop_class])
            else:
                work = self._by_uids(association, sop_class, identifier, stack)
            run.account = Account(sum(work.kinds.values()))
            if work.kinds:
                way(run, work)
        if run.failure and not run.cancelled:
            run.account.lose_rest()

    def _by_model(self, run: "Run", identifier: DataSet, model: Model) -> Work:
        """What an identifier of a query model names."""
        association, context = run.association, run.context
        terms = terms_of(context, self._ae, model, self._access(association), self._more)
        with _index(Reason.CANNOT_COUNT_MATCHES):
            named = selection(self._database, identifier, terms, limits_of(self._ae))
            wanted = kinds(self._database, named)
        unsupported = has_unsupported(identifier, terms)
        run.pending = statuses.pending_status(self.service, self._preset, unsupported=unsupported)
        return Work(wanted, lambda: self._located(named), opener(self._store))

    def _by_uids(self, association: Association, sop_class: str, identifier: DataSet, stack: ExitStack) -> Work:
        """What SOP Instance UIDs alone name (PS3.4 Y, Z)."""
        named = composite.named_uids(identifier, sop_class)
        chosen = Selection(sop_uids=named, access=self._access(association), view=view_of(self._ae))
        with _index(Reason.CANNOT_COUNT_MATCHES):
            found = composite.instances(self._database, named, chosen)
        opened: Opener = opener(self._store)
        if sop_class == uids.COMPOSITE_INSTANCE_WITHOUT_BULK_GET:
            opened = composite.WithoutBulk(self._store, opened, {each.store_key: each for each in found})
            found = composite.shorn(found)
        elif found and composite.wants_frames(identifier):
            making = composite.extracted(self._database, self._store, opened, found[0], identifier)
            made, opened = stack.enter_context(making)
            found = [made]
        return _work(found, opened)

    def _without_patient(self, identifier: DataSet, model: non_patient.Model) -> Work:
        """What SOP Instance UIDs name among instances that belong to no patient (PS3.4 U.4.2, X.4.2, BB.4.2)."""
        named = tuple(uid for uid in strings_of(identifier, _SOP_INSTANCE) if uid.strip("*"))
        if not named:
            raise Refused(Reason.IDENTIFIER_MISMATCH, "SOPInstanceUID must be given")
        with _index(Reason.CANNOT_COUNT_MATCHES):
            found = non_patient_instances(self._database, model.classes, named)
        return _work(found, opener(self._store))

    def _end(self, run: "Run") -> None:
        account, status = run.account, self._status(run)
        write = log.info if status in (statuses.SUCCESS, statuses.CANCELLED) else log.warning
        write(
            f"{self.service}.done", calling=run.association.calling, called=self._ae.title,
            destination=run.destination, status=f"{status:04X}", completed=account.completed, failed=account.failed,
            warning=account.warned, reason=run.failure.reason if run.failure else "",
            comment=run.failure.comment if run.failure else "",
        )  # fmt: skip
        telemetry.count("isocenter_retrieved_total", account.completed + account.warned, service=self.service)
        comment = run.failure.comment if run.failure and status != statuses.CANCELLED else ""
        final = account.final(run.command, status, comment)
        run.association.respond(run.context.id, final, account.identifier(run.context.transfer_syntax))

    def _status(self, run: "Run") -> int:
        account = run.account
        if run.cancelled:
            return statuses.CANCELLED
        if run.stops and account.failed:
            # X-QR-27: never B000
            return statuses.dimse_status(self.service, _cause(run.failure), self._preset)
        if account.moved:
            return statuses.SOME_SUBOPERATIONS_FAILED if account.failed or account.warned else statuses.SUCCESS
        if account.failed or run.failure:
            return statuses.dimse_status(self.service, _cause(run.failure), self._preset)
        return statuses.SUCCESS

    def _located(self, named: Selection) -> Iterator[Located]:
        with _index(Reason.CANNOT_PERFORM_SUBOPERATIONS):
            for page in locate(self._database, named):
                yield from page


def _work(found: list[Located], opened: Opener) -> Work:
    return Work(dict(Counter((each.sop_class, each.syntax) for each in found)), lambda: iter(found), opened)


def _cause(failure: IsocenterError | None) -> statuses.Cause:
    if isinstance(failure, FramesFailure):
        return failure.cause
    return failure.reason if failure else Reason.CANNOT_PERFORM_SUBOPERATIONS


@contextmanager
def _index(reason: Reason) -> Iterator[None]:
    """What the index database fails at becomes `reason`, without a value of the query in its text."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as failure:
        raise Retriable(reason, "the index can't be read now") from failure
    except SQLAlchemyError as failure:
        raise Refused(Reason.PROCESSING_FAILURE, "the index failed") from failure


class Run:
    """One request on its way: its association, its account, and whether the peer has had enough."""

    def __init__(self, association: Association, context: Context, command: Command, *, stops: bool = False) -> None:
        """`stops`: nothing more is sent after the first failure."""
        self.stops = stops
        self.association, self.context, self.command = association, context, command
        self.message_id = commands.number(command, commands.MESSAGE_ID)
        self.priority = commands.number(command, commands.PRIORITY)
        self.destination = commands.text(command, commands.MOVE_DESTINATION)
        """Title that a C-MOVE names; empty for a C-GET."""
        self.account = Account(0)
        self.pending = statuses.PENDING
        """The status of the responses before the last."""
        self.cancelled = False
        self.failure: IsocenterError | None = None
        """The first thing that went wrong, for the Error Comment; the status where nothing arrived."""

    def wanted(self) -> bool:
        """Whether the requestor is there and has not cancelled, and no failure ends it; looks at the connection without
        waiting."""
        self.cancelled = self.cancelled or self.association.cancelled(self.message_id)
        return not self.cancelled and not self.stopped

    @property
    def stopped(self) -> bool:
        """A failure ends it."""
        return self.stops and self.failure is not None

    def note(self, sent: Sent) -> None:
        """Count one sub-operation and tell the requestor (M-MOVE-03)."""
        self.account.note(sent)
        if sent.failed and self.failure is None:
            what = f"C-STORE answered with {sent.status:04X}" if sent.left else sent.comment
            self.failure = Refused(Reason.CANNOT_PERFORM_SUBOPERATIONS, what)
        self.association.respond(self.context.id, self.account.pending(self.command, self.pending))

    def give_up(self, items: Iterable[Located], why: IsocenterError) -> None:
        """These sub-operations can't be performed any more."""
        self.failure = self.failure or why
        self.account.give_up(items)


def sendings(
    run: Run,
    association: Association,
    items: Iterable[Sendable],
    opened: Opener,
    preferred: Preferred = (),
    originator: tuple[str, int] | None = None,
) -> Iterator[Sent]:
    """Send `items` as `exchange.sending.send` does. Where a failure ends it, one after the other is awaited: the next
    would be on its way already."""
    options = {"preferred": preferred, "originator": originator, "priority": run.priority, "wanted": run.wanted}
    if not run.stops:
        yield from send(association, items, opened, **options)  # type: ignore[arg-type]
        return
    for item in items:
        if not run.wanted():
            return
        yield from send(association, [item], opened, **options)  # type: ignore[arg-type]


class UnderWay:
    """Passes items on and knows which of them have no answer yet."""

    def __init__(self, items: Iterator[Located]) -> None:
        self._items = items
        self.unanswered: deque[Located] = deque()

    def __iter__(self) -> Iterator[Located]:
        for item in self._items:
            self.unanswered.append(item)
            yield item

    def answered(self) -> None:
        """The oldest of them was."""
        self.unanswered.popleft()
