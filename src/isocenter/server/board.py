"""What the processes know of each other: a page of shared memory, made before the first fork.

Each worker has a slot that only it writes (the supervisor clears it when the worker is dead), so nothing is locked: a
worker counts itself in, then adds up all the slots, and counts itself out again if that was one too many. Two that
come at the same moment may both be turned away at the limit, but the limit is never passed.
"""

import mmap
import os
import threading
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from isocenter.config import Settings

_HEADER = 7  # words before a slot's associations
_STATE, _PID, _KIND, _RESTARTS, _STARTED, _COUNT, _CONNECTIONS = range(_HEADER)
_ADDRESS = (1 << 40) - 1


class State(IntEnum):
    """The life of a worker."""

    ABSENT = 0
    STARTING = 1
    READY = 2
    DRAINING = 3


class Kind(IntEnum):
    """What a worker does."""

    DICOM = 1
    WEB = 2
    JOBS = 3
    HL7 = 4

    @property
    def label(self) -> str:
        """The name in logs and metrics."""
        return self.name.lower()


def counts(settings: Settings) -> dict[Kind, int]:
    """How many workers of each kind an installation has."""
    found = {Kind.DICOM: settings.processes.dicom, Kind.WEB: 1, Kind.JOBS: 1}
    if settings.hl7_listens:
        found[Kind.HL7] = 1
    return found


@dataclass(frozen=True)
class Entry:
    """A slot as it is read."""

    slot: int
    state: State
    pid: int
    kind: Kind
    restarts: int
    associations: int
    connections: int = 0


class Board:
    """`slots` places for workers, each with room for `associations` at once."""

    def __init__(self, slots: int, associations: int) -> None:
        self.slots, self.associations = slots, associations
        self._stride = _HEADER + associations
        places = slots * self._stride
        self._memory = mmap.mmap(-1, (places + 4 * slots + 2) * 8)
        words = memoryview(self._memory).cast("Q")
        self._words = words[:places]
        self._acknowledged = words[places : places + slots]
        self._filed = words[places + slots : places + 2 * slots]
        self._inherited = words[places + 2 * slots : places + 3 * slots]
        self._hurried = words[places + 3 * slots : places + 4 * slots]
        self._orphaned = words[places + 4 * slots : places + 4 * slots + 1]
        self._closing = words[places + 4 * slots + 1 :]

    def entries(self) -> list[Entry]:
        """The slots in use."""
        found = []
        for slot in range(self.slots):
            at = slot * self._stride
            state, pid, kind, restarts, _, count, connections = self._words[at : at + _HEADER]
            if state != State.ABSENT:
                found.append(Entry(slot, State(state), pid, Kind(kind), restarts, count, connections))
        return found

    def free_slot(self) -> int | None:
        """A slot without a worker."""
        return next((s for s in range(self.slots) if self._words[s * self._stride] == State.ABSENT), None)

    def open(self, slot: int, kind: Kind, restarts: int) -> None:
        """Give `slot` to a worker that is about to be forked. The supervisor's part."""
        self.clear(slot)
        at = slot * self._stride
        self._words[at + _KIND], self._words[at + _RESTARTS] = kind, restarts
        self._words[at + _STATE] = State.STARTING

    def started(self, slot: int, pid: int) -> None:
        """Note the process id. The supervisor's part."""
        self._words[slot * self._stride + _PID] = pid

    def mark(self, slot: int, state: State) -> None:
        """Change the state of a slot."""
        self._words[slot * self._stride + _STATE] = state

    def state(self, slot: int) -> State:
        """The state of a slot."""
        return State(self._words[slot * self._stride + _STATE])

    def close_down(self) -> None:
        """The whole server ends, not one worker or those of before a reload. The supervisor's part."""
        self._closing[0] = 1

    @property
    def closing(self) -> bool:
        """Whether it does."""
        return bool(self._closing[0])

    def connected(self, slot: int, connections: int) -> None:
        """Note how many connections the worker of a slot holds."""
        self._words[slot * self._stride + _CONNECTIONS] = connections

    def clear(self, slot: int) -> None:
        """Forget a dead worker and its associations. The supervisor's part."""
        self._acknowledged[slot] = self._filed[slot] = self._inherited[slot] = 0
        at = slot * self._stride
        self._words[at : at + self._stride] = memoryview(bytes(8 * self._stride)).cast("Q")

    def ready(self, wanted: dict[Kind, int]) -> bool:
        """Whether at least `wanted` workers of each kind are ready."""
        ready = [entry.kind for entry in self.entries() if entry.state == State.READY]
        return all(ready.count(kind) >= n for kind, n in wanted.items())

    def total(self) -> int:
        """Associations open in all processes."""
        return sum(self._words[s * self._stride + _COUNT] for s in range(self.slots))

    def matching(self, *, ae: int | None = None, address: str | None = None) -> int:
        """Associations open to the hosted AE number `ae`, or from `address`."""
        wanted = _ADDRESS & _hash(address) if address is not None else None
        count = 0
        for slot in range(self.slots):
            at = slot * self._stride
            if self._words[at + _COUNT]:
                for word in self._words[at + _HEADER : at + self._stride]:
                    count += bool(word) and (
                        (ae is None or word >> 40 == ae + 1) and (wanted is None or word & _ADDRESS == wanted)
                    )
        return count

    # --- what was acknowledged before it was filed (docs/decisions/0008)

    def account(self, slot: int) -> "Account":
        """Where the worker of a slot tells what it acknowledged, and filed. Called once, after the fork."""
        return Account(self._acknowledged, self._filed, self._hurried, slot)

    def settled(self) -> bool:
        """Whether all that was acknowledged is filed."""
        return self._acknowledged == self._filed and not self._orphaned[0]

    def lags(self, slot: int) -> bool:
        """Whether the worker of `slot` has acknowledged what it has not filed."""
        return self._acknowledged[slot] != self._filed[slot]

    def lagging(self) -> dict[int, int]:
        """By slot, up to where those have to come that lag."""
        return {slot: total for slot, total in enumerate(self._acknowledged) if total > self._filed[slot]}

    def hurry(self, slots: Iterable[int]) -> None:
        """Have the workers of these slots gather no more before they file."""
        for slot in slots:
            self._hurried[slot] = 1

    def caught_up(self, wanted: dict[int, int]) -> bool:
        """Whether they have come there, and nothing is left of dead workers. A slot that was cleared counts less."""
        if self._orphaned[0]:
            return False
        return not any(self._acknowledged[slot] >= total > self._filed[slot] for slot, total in wanted.items())

    def orphaned(self, workers: int) -> None:
        """So many dead workers have left what they acknowledged unfiled. The supervisor's part, before it clears
        their slots."""
        self._orphaned[0] = workers

    def inherit(self, slot: int) -> None:
        """The worker of a slot has filed what its predecessors left."""
        self._inherited[slot] = 1

    def has_inherited(self, slot: int) -> bool:
        """Whether it has."""
        return bool(self._inherited[slot])

    def tally(self, slot: int) -> "Tally":
        """The worker's own hand on its slot. Called once, after the fork."""
        return Tally(self, slot)

    def _take(self, slot: int, word: int) -> int | None:
        at = slot * self._stride
        for place in range(at + _HEADER, at + self._stride):
            if not self._words[place]:
                self._words[place] = word
                self._words[at + _COUNT] += 1
                return place
        return None

    def _give_back(self, slot: int, place: int) -> None:
        self._words[place] = 0
        self._words[slot * self._stride + _COUNT] -= 1


def _hash(address: str) -> int:
    data = address.encode()
    return zlib.crc32(data) | zlib.adler32(data) << 32


class Account:
    """One worker's count of what it acknowledged and filed; written by one thread at a time."""

    def __init__(self, acknowledged: memoryview, filed: memoryview, hurried: memoryview, slot: int) -> None:
        self._acknowledged, self._filed, self._hurried, self._slot = acknowledged, filed, hurried, slot

    def acknowledged(self) -> None:
        """See `index.behind.Account`."""
        self._acknowledged[self._slot] += 1

    def filed(self, count: int) -> None:
        """See `index.behind.Account`."""
        self._filed[self._slot] += count

    def hurried(self) -> bool:
        """See `index.behind.Account`. What was acknowledged before somebody hurried is queued by now."""
        hurried = bool(self._hurried[self._slot])
        if hurried:
            self._hurried[self._slot] = 0
        return hurried


class Tally:
    """Counts the associations of one worker."""

    def __init__(self, board: Board, slot: int) -> None:
        self._board, self._slot = board, slot
        self._lock = threading.Lock()
        self.pid = os.getpid()

    def enter(self, ae: int, address: str) -> int | None:
        """Count one association in; the place to `leave` later, or None where this worker has no place left."""
        with self._lock:
            return self._board._take(self._slot, (ae + 1) << 40 | _ADDRESS & _hash(address))

    def leave(self, place: int) -> None:
        """Count it out again."""
        with self._lock:
            self._board._give_back(self._slot, place)
