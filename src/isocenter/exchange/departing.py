"""What is laid over objects as they leave for one destination: current values of the index, then the rules on sending.

Decided once a request: where an AE merges nothing and no rule is for the destination, its opener is used as it is.
"""

from contextlib import ExitStack
from dataclasses import dataclass

from isocenter.archive.covering import changes_to
from isocenter.archive.merging import CurrentValues
from isocenter.archive.retrieval.instances import Located
from isocenter.config.settings import HostedAE, Peer
from isocenter.database import Database
from isocenter.exchange.ruling import read_of, ruled
from isocenter.exchange.sending import Opened, Opener, Sendable, Withheld
from isocenter.exchange.wording import Assumed, nothing_assumed, worded
from isocenter.imaging.engine import Engine
from isocenter.imaging.recode import Lossy
from isocenter.rules import Ends, Ruleset


@dataclass(frozen=True, slots=True)
class Departures:
    """The way out of an installation."""

    database: Database
    rules: Ruleset
    assumed: Assumed = nothing_assumed
    """The character set that a sender's objects are in where they don't say."""
    engine: Engine | None = None
    """What transcodes pixels for peers that don't take them as they are stored."""

    def opener(self, opened: Opener, ae: HostedAE, ends: Ends, peer: Peer | None = None) -> Opener:
        """`opened` with what `ae` and the rules for this destination lay over objects, in the character set of `peer`
        where it has one."""
        if self.engine is not None or (peer is not None and (peer.lossy or peer.photometric)):
            opened = _Recoding(opened, self.engine, peer)
        if ae.merge_on_send != "off" or ae.conflicting == "withhold":
            extent = None if ae.merge_on_send == "off" else ae.merge_on_send
            values = CurrentValues(self.database, extent)
            opened = _Merging(opened, values, withhold=ae.conflicting == "withhold")
        opened = ruled(opened, self.rules.sending(ends), ae.character_set)
        return worded(opened, peer, ae.character_set, self.assumed)


class _Recoding:
    """Names what transcodes what another opener opens, and what the peer wants of it; see `exchange.sending.Opener`."""

    def __init__(self, opened: Opener, engine: Engine | None, peer: Peer | None) -> None:
        self._opened, self._engine = opened, engine
        self._lossy = Lossy() if peer is not None and peer.lossy else None
        self._colour = peer.photometric if peer is not None else ""

    def __call__(self, item: Sendable, stack: ExitStack) -> Opened:
        """As the other one."""
        found = self._opened(item, stack)
        return found._replace(engine=self._engine, lossy=self._lossy, colour=self._colour)


class _Merging:
    """Lays current values over what another opener opens; see `exchange.sending.Opener`."""

    def __init__(self, opened: Opener, values: CurrentValues, *, withhold: bool) -> None:
        self._opened, self._values, self._withhold = opened, values, withhold

    def __call__(self, item: Sendable, stack: ExitStack) -> Opened:
        """Raises Withheld for an object in conflict, where the AE is set so."""
        if not isinstance(item, Located):
            return self._opened(item, stack)
        if self._values.is_disputed(item):
            if self._withhold:
                raise Withheld("the object is in an unsettled conflict")
            return self._opened(item, stack)
        found = self._opened(item, stack)
        overlay = self._values.overlay(item)
        if not overlay:
            return found
        changes = changes_to(overlay, read_of(found), found.size, item.syntax, item.character_set)
        return found._replace(changes=changes or None)
