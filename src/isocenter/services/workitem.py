"""The unified worklist over DIMSE: UPS Push, Pull, Watch and Query as SCP (PS3.4 CC). Event reports leave by jobs
(`workflow.workitems.delivering`).

A workitem is of the class UPS Push whichever class the association is about, which decides what may be asked for.
Success leaves after the transaction is committed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

from isocenter import telemetry
from isocenter.archive.query import Field, Kind, Layout, Sensitivity
from isocenter.archive.query_identifier import charset_of, walk
from isocenter.config.settings import HostedAE
from isocenter.declarations import statuses
from isocenter.declarations.query_keys import Path
from isocenter.declarations.workitem import (
    CLASSES,
    FILTERED,
    PERFORMED,
    PULL,
    PUSH,
    QUERY,
    WATCH,
    Action,
    State,
    Status,
    attributes,
)
from isocenter.dicom.dataset import DataSet, decode
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.elements import MalformedDataSet
from isocenter.dicom.uids import new_uid
from isocenter.dimse import commands
from isocenter.dimse.commands import Command
from isocenter.dimse.service import BufferedService, Context, Sink
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.exchange.peers import Peers
from isocenter.services.find import answered_in, as_spoken, batches, peer_of
from isocenter.services.find_encoding import SPECIFIC_CHARACTER_SET, Values, row_encoder
from isocenter.workflow.workitems import matching, models
from isocenter.workflow.workitems.entries import Workitems
from isocenter.workflow.workitems.events import Receiver
from isocenter.workflow.workitems.models import Model, Rejected

if TYPE_CHECKING:
    from isocenter.dimse.association import Association

log = telemetry.logger("services.workitem")

_SOP_CLASS: Final[Path] = (0x00080016,)
_UID: Final[Path] = (0x00080018,)
_JSON_AT: Final = 1
_RECEIVER, _LOCK = "00741234", "00741230"
_NOT_KEYS: Final = frozenset({0x00741234, 0x00741230, SPECIFIC_CHARACTER_SET})
OPERATIONS: Final[Mapping[str, frozenset[int]]] = MappingProxyType(
    {
        PUSH: frozenset({commands.N_CREATE_RQ, commands.N_ACTION_RQ, commands.N_GET_RQ}),
        PULL: frozenset({commands.C_FIND_RQ, commands.N_GET_RQ, commands.N_SET_RQ, commands.N_ACTION_RQ}),
        WATCH: frozenset({commands.C_FIND_RQ, commands.N_GET_RQ, commands.N_ACTION_RQ}),
        QUERY: frozenset({commands.C_FIND_RQ}),
    }
)
"""The operations of each class (CC.2)."""
FIELDS: Final = frozenset().union(*OPERATIONS.values())


class _Asked:
    """One request: where it came in, and its data set."""

    def __init__(self, association: "Association", context: Context, command: Command, data: bytes | None) -> None:
        self.association, self.context, self.command, self.data = association, context, command, data

    @property
    def uid(self) -> str:
        """The workitem that it names."""
        return commands.text(self.command, commands.AFFECTED_SOP_INSTANCE) or commands.text(
            self.command, commands.REQUESTED_SOP_INSTANCE
        )


class WorkitemService(BufferedService):
    """Answers N-CREATE, N-GET, N-SET and N-ACTION of one hosted AE; `largest`: bytes of the longest data set."""

    def __init__(self, worklist: Workitems, ae: HostedAE, peers: Peers, *, largest: int) -> None:
        self._worklist, self._ae, self._peers = worklist, ae, peers
        self.limit = largest
        self._perform: Mapping[int, Callable[[_Asked], tuple[Status, bytes | None]]] = {
            commands.N_CREATE_RQ: self._create,
            commands.N_GET_RQ: self._get,
            commands.N_SET_RQ: self._set,
            commands.N_ACTION_RQ: self._act,
        }

    def perform(self, association: "Association", context: Context, command: Command, sink: Sink | None) -> None:
        """See `dimse.Service`."""
        try:
            super().perform(association, context, command, sink)
        except Refused as refusal:
            if refusal.reason is not Reason.TOO_LARGE:
                raise
            association.respond(context.id, commands.response(command, Status.RESOURCE_LIMITATION, refusal.comment))

    def answer(self, association: "Association", context: Context, command: Command, data: bytes | None) -> None:
        """Do what is asked for, and say what came of it."""
        asked = _Asked(association, context, command, data)
        comment, answer = "", None
        try:
            status, answer = self._do(asked)
        except Rejected as refusal:
            status, comment = refusal.status, refusal.comment
        except (SQLAlchemyError, OSError) as fault:
            log.error("workitem.not-kept", exc_info=True, calling=association.calling, fault=type(fault).__name__)
            status, comment = Status.PROCESSING_FAILURE, "the worklist can't be reached now"
        except IsocenterError as failure:
            status, comment = Status.PROCESSING_FAILURE, failure.comment
        field = f"{commands.number(command, commands.COMMAND_FIELD):04X}"
        said = log.bind(calling=association.calling, field=field, status=f"{status:04X}", uid=asked.uid)
        (said.info if status == Status.SUCCESS or status.warning else said.warning)("workitem.answered")
        telemetry.count("isocenter_workitem_requests_total", field=field, status=f"{status:04X}")
        association.respond(context.id, commands.response(command, status, comment), answer)

    def _do(self, asked: _Asked) -> tuple[Status, bytes | None]:
        command = asked.command
        field = commands.number(command, commands.COMMAND_FIELD)
        if field not in OPERATIONS.get(self._ae.works_like(asked.context.abstract), ()):
            raise Rejected(Status.UNRECOGNIZED_OPERATION, "no operation of this SOP class")
        named = commands.text(command, commands.AFFECTED_SOP_CLASS) or commands.text(
            command, commands.REQUESTED_SOP_CLASS
        )
        if named not in CLASSES:
            raise Rejected(Status.NO_SUCH_CLASS, "a workitem is of the class UPS Push")
        return self._perform[field](asked)

    def _read(self, asked: _Asked) -> Model:
        if not asked.data:
            return {}
        peer = peer_of(asked.association)
        assumed = (peer.character_set if peer else "") or self._ae.character_set
        return models.decoded(asked.data, asked.context.transfer_syntax, assumed)

    def _create(self, asked: _Asked) -> tuple[Status, bytes | None]:
        uid = asked.uid
        if not uid:
            uid = asked.command[commands.AFFECTED_SOP_INSTANCE] = new_uid()
        model = self._read(asked)
        with self._worklist.database.writing() as connection:
            return self._worklist.create(connection, uid, model), None

    def _set(self, asked: _Asked) -> tuple[Status, bytes | None]:
        changes = self._read(asked)
        if not changes:
            raise Rejected(Status.MISSING_ATTRIBUTE, "no modification list")
        with self._worklist.database.writing() as connection:
            return self._worklist.update(connection, asked.uid, changes), None

    def _get(self, asked: _Asked) -> tuple[Status, bytes | None]:
        """What is asked for, or all; the Transaction UID never (CC.2.7.3)."""
        with self._worklist.database.reading() as connection:
            model = self._worklist.get(connection, asked.uid).model
        wanted = commands.tags(asked.command)
        status = Status.SUCCESS
        if wanted:
            if any((tag,) not in attributes() or tag == matching.TRANSACTION_UID for tag in wanted):
                status = Status.OPTIONAL_NOT_SUPPORTED
            model = {tag: model[tag] for tag in (f"{each:08X}" for each in sorted(set(wanted))) if tag in model}
        return status, models.encoded(model, asked.context.transfer_syntax)

    # --- actions

    def _act(self, asked: _Asked) -> tuple[Status, bytes | None]:
        number = commands.number(asked.command, commands.ACTION_TYPE)
        if number not in PERFORMED[self._ae.works_like(asked.context.abstract)]:
            raise Rejected(Status.NO_SUCH_ACTION, "no action of this SOP class")
        information = self._read(asked)
        match Action(number):
            case Action.CHANGE_STATE:
                return self._change_state(asked, information), None
            case Action.REQUEST_CANCEL:
                with self._worklist.database.writing() as connection:
                    calling = asked.association.calling
                    return self._worklist.request_cancel(connection, asked.uid, calling, information), None
            case Action.SUBSCRIBE:
                return self._subscribe(asked, information), None
        aet = _receiving(information)
        with self._worklist.database.writing() as connection:
            if number == Action.SUSPEND:
                self._worklist.subscriptions.suspend(connection, asked.uid, aet)
            else:
                self._worklist.subscriptions.unsubscribe(connection, asked.uid, aet)
        return Status.SUCCESS, None

    def _change_state(self, asked: _Asked, information: Model) -> Status:
        wanted = models.value(information, models.STATE)
        if models.STATE not in information:
            raise Rejected(Status.MISSING_ATTRIBUTE, "no Procedure Step State")
        if wanted not in frozenset(State):
            raise Rejected(Status.INVALID_ARGUMENT, "no such Procedure Step State")
        given = models.value(information, models.TRANSACTION_UID)
        with self._worklist.database.writing() as connection:
            return self._worklist.change_state(connection, asked.uid, State(wanted), given)

    def _subscribe(self, asked: _Asked, information: Model) -> Status:
        aet = _receiving(information)
        lock = models.value(information, _LOCK)
        if lock not in ("TRUE", "FALSE"):
            status = Status.INVALID_ARGUMENT if lock else Status.MISSING_ATTRIBUTE
            raise Rejected(status, "Deletion Lock must be TRUE or FALSE")
        if self._peers.destination(aet, self._ae, asked.association.address) is None:
            raise Rejected(Status.UNKNOWN_RECEIVER, "no address of the receiving AE is known")
        keys = self._keys(asked) if asked.uid == FILTERED else ()
        receiver = Receiver(aet, self._ae.title, asked.association.address, "dimse")
        with self._worklist.database.writing() as connection:
            subscribe = self._worklist.subscriptions.subscribe
            return subscribe(connection, asked.uid, receiver, lock=lock == "TRUE", keys=keys)

    def _keys(self, asked: _Asked) -> tuple[tuple[Path, str], ...]:
        """The matching keys of a filtered subscription. Raises Rejected."""
        identifier = _identifier(asked.data or b"", asked.context, peer_of(asked.association))
        declared = charset_of(identifier, self._ae.character_set)
        try:
            named = [(path, text) for path, text in walk(identifier, declared) if path[0] not in _NOT_KEYS]
            keys = tuple((path, text) for path, text in named if text)
            matching.accepted(matching.Query(keys=keys))
        except Refused as refusal:
            raise Rejected(Status.INVALID_ARGUMENT, refusal.comment) from refusal
        if any(not matching.supported(path) for path, _ in named):
            raise Rejected(Status.INVALID_ARGUMENT, "a matching key is no attribute of a workitem")
        return keys


def _identifier(data: bytes, context: Context, peer: object) -> DataSet:
    try:
        return as_spoken(decode(data, context.transfer_syntax), peer)  # type: ignore[arg-type]
    except MalformedDataSet as fault:
        raise Rejected(Status.PROCESSING_FAILURE, "the data set can't be read") from fault


def _receiving(information: Model) -> str:
    if _RECEIVER not in information:
        raise Rejected(Status.MISSING_ATTRIBUTE, "no Receiving AE")
    aet = models.value(information, _RECEIVER)
    if not 0 < len(aet) <= 16:
        raise Rejected(Status.MISSING_VALUE if not aet else Status.INVALID_ARGUMENT, "no title of a Receiving AE")
    return aet


# --- C-FIND


class WorkitemFindService(BufferedService):
    """Answers C-FIND of one hosted AE (CC.2.8): one level, without Query/Retrieve Level."""

    def __init__(self, worklist: Workitems, ae: HostedAE) -> None:
        self._worklist, self._ae = worklist, ae

    def answer(self, association: "Association", context: Context, command: Command, data: bytes | None) -> None:
        """Send a pending response for each match, then the final one. Failures carry an Error Comment."""
        try:
            status, comment = self._matches(association, context, command, data), ""
        except IsocenterError as failure:
            status = statuses.dimse_status(statuses.Service.FIND, failure.reason, self._ae.preset)
            comment = failure.comment
            log.warning("find.refused", calling=association.calling, reason=failure.reason, status=f"{status:04X}")
        association.respond(context.id, commands.response(command, status, comment))

    def _matches(self, association: "Association", context: Context, command: Command, data: bytes | None) -> int:
        """Send the matches; returns the final status."""
        if commands.C_FIND_RQ not in OPERATIONS.get(self._ae.works_like(context.abstract), ()):
            return commands.UNRECOGNIZED_OPERATION
        if data is None:
            raise Refused(Reason.CANNOT_UNDERSTAND, "no identifier")
        peer = peer_of(association)
        identifier = as_spoken(decode(data, context.transfer_syntax), peer)
        declared = charset_of(identifier, self._ae.character_set)
        named = [(path, text) for path, text in walk(identifier, declared) if path != (SPECIFIC_CHARACTER_SET,)]
        query = matching.Query(
            keys=tuple((path, text) for path, text in named if text),
            sensitivity=Sensitivity(case=self._ae.case_sensitive, accents=self._ae.accent_sensitive),
        )
        found = matching.search(self._worklist.database, query)
        layout = _layout([path for path, _ in named])
        encode = row_encoder(
            layout, context.transfer_syntax, {}, declared=answered_in(peer) or declared, asked=identifier
        )
        pending = statuses.pending_status(statuses.Service.FIND, self._ae.preset, unsupported=layout.unsupported)
        response = {**commands.response(command, pending), commands.DATA_SET_TYPE: commands.DATA_FOLLOWS}
        message, sent = commands.number(command, commands.MESSAGE_ID), 0
        for batch in batches(_rows(found)):
            if association.cancelled(message):
                log.info("find.cancelled", calling=association.calling, level="workitem", matches=sent)
                return statuses.CANCELLED
            association.respond_many(context.id, [(response, answer) for answer in encode(batch)])
            sent += len(batch)
        telemetry.count("isocenter_find_matches_total", sent, level="workitem")
        log.info("find.done", calling=association.calling, level="workitem", matches=sent)
        return statuses.SUCCESS


def _rows(pages: Iterator[list[matching.Found]]) -> Iterator[Sequence[Values]]:
    for page in pages:
        yield [(found.id, found.attributes) for found in page]


def _layout(named: Sequence[Path]) -> Layout:
    """What is returned: what was asked for, and the UIDs in any case."""
    fields: dict[int, Field] = {}
    for path in dict.fromkeys((_SOP_CLASS, _UID, *named)):
        tag, inner = path[0], path[1:]
        kind = Kind.JSON if matching.supported((tag,)) else Kind.EMPTY
        field = fields.get(tag) or Field(tag, vr_of(tag), kind, _JSON_AT, ())
        if inner and matching.supported(path):
            field = field._replace(wanted=(*field.wanted, inner))
        elif inner:
            field = field._replace(unsupported=(*field.unsupported, inner))
        fields[tag] = field
    return Layout(tuple(fields[tag] for tag in sorted(fields)))
