"""C-GET SCP: retrieval over the requestor's own association, PS3.4 C.4.3 (I-MOVE-01, M-GET-01)."""

from isocenter.archive.retrieve import Selection
from isocenter.declarations import statuses
from isocenter.exchange.contexts import Kind
from isocenter.exchange.sending import send
from isocenter.services.retrieving import GET_MODELS, RetrieveService, Run, opener


class GetService(RetrieveService):
    """Answers C-GET requests of one hosted AE. The requestor takes the role of storage SCP for what it wants."""

    service = statuses.Service.GET
    models = GET_MODELS

    def _perform(self, run: Run, named: Selection, wanted: list[Kind]) -> None:
        items = run.until_cancelled(self._located(named))
        for sent in send(run.association, items, opener(self._store)):
            run.note(sent)
