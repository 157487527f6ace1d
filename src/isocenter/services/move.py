"""C-MOVE SCP: retrieval to another Application Entity, PS3.4 C.4.2 (I-MOVE, M-MOVE)."""

from collections.abc import Iterator
from functools import partial
from itertools import chain

from isocenter.archive.retrieval.instances import Located
from isocenter.config.settings import HostedAE, Peer
from isocenter.database import Database
from isocenter.declarations import non_patient, statuses
from isocenter.declarations.query_keys import Key
from isocenter.dimse import PeerUnreachable
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.exchange.contexts import Proposal, proposals, wish_of
from isocenter.exchange.departing import Departures
from isocenter.exchange.peers import Peers
from isocenter.exchange.sending import Opener
from isocenter.rules import Ends
from isocenter.services import composite
from isocenter.services.find import AccessOf, everything
from isocenter.services.retrieving import MOVE_MODELS, RetrieveService, Run, UnderWay, Way, Work, sendings
from isocenter.store.api import Store


class MoveService(RetrieveService):
    """Answers C-MOVE requests of one hosted AE over one storage association each (I-ASSOC-05), or over one that the
    peer's settings keep open between them; one more for each 128 presentation contexts beyond the first."""

    service = statuses.Service.MOVE
    models = MOVE_MODELS
    direct = composite.MOVE_CLASSES
    without_patient = non_patient.MOVE_MODELS

    def __init__(
        self,
        database: Database,
        store: Store,
        ae: HostedAE,
        peers: Peers,
        access: AccessOf = everything,
        more: tuple[Key, ...] = (),
        departures: Departures | None = None,
    ) -> None:
        super().__init__(database, store, ae, access, more, departures)
        self._peers = peers

    def way(self, run: Run) -> Way:
        """To the destination that the request names. Raises Refused(DESTINATION_UNKNOWN)."""
        peer = self._peers.destination(run.destination, self._ae, run.association.address)
        if peer is None:
            raise Refused(Reason.DESTINATION_UNKNOWN, "the move destination is unknown")
        return partial(self._move, peer)

    def _move(self, peer: Peer, run: Run, work: Work) -> None:
        opened = self.departing(work.opened, Ends(self._ae.title, peer.title, peer.host, peer.title), peer)
        done: set[str] = set()
        for group in proposals(work.kinds, preferred=wish_of(peer)):
            if run.cancelled:
                return
            classes = {proposal.sop_class for proposal in group} - done
            done |= classes
            items = (item for item in work.items() if item.sop_class in classes)
            if run.stopped:
                run.account.give_up(items)
            else:
                self._deliver(run, peer, group, items, opened)

    def _deliver(self, run: Run, peer: Peer, group: list[Proposal], items: Iterator[Located], opened: Opener) -> None:
        """Send `items` over one association. What it doesn't get through counts as failed."""
        under_way = UnderWay(items)
        originator = (run.association.calling, run.message_id)
        try:
            with self._peers.connect(peer, self._ae.title, group, wanted=run.wanted) as outgoing:
                for sent in sendings(run, outgoing, under_way, opened, wish_of(peer), originator):
                    under_way.answered()
                    run.note(sent)
            if run.stopped:
                run.account.give_up(chain(under_way.unanswered, items))
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
