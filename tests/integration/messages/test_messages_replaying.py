"""Messages that are processed again take their place among those of their feed that come in meanwhile."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import text

from isocenter import database
from isocenter.database import Database
from isocenter.errors import Reason, Retriable
from isocenter.hl7.message import Message
from isocenter.jobs import Queue, Runner
from isocenter.workflow.messages.replaying import REPLAY, Replayer, ask
from message_handlers import Noting, Reception, at_once, message, noted
from servers import until


def replaying(reception: Reception) -> Runner:
    """What replays in the process of this reception."""
    replayer = Replayer(reception.messages, reception.processor, reception.receiver)
    return Runner(Queue(reception.database), {REPLAY: replayer.handle})


def numbers(reception: Reception) -> dict[str, int]:
    """The numbers of the messages that are kept, by their control IDs."""
    return {each.control_id: each.id for each in reception.messages.listed()}


def waiting_behind(reception: Reception, feed: str, count: int) -> Callable[[], bool]:
    """Whether so many messages of a feed are under way."""
    return lambda: reception.processor.under_way(feed) >= count


def test_a_replay_waits_for_what_is_under_way_and_holds_up_what_comes(any_database: Database) -> None:
    """A live message is being prepared; then come a replay and another live one. Another feed goes on."""
    reception = Reception(any_database)
    assert reception.code(message(1, "OLD")) == "AA"
    number = ask(any_database, [numbers(reception)["1"]])
    slow = Noting(outside=True)
    begun, go = threading.Event(), threading.Event()

    def before(coming: Message) -> None:
        if coming.value("PID-3") == "FIRST":
            begun.set()
            assert go.wait(60)

    slow.on_before = before
    reception.use({"ADT^A08": slow})

    def rest() -> None:
        assert begun.wait(60)
        replay = threading.Thread(target=replaying(reception).run_once)
        replay.start()
        until(waiting_behind(reception, "RIS^HOSP", 2), told="the replay queues up")
        live = threading.Thread(target=reception.code, args=(message(3, "LAST"),))
        live.start()
        until(waiting_behind(reception, "RIS^HOSP", 3), told="the live one queues up")
        assert reception.code(message(4, "OTHER", sender="OTHER|FEED")) == "AA"
        assert noted(any_database) == ["OLD", "OTHER"]
        go.set()
        replay.join(60)
        live.join(60)

    at_once(lambda: reception.code(message(2, "FIRST")), rest)
    assert noted(any_database) == ["OLD", "OTHER", "FIRST", "OLD", "LAST"]
    state = Queue(any_database).state(number)
    assert state is not None
    assert (state.state, state.progress) == ("done", "1 processed, 0 of them refused")


def test_messages_are_replayed_in_the_order_in_which_they_came(any_database: Database) -> None:
    reception = Reception(any_database)
    assert [reception.code(message(n, n)) for n in (1, 2, 3)] == ["AA"] * 3
    known = numbers(reception)
    ask(any_database, [known["3"], known["1"], known["2"], known["1"]])
    replaying(reception).run_once()
    assert noted(any_database) == ["1", "2", "3", "1", "2", "3"]


def test_a_replay_that_was_interrupted_goes_on_where_it_was(sqlite_database: Database) -> None:
    """The database was away in the middle; what was processed again by then is not processed a third time."""
    reception = Reception(sqlite_database)
    assert [reception.code(message(n, n)) for n in (1, 2, 3)] == ["AA"] * 3
    number = ask(sqlite_database, list(numbers(reception).values()))
    tries = iter(range(100))

    def away(coming: Message) -> None:
        if coming.value("PID-3") == "2" and next(tries) < 3:
            raise Retriable(Reason.OUT_OF_RESOURCES, "away")

    reception.handler.on_apply = away
    runner = replaying(reception)
    assert runner.run_once()
    assert noted(sqlite_database) == ["1", "2", "3", "1"]
    Queue(sqlite_database).restart(number)
    assert runner.run_once()
    assert noted(sqlite_database) == ["1", "2", "3", "1", "2", "3"]


@pytest.mark.parametrize("feed", ["RIS^HOSP", "OTHER^FEED"])
def test_two_nodes_on_one_database_take_turns(postgresql_url: str, feed: str) -> None:
    """One commits a live message, the other one a replay: of the same feed it waits, of another it doesn't."""
    here, there = database.open(postgresql_url), database.open(postgresql_url)
    try:
        live, replay = Reception(here), Reception(there)
        assert replay.code(message(1, "OLD", sender=feed.replace("^", "|"))) == "AA"
        ask(there, [numbers(replay)["1"]])
        committing, go = threading.Event(), threading.Event()

        def apply(_message: Message) -> None:
            committing.set()
            assert go.wait(60)

        live.handler.on_apply = apply

        def other() -> None:
            assert committing.wait(60)
            thread = threading.Thread(target=replaying(replay).run_once)
            thread.start()
            if feed == "RIS^HOSP":
                until(lambda: _waits_for_a_turn(there), told="the replay waits for its turn")
            else:
                thread.join(60)
                assert noted(there) == ["OLD", "OLD"]
            go.set()
            thread.join(60)
            assert not thread.is_alive()

        at_once(lambda: live.code(message(2, "LIVE")), other)
        assert noted(here) == ["OLD", "LIVE", "OLD"], "in the order in which they began"
    finally:
        here.close()
        there.close()


def _waits_for_a_turn(opened: Database) -> bool:
    with opened.reading() as connection:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        return bool(connection.execute(text(query)).scalar())
