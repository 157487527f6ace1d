"""What is laid over objects as they leave over HTTP, where the web service has an AE's habits (`http.ae`): current
values of the index, then the rules on sending, as for C-MOVE. The client has no title: it is known by its address.

Decided once a request; where the AE merges nothing and no rule is for the client, objects leave with their edits alone.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

from isocenter.archive.merging import CurrentValues
from isocenter.archive.retrieval.instances import Located
from isocenter.archive.ruling import Ruling
from isocenter.config import HostedAE
from isocenter.database import Database
from isocenter.index.level_models import dumped
from isocenter.rules import Ends, Ruleset


class Departing:
    """What is laid over the objects of one request. `word` stands in their overlays for the rules."""

    def __init__(self, values: CurrentValues | None, ruling: Ruling | None, word: str, *, withhold: bool) -> None:
        self._values, self._ruling, self._word, self._withhold = values, ruling, word, withhold

    def laid(self, located: Located) -> Located | None:
        """The object as it leaves; None for one that is in conflict, where those are withheld. Looks into the
        database."""
        overlay = located.overlay
        if self._values is not None:
            if not self._values.is_disputed(located):
                overlay = self._values.overlay(located)
            elif self._withhold:
                return None
        if self._ruling is None:
            return located._replace(overlay=overlay)
        covering = json.loads(overlay) if overlay else {"at": 0, "changes": {}}
        return located._replace(overlay=dumped({**covering, "rules": self._word}), ruling=self._ruling)


@dataclass(frozen=True, slots=True)
class Departures:
    """The way out over HTTP. `ae` is asked in a thread. `since`, microseconds, is when the rules were read: the time
    that their changes are told to be of, so that an object is the same each time it is asked for."""

    database: Database
    rules: Ruleset
    ae: Callable[[], HostedAE]
    since: int

    def to(self, address: str) -> Departing | None:
        """What is laid over objects for the client at this address; None for nothing but their edits."""
        ae = self.ae()
        coercion = self.rules.sending(Ends(ae.title, "", address))
        withhold = ae.conflicting == "withhold"
        values = None
        if ae.merge_on_send != "off" or withhold:
            values = CurrentValues(self.database, None if ae.merge_on_send == "off" else ae.merge_on_send)
        if values is None and coercion is None:
            return None
        ruling = Ruling(coercion, ae.character_set, self.since) if coercion is not None else None
        word = hashlib.sha256(f"{self.since} {ae.title} {address}".encode()).hexdigest()[:16]
        return Departing(values, ruling, word, withhold=withhold)
