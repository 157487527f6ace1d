"""What C-MOVE and C-GET share: which instances an identifier names, and the account of sub-operations.

PS3.4 C.4.2, C.4.3.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Final, TypeAlias

from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from isocenter import telemetry
from isocenter.archive.query import Model, Query, find
from isocenter.archive.query_identifier import Terms, from_identifier
from isocenter.archive.retrieve import Located, Selection, kinds, locate
from isocenter.config.settings import HostedAE
from isocenter.database import Database
from isocenter.declarations import statuses
from isocenter.declarations.query_keys import Level, unique_key
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, Element, decode, encode
from isocenter.dimse import Association, BufferedService, Context, commands
from isocenter.dimse.commands import Command
from isocenter.errors import IsocenterError, Reason, Refused, Retriable
from isocenter.exchange.contexts import Kind
from isocenter.exchange.sending import Opened, Sendable, Sent
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
_FAILED_LIST = 0x00080058
_UNIQUE = frozenset({(_PATIENT_ID,), (_STUDY,), (_SERIES,), (_SOP_INSTANCE,)})
_UNIVERSAL = frozenset("*")
_FIELDS: Final[Mapping[Level, str]] = {
    Level.STUDY: "study_uids",
    Level.SERIES: "series_uids",
    Level.IMAGE: "sop_uids",
}
_LONGEST_LIST = 65_000
"""Bytes of the list of failed UIDs; a value of VR UI ends at 65,534 in the explicit transfer syntaxes."""
_MOST = 0xFFFF
"""The largest count that a response can carry (VR US)."""


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
        return Selection(access=by_keys.access)
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
        return Opened(stored.fileno(), item.offset, item.size)


class Account:
    """The sub-operations of one request: counts for every response, the failed UIDs for the last."""

    def __init__(self, total: int) -> None:
        self.remaining, self.completed, self.failed, self.warned = total, 0, 0, 0
        self._failed_uids: list[str] = []
        self._listed = 0

    def note(self, sent: Sent) -> None:
        """One sub-operation ended."""
        self.remaining = max(0, self.remaining - 1)
        if sent.failed:
            self._fail(sent.item.sop_uid)
        elif sent.warned:
            self.warned += 1
        else:
            self.completed += 1

    def give_up(self, items: Iterable[Sendable]) -> None:
        """These sub-operations can't be performed any more."""
        for item in items:
            self.remaining = max(0, self.remaining - 1)
            self._fail(item.sop_uid)

    def lose_rest(self) -> None:
        """Nor can any other; it isn't even known what they would have been of."""
        self.failed += self.remaining
        self.remaining = 0

    def _fail(self, uid: str) -> None:
        self.failed += 1
        if self._listed + len(uid) < _LONGEST_LIST:
            self._listed += len(uid) + 1
            self._failed_uids.append(uid)

    def pending(self, request: Command) -> Command:
        """A response for the sub-operations so far."""
        return commands.response(request, statuses.PENDING, "", remaining=min(self.remaining, _MOST), **self._counts())

    def final(self, request: Command, status: int, comment: str = "") -> Command:
        """The last response. Only a cancelled one tells how many remain (PS3.4 C.4.2.1.6, C.4.3.1.6)."""
        counts = self._counts()
        if status == statuses.CANCELLED:
            counts["remaining"] = min(self.remaining, _MOST)
        return commands.response(request, status, comment, **counts)

    @property
    def moved(self) -> bool:
        """Whether any object arrived."""
        return self.completed + self.warned > 0

    def identifier(self, syntax: str) -> bytes | None:
        """The data set of a final response: Failed SOP Instance UID List, where there is any."""
        if not self._failed_uids:
            return None
        value = "\\".join(self._failed_uids).encode("ascii", "replace")
        return encode({_FAILED_LIST: Element("UI", value + b"\0" * (len(value) % 2))}, syntax)

    def _counts(self) -> dict[str, int]:
        counts = {"completed": self.completed, "failed": self.failed, "warning": self.warned}
        return {name: min(n, _MOST) for name, n in counts.items()}


Way: TypeAlias = Callable[["Run", Selection, list[Kind]], None]
"""Performs the sub-operations of a request: for these instances, which are of these kinds."""


class RetrieveService(BufferedService):
    """The frame of both services: identifier in, sub-operations by `_perform`, counts and final response out."""

    service: statuses.Service
    models: Mapping[str, Model]

    def __init__(self, database: Database, store: Store, ae: HostedAE, access: AccessOf = everything) -> None:
        self._database = database
        self._store = store
        self._ae = ae
        self._access = access
        self._preset = ae.preset

    def answer(self, association: Association, context: Context, command: Command, data: bytes | None) -> None:
        """Retrieve, with a pending response after each sub-operation. Failures carry an Error Comment."""
        run = Run(association, context, command)
        try:
            self._retrieve(run, data)
        except IsocenterError as failure:
            if not association.open:
                raise
            run.failure = failure
            run.account.lose_rest()
        self._end(run)

    def way(self, run: "Run") -> Way:
        """How the sub-operations of this request are performed; called before anything is searched for."""
        raise NotImplementedError

    def _retrieve(self, run: "Run", data: bytes | None) -> None:
        association, context = run.association, run.context
        if data is None:
            raise Refused(Reason.CANNOT_UNDERSTAND, "no identifier")
        identifier = decode(data, context.transfer_syntax)
        terms = terms_of(context, self._ae, self.models[context.abstract], self._access(association))
        way = self.way(run)
        with _index(Reason.CANNOT_COUNT_MATCHES):
            named = selection(self._database, identifier, terms, limits_of(self._ae))
            wanted = kinds(self._database, named)
        run.account = Account(sum(wanted.values()))
        if wanted:
            way(run, named, list(wanted))
        if run.failure and not run.cancelled:
            run.account.lose_rest()

    def _end(self, run: "Run") -> None:
        account, status = run.account, self._status(run)
        log.info(
            f"{self.service}.done", calling=run.association.calling, status=f"{status:04X}",
            completed=account.completed, failed=account.failed, warning=account.warned,
            reason=run.failure.reason if run.failure else "",
        )  # fmt: skip
        telemetry.count("isocenter_retrieved_total", account.completed + account.warned, service=self.service)
        comment = run.failure.comment if run.failure and status != statuses.CANCELLED else ""
        final = account.final(run.command, status, comment)
        run.association.respond(run.context.id, final, account.identifier(run.context.transfer_syntax))

    def _status(self, run: "Run") -> int:
        account = run.account
        if run.cancelled:
            return statuses.CANCELLED
        if account.moved:
            return statuses.SOME_SUBOPERATIONS_FAILED if account.failed or account.warned else statuses.SUCCESS
        if account.failed or run.failure:
            reason = run.failure.reason if run.failure else Reason.CANNOT_PERFORM_SUBOPERATIONS
            return statuses.dimse_status(self.service, reason, self._preset)
        return statuses.SUCCESS

    def _located(self, named: Selection) -> Iterator[Located]:
        with _index(Reason.CANNOT_PERFORM_SUBOPERATIONS):
            for page in locate(self._database, named):
                yield from page


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

    def __init__(self, association: Association, context: Context, command: Command) -> None:
        self.association, self.context, self.command = association, context, command
        self.message_id = commands.number(command, commands.MESSAGE_ID)
        self.priority = commands.number(command, commands.PRIORITY)
        self.account = Account(0)
        self.cancelled = False
        self.failure: IsocenterError | None = None
        """The first thing that went wrong, for the Error Comment; the status where nothing arrived."""

    def wanted(self) -> bool:
        """Whether the requestor is there and has not cancelled; looks at the connection without waiting."""
        self.cancelled = self.cancelled or self.association.cancelled(self.message_id)
        return not self.cancelled

    def note(self, sent: Sent) -> None:
        """Count one sub-operation and tell the requestor (M-MOVE-03)."""
        self.account.note(sent)
        if sent.failed and self.failure is None:
            what = f"C-STORE answered with {sent.status:04X}" if sent.left else sent.comment
            self.failure = Refused(Reason.CANNOT_PERFORM_SUBOPERATIONS, what)
        self.association.respond(self.context.id, self.account.pending(self.command))

    def give_up(self, items: Iterable[Located], why: IsocenterError) -> None:
        """These sub-operations can't be performed any more."""
        self.failure = self.failure or why
        self.account.give_up(items)
