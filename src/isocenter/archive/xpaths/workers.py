"""The processes that evaluate XPaths: started when first needed, a few, gone when idle."""

from collections.abc import Sequence

import msgspec

from isocenter.archive.xpaths.work import PATIENCE, STARTING, Expression, Selected, Selecting
from isocenter.workers import Pool, WorkerLate, WorkerLost


class Unanswerable(Exception):
    """The XPaths can't be answered; the text is for the client's developer. `expression`: one of them is wrong; `late`:
    they take too long."""

    def __init__(self, comment: str, *, expression: bool = False, late: bool = False) -> None:
        super().__init__(comment)
        self.expression, self.late = expression, late


class Selector:
    """Up to `limit` processes; `patience`: seconds for the XPaths of one instance."""

    def __init__(self, limit: int = 2, patience: float = PATIENCE) -> None:
        self._pool = Pool("isocenter.archive.xpaths.work", limit=limit, patience=patience + STARTING, quiet=True)

    def select(self, model: bytes, expressions: Sequence[Expression]) -> tuple[bytes, ...]:
        """XML of what each expression selects; of the whole model where there is none. Raises Unanswerable."""
        if not model:
            raise Unanswerable("the document can't be read")
        request = Selecting(model, tuple(expressions))
        try:
            answer = self._pool.ask(msgspec.msgpack.encode(request))
        except WorkerLate as late:
            raise Unanswerable("the XPaths take too long", late=True) from late
        except WorkerLost as lost:
            raise Unanswerable("the XPaths can't be evaluated", late=True) from lost
        selected = msgspec.msgpack.decode(answer, type=Selected)
        if selected.wrong:
            raise Unanswerable(selected.wrong, expression=True)
        return selected.results

    def close(self) -> None:
        """End the processes that are idle."""
        self._pool.close()
