"""Stores objects from several processes and threads until it is killed; a line for each that `commit` said is durable.

Run as `python store_writer.py ROOT DURABILITY PROCESSES THREADS`. Lines: `object KEY`, `settled KEY` before it is
settled, `journal SEED.NUMBER`.
"""

import os
import random
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from isocenter.dicom import part10
from isocenter.store.filesystem import FilesystemStore

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
RECEIPT = part10.Receipt("CT1", "ISOCENTER", "127.0.0.1", 1_800_000_000_000_000, "")


def say(line: str) -> None:
    """One write, so that lines of several processes don't mix, and a kill takes none that was written."""
    os.write(1, f"{line}\n".encode())


def store_one(store: FilesystemStore, rng: random.Random) -> None:
    """Begin an object; commit most, discard some, settle most."""
    spool = store.reserve()
    spool.begin(len(part10.stored_header(CT, "1.2.3", EXPLICIT_LE, RECEIPT)))
    for _ in range(rng.choice((1, 1, 1, 5, 40))):
        spool.write([rng.randbytes(rng.choice((9, 11_000, 70_000)))])
    digest = spool.finish_data()
    if rng.random() < 0.1:
        spool.discard()
        return
    spool.commit(part10.stored_header(CT, "1.2.3", EXPLICIT_LE, RECEIPT._replace(digest=digest)))
    say(f"object {spool.key}")
    if rng.random() < 0.8:
        say(f"settled {spool.key}")
        spool.settle()


def work(store: FilesystemStore, seed: int) -> None:
    """What one thread does."""
    rng = random.Random(seed)
    for number in range(100_000):
        store_one(store, rng)
        if number % 10 == 0:
            store.append_journal({"seed": seed, "number": number})
            say(f"journal {seed}.{number}")


def main() -> None:
    """Fork, start threads, go on for ever."""
    root, durability, processes, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    store = FilesystemStore(root, durability=durability, floor_bytes=0)
    process = next((n for n in range(1, processes) if os.fork() == 0), 0)
    for thread in range(threads):
        threading.Thread(target=work, args=(store, process * 100 + thread)).start()


if __name__ == "__main__":
    main()
