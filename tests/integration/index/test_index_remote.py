"""The index over its socket: answers, errors, a writer's process that dies, one that never answers."""

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from arrivals import arrival
from isocenter import database
from isocenter.errors import Reason, Refused, Retriable
from isocenter.index import tables, wire
from isocenter.index.records import Choice, Deletion, ExceptionNote, Outcome, Record
from isocenter.index.remote import RemoteWriter
from isocenter.index.serving import Server, listen
from isocenter.index.writer import LocalWriter


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "index.sock"


@pytest.fixture
def served(sqlite_url: str, place: Path) -> Iterator[database.Database]:
    opened = database.open(sqlite_url)
    writer = LocalWriter(opened, intake=Server(place))
    yield opened
    writer.close()
    opened.close()


def _instances(opened: database.Database) -> int:
    with opened.reading() as connection:
        return connection.execute(select(func.count()).select_from(tables.instance)).scalar() or 0


RECORDS: list[Record] = [
    arrival(flags=("irregular-uid",), attributes=(("P", "00102160", 0, "X", "x"),), accessions=(("A2", "ISS"),)),
    arrival(patient_ids=(("P9", ""),))._replace(instance={"frame_table": b"\1\2", "rows": None, "frames": 3}),
    Deletion("1.2", "1.3", "", 5, 6, 7),
    Choice(arrival(), 9),
    ExceptionNote("k", "r", "c", "1", "2", "3", "A", "B", "::1", 4),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: type(r).__name__)
def test_records_cross_the_wire(record: Record) -> None:
    frame = wire.request(7, record)
    (found,) = [wire.parse_request(body) for body in wire.Frames().feed(frame)]
    assert found == (7, record)
    assert type(found[1]) is type(record)


def test_answers_cross_the_wire_in_any_pieces() -> None:
    answers = [Outcome("stored"), Outcome("conflict", "k", ("a", "b"), 3)]
    data = b"".join(wire.answer(n, answer) for n, answer in enumerate(answers))
    data += wire.answer(2, Retriable(Reason.OUT_OF_STORAGE, "full")) + wire.answer(3, Refused(Reason.NOT_FOUND))
    frames, found = wire.Frames(), []
    for i in range(len(data)):
        found += [wire.parse_answer(body) for body in frames.feed(data[i : i + 1])]
    assert [number for number, _ in found] == [0, 1, 2, 3]
    assert [answer for _, answer in found[:2]] == answers
    fault = found[2][1]
    assert isinstance(fault, Retriable)
    assert (fault.reason, fault.comment) == (Reason.OUT_OF_STORAGE, "full")
    assert isinstance(found[3][1], Refused)


def test_a_frame_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="frame"):
        list(wire.Frames().feed(b"\xff\xff\xff\xff"))


def test_filing_from_elsewhere(served: database.Database, place: Path) -> None:
    writers = [RemoteWriter(place) for _ in range(2)]
    futures = [writers[n % 2].submit(arrival(n % 2, 1, n)) for n in range(200)]
    assert {future.result(20).verdict for future in futures} == {"stored"}
    refused = writers[0].submit(arrival(1, 1, 999, size=None)).exception(20)
    assert isinstance(refused, Refused)
    for writer in writers:
        writer.close()
    assert _instances(served) == 200


def test_filing_and_waiting_in_many_threads(served: database.Database, place: Path) -> None:
    writer = RemoteWriter(place)
    verdicts: list[str] = []
    threads = [
        threading.Thread(target=lambda k=k: verdicts.extend(writer.file(arrival(k, 1, n)).verdict for n in range(40)))
        for k in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == ["stored"] * 200
    with pytest.raises(Refused):
        writer.file(arrival(1, 1, 999, size=None))
    writer.close()
    assert _instances(served) == 200


def test_waiting_for_nobody(place: Path) -> None:
    writer = RemoteWriter(place, deadline=0.3)
    with pytest.raises(Retriable):
        writer.file(arrival())
    listener = listen(place)
    with pytest.raises(Retriable):
        writer.file(arrival())
    listener.close()
    writer.close()


def test_only_this_user_may_connect(served: database.Database, place: Path) -> None:
    assert place.stat().st_mode & 0o077 == 0


def test_garbage_costs_one_connection(served: database.Database, place: Path) -> None:
    for garbage in (b"\xff" * 8, b"\x01\0\0\0\xc1", wire.LENGTH.pack(3) + b"\x93\x01\x63"):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(place))
            stranger.sendall(garbage)
            assert stranger.recv(10) == b""
    writer = RemoteWriter(place)
    assert writer.submit(arrival()).result(20).verdict == "stored"
    writer.close()


def test_without_an_answer_in_time(place: Path) -> None:
    listener = listen(place)
    writer = RemoteWriter(place, deadline=0.3)
    fault = writer.submit(arrival()).exception(20)
    assert isinstance(fault, Retriable)
    assert fault.reason == Reason.OUT_OF_RESOURCES
    listener.close()
    writer.close()


def test_nobody_there(place: Path) -> None:
    writer = RemoteWriter(place, deadline=0.3)
    assert isinstance(writer.submit(arrival()).exception(20), Retriable)
    writer.close()
    assert isinstance(writer.submit(arrival()).exception(1), Retriable)


def _index(url: str, place: str) -> None:
    opened = database.open(url)
    LocalWriter(opened, intake=Server(Path(place)))
    threading.Event().wait()


def test_the_writing_process_is_killed_again_and_again(sqlite_url: str, place: Path) -> None:
    """Every record is filed once, and answered."""
    context = multiprocessing.get_context("spawn")
    remote = RemoteWriter(place)
    made = [arrival(n % 3, n % 2, n) for n in range(1500)]
    done = threading.Semaphore(0)
    process = context.Process(target=_index, args=(sqlite_url, str(place)), daemon=True)
    process.start()
    futures = [remote.submit(a) for a in made[:500]]
    for part in (made[500:1000], made[1000:]):
        futures[0].add_done_callback(lambda _: done.release())
        assert done.acquire(timeout=30)
        fresh = [remote.submit(a) for a in part]
        fresh[20].result(30)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        process = context.Process(target=_index, args=(sqlite_url, str(place)), daemon=True)
        process.start()
        futures += fresh
    assert {future.result(30).verdict for future in futures} == {"stored"}
    remote.close()
    process.kill()
    process.join()
    opened = database.open(sqlite_url)
    assert _instances(opened) == 1500
    with opened.reading() as connection:
        assert connection.execute(select(func.sum(tables.series.c.instances))).scalar() == 1500
        assert connection.execute(select(func.count()).select_from(tables.change)).scalar() == 1500
    opened.close()
