"""C-GET SCP: retrieval over the requestor's own association, PS3.4 C.4.3 (I-MOVE-01, M-GET-01)."""

from itertools import chain

from isocenter.config.settings import Peer
from isocenter.declarations import non_patient, statuses
from isocenter.rules import Ends
from isocenter.services import composite
from isocenter.services.retrieving import GET_MODELS, RetrieveService, Run, UnderWay, Way, Work, sendings


class GetService(RetrieveService):
    """Answers C-GET requests of one hosted AE. The requestor takes the role of storage SCP for what it wants; objects
    of a class or transfer syntax for which it doesn't fail alone."""

    service = statuses.Service.GET
    models = GET_MODELS
    direct = composite.GET_CLASSES
    without_patient = non_patient.GET_MODELS

    def way(self, run: Run) -> Way:
        """Back to the requestor."""
        return self._send_back

    def _send_back(self, run: Run, work: Work) -> None:
        items = work.items()
        under_way = UnderWay(items)
        association = run.association
        peer: Peer | None = getattr(association.basis, "peer", None)
        ends = Ends(self._ae.title, association.calling, association.address, peer.title if peer else "")
        opened = self.departing(work.opened, ends, peer)
        for sent in sendings(run, association, under_way, opened):
            under_way.answered()
            run.note(sent)
        if run.stopped:
            run.account.give_up(chain(under_way.unanswered, items))
