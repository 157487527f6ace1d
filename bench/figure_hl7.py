"""HL7: messages a second, each acknowledged once what it asks for is durable, beside a receiver that only keeps them.

python bench/figure_hl7.py [--messages 2000] [--connections 1,8] [--case order,update,mixed] [--runs 3] [--peers ...]

Each connection is a feed of its own, and waits for each acknowledgement before it sends the next message.
"""

import argparse
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from harness import Isocenter, Peer, Results, free_port, running, start_postgres

from isocenter.hl7.calling import Caller

CASES = ("order", "update", "mixed")


class Keeper(Peer):
    """Writes each message into a synced file, and does nothing with it."""

    def __init__(self, name: str = "keeper") -> None:
        super().__init__(name)
        self.hl7 = free_port()

    def command(self) -> list[str]:
        program = str(Path(sys.executable).parent / "isocenter")
        return [program, "hl7", "listen", "--port", str(self.hl7), "--out", f"{self.folder}/out", "--json"]

    def wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                Caller(("127.0.0.1", self.hl7)).close()
            except Exception:  # it is not there yet
                time.sleep(0.05)
            else:
                return
        raise RuntimeError("the keeper did not start")


class OnPostgreSQL(Isocenter):
    """Ours, with its index in a PostgreSQL of its own, which syncs each commit."""

    def start(self, sink: int = 0) -> Peer:
        port = free_port()
        start_postgres(self, Path(f"{self.folder}.pg"), port)
        self.settings = {"ISOCENTER_DATABASE": f"postgresql://postgres@/postgres?host={self.folder}.pg&port={port}"}
        return super().start(sink)


PEERS = {"keeper": Keeper, "isocenter": Isocenter, "postgresql": lambda: OnPostgreSQL("postgresql")}


def messages(case: str, feed: int, count: int) -> Iterator[bytes]:
    """New orders, visit updates of their patients, or both in turn."""
    for number in range(count):
        update = case == "update" or (case == "mixed" and number % 2)
        patient = number // 2 if case == "mixed" else number
        kind = "ADT^A08^ADT_A01" if update else "ORM^O01^ORM_O01"
        lines = [
            f"MSH|^~\\&|RIS{feed}|HOSPITAL|ISOCENTER|RADIOLOGY|20240131120000||{kind}|{feed}-{number}|P|2.5",
            f"PID|1||{feed}P{patient}^^^HOSPITAL^MR||DOE^JANE^{number}||19700101|F|||1 STREET^^TOWN^^12345",
            f"PV1|1|O|RAD^1^1||||1234^REFERRER^RITA||||||||||||V{feed}{patient}^^^HOSPITAL",
        ]
        if not update:
            lines += [
                f"ORC|NW|P{feed}{number}^RIS|F{feed}{number}^RIS||SC||^^^20240201100000",
                f"OBR|1|P{feed}{number}^RIS|F{feed}{number}^RIS|CTHEAD^CT of the head^L||||||||||||||"
                f"A{feed}{number}|R{feed}{number}|S{feed}{number}||||CT|||^^^20240201100000",
            ]
        yield ("\r".join(lines) + "\r").encode()


def send(port: int, case: str, connections: int, count: int) -> tuple[float, int, float]:
    """Seconds, refusals, and the longest wait for an acknowledgement in milliseconds."""
    refused, longest = [0] * connections, [0.0] * connections

    def feed(number: int) -> None:
        with Caller(("127.0.0.1", port)) as caller:
            for message in messages(case, number, count // connections):
                begun = time.perf_counter()
                refused[number] += caller.send(message).value("MSA-1") != "AA"
                longest[number] = max(longest[number], 1e3 * (time.perf_counter() - begun))

    threads = [threading.Thread(target=feed, args=(number,)) for number in range(connections)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begun, sum(refused), max(longest)


def measure(peer: Isocenter | Keeper, case: str, connections: int, count: int, results: Results) -> None:
    """Send to a fresh `peer`."""
    with running(peer):
        before = peer.cpu()
        elapsed, wrong, longest = send(peer.hl7, case, connections, count)
        cpu = peer.cpu() - before
    results.add(peer.name, f"{case}/{connections}", per_second=count / elapsed, longest_ms=longest,
                cpu_ms=1e3 * cpu / count, errors=wrong)  # fmt: skip


def main() -> None:
    """Run the cases, and print the tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--messages", type=int, default=2000)
    options.add_argument("--connections", default="1,8")
    options.add_argument("--case", default=",".join(CASES))
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--peers", default=",".join(PEERS))
    given = options.parse_args()
    results = Results("hl7", "keeper")
    for _ in range(given.runs):
        for case in given.case.split(","):
            for connections in map(int, given.connections.split(",")):
                for name in given.peers.split(","):
                    measure(PEERS[name](), case, connections, given.messages, results)
    results.table("per_second")
    results.table("longest_ms", lower_is_better=True)
    results.table("cpu_ms", lower_is_better=True)


if __name__ == "__main__":
    main()
