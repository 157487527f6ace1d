"""C-GET SCP: retrieval over the requestor's own association, PS3.4 C.4.3 (I-MOVE-01, M-GET-01)."""

from isocenter.archive.retrieve import Selection
from isocenter.declarations import statuses
from isocenter.exchange.contexts import Kind
from isocenter.exchange.sending import send
from isocenter.services.retrieving import GET_MODELS, RetrieveService, Run, Way, opener


class GetService(RetrieveService):
    """Answers C-GET requests of one hosted AE. The requestor takes the role of storage SCP for what it wants; objects
    of a class or transfer syntax for which it doesn't fail alone."""

    service = statuses.Service.GET
    models = GET_MODELS

    def way(self, run: Run) -> Way:
        """Back to the requestor."""
        return self._send_back

    def _send_back(self, run: Run, named: Selection, _wanted: list[Kind]) -> None:
        items, opened = self._located(named), opener(self._store)
        for sent in send(run.association, items, opened, priority=run.priority, wanted=run.wanted):
            run.note(sent)
