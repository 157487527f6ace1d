"""C-MOVE SCP: retrieval to another Application Entity, PS3.4 C.4.2 (I-MOVE, M-MOVE)."""

from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import chain

from isocenter.archive.retrieve import Located, Selection
from isocenter.config.settings import HostedAE, Peer
from isocenter.database import Database
from isocenter.declarations import statuses
from isocenter.dimse import PeerUnreachable, commands
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.exchange.contexts import Kind, Proposal, proposals
from isocenter.exchange.peers import Peers
from isocenter.exchange.sending import send
from isocenter.services.find import AccessOf, everything
from isocenter.services.retrieving import MOVE_MODELS, RetrieveService, Run, Way, opener
from isocenter.store.api import Store


class MoveService(RetrieveService):
    """Answers C-MOVE requests of one hosted AE over one storage association each (I-ASSOC-05); one more for each 128
    presentation contexts beyond the first."""

    service = statuses.Service.MOVE
    models = MOVE_MODELS

    def __init__(
        self, database: Database, store: Store, ae: HostedAE, peers: Peers, access: AccessOf = everything
    ) -> None:
        super().__init__(database, store, ae, access)
        self._peers = peers

    def way(self, run: Run) -> Way:
        """To the destination that the request names. Raises Refused(DESTINATION_UNKNOWN)."""
        title = commands.text(run.command, commands.MOVE_DESTINATION)
        peer = self._peers.destination(title, self._ae, run.association.address)
        if peer is None:
            raise Refused(Reason.DESTINATION_UNKNOWN, "the move destination is unknown")
        return partial(self._move, peer)

    def _move(self, peer: Peer, run: Run, named: Selection, wanted: list[Kind]) -> None:
        for group in proposals(wanted, preferred=peer.syntaxes):
            if run.cancelled:
                return
            classes = {proposal.sop_class for proposal in group}
            items = (item for item in self._located(named) if item.sop_class in classes)
            self._deliver(run, peer, group, items)

    def _deliver(self, run: Run, peer: Peer, group: list[Proposal], items: Iterator[Located]) -> None:
        """Send `items` over an association of their own. What it doesn't get through counts as failed."""
        under_way = _UnderWay(items)
        opened, originator = opener(self._store), (run.association.calling, run.message_id)
        try:
            with self._peers.connect(peer, self._ae.title, group) as outgoing:
                for sent in send(
                    outgoing, under_way, opened, preferred=peer.syntaxes, originator=originator,
                    priority=run.priority, wanted=run.wanted,
                ):  # fmt: skip
                    under_way.answered()
                    run.note(sent)
        except PeerUnreachable as failure:
            # I-MOVE-03, I-MOVE-ST-08
            unreachable = Refused(Reason.DESTINATION_UNKNOWN, "the move destination can't be reached")
            unreachable.__cause__ = failure
            run.give_up(items, unreachable)
        except IsocenterError as failure:
            if not run.association.open:
                raise
            why = Refused(Reason.CANNOT_PERFORM_SUBOPERATIONS, failure.comment)
            run.give_up(under_way.unanswered if run.cancelled else chain(under_way.unanswered, items), why)


class _UnderWay:
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
