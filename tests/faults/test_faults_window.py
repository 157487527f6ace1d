"""SIGKILL while senders keep several C-STOREs under way on each association: as for those that wait for each answer."""

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from faults.contents import check
from isocenter import dimse
from isocenter.dicom import uids
from isocenter.errors import IsocenterError
from senders import CALLED, CT, Book, Sample, Senders, sample
from servers import PATIENCE, Server

AHEAD = 6
_NETWORK = dimse.Settings(connect=PATIENCE, response=PATIENCE, dimse=PATIENCE, artim=PATIENCE, window=(AHEAD, 1))


class AheadSenders(Senders):
    """As many objects under way as was agreed on."""

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **named)
        self.windows: set[int] = set()

    def _send(self, sender: int) -> None:
        chance = random.Random(f"{self._run}.{sender}")
        numbers = itertools.count()
        contexts = [dimse.ProposedContext(CT, (uids.EXPLICIT_LE,))]
        while not self._ending.is_set():
            try:
                with dimse.connect(
                    ("127.0.0.1", self._port()), calling=f"AHEAD{sender}", called=CALLED, contexts=contexts,
                    settings=_NETWORK,
                ) as link:  # fmt: skip
                    self.windows.add(link.window)
                    for item, response in link.store_many(self._outgoing(sender, numbers, chance)):
                        assert isinstance(item.token, Sample)
                        self._book.answered(item.token, response.status)
            except IsocenterError:
                self.broken += 1
                self._ending.wait(0.02)

    def _outgoing(self, sender: int, numbers: Iterator[int], chance: random.Random) -> Iterator[dimse.Outgoing]:
        while not self._ending.is_set():
            each = sample(next(numbers), run=self._run, sender=sender, pixels=self._pixels(chance))
            self._book.sending(each)
            yield dimse.Outgoing(1, CT, each.instance, dimse.BytesSource(each.data), token=each)


@pytest.mark.req("I-ASSOC-08", "I-ASSOC-33", "M-STORE-09")
def test_what_is_acknowledged_out_of_turn_survives_kills_too(make_server: Callable[..., Server], book: Book) -> None:
    server = make_server()
    server.data.mkdir()
    (server.data / "isocenter.toml").write_text('[[ae]]\ntitle = "ISOCENTER"\nwindow = { performed = 0 }\n')
    server.start()
    chance = random.Random(5)
    for _ in range(2):
        with AheadSenders(lambda: server.dicom_port, book, threads=2) as senders:
            book.await_acknowledged(chance.randint(20, 250))
            server.kill()
        assert senders.windows == {AHEAD}
        server.start()
        check(server, book)
    assert set(book.statuses) == {0}
