"""SIGKILL while feeds send orders: what was acknowledged is there afterwards, and nothing is there twice."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from isocenter import database
from isocenter.database.tables import change
from isocenter.hl7.calling import Caller, ReceiverLost, ReceiverUnreachable
from isocenter.workflow.messages.tables import hl7_message
from isocenter.workflow.worklist.tables import worklist_item
from servers import Server, until


def order(feed: int, number: int) -> bytes:
    """A new order of a patient of its own."""
    name = f"{feed}-{number}"
    lines = (
        f"MSH|^~\\&|RIS{feed}|HOSP|I|R|20240131||ORM^O01|{name}|P|2.5",
        f"PID|||{name}^^^HOSP||DOE^JANE",
        f"ORC|NW|{name}^RIS||||||^^^20240201",
        f"OBR|1|{name}^RIS||CT^Head^L||||||||||||||A{name}|R{name}|S{name}||||CT",
    )
    return "".join(f"{line}\r" for line in lines).encode()


class Sending:
    """A feed that sends its orders one after the other, and each one again until it is acknowledged."""

    def __init__(self, port: Callable[[], int], feed: int, count: int) -> None:
        self._port, self._feed, self._count = port, feed, count
        self.acknowledged = 0
        self.codes: Counter[str] = Counter()
        self.repeated = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while self.acknowledged < self._count:
            try:
                with Caller(("127.0.0.1", self._port())) as caller:
                    while self.acknowledged < self._count:
                        answer = caller.send(order(self._feed, self.acknowledged))
                        self.codes[answer.value("MSA-1")] += 1
                        self.acknowledged += 1
            except (ReceiverLost, ReceiverUnreachable):
                self.repeated += 1
                threading.Event().wait(0.02)  # nobody listens while the server starts again

    def end(self) -> None:
        """Wait until all is acknowledged."""
        self._thread.join(120)
        assert not self._thread.is_alive()


def counted(data: Path) -> tuple[Counter[str], Counter[str], int]:
    """Orders in the worklist, changes that were made for them, and messages that are not processed."""
    index = database.open(data / "index.db")
    with index.reading() as connection:
        entries = Counter(connection.execute(select(worklist_item.c.accession)).scalars())
        changes = Counter(connection.execute(select(change.c.study_uid).where(change.c.kind == "scheduled")).scalars())
        left = connection.execute(select(hl7_message.c.id).where(hl7_message.c.state != "processed")).all()
    index.close()
    return entries, changes, len(left)


def test_kills_in_the_middle_lose_and_double_nothing(tmp_path: Path) -> None:
    feeds, count, chance = 3, 40, random.Random(7)
    server = Server(tmp_path / "data", hl7=True, settings={"processes__restart_delay": 0.01})
    try:
        server.start()
        senders = [Sending(lambda: server.hl7_port, feed, count) for feed in range(feeds)]

        def reached(n: int) -> bool:
            return sum(sender.acknowledged for sender in senders) >= n

        until(lambda: reached(chance.randint(10, 25)), told="orders acknowledged")
        killed = server.kill_kind("hl7")
        server.await_restart("hl7", killed)
        until(lambda: reached(chance.randint(50, 70)), told="orders acknowledged")
        server.kill()
        server.start()
        for sender in senders:
            sender.end()
        assert sum(sender.repeated for sender in senders) >= 2, "nobody was interrupted"
        assert server.stop() == 0
    finally:
        server.kill()
    assert sum((sender.codes for sender in senders), Counter()) == {"AA": feeds * count}
    entries, changes, left = counted(tmp_path / "data")
    expected = Counter(f"A{feed}-{number}" for feed in range(feeds) for number in range(count))
    assert entries == expected
    assert len(changes) == feeds * count
    assert set(changes.values()) == {1}, "an order was carried out twice"
    assert left == 0
    assert "JANE" not in server.whole_log()
    assert "DOE" not in server.whole_log()


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(5))
def test_soak_kills_of_the_hl7_process(tmp_path: Path, seed: int) -> None:
    feeds, count, chance = 4, 400, random.Random(seed)
    server = Server(tmp_path / "data", hl7=True, settings={"processes__restart_delay": 0.0001})
    try:
        server.start()
        senders = [Sending(lambda: server.hl7_port, feed, count) for feed in range(feeds)]
        for goal in range(100, feeds * count, 200):
            until(lambda goal=goal: sum(each.acknowledged for each in senders) >= goal, told="orders")  # type: ignore[misc]
            if chance.random() < 0.3:
                server.kill()
                server.start()
            else:
                server.await_restart("hl7", server.kill_kind("hl7"))
        for sender in senders:
            sender.end()
        assert server.stop() == 0
    finally:
        server.kill()
    entries, changes, left = counted(tmp_path / "data")
    assert (len(entries), len(changes), left) == (feeds * count, feeds * count, 0)
    assert set(entries.values()) == set(changes.values()) == {1}
