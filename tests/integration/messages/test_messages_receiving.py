"""Messages through store, handler and acknowledgement, on both databases."""

import threading
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from isocenter.config.hl7 import Destination, Feed, Hl7
from isocenter.database import Database
from isocenter.errors import Reason, Refused, Retriable
from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.hl7.message import Message, parsed
from isocenter.workflow.messages.keeping import SAME_ID, Arrival
from message_handlers import SENDER, Noting, Reception, at_once, message, noted
from servers import until

WRONG = MessageError(Condition.REQUIRED_FIELD, "there is no name", Location("PID", 1, 5))


@pytest.fixture
def reception(sqlite_database: Database) -> Reception:
    return Reception(sqlite_database)


def counted(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An entry for each transaction that is begun from now on."""
    commits: list[int] = []
    writing = database.writing

    def counting() -> object:
        commits.append(1)
        return writing()

    monkeypatch.setattr(database, "writing", counting)
    return commits


def states(reception: Reception) -> list[tuple[str, str, str]]:
    """State, control ID and flag of each message, the oldest first."""
    return [(each.state, each.control_id, each.flag) for each in reversed(reception.messages.listed())]


@pytest.mark.req("M-HL7-01")
def test_a_message_is_kept_as_it_came_and_processed(any_database: Database) -> None:
    reception = Reception(any_database)
    data = message(7, 1234)
    assert reception.code(data) == "AA"
    assert noted(reception.database) == ["1234"]
    (kept,) = reception.messages.listed()
    assert (kept.feed, kept.kind, kept.state, kept.address) == ("RIS^HOSP", "ADT^A08", "processed", SENDER[0])
    content, answer = reception.messages.content(kept.id) or (b"", b"")
    assert content == data
    assert parsed(answer).value("MSA-2") == "7"


@pytest.mark.parametrize("outside", [False, True])
def test_the_same_message_again_is_answered_from_memory(any_database: Database, outside: bool) -> None:
    reception = Reception(any_database, Noting(outside=outside))
    first = reception.answers(message())
    again = reception.answers(message() + b"\r\n")
    assert [each.written() for each in again] == [each.written() for each in first]
    assert noted(any_database) == ["1"]
    assert reception.handler.prepared == (["1"] if outside else [])


def test_the_same_id_with_other_content_is_processed_and_flagged(any_database: Database) -> None:
    reception = Reception(any_database)
    assert [reception.code(message(5, patient)) for patient in ("A", "B", "A")] == ["AA"] * 3
    assert noted(reception.database) == ["A", "B"]
    assert states(reception) == [("processed", "5", ""), ("processed", "5", SAME_ID)]


def test_other_senders_have_ids_of_their_own(reception: Reception) -> None:
    assert [reception.code(message(5, 1, sender=who)) for who in ("A|H", "B|H", "A|G")] == ["AA"] * 3
    assert [flag for _, _, flag in states(reception)] == ["", "", ""]


def test_what_was_refused_may_come_again(reception: Reception) -> None:
    """Nothing was done, so it is not answered from memory: what it lacked may be there now."""
    lacking = [WRONG]

    def apply(_message: Message) -> None:
        if lacking:
            raise lacking[0]

    reception.handler.on_apply = apply
    (refused,) = reception.answers(message())
    assert (refused.value("MSA-1"), refused.value("ERR-2.1"), refused.value("ERR-2.3")) == ("AE", "PID", "5")
    assert noted(reception.database) == []
    assert reception.messages.listed()[0].error == "101 PID[1]-5 there is no name"
    lacking.clear()
    assert reception.code(message()) == "AA"
    assert noted(reception.database) == ["1"]
    assert [(each.state, each.runs, each.error) for each in reception.messages.listed()] == [("processed", 2, "")]


def test_warnings_stand_beside_success(reception: Reception) -> None:
    reception.handler.on_apply = lambda _: [WRONG]
    (answer,) = reception.answers(message())
    assert (answer.value("MSA-1"), answer.value("ERR-4")) == ("AA", "W")
    assert reception.messages.listed()[0].state == "processed"


@pytest.mark.parametrize("outside", [False, True])
def test_a_fault_of_ours_refuses_one_message(sqlite_database: Database, outside: bool) -> None:
    """Without a word of it in the answer; what comes next is processed."""
    reception = Reception(sqlite_database, Noting(outside=outside))

    def fail(message: Message) -> None:
        if message.value("PID-3") == "BAD":
            raise RuntimeError("JANE DOE")

    reception.handler.on_before = reception.handler.on_apply = fail
    (answer,) = reception.answers(message(1, "BAD"))
    assert (answer.value("MSA-1"), answer.value("ERR-3")) == ("AE", "207")
    assert "JANE" not in answer.written() + reception.messages.listed()[0].error
    assert reception.code(message(2, "GOOD")) == "AA"
    assert noted(sqlite_database) == ["GOOD"]


@pytest.mark.parametrize("outside", [False, True])
def test_what_the_archive_refuses_is_told(sqlite_database: Database, outside: bool) -> None:
    reception = Reception(sqlite_database, Noting(outside=outside))

    def refuse(_message: Message) -> None:
        raise Refused(Reason.NOT_FOUND, "there is no such study")

    reception.handler.on_before = reception.handler.on_apply = refuse
    (answer,) = reception.answers(message())
    assert (answer.value("MSA-1"), answer.value("ERR-8")) == ("AE", "there is no such study")


def test_no_answer_where_the_database_is_away(reception: Reception) -> None:
    """So that the message is sent again; nothing is half done."""

    def away(_message: Message) -> None:
        raise OperationalError("select", {}, Exception())

    reception.handler.on_apply = away
    with pytest.raises(Retriable):
        reception.answers(message())
    assert reception.messages.listed() == []
    reception.handler.on_apply = lambda _: None
    assert reception.code(message()) == "AA"
    assert noted(reception.database) == ["1"]


def test_one_lost_transaction_is_tried_again(reception: Reception) -> None:
    """A deadlock, or a connection that broke."""
    tries = iter((True, False))

    def away(_message: Message) -> None:
        if next(tries):
            raise OperationalError("select", {}, Exception())

    reception.handler.on_apply = away
    assert reception.code(message()) == "AA"
    assert noted(reception.database) == ["1"]


# --- what is not for us


@pytest.mark.parametrize(
    ("changed", "code", "condition", "field"),
    [
        ({"kind": "ADT^A99"}, "AR", "201", "9"),
        ({"kind": "BAR^P01"}, "AR", "200", "9"),
        ({"kind": ""}, "AE", "101", "9"),
        ({"processing": "T"}, "AR", "202", "11"),
        ({"version": "3.0"}, "AR", "203", "12"),
        ({"control_id": ""}, "AE", "101", "10"),
    ],
)
def test_what_the_header_says_is_looked_at_first(
    reception: Reception, changed: dict[str, str], code: str, condition: str, field: str
) -> None:
    (answer,) = reception.answers(message(**changed))  # type: ignore[arg-type]
    assert answer.value("MSA-1") == code
    if "version" not in changed:
        assert (answer.value("ERR-3"), answer.value("ERR-2.3")) == (condition, field)
    assert noted(reception.database) == []
    assert reception.messages.listed()[0].error.startswith(f"{condition} MSH[1]-{field}")
    assert reception.handler.feeds == []


def test_a_type_may_have_a_handler_for_all_its_events(reception: Reception) -> None:
    assert reception.code(message(kind="ORM^O77")) == "AA"
    assert reception.code(message(kind="ORM")) == "AA"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"garbage", b"MSH|", b"MSH|^~\\&|", b"PID|||1", b"MSH|^~\\&|RIS|HOSP|I|R|||ADT^A08|9|P|2.5\r\rxyz\r",
        "MSH|^~\\&|RIS|HOSP|I|R|||ADT^A08|9|P|2.5\rPID|||Ü".encode(),
        b"MSH|^~\\&|RIS|HOSP|I|R|||ADT^A08|9|P|2.5||||||KLINGON\rPID|||1", b"M\0S\0H\0|\0", b"\xff\xfeM\0",
    ],
)  # fmt: skip
def test_what_can_not_be_read_is_kept_and_refused(reception: Reception, data: bytes) -> None:
    """By its control ID, where the header could be read."""
    (answer,) = reception.answers(data)
    assert answer.value("MSA-1") == "AE"
    assert answer.value("MSA-2") == ("9" if b"|9|" in data else "")
    assert answer.first("ERR").raw(3)
    (kept,) = reception.messages.listed()
    assert kept.state == "refused"
    assert (reception.messages.content(kept.id) or (b"",))[0] == data


@pytest.mark.parametrize(
    ("before", "after", "code"), [("FHS|^~\\&|RIS|HOSP\rBHS|^~\\&|RIS|HOSP\r", "BTS|2\r", "AR"), ("", "", "AE")]
)
def test_several_messages_in_one_frame_are_refused_as_a_whole(
    reception: Reception, before: str, after: str, code: str
) -> None:
    """A batch, or one message behind another: no answer could tell which of them were taken."""
    data = before.encode() + message(1, 1) + message(2, 2) + after.encode()
    (answer,) = reception.answers(data)
    assert (answer.value("MSA-1"), answer.value("MSA-2")) == (code, "1")
    assert "frame of its own" in answer.value("ERR-8")
    assert noted(reception.database) == []
    assert [state for state, _, _ in states(reception)] == ["refused"]


def test_a_message_that_is_too_large_is_answered_by_its_beginning(reception: Reception) -> None:
    (answer,) = (parsed(each) for each in reception.receiver.refuse(message(77)[:100], SENDER))
    assert (answer.value("MSA-1"), answer.value("MSA-2")) == ("AE", "77")
    assert "larger than" in answer.value("ERR-8")


# --- enhanced mode


@pytest.mark.parametrize(
    ("accept", "application", "good", "bad"),
    [
        ("", "", ["AA"], ["AE"]),
        ("AL", "AL", ["CA", "AA"], ["CA", "AE"]),
        ("AL", "NE", ["CA"], ["CA"]),
        ("AL", "ER", ["CA"], ["CA", "AE"]),
        ("NE", "AL", ["AA"], ["AE"]),
        ("NE", "NE", [], []),
        ("ER", "SU", ["AA"], []),
    ],
)
def test_enhanced_mode(
    sqlite_database: Database, accept: str, application: str, good: list[str], bad: list[str]
) -> None:
    """Told that it is kept only once it is, then what became of it; the same once more where it comes again."""
    reception = Reception(sqlite_database)

    def refuse(message: Message) -> None:
        if message.value("PID-3") == "BAD":
            raise WRONG

    reception.handler.on_apply = refuse
    for patient, expected in (("GOOD", good), ("BAD", bad), ("GOOD", good)):
        data = message(patient, patient, accept=accept, application=application)
        said: list[str] = []
        for answer in reception.receiver.handle(data, SENDER):
            said.append(parsed(answer).value("MSA-1"))
            assert reception.messages.listed()[0].control_id in (patient, "BAD"), "told before it was kept"
        assert said == expected
    assert noted(sqlite_database) == ["GOOD"]


@pytest.mark.parametrize(
    ("accept", "application", "codes"),
    [("AL", "AL", ["CR"]), ("ER", "NE", ["CR"]), ("NE", "AL", ["AR"]), ("NE", "NE", [])],
)
def test_enhanced_mode_at_the_door(reception: Reception, accept: str, application: str, codes: list[str]) -> None:
    answers = reception.answers(message(processing="X", accept=accept, application=application))
    assert [each.value("MSA-1") for each in answers] == codes


def test_a_message_that_was_accepted_is_processed_though_its_sender_hangs_up(reception: Reception) -> None:
    answers = iter(reception.receiver.handle(message(accept="AL", application="AL"), SENDER))
    assert parsed(next(answers)).value("MSA-1") == "CA"
    assert states(reception) == [("received", "1", "")]
    list(answers)
    assert noted(reception.database) == ["1"]


def test_application_acknowledgements_may_go_elsewhere(sqlite_database: Database) -> None:
    settings = Hl7(
        feeds=(Feed(name="ris", answers="back"),), destinations=(Destination(name="back", host="ris", port=2576),)
    )
    reception = Reception(sqlite_database, settings=settings)
    answers = reception.answers(message(9, accept="AL", application="AL"))
    assert [each.value("MSA-1") for each in answers] == ["CA"]
    assert reception.code(message(10)) == "AA", "original mode has one connection"
    (queued,) = reception.outbox.listed(destination="back")
    sent = parsed(reception.outbox.content(queued.id) or b"")
    assert (sent.value("MSA-1"), sent.value("MSA-2"), sent.value("MSH-5")) == ("AA", "9", "RIS")


# --- order, and many at once


def test_messages_of_one_feed_wait_for_each_other(any_database: Database) -> None:
    """The second one comes while the first is being prepared, over another connection."""
    reception = Reception(any_database, Noting(outside=True))
    begun, go = threading.Event(), threading.Event()

    def before(message: Message) -> None:
        if message.value("PID-3") == "1":
            begun.set()
            assert go.wait(60)

    reception.handler.on_before = before

    def second() -> None:
        assert begun.wait(60)
        other = threading.Thread(target=reception.code, args=(message(2, 2),))
        other.start()
        assert reception.code(message(3, 3, sender="OTHER|FEED")) == "AA", "it holds up no other feed"
        go.set()
        other.join(60)

    at_once(lambda: reception.code(message(1, 1)), second)
    assert noted(any_database) == ["3", "1", "2"]
    assert reception.handler.prepared.index("1") < reception.handler.prepared.index("2")


_WAITING = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")


def test_two_nodes_process_at_once_what_names_other_patients(postgresql_database: Database) -> None:
    """What names the same one waits. The first message is in the middle of its transaction."""
    node, other = Reception(postgresql_database), Reception(postgresql_database)
    begun, go = threading.Event(), threading.Event()

    def apply(message: Message) -> None:
        if message.header.control_id == "1":
            begun.set()
            assert go.wait(60)

    def waits() -> bool:
        with postgresql_database.reading() as connection:
            return bool(connection.execute(_WAITING).scalar_one())

    def others() -> None:
        assert begun.wait(60)
        assert other.code(message(2, 20, sender="SECOND|FEED")) == "AA", "it is of somebody else"
        same = threading.Thread(target=other.code, args=(message(3, 10, sender="THIRD|FEED"),))
        same.start()
        until(waits, told="it waits for what is done to the patient")
        assert noted(postgresql_database) == ["20"]
        go.set()
        same.join(60)

    node.handler.on_apply = apply
    at_once(lambda: node.code(message(1, 10, sender="FIRST|FEED")), others)
    assert noted(postgresql_database) == ["10", "20", "10"], "the first had its number first"
    assert {state for state, _, _ in states(node)} == {"processed"}


class Choosing(Noting):
    """Has something to do outside for patients whose number begins with A."""

    def is_outside(self, connection: object, message: Message, feed: Feed) -> bool:
        """See `Sparing`."""
        return message.value("PID-3").startswith("A")


def test_a_message_without_effects_outside_costs_one_commit(
    any_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    reception = Reception(any_database, Choosing(outside=True))
    commits = counted(any_database, monkeypatch)
    assert reception.code(message(1, "B1")) == "AA"
    assert (len(commits), reception.handler.prepared) == (1, [])
    assert reception.code(message(2, "A1")) == "AA"
    assert (len(commits), reception.handler.prepared) == (3, ["A1"])
    assert [answer.value("MSA-1") for answer in reception.answers(message(3, "B2", accept="AL", application="AL"))] == [
        "CA", "AA",
    ]  # fmt: skip
    assert noted(any_database) == ["B1", "A1", "B2"]


def test_it_waits_for_those_before_it_all_the_same(sqlite_database: Database) -> None:
    reception = Reception(sqlite_database, Choosing(outside=True))
    begun, go = threading.Event(), threading.Event()

    def before(message: Message) -> None:
        if message.value("PID-3") == "A1":
            begun.set()
            assert go.wait(60)

    reception.handler.on_before = before

    def second() -> None:
        assert begun.wait(60)
        threading.Timer(0.1, go.set).start()
        assert reception.code(message(2, "B1")) == "AA"

    at_once(lambda: reception.code(message(1, "A1")), second)
    assert noted(sqlite_database) == ["A1", "B1"]


def test_one_that_can_not_be_answered_takes_no_other_with_it(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours in the midst of a commit: that sender gets no answer, the others get theirs."""
    reception = Reception(sqlite_database)
    row = reception.messages.row

    def failing(arrival: Arrival, *rest: Any) -> dict[str, Any]:
        if arrival.key.control_id == "BAD":
            raise RuntimeError
        return row(arrival, *rest)

    monkeypatch.setattr(reception.messages, "row", failing)

    def unanswered() -> None:
        with pytest.raises(Retriable):
            reception.answers(message("BAD", 1))

    sends = [lambda n=n: reception.code(message(n, n, sender=f"F{n}|H")) for n in range(2, 8)]
    at_once(unanswered, *sends)
    assert sorted(noted(sqlite_database)) == [str(n) for n in range(2, 8)]
    assert not any(each.control_id == "BAD" for each in reception.messages.listed())


def test_the_same_message_twice_at_once_is_processed_once(sqlite_database: Database) -> None:
    """A sender that lost patience and came back over another connection."""
    reception = Reception(sqlite_database, Noting(outside=True))
    begun, go = threading.Event(), threading.Event()

    def before(_message: Message) -> None:
        begun.set()
        assert go.wait(60)

    reception.handler.on_before = before
    answers: list[str] = []

    def send() -> None:
        answers.extend(each.written() for each in reception.answers(message()))

    def again() -> None:
        assert begun.wait(60)
        threading.Timer(0.05, go.set).start()
        send()

    at_once(send, again)
    assert len(answers) == 2
    assert len(set(answers)) == 1
    assert noted(sqlite_database) == ["1"]
    assert reception.handler.prepared == ["1"]


def test_many_connections_share_commits(any_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a message that is refused takes none of the others with it."""
    reception = Reception(any_database)
    commits = counted(any_database, monkeypatch)

    def refuse(message: Message) -> None:
        if message.value("PID-3").endswith("-3"):
            raise WRONG

    reception.handler.on_apply = refuse

    def feed(name: int) -> None:
        codes = [reception.code(message(n, f"{name}-{n}", sender=f"F{name}|H")) for n in range(10)]
        assert codes == ["AA"] * 3 + ["AE"] + ["AA"] * 6

    at_once(*(lambda name=name: feed(name) for name in range(8)))  # type: ignore[misc]
    done = noted(any_database)
    assert len(done) == 72
    for name in range(8):
        of_feed = [each for each in done if each.startswith(f"{name}-")]
        assert of_feed == [f"{name}-{n}" for n in range(10) if n != 3]
    assert len(commits) < 80


def test_one_commit_tells_its_messages_apart(any_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several that are all good it is the only one; a reused control ID is seen among them, too."""
    reception = Reception(any_database)
    commits = counted(any_database, monkeypatch)
    works = [reception.receiver.entered(message(5, patient), SENDER[0])[0] for patient in ("A", "B", "C")]
    reception.processor.finish(works[-1])
    assert len(commits) == 1
    assert noted(any_database) == ["A", "B", "C"]
    assert states(reception) == [("processed", "5", ""), ("processed", "5", SAME_ID), ("processed", "5", SAME_ID)]
    assert [parsed(work.answer).value("MSA-1") for work in works] == ["AA"] * 3


def test_one_that_is_refused_takes_nothing_of_the_others(
    any_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit is made again with care, and care is taken for some time."""
    reception = Reception(any_database)
    commits = counted(any_database, monkeypatch)

    def refuse(message: Message) -> None:
        if message.value("PID-3") == "BAD":
            raise WRONG

    reception.handler.on_apply = refuse
    works = [reception.receiver.entered(message(patient, patient), SENDER[0])[0] for patient in ("A", "BAD", "C")]
    reception.processor.finish(works[-1])
    assert len(commits) == 2
    assert reception.code(message("BAD", "BAD")) == "AE"
    assert len(commits) == 3
    assert noted(any_database) == ["A", "C"]
    assert states(reception) == [("processed", "A", ""), ("refused", "BAD", ""), ("processed", "C", "")]
    assert [parsed(work.answer).value("MSA-1") for work in works] == ["AA", "AE", "AA"]


# --- after a crash


def test_what_was_not_finished_is_processed_in_order_at_the_next_start(any_database: Database) -> None:
    before = Reception(any_database, Noting(outside=True))
    for n in (1, 2, 3):
        work, _ = before.receiver.entered(message(n, n), SENDER[0])
        before.processor.keep(work)
    assert [state for state, _, _ in states(before)] == ["received"] * 3

    after = Reception(any_database, Noting(outside=True))
    left = [after.receiver.again(arrival) for _, arrival in after.messages.unfinished(before=0)]
    at_once(
        lambda: [after.processor.finish(work) for work in left],
        lambda: after.code(message(4, 4)),
        lambda: after.code(message(2, 2)),
    )
    assert noted(any_database) == ["1", "2", "3", "4"]
    assert [state for state, _, _ in states(after)] == ["processed"] * 4


def test_what_another_node_has_under_way_is_left_to_it(sqlite_database: Database) -> None:
    reception = Reception(sqlite_database, Noting(outside=True))
    work, _ = reception.receiver.entered(message(), SENDER[0])
    reception.processor.keep(work)
    other = Reception(sqlite_database)
    other.messages._node = "there"
    assert list(other.messages.unfinished(before=0)) == []
    assert len(list(other.messages.unfinished(before=work.arrival.at + 1))) == 1, "it may be gone for good"
