"""Tells peers over DICOM: Basic Study Content Notification by C-STORE, Instance Availability by N-CREATE.

What a study holds is looked up as it is told, so that a notice that had to wait tells what is true by then.
"""

from collections.abc import Sequence
from typing import Final

from isocenter import telemetry
from isocenter.config import HostedAE, Peer, Settings
from isocenter.database import Database
from isocenter.declarations import notification
from isocenter.dicom.uids import BASIC_STUDY_CONTENT_NOTIFICATION, INSTANCE_AVAILABILITY_NOTIFICATION
from isocenter.dimse import ClientAssociation, ProposedContext, commands
from isocenter.errors import IsocenterError
from isocenter.exchange.peers import Peers
from isocenter.jobs.runner import Running
from isocenter.registry.roster import Directory
from isocenter.workflow.completeness import StepsOf, no_steps
from isocenter.workflow.notices import availability, study_content
from isocenter.workflow.notices.contents import StudyContent, content_of
from isocenter.workflow.notices.delivering import Account
from isocenter.workflow.notices.following import committed
from isocenter.workflow.notices.outgoing import Destination, Notice
from isocenter.workflow.notices.removals import unavailable

log = telemetry.logger("workflow.notices")

_CLASSES: Final = {
    "study-content": BASIC_STUDY_CONTENT_NOTIFICATION,
    "availability": INSTANCE_AVAILABILITY_NOTIFICATION,
}
KINDS: Final = tuple(_CLASSES)


class Refusal(Exception):
    """A peer's answer that means that it was not told."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status:04X}")
        self.status = status


class Told:
    """The way of both kinds (`delivering.Way`)."""

    def __init__(self, database: Database, peers: Peers, directory: Directory, steps: StepsOf = no_steps) -> None:
        self._database, self._peers, self._directory, self._steps = database, peers, directory, steps

    def tell(self, destination: Destination, due: Sequence[Notice], account: Account, running: Running) -> None:
        """See `delivering.Way`. All that is due goes over one association."""
        settings = self._directory.now(fresh=True).settings
        ae = _ours(settings, destination.ae)
        peer = next((each for each in settings.peers_titled(destination.destination) if each.host), None)
        left = [(one, content) for one in due if (content := self._content(one, account)) is not None]
        if peer is None:
            _all_failed(left, account, "no address of the peer is known")
            return
        if not left:
            return
        sop_class = _CLASSES[destination.kind]
        context = ProposedContext(sop_class, notification.PROPOSED[sop_class])
        try:
            with self._peers.connect(peer, ae.title, [context]) as association:
                while left and not running.cancelled():
                    one, content = left[0]
                    self._one(association, one, content, account, _retrieve_title(settings, ae), peer)
                    del left[0]
        except IsocenterError as failure:
            _all_failed(left, account, failure.comment)

    def _content(self, one: Notice, account: Account) -> StudyContent | None:
        """What it tells of; None where nothing of that is here any more: then there is nothing to tell."""
        with self._database.reading() as connection:
            if "gone" in one.payload:
                content: StudyContent | None = unavailable(connection, one.study_uid, one.payload["gone"])
            else:
                content = content_of(connection, one.study_uid)
            if content is not None and "transaction" in one.payload:
                content = content.only(frozenset(committed(connection, one.payload["transaction"])))
            if content is not None and "back" in one.payload:
                content = content.only(frozenset(one.payload["back"]))
        if content is not None and content.series:
            return content
        account.dropped(one, "it is here again" if "gone" in one.payload else "nothing of the study is here any more")
        return None

    def _one(
        self,
        association: ClientAssociation,
        one: Notice,
        content: StudyContent,
        account: Account,
        retrieve: str,
        peer: Peer,
    ) -> None:
        try:
            if one.kind == "study-content":
                status = _store(association, one, content, retrieve, peer.character_set_sent)
            else:
                status = self._create(association, one, content, retrieve)
        except Refusal as refusal:
            passing = notification.may_pass(one.kind, refusal.status)
            account.failed(one, "the peer refused the notification", refusal.status, passing=passing)
        except ValueError as fault:  # a UID in the index that can't be written
            log.error("notice.unmade", exc_info=True, study=one.study_uid, fault=type(fault).__name__)
            account.failed(one, "the data set can't be made", passing=False)
        else:
            account.sent(one, status)

    def _create(self, association: ClientAssociation, one: Notice, content: StudyContent, retrieve: str) -> int:
        """N-CREATE of each part; the last status that was no plain success."""
        context = association.context_for(INSTANCE_AVAILABILITY_NOTIFICATION)
        with self._database.reading() as connection:
            steps = self._steps(connection, one.study_uid)
        found = 0
        for part in availability.parts(content, steps, one.sop_uid):
            data = availability.encoded(part, retrieve, context.transfer_syntax)
            answer = association.n_create(INSTANCE_AVAILABILITY_NOTIFICATION, part.sop_uid, data, context=context)
            found = _checked(one.kind, answer.status) or found
        return found


def _store(association: ClientAssociation, one: Notice, content: StudyContent, retrieve: str, charset: str) -> int:
    context = association.context_for(BASIC_STUDY_CONTENT_NOTIFICATION)
    data = study_content.encoded(content, one.sop_uid, retrieve, context.transfer_syntax, charset)
    command = commands.store_rq(BASIC_STUDY_CONTENT_NOTIFICATION, one.sop_uid)
    return _checked(one.kind, association.invoke(context.id, command, data).status)


def _checked(kind: str, status: int) -> int:
    if not notification.is_told(kind, status):
        raise Refusal(status)
    return status


def _all_failed(left: Sequence[tuple[Notice, StudyContent]], account: Account, comment: str) -> None:
    for one, _ in left:
        account.failed(one, comment)


def _ours(settings: Settings, title: str) -> HostedAE:
    """The AE that tells: the one of this title, hosted or not; the first where none is named."""
    if not title:
        return settings.aes[0]
    return settings.ae(title) or HostedAE(title=title)


def _retrieve_title(settings: Settings, ae: HostedAE) -> str:
    """Retrieve AE Title (0008,0054): the AE that tells, if one can retrieve from it; else another that can."""
    able = [each.title for each in settings.aes if {"move", "get"} & set(each.services)]
    return ae.title if ae.title in able or not able else able[0]
