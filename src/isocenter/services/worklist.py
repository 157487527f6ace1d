"""C-FIND SCP of the Modality Worklist Information Model (PS3.4 K): scheduled procedure steps, as an AE shows them.

One level, without Query/Retrieve Level. Study Instance UID stands in every answer, asked for or not: images that lack
it can't be linked again.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from isocenter import telemetry
from isocenter.archive.query import Layout, Sensitivity
from isocenter.archive.query_identifier import charset_of, walk
from isocenter.config.settings import HostedAE, Peer
from isocenter.database import Database
from isocenter.declarations import statuses
from isocenter.declarations.query_keys import Path
from isocenter.dicom.charset import CharacterSet, character_set
from isocenter.dicom.dataset import DataSet, decode
from isocenter.dicom.person_name import canonical
from isocenter.dimse import commands
from isocenter.dimse.commands import Command
from isocenter.dimse.negotiation import query_extras
from isocenter.dimse.service import BufferedService, Context
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.index.matching_items import How
from isocenter.services.find import answered_in, as_spoken, batches, peer_of
from isocenter.services.find_encoding import Encoder, Values, row_encoder
from isocenter.services.worklist_keys import ASIDE, keys_of, layout_of, unsupported
from isocenter.workflow.worklist.searching import MOMENTS, Query, View, search
from isocenter.workflow.worklist.showing import shown_by
from isocenter.workflow.worklist.states import hidden_from

if TYPE_CHECKING:
    from isocenter.dimse.association import Association

log = telemetry.logger("services.worklist")
Named = list[tuple[Path, str]]


class WorklistService(BufferedService):
    """Answers worklist queries of one hosted AE."""

    def __init__(self, database: Database, ae: HostedAE) -> None:
        self._database, self._ae = database, ae
        self._preset = ae.preset
        self._shown = shown_by(ae.worklist)

    def answer(self, association: "Association", context: Context, command: Command, data: bytes | None) -> None:
        """Send a pending response for each match, then the final one. Failures carry an Error Comment."""
        try:
            status, comment = self._matches(association, context, command, data), ""
        except IsocenterError as failure:
            status = statuses.dimse_status(statuses.Service.WORKLIST, failure.reason, self._preset)
            comment = failure.comment
            log.warning("worklist.refused", calling=association.calling, reason=failure.reason, status=f"{status:04X}")
        association.respond(context.id, commands.response(command, status, comment))

    def _matches(self, association: "Association", context: Context, command: Command, data: bytes | None) -> int:
        """Send the matches; returns the final status."""
        if data is None:
            raise Refused(Reason.CANNOT_UNDERSTAND, "no identifier")
        peer, started = peer_of(association), time.monotonic()
        identifier = as_spoken(decode(data, context.transfer_syntax), peer)
        declared = charset_of(identifier, self._ae.character_set)
        named = [(path, text) for path, text in walk(identifier, declared) if path not in ASIDE]
        habits = self._ae.worklist
        warns = unsupported(named, habits)
        pages = search(self._database, self._query(named, context, association.calling, peer))
        layout = layout_of([path for path, _ in named], habits)
        encode = self._encoder(layout, context, identifier, self._answered_in(peer, declared))
        pending = statuses.pending_status(statuses.Service.WORKLIST, self._preset, unsupported=warns)
        response = {**commands.response(command, pending), commands.DATA_SET_TYPE: commands.DATA_FOLLOWS}
        message, sent = commands.number(command, commands.MESSAGE_ID), 0
        for batch in batches(_rows(pages, self._shown)):
            if association.cancelled(message):
                log.info("worklist.cancelled", calling=association.calling, matches=sent)
                return statuses.CANCELLED
            association.respond_many(context.id, [(response, answer) for answer in encode(batch)])
            sent += len(batch)
        telemetry.observe("isocenter_find_seconds", time.monotonic() - started, level="WORKLIST")
        telemetry.count("isocenter_find_matches_total", sent, level="WORKLIST")
        log.info("worklist.done", calling=association.calling, matches=sent)
        return statuses.SUCCESS

    def _query(self, named: Named, context: Context, calling: str, peer: Peer | None) -> Query:
        ae, agreed = self._ae, query_extras(context.extended)
        return Query(
            keys=keys_of(named, ae.worklist),
            how=How(
                sensitivity=Sensitivity(case=ae.case_sensitive, accents=ae.accent_sensitive),
                fuzzy=agreed.fuzzy_names,
                combined=MOMENTS if agreed.combined_date_time else (),
            ),
            views=views_of(ae, calling, peer),
            hidden=hidden_from(ae.worklist.until),
            refuse_above=ae.worklist.limit,
        )

    def _answered_in(self, peer: Peer | None, declared: CharacterSet) -> CharacterSet:
        own = self._ae.worklist.character_set
        return answered_in(peer) or (character_set(own) if own else declared)

    def _encoder(self, layout: Layout, context: Context, identifier: DataSet, declared: CharacterSet) -> Encoder:
        return row_encoder(
            layout,
            context.transfer_syntax,
            {},
            declared=declared,
            asked=identifier,
            name=canonical if self._ae.person_names == "canonical" else None,
        )


def views_of(ae: HostedAE, calling: str, peer: Peer | None) -> tuple[View, ...]:
    """What this caller sees of the worklist at `ae`: all of them hold."""
    views = [View(ae.worklist.modalities, ae.worklist.stations)]
    if ae.worklist.own_station:
        views.append(View(title=calling))
    if peer is not None:
        views.append(View(peer.worklist.modalities, peer.worklist.stations))
    return tuple(view for view in views if any(view))


def _rows(
    pages: Iterator[Sequence[Any]], shown: Callable[[dict[str, Any]], dict[str, Any]] | None
) -> Iterator[Sequence[Values]]:
    """Each entry as its id and its attributes, which are changed only where the AE has habits of its own."""
    for page in pages:
        if shown is None:
            yield [(row.id, row.attributes) for row in page]
        else:
            decode, encode = msgspec.json.decode, msgspec.json.encode
            yield [(row.id, encode(shown(decode(row.attributes))).decode()) for row in page]
