"""Associations that stay open between jobs to the same peer, so that the next needs no negotiation (`Peer.keep_open`).

A thread of its own looks after them while there are any: it releases those whose time is over, and answers peers that
release theirs. Each keeps its place among the peer's associations meanwhile; whoever needs the place takes it.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from isocenter import telemetry
from isocenter.config import Peer
from isocenter.dimse import ClientAssociation
from isocenter.errors import IsocenterError
from isocenter.exchange.contexts import Proposal

log = telemetry.logger("exchange.kept")

_LOOK = 0.5
"""Seconds between two looks at the connections that are kept."""
_GLANCE = 0.001
"""Seconds that a look takes."""


@dataclass(frozen=True, eq=False)
class Kept:
    """One association with what it was opened for. `stack` gives its place back."""

    peer: Peer
    calling: str
    proposals: frozenset[Proposal]
    association: ClientAssociation
    stack: ExitStack
    until: float = 0.0


class Keeping:
    """The associations that one process keeps."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: list[Kept] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def take(self, peer: Peer, calling: str, proposals: Sequence[Proposal]) -> Kept | None:
        """One of the AE `calling` to `peer` that was opened for all of `proposals` and still stands; it is the caller's
        until `keep`."""
        wanted = frozenset(proposals)
        while (
            found := self._pop(lambda k: k.peer == peer and k.calling == calling and wanted <= k.proposals)
        ) is not None:
            if found.association.silent(_GLANCE):
                return found
            _end(found)
        return None

    def make_room(self, peer: Peer) -> None:
        """Give up an association to `peer` that nobody uses, for another one."""
        found = self._pop(lambda kept: (kept.peer.title, kept.peer.host, kept.peer.port) == _place(peer))
        if found is not None:
            _end(found)

    def keep(self, used: Kept) -> None:
        """Keep what was used for as long as its peer's setting says."""
        kept = Kept(
            used.peer, used.calling, used.proposals, used.association, used.stack, self._clock() + used.peer.keep_open
        )
        with self._changed:
            self._held.append(kept)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look_after, name="kept", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Release them all."""
        while (kept := self._pop(lambda _kept: True)) is not None:
            _end(kept)

    def _pop(self, fits: Callable[[Kept], bool]) -> Kept | None:
        with self._changed:
            found = next((kept for kept in reversed(self._held) if fits(kept)), None)
            if found is not None:
                self._held.remove(found)
            return found

    def _look_after(self) -> None:
        while True:
            with self._changed:
                while not self._held:
                    self._changed.wait()
                now = self._clock()
                over = [kept for kept in self._held if kept.until <= now or not kept.association.silent(_GLANCE)]
                self._held = [kept for kept in self._held if kept not in over]
            for kept in over:
                _end(kept)
            time.sleep(_LOOK)


def _place(peer: Peer) -> tuple[str, str, int]:
    return peer.title, peer.host, peer.port


def _end(kept: Kept) -> None:
    """Release the association, or answer the peer's release, and give the place back."""
    with kept.stack:
        try:
            if kept.association.open:
                kept.association.release()
            else:
                kept.association.serve()
        except (IsocenterError, OSError) as fault:
            log.warning("association.lost", called=kept.peer.title, fault=type(fault).__name__)
