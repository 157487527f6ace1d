"""The writer at work: many submitters, several writers on PostgreSQL, a database that goes away, the log's size."""

import os
import threading
from collections.abc import Callable, Sequence

import pytest
from sqlalchemy import func, select, text

from arrivals import arrival
from databases import Cluster
from isocenter import database
from isocenter.errors import Reason, Retriable
from isocenter.index import tables
from isocenter.index.records import Arrival, Deletion
from isocenter.index.writer import LocalWriter


def _together(jobs: Sequence[Callable[[], None]]) -> None:
    faults: list[BaseException] = []

    def run(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert faults == []


def _count(opened: database.Database, name: str) -> int:
    with opened.reading() as connection:
        return connection.execute(select(func.count()).select_from(tables.metadata.tables[name])).scalar() or 0


def test_many_submitters(any_url: str) -> None:
    opened = database.open(any_url)
    writer = LocalWriter(opened)

    def submit(study: int) -> None:
        futures = [writer.submit(arrival(study, n % 3, n, patient=f"P{study % 2}")) for n in range(60)]
        assert {future.result(30).verdict for future in futures} == {"stored"}

    _together([lambda s=s: submit(s) for s in range(4)])  # type: ignore[misc]
    writer.close()
    assert [_count(opened, t) for t in ("patient", "study", "series", "instance", "change")] == [2, 4, 12, 240, 240]
    opened.close()


def test_several_writers_on_postgresql(postgresql_url: str) -> None:
    """The same studies from four writers, in different orders: no deadlock, nothing twice, every answer right."""
    opened = [database.open(postgresql_url) for _ in range(4)]
    writers = [LocalWriter(each) for each in opened]
    verdicts: list[str] = []

    def submit(turn: int) -> None:
        numbers = list(range(60))
        numbers = numbers[turn * 15 :] + numbers[: turn * 15]
        if turn % 2:
            numbers.reverse()
        made = [arrival(n % 5, n % 2, n, patient=f"P{n % 5}") for n in numbers]
        made = [a._replace(sop_class=f"1.2.{turn % 2}") for a in made]
        verdicts.extend(f.result(30).verdict for f in [writers[turn].submit(a) for a in made])

    _together([lambda t=t: submit(t) for t in range(4)])  # type: ignore[misc]
    for writer in writers:
        writer.close()
    assert verdicts.count("stored") == 60
    assert verdicts.count("equal") == 180
    counts = [_count(opened[0], t) for t in ("patient", "study", "series", "instance", "change", "removal")]
    assert counts == [5, 5, 10, 60, 60, 180]
    with opened[0].reading() as connection:
        assert connection.execute(select(func.sum(tables.series.c.instances))).scalar() == 60
        for classes in connection.execute(select(tables.series.c.sop_classes)).scalars():
            assert len(set(classes.split("\\"))) == len(classes.split("\\"))
    for each in opened:
        each.close()


def test_another_writer_deletes_what_is_remembered(postgresql_url: str) -> None:
    opened = [database.open(postgresql_url) for _ in range(2)]
    first, second = (LocalWriter(each) for each in opened)
    a = arrival(1, 1, 1)
    assert first.submit(a).result(20).verdict == "stored"
    assert second.submit(Deletion(a.study_uid)).result(20).objects == 1
    assert first.submit(arrival(1, 1, 2)).result(20).verdict == "stored", "its series is made again"
    assert _count(opened[0], "instance") == 1
    for writer in (first, second):
        writer.close()
    for each in opened:
        each.close()


def test_the_log_does_not_grow_for_ever(sqlite_url: str) -> None:
    opened = database.open(sqlite_url)
    writer = LocalWriter(opened)
    log = f"{opened.path}-wal"
    sizes = []
    for turn in range(4):
        futures = [writer.submit(arrival(turn, 1, n)) for n in range(1500)]
        for future in futures:
            future.result(30)
        sizes.append(os.path.getsize(log))
    writer.close()
    opened.close()
    assert max(sizes) < 4 << 20
    assert not os.path.exists(log)


def test_a_reader_that_stays_does_not_stop_the_writer(sqlite_url: str) -> None:
    opened = database.open(sqlite_url)
    writer = LocalWriter(opened)
    with opened.reading(snapshot=True) as connection:
        connection.execute(text("SELECT count(*) FROM instance")).scalar()
        for future in [writer.submit(arrival(1, 1, n)) for n in range(1000)]:
            assert future.result(30).verdict == "stored"
        assert connection.execute(text("SELECT count(*) FROM instance")).scalar() == 0
    writer.close()
    opened.close()


@pytest.fixture
def own_cluster() -> "object":
    made = Cluster(durable=True)
    yield made
    made.remove()


def test_postgresql_restarts(own_cluster: Cluster) -> None:
    """What waits meanwhile is filed once it is back, and none of it twice."""
    url = own_cluster.create()
    database.migrate(url)
    opened = database.open(url)
    writer = LocalWriter(opened)
    made = [arrival(1, 1, n) for n in range(200)]
    futures = [writer.submit(a) for a in made[:100]]
    own_cluster.stop()
    futures += [writer.submit(a) for a in made[100:]]
    own_cluster.start()
    assert {future.result(30).verdict for future in futures} == {"stored"}
    assert _count(opened, "instance") == 200
    writer.close()
    opened.close()


def test_postgresql_stays_away(own_cluster: Cluster) -> None:
    url = own_cluster.create()
    database.migrate(url)
    opened = database.open(url)
    writer = LocalWriter(opened, deadline=0.2)
    assert writer.submit(arrival(1, 1, 1)).result(20).verdict == "stored"
    own_cluster.stop()
    late: list[Arrival] = [arrival(1, 1, n) for n in (2, 3)]
    for a in late:
        fault = writer.submit(a).exception(20)
        assert isinstance(fault, Retriable)
        assert fault.reason == Reason.OUT_OF_RESOURCES
    own_cluster.start()
    assert writer.submit(late[0]).result(20).verdict == "stored"
    writer.close()
    opened.close()


def test_a_full_disk_is_told_as_such(sqlite_url: str) -> None:
    opened = database.open(sqlite_url)
    writer = LocalWriter(opened)
    assert writer.submit(arrival(1, 1, 0)).result(20).verdict == "stored"
    with opened.reading() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar()
    writer._batches._session.run(f"PRAGMA max_page_count={pages}")
    faults = [writer.submit(arrival(n, 1, n)).exception(20) for n in range(1, 60)]
    assert isinstance(faults[-1], Retriable)
    assert faults[-1].reason == Reason.OUT_OF_STORAGE
    writer._batches._session.run("PRAGMA max_page_count=1000000")
    assert writer.submit(arrival(99)).result(20).verdict == "stored"
    stored = faults.count(None)
    assert _count(opened, "instance") == stored + 2
    writer.close()
    opened.close()
