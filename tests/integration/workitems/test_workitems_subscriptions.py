"""Subscriptions of the unified worklist (PS3.4 CC.2.3): the transition table, filters, locks, who is told of what."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import delete, select

from databases import migrated
from isocenter.config import Settings
from isocenter.declarations.workitem import FILTERED, GLOBAL, Event, State, Status
from isocenter.dicom.uids import new_uid
from isocenter.exchange.peers import Peers
from isocenter.index.tables import job
from isocenter.jobs import Queue, Runner
from isocenter.registry.roster import Fixed
from isocenter.workflow.workitems import models
from isocenter.workflow.workitems.delivering import Deliverer, Tries, upkeep
from isocenter.workflow.workitems.events import KIND, Position
from isocenter.workflow.workitems.parting import Parting
from isocenter.workflow.workitems.tables import workitem_event, workitem_ticket
from isocenter.workflow.workitems.tickets import LIFETIME, Tickets
from workitem_models import TRANSACTION, Worklist, code, sequence

LABEL = ((0x00741204,), "Segment*")


@pytest.fixture(scope="module")
def worklist(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worklist]:
    made = Worklist(migrated(tmp_path_factory.mktemp("subscriptions")))
    yield made
    made.database.close()


def _end(worklist: Worklist, uid: str, aet: str) -> Any:
    return worklist.do(worklist.items.subscriptions.unsubscribe, uid, aet)


def _act(worklist: Worklist, action: str, uid: str, aet: str) -> Any:
    items = worklist.items.subscriptions
    match action:
        case "global locked" | "global unlocked":
            return worklist.subscribe(GLOBAL, aet, lock=action.endswith(" locked"))
        case "locked" | "unlocked":
            return worklist.subscribe(uid, aet, lock=action == "locked")
        case "end":
            return worklist.do(items.unsubscribe, uid, aet)
        case "end global":
            return worklist.do(items.unsubscribe, GLOBAL, aet)
        case _:
            return worklist.do(items.suspend, GLOBAL, aet)


_STATES = ("none", "locked", "unlocked")
TABLE = {
    # action: what follows of none, locked, unlocked; whether an initial event is sent
    "global locked": (("locked", True), ("locked", False), ("unlocked", False)),
    "global unlocked": (("unlocked", True), ("locked", False), ("unlocked", False)),
    "locked": (("locked", True), ("locked", True), ("locked", True)),
    "unlocked": (("unlocked", True), ("unlocked", True), ("unlocked", True)),
    "end": (("none", False), ("none", False), ("none", False)),
    "end global": (("none", False), ("none", False), ("none", False)),
    "suspend": (("none", False), ("locked", False), ("unlocked", False)),
}


@pytest.mark.parametrize(
    ("action", "before", "after", "told"),
    [(action, before, *cell) for action, cells in TABLE.items() for before, cell in zip(_STATES, cells, strict=True)],
)
def test_the_transition_table(worklist: Worklist, action: str, before: str, after: str, told: bool) -> None:
    uid, aet = new_uid(), f"W{new_uid()[-12:]}"
    worklist.create(uid)
    if before != "none":
        worklist.subscribe(uid, aet, lock=before == "locked")
    count = len(worklist.events(aet, uid))
    assert int(_act(worklist, action, uid, aet)) < 0xC000
    assert worklist.subscribed(uid, aet) == after
    new = worklist.events(aet, uid)[count:]
    mine = [model for kind, model in new if kind is Event.STATE_REPORT]
    assert bool(mine) == told
    later = new_uid()
    worklist.create(later)
    watched = {"global locked": "locked", "global unlocked": "unlocked"}.get(action, "none")
    assert worklist.subscribed(later, aet) == watched
    _end(worklist, GLOBAL, aet)


def test_what_a_new_workitem_is_told_with(worklist: Worklist) -> None:
    worklist.subscribe(GLOBAL, "NEWS")
    before = len(worklist.events("NEWS"))
    worklist.create(new_uid(), t00404025=sequence(code("ST1")))
    report, assigned = worklist.events("NEWS")[before:]
    assert report == (Event.STATE_REPORT, {
        "00404041": {"vr": "CS", "Value": ["READY"]}, "00741000": {"vr": "CS", "Value": ["SCHEDULED"]},
    })  # fmt: skip
    assert assigned == (Event.ASSIGNED, {"00404025": sequence(code("ST1"))})
    _end(worklist, GLOBAL, "NEWS")


def test_what_a_change_is_told_with(worklist: Worklist) -> None:
    uid = new_uid()
    worklist.put(uid, State.IN_PROGRESS)
    worklist.subscribe(uid, "CHANGES")

    def told(change: dict[str, Any]) -> list[tuple[Event, Any]]:
        before = len(worklist.events("CHANGES"))
        assert worklist.do(worklist.items.update, uid, models.canonical(change), TRANSACTION) == 0
        return worklist.events("CHANGES")[before:]

    assert told({"00741200": {"vr": "CS", "Value": ["LOW"]}}) == []
    ((kind, model),) = told({"00404041": {"vr": "CS", "Value": ["INCOMPLETE"]}})
    assert (kind, model["00404041"]["Value"]) == (Event.STATE_REPORT, ["INCOMPLETE"])
    half = {"00741004": {"vr": "DS", "Value": [50]}, "00404052": {"vr": "DT", "Value": ["20261121"]}}
    ((kind, model),) = told({"00741002": sequence(half)})
    assert (kind, model) == (Event.PROGRESS_REPORT, {"00741002": sequence({"00741004": half["00741004"]})})
    who = {"00404009": sequence(code("DR")), "00404036": {"vr": "LO", "Value": ["Reading room"]}}
    ((kind, model),) = told({"00404034": sequence({**who, "00404037": {"vr": "PN", "Value": [{"Alphabetic": "A^B"}]}})})
    assert (kind, model) == (Event.ASSIGNED, who)
    assert worklist.do(worklist.items.request_cancel, uid, "ASKER", {"0074100A": {"vr": "UR", "Value": ["tel:1"]}}) == 0
    assert worklist.events("CHANGES")[-1] == (Event.CANCEL_REQUESTED, {
        "0074100A": {"vr": "UR", "Value": ["tel:1"]}, "00741236": {"vr": "AE", "Value": ["ASKER"]},
    })  # fmt: skip


def test_a_filtered_subscription(worklist: Worklist) -> None:
    old, other = new_uid(), new_uid()
    worklist.create(old)
    worklist.create(other, t00741204={"vr": "LO", "Value": ["Print"]})
    assert worklist.subscribe(FILTERED, "SOME", lock=True, keys=(LABEL,)) == Status.SUCCESS
    assert worklist.subscribe(FILTERED, "SOME", lock=True, keys=(LABEL,)) == Status.SUCCESS
    coming, passing, mine = new_uid(), new_uid(), new_uid()
    worklist.create(coming)
    worklist.create(passing, t00741204={"vr": "LO", "Value": ["Print"]})
    worklist.subscribe(other, "SOME")
    states = [worklist.subscribed(uid, "SOME") for uid in (old, coming, other, passing)]
    assert states == ["locked", "locked", "unlocked", "none"]
    worklist.do(worklist.items.subscriptions.suspend, FILTERED, "SOME")
    worklist.create(mine)
    assert worklist.subscribed(mine, "SOME") == "none"
    worklist.subscribe(FILTERED, "SOME", keys=(LABEL,))
    _end(worklist, FILTERED, "SOME")
    assert [worklist.subscribed(uid, "SOME") for uid in (old, coming, other)] == ["none", "none", "unlocked"]
    assert worklist.subscribe(FILTERED, "SOME") == Status.MISSING_ATTRIBUTE


def test_what_is_not_there_to_be_subscribed_to(worklist: Worklist) -> None:
    assert worklist.subscribe("2.25.404") == Status.NO_SUCH_WORKITEM
    assert _end(worklist, "2.25.404", "WATCHER") == Status.NO_SUCH_WORKITEM
    uid = new_uid()
    worklist.create(uid)
    assert worklist.do(worklist.items.subscriptions.suspend, uid, "WATCHER") == Status.ACTION_NOT_APPROPRIATE


def test_locks_that_are_not_granted(sqlite_url: str) -> None:
    worklist = Worklist(sqlite_url, locks=False)
    worklist.create("2.25.1")
    assert worklist.subscribe("2.25.1", lock=True) == Status.LOCK_NOT_GRANTED
    assert worklist.subscribed("2.25.1") == "unlocked"
    assert worklist.subscribe(GLOBAL, lock=True) == Status.LOCK_NOT_GRANTED
    worklist.database.close()


def test_locks_that_are_taken_away(sqlite_url: str) -> None:
    worklist = Worklist(sqlite_url)
    worklist.subscribe(GLOBAL, lock=True)
    worklist.put("2.25.1", State.COMPLETED)
    worklist.at += 10
    assert worklist.do(worklist.items.purge, worklist.at) == 0
    assert worklist.do(worklist.items.subscriptions.release, "WATCHER") == 1
    worklist.create("2.25.2")
    assert worklist.subscribed("2.25.2") == "unlocked"
    assert worklist.do(worklist.items.purge, worklist.at) == 1
    worklist.database.close()


def test_a_restart_is_told_to_every_subscriber_once(sqlite_url: str) -> None:
    worklist = Worklist(sqlite_url)
    worklist.create("2.25.1")
    worklist.subscribe(GLOBAL, "A")
    worklist.subscribe("2.25.1", "A")
    worklist.subscribe("2.25.1", "B")
    assert worklist.do(worklist.items.restarted, (("C", "ISOCENTER"), ("B", "ISOCENTER"))) == 3
    for aet in "ABC":
        told = [model for kind, model in worklist.events(aet) if kind is Event.SCP_STATUS_CHANGE]
        assert [model["00741242"]["Value"] for model in told] == [["RESTARTED"]]
    worklist.database.close()


def test_who_was_not_reached_at_the_stop_hears_of_the_start_alone(any_url: str) -> None:
    """And is waited for until a try has failed, not longer; a channel that comes later hears both, in order."""
    worklist = Worklist(any_url)
    worklist.subscribe(GLOBAL, "VIEWER")
    woken: list[None] = []
    parting = Parting(worklist.items, (("DESK", "ISOCENTER"),), 3600.0, lambda: woken.append(None))
    assert woken == [None]
    with worklist.database.reading() as connection:
        (going,) = worklist.items.events.waiting(connection, "DESK")
        assert worklist.items.events.hopeful(connection, {"DESK"})
    assert going.ends
    worklist.do(worklist.items.events.tried, going.id, "it is away")
    parting.await_told()
    worklist.do(worklist.items.restarted, (("DESK", "ISOCENTER"),))
    with worklist.database.reading() as connection:
        (again,) = worklist.items.events.waiting(connection, "DESK")
    assert (again.ends, again.of_the_scp) == (False, True)
    said = [model["00741242"]["Value"] for _, model in worklist.events("VIEWER")]
    assert said == [["GOING DOWN"], ["RESTARTED"]]
    worklist.database.close()


def test_a_stop_that_is_told_to_nobody(sqlite_url: str) -> None:
    worklist = Worklist(sqlite_url)
    worklist.subscribe(GLOBAL, "PEER", way="dimse")
    Parting(worklist.items, (("DESK", "ISOCENTER"),), 0.0, lambda: None).await_told()
    assert worklist.events("PEER") == worklist.events("DESK") == []
    worklist.database.close()


def test_a_global_subscription_misses_no_workitem_that_is_made_meanwhile(any_url: str) -> None:
    worklist = Worklist(any_url)
    uids = [f"2.25.{number}" for number in range(1, 25)]

    def make(part: list[str]) -> None:
        for uid in part:
            worklist.create(uid)

    threads = [threading.Thread(target=make, args=(uids[n::3],)) for n in range(3)]
    for thread in threads:
        thread.start()
    worklist.subscribe(GLOBAL, "ALL")
    for thread in threads:
        thread.join()
    assert [worklist.subscribed(uid, "ALL") for uid in uids] == ["unlocked"] * len(uids)
    assert len(worklist.events("ALL")) == len(uids)
    with worklist.database.reading() as connection:
        events, seen, at = worklist.items.events, [], Position()
        while page := events.read(connection, "ALL", at, limit=7):
            seen += [each.uid for each in page]
            at = page[-1].position
    assert sorted(seen) == sorted(uids)
    worklist.database.close()


def test_events_for_dimse_come_with_one_job(sqlite_url: str) -> None:
    worklist = Worklist(sqlite_url)
    worklist.subscribe(GLOBAL, "PEER", way="dimse")
    for number in range(1, 4):
        worklist.create(f"2.25.{number}")
    with worklist.database.reading() as connection:
        assert list(connection.execute(select(job.c.kind, job.c.unique_key))) == [(KIND, "PEER")]
        assert len(worklist.items.events.waiting(connection, "PEER")) == 3
    worklist.at += 10
    assert worklist.do(worklist.items.events.prune, worklist.at) == 2  # the newest stays
    worklist.database.close()


class _Turn:
    """A job under way, as far as the upkeep looks at it."""

    def cancelled(self) -> bool:
        return False


def test_upkeep_removes_what_is_old_and_wakes_what_was_left_behind(sqlite_url: str) -> None:
    worklist = Worklist(sqlite_url)
    worklist.put("2.25.1", State.COMPLETED)
    worklist.put("2.25.2", State.IN_PROGRESS)
    worklist.subscribe("2.25.2", "PEER", way="dimse")
    with worklist.database.writing() as connection:
        connection.execute(delete(job))  # as if it had been cancelled
    look = upkeep(worklist.items, keep=3600, events=1e9)
    again = look(_Turn())  # type: ignore[arg-type]
    assert again is not None
    with worklist.database.reading() as connection:
        assert list(connection.execute(select(job.c.kind, job.c.unique_key))) == [(KIND, "PEER")]
    assert worklist.change("2.25.1", State.COMPLETED) == Status.NO_SUCH_WORKITEM
    assert worklist.get("2.25.2").state is State.IN_PROGRESS
    worklist.database.close()


def test_a_ticket_is_good_once_and_soon(any_url: str) -> None:
    worklist = Worklist(any_url)
    tickets = Tickets(worklist.database, lambda: worklist.at)
    first, second, third = (tickets.issue("VIEWER") for _ in range(3))
    assert not tickets.redeem("OTHER", first)
    assert [tickets.redeem("VIEWER", first) for _ in range(2)] == [True, False]
    worklist.at += LIFETIME * 1_000_000 - 1
    assert tickets.redeem("VIEWER", second)
    worklist.at += 1
    assert not tickets.redeem("VIEWER", third)
    tickets.issue("VIEWER")
    with worklist.database.reading() as connection:
        (kept,) = connection.execute(select(workitem_ticket)).all()  # what is over is forgotten
    assert third not in str(kept)
    worklist.database.close()


def test_what_cant_be_delivered_is_given_up_in_the_end(sqlite_url: str) -> None:
    worklist = Worklist(sqlite_url)
    for number in (1, 2):
        worklist.create(f"2.25.{number}")
        worklist.subscribe(f"2.25.{number}", "NOBODY", way="dimse")
    settings = Settings()
    directory = Fixed(settings)
    deliverer = Deliverer(worklist.items, Peers(settings, directory), directory, Tries(1, 7.0))
    ahead = [0]
    queue = Queue(worklist.database, lambda: worklist.at + ahead[0])
    runner = Runner(queue, {KIND: deliverer.handle})

    def states() -> list[tuple[str, int]]:
        with worklist.database.reading() as connection:
            return [(row.state, row.attempts) for row in connection.execute(select(workitem_event))]

    assert runner.run_once()
    assert states() == [("waiting", 1), ("waiting", 1)]
    assert not runner.run_once()
    ahead[0] = 8_000_000
    assert runner.run_once()
    assert [state for state, _ in states()] == ["undelivered", "undelivered"]
    worklist.database.close()
