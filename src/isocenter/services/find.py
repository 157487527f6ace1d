"""C-FIND SCP: the Query/Retrieve Service Class, PS3.4 C, for Patient Root, Study Root and Patient/Study Only."""

import time
from collections.abc import Callable, Iterator, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from isocenter import telemetry
from isocenter.archive.query import Access, Model, Sensitivity, Values, search
from isocenter.archive.query_identifier import Terms, charset_of, check_required, from_identifier
from isocenter.archive.rejection.rejected import view_of
from isocenter.config.settings import HostedAE, Peer
from isocenter.database import Database
from isocenter.declarations import statuses
from isocenter.declarations.query_keys import Key, Level
from isocenter.dicom import uids
from isocenter.dicom.charset import CharacterSet, character_set
from isocenter.dicom.dataset import DataSet, decode, strings_of, text
from isocenter.dicom.person_name import canonical
from isocenter.dimse import commands
from isocenter.dimse.commands import Command
from isocenter.dimse.negotiation import QueryExtras, extras_answer, query_extras
from isocenter.dimse.service import BufferedService, Context
from isocenter.errors import IsocenterError, Reason, Refused, Retriable
from isocenter.services.find_encoding import SPECIFIC_CHARACTER_SET, answer_encoder

if TYPE_CHECKING:
    from isocenter.dimse.association import Association

MODELS = MappingProxyType(
    {
        uids.PATIENT_ROOT_FIND: Model.PATIENT_ROOT,
        uids.STUDY_ROOT_FIND: Model.STUDY_ROOT,
        uids.PATIENT_STUDY_ONLY_FIND: Model.PATIENT_STUDY_ONLY,
    }
)
"""The SOP classes of C-FIND and their information models."""

BATCH = 100
"""Answers that go out together; between two batches a C-CANCEL is looked for."""
AccessOf = Callable[["Association"], Access]
log = telemetry.logger("services.find")


def agreed_extensions(proposed: bytes, *, relational: bool) -> bytes | None:
    """The answer to service class application information (PS3.4 C.5.1.1): relational queries as the AE is set,
    combined date-time and fuzzy matching of person names wherever they are asked for."""
    ours = QueryExtras(relational=relational, combined_date_time=True, fuzzy_names=True)
    return extras_answer(ours)(proposed)


def terms_of(context: Context, ae: HostedAE, model: Model, access: Access, more: tuple[Key, ...] = ()) -> Terms:
    """How an identifier on this context is to be understood. `more`: keys of this installation."""
    agreed = query_extras(context.extended)
    return Terms(
        access=access,
        model=model,
        relational=agreed.relational,
        combined=agreed.combined_date_time,
        fuzzy=agreed.fuzzy_names,
        sensitivity=Sensitivity(case=ae.case_sensitive, accents=ae.accent_sensitive),
        character_set=ae.character_set,
        more=more,
        view=view_of(ae),
    )


def limits_of(ae: HostedAE) -> dict[Level, int]:
    """The most matches that the AE answers at each level; 0: any number (M-FIND-06)."""
    limits = ae.responses
    return dict(zip(Level, (limits.patient, limits.study, limits.series, limits.image), strict=True))


def peer_of(association: "Association") -> Peer | None:
    """The known peer that asks."""
    peer: Peer | None = getattr(association.basis, "peer", None)
    return peer


def as_spoken(identifier: DataSet, peer: Peer | None) -> DataSet:
    """The identifier with the character set that its sender is configured to write in (I-CHAR-04, I-CHAR-09)."""
    if peer is None or not peer.character_set:
        return identifier
    if strings_of(identifier, SPECIFIC_CHARACTER_SET) and not peer.character_set_forced:
        return identifier
    return {**identifier, SPECIFIC_CHARACTER_SET: text("CS", peer.character_set)}


def answered_in(peer: Peer | None) -> CharacterSet | None:
    """What answers to a peer are in, where that is configured (I-CHAR-07)."""
    return character_set(peer.character_set_sent) if peer is not None and peer.character_set_sent else None


class FindService(BufferedService):
    """Answers C-FIND requests of one hosted AE."""

    def __init__(
        self, database: Database, ae: HostedAE, access: AccessOf | None = None, more: tuple[Key, ...] = ()
    ) -> None:
        """`more`: query keys of this installation beside those of every archive."""
        self._database, self._more = database, more
        self._ae = ae
        self._access = access or everything
        self._preset = ae.preset

    def answer(self, association: "Association", context: Context, command: Command, data: bytes | None) -> None:
        """Send a pending response for each match, then the final one. Failures carry an Error Comment."""
        try:
            status = self._matches(association, context, command, data)
            comment = ""
        except IsocenterError as failure:
            status, comment = self._status(failure.reason), failure.comment
            log.warning("find.refused", calling=association.calling, reason=failure.reason, status=f"{status:04X}")
        association.respond(context.id, commands.response(command, status, comment))

    def _status(self, reason: Reason) -> int:
        return statuses.dimse_status(statuses.Service.FIND, reason, self._preset)

    def _matches(self, association: "Association", context: Context, command: Command, data: bytes | None) -> int:
        """Send the matches; returns the final status."""
        if data is None:
            raise Refused(Reason.CANNOT_UNDERSTAND, "no identifier")
        peer = peer_of(association)
        identifier = as_spoken(decode(data, context.transfer_syntax), peer)
        model = MODELS.get(self._ae.works_like(context.abstract))
        if model is None:
            raise Refused(Reason.SOP_CLASS_NOT_SUPPORTED, "no query model of this SOP class")
        terms = terms_of(context, self._ae, model, self._access(association), self._more)
        query = from_identifier(identifier, terms, limits=limits_of(self._ae))
        if self._ae.required_keys:
            check_required(query, terms.model)
        result = search(self._database, query)
        encode = answer_encoder(
            query,
            result.layout,
            context.transfer_syntax,
            retrieve_aet=self._ae.title,
            declared=answered_in(peer) or charset_of(identifier, self._ae.character_set),
            asked=identifier,
            name=canonical if self._ae.person_names == "canonical" else None,
        )
        unsupported = result.layout.unsupported
        pending = statuses.pending_status(statuses.Service.FIND, self._preset, unsupported=unsupported)
        response = {**commands.response(command, pending), commands.DATA_SET_TYPE: commands.DATA_FOLLOWS}
        message, sent, started = commands.number(command, commands.MESSAGE_ID), 0, time.monotonic()
        for batch in batches(result.pages):
            if association.cancelled(message):
                log.info("find.cancelled", calling=association.calling, level=query.level, matches=sent)
                return statuses.CANCELLED
            association.respond_many(context.id, [(response, answer) for answer in encode(batch)])
            sent += len(batch)
        telemetry.observe("isocenter_find_seconds", time.monotonic() - started, level=query.level)
        telemetry.count("isocenter_find_matches_total", sent, level=query.level)
        log.info("find.done", calling=association.calling, level=query.level, matches=sent)
        return statuses.SUCCESS


def batches(pages: Iterator[Sequence[Values]]) -> Iterator[Sequence[Values]]:
    """The rows of all pages, so many at a time that a peer's wish to cancel is soon seen."""
    for page in _guarded(pages):
        for start in range(0, len(page), BATCH):
            yield page[start : start + BATCH]


def _guarded(pages: Iterator[Sequence[Values]]) -> Iterator[Sequence[Values]]:
    """The pages; what the database fails at becomes an error of ours, without a value of the query in its text."""
    while True:
        try:
            page = next(pages, None)
        except (OperationalError, InterfaceError, PoolTimeout) as failure:
            raise Retriable(Reason.OUT_OF_RESOURCES, "the index can't be read now") from failure
        except SQLAlchemyError as failure:
            raise Refused(Reason.PROCESSING_FAILURE, "the index failed") from failure
        if page is None:
            return
        yield page


def everything(association: "Association") -> Access:
    """Access without restriction."""
    return None
