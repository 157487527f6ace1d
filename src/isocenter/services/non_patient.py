"""C-FIND SCP of the information models for instances that belong to no patient: hanging protocols, color palettes,
implant templates, procedure protocols, approvals and inventories (PS3.4 U.4.1, X.4.1, BB.4.1, HH.4.1, II.4.1, JJ.4.1).

One level, without Query/Retrieve Level; SOP Instance UID is the unique key.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from isocenter import telemetry
from isocenter.archive.non_patient import Found, Query, search
from isocenter.archive.query import Field, Kind, Layout, Sensitivity
from isocenter.archive.query_identifier import charset_of, walk
from isocenter.config.settings import HostedAE
from isocenter.database import Database
from isocenter.declarations import statuses
from isocenter.declarations.non_patient import FIND_MODELS, UNIQUE, Model, keys_of
from isocenter.declarations.query_keys import Path
from isocenter.dicom.dataset import decode
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.person_name import canonical
from isocenter.dimse import commands
from isocenter.dimse.commands import Command
from isocenter.dimse.service import BufferedService, Context
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.services.find import answered_in, as_spoken, batches, peer_of
from isocenter.services.find_encoding import SPECIFIC_CHARACTER_SET, Values, row_encoder

if TYPE_CHECKING:
    from isocenter.dimse.association import Association

log = telemetry.logger("services.find")

_SOP_CLASS: Path = (0x00080016,)
_JSON_AT = 1
"""Where the attributes stand in a row; the primary key is before them."""


class NonPatientFindService(BufferedService):
    """Answers such C-FIND requests of one hosted AE."""

    def __init__(self, database: Database, ae: HostedAE) -> None:
        self._database, self._ae = database, ae
        self._preset = ae.preset

    def answer(self, association: "Association", context: Context, command: Command, data: bytes | None) -> None:
        """Send a pending response for each match, then the final one. Failures carry an Error Comment."""
        try:
            status, comment = self._matches(association, context, command, data), ""
        except IsocenterError as failure:
            status = statuses.dimse_status(statuses.Service.FIND, failure.reason, self._preset)
            comment = failure.comment
            log.warning("find.refused", calling=association.calling, reason=failure.reason, status=f"{status:04X}")
        association.respond(context.id, commands.response(command, status, comment))

    def _matches(self, association: "Association", context: Context, command: Command, data: bytes | None) -> int:
        """Send the matches; returns the final status."""
        if data is None:
            raise Refused(Reason.CANNOT_UNDERSTAND, "no identifier")
        model = FIND_MODELS[self._ae.works_like(context.abstract)]
        peer = peer_of(association)
        identifier = as_spoken(decode(data, context.transfer_syntax), peer)
        declared = charset_of(identifier, self._ae.character_set)
        named = [(path, text) for path, text in walk(identifier, declared) if path != (SPECIFIC_CHARACTER_SET,)]
        query = Query(
            models=(model,),
            keys=tuple((path, text) for path, text in named if text),
            sensitivity=Sensitivity(case=self._ae.case_sensitive, accents=self._ae.accent_sensitive),
        )
        found = search(self._database, query)
        layout = _layout(model, [path for path, _ in named])
        encode = row_encoder(
            layout,
            context.transfer_syntax,
            {},
            declared=answered_in(peer) or declared,
            asked=identifier,
            name=canonical if self._ae.person_names == "canonical" else None,
        )
        unsupported = layout.unsupported
        pending = statuses.pending_status(statuses.Service.FIND, self._preset, unsupported=unsupported)
        response = {**commands.response(command, pending), commands.DATA_SET_TYPE: commands.DATA_FOLLOWS}
        message, sent = commands.number(command, commands.MESSAGE_ID), 0
        for batch in batches(_rows(found)):
            if association.cancelled(message):
                log.info("find.cancelled", calling=association.calling, level=model.name, matches=sent)
                return statuses.CANCELLED
            association.respond_many(context.id, [(response, answer) for answer in encode(batch)])
            sent += len(batch)
        telemetry.count("isocenter_find_matches_total", sent, level=model.name)
        log.info("find.done", calling=association.calling, level=model.name, matches=sent)
        return statuses.SUCCESS


def _rows(pages: Iterator[list[Found]]) -> Iterator[Sequence[Values]]:
    for page in pages:
        yield [(found.located.id, found.json) for found in page]


def _layout(model: Model, named: Sequence[Path]) -> Layout:
    """What is returned: what was asked for, and what the instance is in any case."""
    keys = keys_of(model.name)
    fields: dict[int, Field] = {}
    for path in dict.fromkeys((_SOP_CLASS, UNIQUE, *named)):
        tag, inner = path[0], path[1:]
        kind = Kind.JSON if (tag,) in keys else Kind.EMPTY
        field = fields.get(tag) or Field(tag, vr_of(tag), kind, _JSON_AT, ())
        if inner and path in keys:
            field = field._replace(wanted=(*field.wanted, inner))
        elif inner:
            field = field._replace(unsupported=(*field.unsupported, inner))
        fields[tag] = field
    return Layout(tuple(fields[tag] for tag in sorted(fields)))
