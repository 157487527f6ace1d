"""Feeds that send for long, over connections that end one way or another: memory stays flat, nothing is missing.

`SOAK_MESSAGES` is how many (50,000). What is seen is printed: `make soak ARGS='-s -k hl7'`.
"""

import os
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import func, select

from databases import postgresql_url
from isocenter import database
from isocenter.hl7.calling import Caller
from isocenter.hl7.framing import framed
from isocenter.workflow.messages.tables import hl7_message
from isocenter.workflow.worklist.tables import worklist_item
from servers import Server, until

__all__ = ["postgresql_url"]

MESSAGES = int(os.environ.get("SOAK_MESSAGES", "50000"))
FEEDS = 8
_ABORTIVE = struct.pack("ii", 1, 0)
FLAT = 1.15
"""Ratio of a process' memory at the end to that after a fifth of the messages."""
ROOM = 4 << 20
"""Bytes that it may be more in any case."""


def message(feed: int, number: int) -> bytes:
    """An order of a patient of its own, then an update of that patient; each hundredth is refused."""
    patient = f"{feed}P{number // 2}"
    update = number % 2
    kind = "ADT^A08^ADT_A01" if update else "ORM^O01^ORM_O01"
    control = f"{feed}-{number}"
    lines = [
        f"MSH|^~\\&|RIS{feed}|HOSP|I|R|20240131120000||{kind}|{control}|P|2.5",
        f"PID|1||{'' if number % 100 == 50 else patient}^^^HOSP^MR||DOE^JANE^{number}||19700101|F",
        f"PV1|1|O|RAD^1^1||||||||||||||||V{patient}^^^HOSP",
    ]
    if not update:
        lines += [
            f"ORC|NW|{control}^RIS||||||^^^20240201100000",
            f"OBR|1|{control}^RIS||CT^Head^L||||||||||||||A{control}|R{control}|S{control}||||CT",
        ]
    return ("\r".join(lines) + "\r").encode()


class Feed(threading.Thread):
    """Sends its messages in order; now and then it ends its connection, politely, in the midst of a message, or without
    having heard the answer, and sends that message again."""

    def __init__(self, port: int, number: int, count: int) -> None:
        super().__init__(daemon=True)
        self._port, self._number, self._count = port, number, count
        self._chance = random.Random(number)
        self.sent = 0
        self.connections = 0
        self.codes: Counter[str] = Counter()
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Send them all."""
        try:
            while self.sent < self._count:
                self.connections += 1
                self._connected()
        except BaseException as failure:
            self.failure = failure

    def _connected(self) -> None:
        with Caller(("127.0.0.1", self._port)) as caller:
            for _ in range(min(self._chance.randrange(1, 200), self._count - self.sent)):
                self.codes[caller.send(message(self._number, self.sent)).value("MSA-1")] += 1
                self.sent += 1
        if self.sent < self._count and (how := self._chance.randrange(3)):
            self._rudely(framed(message(self._number, self.sent)), whole=how == 1)

    def _rudely(self, data: bytes, *, whole: bool) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORTIVE)
            sock.sendall(data if whole else data[: self._chance.randrange(1, len(data))])


def memory(server: Server) -> dict[str, int]:
    """Bytes that each kind of process has for itself."""
    kinds = {pid: kind for kind in ("hl7", "dicom", "jobs", "web") for pid in server.pids(kind)}
    found: Counter[str] = Counter()
    for process in server.processes():
        found[kinds.get(process.pid, "other")] += process.memory_full_info().uss
    return dict(found)


def held(server: Server) -> int:
    """Threads and descriptors of the HL7 process."""
    (pid,) = server.pids("hl7")
    process = psutil.Process(pid)
    return int(process.num_threads() + process.num_fds())


def soaked(server: Server, count: int) -> Iterator[dict[str, Any]]:
    """What there is to be seen: after each tenth of the messages, and at the end."""
    begun = time.monotonic()
    feeds = [Feed(server.hl7_port, number, count // FEEDS) for number in range(FEEDS)]
    for feed in feeds:
        feed.start()

    def sent() -> int:
        return sum(feed.sent for feed in feeds)

    for tenth in range(1, 10):
        until(lambda tenth=tenth: sent() >= count * tenth // 10, patience=3600, told="messages")  # type: ignore[misc]
        yield {"messages": sent(), "seconds": round(time.monotonic() - begun), **memory(server)}
    for feed in feeds:
        feed.join(3600)
        assert feed.failure is None, feed.failure
    codes = sum((feed.codes for feed in feeds), Counter())
    yield {"messages": sent(), "seconds": round(time.monotonic() - begun), **memory(server), "codes": dict(codes),
           "connections": sum(feed.connections for feed in feeds)}  # fmt: skip


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.req("M-HL7-01")
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_soak_feeds_that_send_for_long(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgresql_url") if kind == "postgresql" else ""
    with Server(tmp_path / "data", hl7=True, settings={"database": url} if url else {}) as server:
        before, pids, seen = held(server), server.pids("hl7"), []
        for each in soaked(server, MESSAGES):
            seen.append(each)
            print(kind, each)
        until(lambda: held(server) <= before + 2, told="threads and descriptors of connections are gone")
        assert server.pids("hl7") == pids, "the process died"
        assert server.stop() == 0
        assert "Traceback" not in server.whole_log()
        assert "JANE" not in server.whole_log()
    refused = FEEDS * sum(n % 100 == 50 for n in range(MESSAGES // FEEDS))
    assert seen[-1]["codes"] == {"AA": MESSAGES // FEEDS * FEEDS - refused, "AE": refused}
    index = database.open(url or tmp_path / "data" / "index.db")
    with index.reading() as connection:
        states = dict(connection.execute(select(hl7_message.c.state, func.count()).group_by(hl7_message.c.state)).all())
        orders = connection.execute(select(func.count()).select_from(worklist_item)).scalar_one()
    index.close()
    assert states == {"processed": MESSAGES // FEEDS * FEEDS - refused, "refused": refused}
    assert orders == FEEDS * sum(n % 2 == 0 and n % 100 != 50 for n in range(MESSAGES // FEEDS))
    for process in ("hl7", "dicom", "jobs"):
        assert seen[-1][process] < FLAT * seen[1][process] + ROOM, f"{process} grows"
