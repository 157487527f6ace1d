"""C-MOVE SCP: retrieval to another Application Entity, PS3.4 C.4.2 (I-MOVE, M-MOVE)."""

from collections.abc import Iterable, Iterator

from isocenter import telemetry
from isocenter.archive.retrieve import Located, Selection
from isocenter.config.settings import HostedAE, Peer
from isocenter.database import Database
from isocenter.declarations import statuses
from isocenter.dimse import Association, AssociationRejected, PeerUnreachable, commands
from isocenter.dimse.commands import Command
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.exchange.contexts import Kind, Proposal, proposals
from isocenter.exchange.peers import Peers
from isocenter.exchange.sending import send
from isocenter.services.find import AccessOf, everything
from isocenter.services.retrieving import MOVE_MODELS, RetrieveService, Run, opener
from isocenter.store.api import Store

log = telemetry.logger("services.move")


class MoveService(RetrieveService):
    """Answers C-MOVE requests of one hosted AE over one storage association each (I-ASSOC-05)."""

    service = statuses.Service.MOVE
    models = MOVE_MODELS

    def __init__(
        self, database: Database, store: Store, ae: HostedAE, peers: Peers, access: AccessOf = everything
    ) -> None:
        super().__init__(database, store, ae, access)
        self._peers = peers

    def _perform(self, run: Run, named: Selection, wanted: list[Kind]) -> None:
        peer = self._destination(run.association, run.command)
        originator = (run.association.calling, run.message_id)
        groups = proposals(wanted, preferred=peer.syntaxes)
        for group in groups:
            classes = {proposal.sop_class for proposal in group}
            items = run.until_cancelled(item for item in self._located(named) if item.sop_class in classes)
            self._deliver(run, peer, group, items, originator)

    def _destination(self, association: Association, command: Command) -> Peer:
        title = commands.text(command, commands.MOVE_DESTINATION)
        peer = self._peers.destination(title, self._ae, association.address)
        if peer is None:
            raise Refused(Reason.DESTINATION_UNKNOWN, "the move destination is unknown")
        return peer

    def _deliver(
        self, run: Run, peer: Peer, group: list[Proposal], items: Iterator[Located], originator: tuple[str, int]
    ) -> None:
        """Send `items` over an association of their own. If that ends early, the rest count as failed."""
        try:
            outgoing = self._peers.connect(peer, self._ae.title, group)
        except PeerUnreachable as failure:
            raise Refused(Reason.DESTINATION_UNKNOWN, "the move destination can't be reached") from failure
        except AssociationRejected as failure:
            self._give_up(run, items, failure)
            return
        open_items = _Remembered(items)
        try:
            sending = send(outgoing, open_items, opener(self._store), preferred=peer.syntaxes, originator=originator)
            for sent in sending:
                open_items.done()
                run.note(sent)
            outgoing.release()
        except IsocenterError as failure:
            if not run.association.open:
                raise
            self._give_up(run, (*open_items.pending, *items), failure)
        finally:
            outgoing.close()

    def _give_up(self, run: Run, items: Iterable[Located], failure: IsocenterError) -> None:
        log.warning("move.interrupted", calling=run.association.calling, comment=failure.comment)
        run.comment = failure.comment
        for item in items:
            run.account.give_up(item)


class _Remembered:
    """Passes items on and knows which of them have no answer yet."""

    def __init__(self, items: Iterator[Located]) -> None:
        self._items = items
        self.pending: list[Located] = []

    def __iter__(self) -> Iterator[Located]:
        for item in self._items:
            self.pending.append(item)
            yield item

    def done(self) -> None:
        """The oldest of them was answered."""
        del self.pending[0]
