"""Messages that are sent: in order, again and again, put aside."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from isocenter.config.hl7 import Destination, Hl7
from isocenter.database import Database
from isocenter.errors import Refused
from isocenter.hl7.acknowledgement import Answered, acknowledgement
from isocenter.hl7.errors import Condition, MessageError
from isocenter.hl7.listening import Listener
from isocenter.hl7.message import Message, parsed, segment
from isocenter.jobs import Queue, Runner
from isocenter.workflow.messages.outbox import SEND, Outbox, State, Taken
from isocenter.workflow.messages.sending import Sender

LATER = 3_600_000_000


class Clock:
    """Microseconds that pass when a test says so."""

    def __init__(self) -> None:
        self.at = 1_700_000_000_000_000

    def __call__(self) -> int:
        """The time."""
        return self.at


class Receiver:
    """A receiver of messages; `say` tells what is wrong with one."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self.say: Callable[[Message], MessageError | None] = lambda _: None
        self.silent = False

    def handle(self, data: bytes, _sender: object) -> list[bytes]:
        """Answer."""
        message = parsed(data)
        self.heard.append(message)
        answer = acknowledgement(message, Answered(self.say(message)), now=datetime.now(UTC), control_id="A")
        if self.silent:
            raise OSError
        return [answer.encoded()]

    @property
    def numbers(self) -> list[str]:
        """Which messages, by their PID-1."""
        return [message.value("PID-1") for message in self.heard]


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@contextlib.contextmanager
def listening(receiver: Receiver, port: int = 0) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", port)) as sock:
        listener = Listener([sock], receiver.handle)
        listener.start()
        yield int(sock.getsockname()[1])
        listener.stop()


def settings(port: int, **more: object) -> Hl7:
    ris = Destination(name="ris", host="127.0.0.1", port=port, application="RIS", facility="HOSP", **more)  # type: ignore[arg-type]
    return Hl7(application="ARCHIVE", facility="RAD", destinations=(ris,))


class Sending:
    """An outbox and what sends its messages, as the jobs process has them."""

    def __init__(self, database: Database, port: int, **more: object) -> None:
        self.clock = Clock()
        self.settings = settings(port, **more)
        self.queue = Queue(database, self.clock)
        self.outbox = Outbox(database, self.settings, self.queue, self.clock)
        self.database = database

        def no_tls() -> None:
            raise AssertionError

        sender = Sender(self.outbox, self.settings, no_tls)  # type: ignore[arg-type]
        self.runner = Runner(self.queue, {SEND: sender.handle})

    def add(self, *numbers: object) -> list[int]:
        """Messages with these numbers in PID-1."""
        with self.database.writing() as connection:
            return [self.outbox.add(connection, "ris", made(number)) for number in numbers]

    def run(self) -> None:
        """Carry out what is due."""
        while self.runner.run_once():
            pass

    def states(self) -> list[str]:
        """Of all messages, in their order."""
        each = [self.outbox.listed(state=state) for state in State]
        return [queued.state for queued in sorted(queued for group in each for queued in group)]


def made(number: object) -> Message:
    msh = segment("MSH", "|", "", "", "", "", "", "", "", ("ORU", "R01", "ORU_R01"))
    return Message([msh, segment("PID", str(number), "", "", "", ("MÜLLER", "Ä"))])


def test_messages_leave_in_their_order_each_with_a_whole_header(any_database: Database, receiver: Receiver) -> None:
    with listening(receiver) as port:
        sending = Sending(any_database, port, character_set="8859/1", version="2.3.1")
        sending.add(1, 2, 3)
        sending.run()
    assert receiver.numbers == ["1", "2", "3"]
    assert sending.states() == ["sent"] * 3
    first = receiver.heard[0]
    header = first.header
    assert (header.sending_application, header.sending_facility) == ("ARCHIVE", "RAD")
    assert (header.receiving_application, header.receiving_facility) == ("RIS", "HOSP")
    assert (header.version, header.processing, first.value("MSH-18")) == ("2.3.1", "P", "8859/1")
    assert header.time.startswith("20231114")
    assert first.value("PID-5") == "MÜLLER"
    assert len({each.header.control_id for each in receiver.heard}) == 3


def test_a_receiver_that_is_away_holds_all_up(any_database: Database, receiver: Receiver) -> None:
    """In their order, later each time; then nothing is lost and nothing comes twice."""
    with listening(receiver) as port:
        pass
    sending = Sending(any_database, port, retry_delay=10.0)
    sending.add(1, 2)
    for n, delay in enumerate((10, 20, 40), 1):
        sending.run()
        (first, second) = sending.outbox.listed()
        assert (first.state, first.attempts, second.attempts) == ("waiting", n, 0)
        assert "no connection" in first.error
        sending.clock.at += delay * 1_000_000 - 1
        sending.run()
        assert sending.outbox.listed()[0].attempts == n, "too early"
        sending.clock.at += 1
    with listening(receiver, port):
        sending.run()
    assert receiver.numbers == ["1", "2"]
    assert sending.outbox.listed() == []


def test_what_is_not_accepted_is_put_aside_and_those_behind_it_go_on(
    sqlite_database: Database, receiver: Receiver
) -> None:
    receiver.say = lambda message: (
        MessageError(Condition.UNKNOWN_KEY, "who is that?") if message.value("PID-1") == "2" else None
    )
    with listening(receiver) as port:
        sending = Sending(sqlite_database, port)
        sending.add(1, 2, 3)
        sending.run()
        assert receiver.numbers == ["1", "2", "3"]
        assert sending.states() == ["sent", "dead", "sent"]
        (dead,) = sending.outbox.listed()
        assert dead.error == "AE: who is that?"

        receiver.say = lambda _: None
        assert sending.outbox.retry(dead.id)
        assert not sending.outbox.retry(dead.id - 1), "it was sent"
        sending.run()
        assert receiver.numbers == ["1", "2", "3", "2"]
        assert receiver.heard[1].header.control_id == receiver.heard[3].header.control_id
    assert sending.states() == ["sent"] * 3


def test_a_message_that_is_discarded_never_leaves(sqlite_database: Database, receiver: Receiver) -> None:
    with listening(receiver) as port:
        sending = Sending(sqlite_database, port)
        first, second = sending.add(1, 2)
        assert sending.outbox.discard(first)
        sending.run()
        assert not sending.outbox.discard(second)
    assert receiver.numbers == ["2"]
    assert sending.states() == ["discarded", "sent"]


def test_an_answer_that_never_comes(sqlite_database: Database, receiver: Receiver) -> None:
    """It may have been taken: it is sent again as it was; after so many tries, if so configured, the next one is."""
    receiver.silent = True
    with listening(receiver) as port:
        sending = Sending(sqlite_database, port, retries=2, wait=5.0)
        sending.add(1, 2)
        for _ in range(3):
            sending.run()
            sending.clock.at += LATER
        assert receiver.numbers == ["1", "1", "1"]
        assert len({each.header.control_id for each in receiver.heard}) == 1
        assert sending.states() == ["dead", "waiting"]
        receiver.silent = False
        sending.run()
    assert receiver.numbers == ["1", "1", "1", "2"]


def test_a_message_is_one_senders_at_a_time(any_database: Database) -> None:
    """Until the time is over that it can take; a process that ended gives nothing back."""
    sending = Sending(any_database, 1)
    first, second = sending.add(1, 2)
    taken = sending.outbox.take("ris", 60)
    assert isinstance(taken, Taken)
    assert taken.id == first
    assert sending.outbox.take("ris", 60) == 60.0
    sending.clock.at += 61_000_000
    again = sending.outbox.take("ris", 60)
    assert isinstance(again, Taken)
    assert (again.id, again.attempts) == (first, 2)
    sending.outbox.end(again, State.SENT)
    following = sending.outbox.take("ris", 60)
    assert isinstance(following, Taken)
    assert following.id == second
    sending.outbox.end(following, State.SENT)
    assert sending.outbox.take("ris", 60) is None


def test_while_another_sends_the_job_comes_back(sqlite_database: Database) -> None:
    sending = Sending(sqlite_database, 1)
    sending.add(1)
    assert isinstance(sending.outbox.take("ris", 60), Taken)
    sending.run()
    assert [each.state for each in sending.queue.states(kind=SEND)] == ["waiting"]
    assert sending.outbox.listed()[0].attempts == 1


def test_a_destination_that_is_not_there(sqlite_database: Database) -> None:
    sending = Sending(sqlite_database, 1)
    with sqlite_database.writing() as connection, pytest.raises(Refused, match="'nobody'"):
        sending.outbox.add(connection, "nobody", made(1))
    sending.queue.enqueue(SEND, {"destination": "gone"})
    sending.run()
    (job,) = sending.queue.states(kind=SEND)
    assert (job.state, "there is no 'gone' any more" in job.error) == ("failed", True)


def test_the_past_is_forgotten(sqlite_database: Database, receiver: Receiver) -> None:
    with listening(receiver) as port:
        sending = Sending(sqlite_database, port)
        sending.add(1)
        sending.run()
    (waiting,) = sending.add(2)
    assert sending.outbox.purge(sending.clock.at) == 0
    assert sending.outbox.purge(sending.clock.at + 1) == 1
    assert [each.id for each in sending.outbox.listed()] == [waiting]
    assert sending.outbox.waiting() == ["ris"]
