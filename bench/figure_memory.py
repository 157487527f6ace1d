"""Memory (proportional set size of all processes): just started, at rest, with 200 idle associations, and the peak of
storing one 2 GB object.

python bench/figure_memory.py

A server that has just started keeps a worker ready for the first picture; it is at rest once that has gone, since
nobody asked for one.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import psutil
from corpus import uid
from harness import Isocenter, Peer, Results, running

from isocenter.dicom.dataset import Element, encode
from isocenter.dimse import BytesSource, ProposedContext, connect

CT_IMAGE, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
VERIFICATION = "1.2.840.10008.1.1"
WORKER = "isocenter.imaging.work"


class Peak:
    """The highest memory of a peer while the block runs."""

    def __init__(self, peer: Peer) -> None:
        self.peer, self.top, self._over = peer, 0.0, threading.Event()

    def __enter__(self) -> "Peak":
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self.top = max(self.top, self.peer.memory())

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def main() -> None:
    """Measure ours; the figure is an absolute one."""
    results, peer = Results("memory", "isocenter"), Isocenter()
    with running(peer):
        with Peak(peer) as peak:
            rest(peer)
        results.add(peer.name, "just started", megabytes=peak.top)
        results.add(peer.name, "at rest", megabytes=peer.memory())
        address = ("127.0.0.1", peer.port)
        contexts = [ProposedContext(VERIFICATION, (EXPLICIT, "1.2.840.10008.1.2"))]
        idle = [connect(address, calling="BENCH", called=peer.title, contexts=contexts) for _ in range(200)]
        for association in idle:
            association.echo()
        time.sleep(1)
        results.add(peer.name, "200 idle associations", megabytes=peer.memory())
        for association in idle:
            association.release()
        with Peak(peer) as peak:
            store_large(peer, 2_000_000_000)
        results.add(peer.name, "one object of 2 GB", megabytes=peak.top)
    results.table("megabytes", lower_is_better=True)


def rest(peer: Peer) -> None:
    """Wait until the worker that was started in advance has come and gone."""
    until = time.monotonic() + 120
    for there in (True, False):
        while has_worker(peer) is not there:
            if time.monotonic() > until:
                raise RuntimeError("no worker was started in advance, or it stays")
            time.sleep(0.1)


def has_worker(peer: Peer) -> bool:
    """Whether some process of `peer` draws pictures, or is there to do so."""
    for process in peer.tree():
        with suppress(psutil.Error):
            if WORKER in process.cmdline():  # one that has ended shows none
                return True
    return False


def store_large(peer: Peer, size: int) -> None:
    """C-STORE one CT whose pixel data has `size` bytes, made on the fly."""
    instance = uid("large")
    names = {0x00080016: CT_IMAGE, 0x00080018: instance, 0x0020000D: uid("study"), 0x0020000E: uid("series")}
    identity = {tag: Element("UI", value.encode() + b"\0" * (len(value) % 2)) for tag, value in names.items()}
    identity[0x00100020] = Element("LO", b"LARGE1")
    head = encode(identity, EXPLICIT) + b"\xe0\x7f\x10\x00OW\0\0" + size.to_bytes(4, "little")
    slab = bytes(1 << 20)

    def chunks() -> Iterator[bytes]:
        yield head
        left = size
        while left:
            yield slab[: min(left, len(slab))]
            left -= min(left, len(slab))

    contexts = [ProposedContext(CT_IMAGE, (EXPLICIT,))]
    with connect(("127.0.0.1", peer.port), calling="BENCH", called=peer.title, contexts=contexts) as association:
        status = association.store(1, CT_IMAGE, instance, BytesSource(chunks()))
    if status:
        raise RuntimeError(f"the object was answered with {status:04X}")


if __name__ == "__main__":
    main()
