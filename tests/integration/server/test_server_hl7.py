"""A whole server that takes HL7 messages: over TCP and TLS, through reloads and restarts, looked at and steered by
commands; and what it sends."""

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from certificates import Authority
from command_forks import Commands
from isocenter import database
from isocenter.config import Tls
from isocenter.hl7.acknowledgement import Answered, acknowledgement
from isocenter.hl7.calling import Caller, ReceiverLost, ReceiverUnreachable
from isocenter.hl7.errors import Condition, MessageError
from isocenter.hl7.framing import Unframing, framed
from isocenter.hl7.listening import Listener
from isocenter.hl7.message import Message, parsed
from isocenter.index.tables import job
from isocenter.security.tls import client_context
from servers import Server, environment, until

HOST = "127.0.0.1"
NAME = "SECRETIVE"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def order(
    control_id: object, patient: object = 1, *, sender: str = "RIS|HOSP", mode: str = "", event: str = "ORM^O01"
) -> bytes:
    """A new order, each of a patient of its own."""
    number = f"{control_id}-{patient}"
    lines = (
        f"MSH|^~\\&|{sender}|I|R|20240131||{event}|{control_id}|P|2.5|||{mode}",
        f"PID|||{number}^^^HOSP||{NAME}^JANE",
        f"ORC|NW|{number}^RIS||||||^^^20240201",
        f"OBR|1|{number}^RIS||CT^Head^L||||||||||||||A{number}|R{number}|S{number}||||CT",
    )
    return "".join(f"{line}\r" for line in lines).encode()


class Ris:
    """A receiver of what the server sends; `refuses` has it accept nothing."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self.refuses = False
        self._socket = socket.create_server((HOST, 0))
        self.port = self._socket.getsockname()[1]
        self.listener = Listener([self._socket], self._handle)
        self.listener.start()

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()

    def _handle(self, data: bytes, _sender: object) -> list[bytes]:
        message = parsed(data)
        self.heard.append(message)
        fault = MessageError(Condition.UNKNOWN_KEY, "who is that?") if self.refuses else None
        return [acknowledgement(message, Answered(fault), now=datetime.now(UTC), control_id="A").encoded()]


@pytest.fixture(name="ca", scope="module")
def fixture_ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def ris() -> Iterator[Ris]:
    made = Ris()
    yield made
    made.listener.stop()
    made.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, ca: Authority, ris: Ris) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hl7")
    own = ca.issue("server")
    config = folder / "isocenter.toml"
    config.write_text(f"""
[tls]
certificate = "{own.certificate}"
key = "{own.key}"
trusted = ["{ca.certificate}"]

[hl7]
largest = "64 KiB"

[[hl7.feed]]
name = "elsewhere"
application = "ELSEWHERE"
answers = "back"

[[hl7.destination]]
name = "back"
host = "{HOST}"
port = {ris.port}
""")
    settings = {"hl7__tls_port": 0, "config": config, "processes__restart_delay": 0.01}
    made = Server(folder / "data", settings=settings, hl7=True)
    with made:
        yield made
        assert made.stop() == 0
        assert NAME not in made.whole_log()
        assert "Traceback" not in made.whole_log()


@pytest.fixture(name="commands", scope="module")
def fixture_commands() -> Iterator[Commands]:
    made = Commands()
    yield made
    made.close()


@pytest.fixture(scope="module")
def cli(server: Server, commands: Commands) -> Run:
    return running(commands, server, "--config", server.data.with_name("isocenter.toml"))


def running(commands: Commands, server: Server, *options: object) -> Run:
    """Runs `isocenter hl7` beside a server."""

    def run(*words: object, status: int = 0) -> "subprocess.CompletedProcess[str]":
        given = map(str, ("hl7", *words, "--data", server.data, *options))
        done = commands.run(*given, environment=environment())
        assert done.returncode == status, done.stderr
        return done

    return run


def calling(server: Server) -> Caller:
    return Caller((HOST, server.hl7_port))


def listed(cli: Run, *words: object) -> list[dict[str, object]]:
    found = json.loads(cli("list", *words, "--json").stdout)
    assert isinstance(found, list)
    return found


@pytest.mark.req("M-ARCH-02", "M-HL7-01", "M-HL7-02")
def test_orders_come_over_one_connection_and_are_counted(server: Server, cli: Run) -> None:
    before = server.metric("isocenter_hl7_messages_total")
    with calling(server) as ris:
        codes = [ris.send(order(1, patient)).value("MSA-1") for patient in (1, 1, 2)]
    assert codes == ["AA"] * 3
    newest, oldest = listed(cli, "--limit", 2)
    assert [(each["control_id"], each["state"], each["flag"]) for each in (oldest, newest)] == [
        ("1", "processed", ""), ("1", "processed", "same-id"),
    ]  # fmt: skip
    assert server.metric("isocenter_hl7_messages_total") == before + 3
    status, health = server.get("/health/ready")
    assert (status, json.loads(health)["checks"]["processes"]) == (200, True)


def test_commands_list_show_and_replay(server: Server, cli: Run) -> None:
    with calling(server) as ris:
        assert ris.send(order("R1", event="ORM^O99", sender="LISTED|H")).value("MSA-1") == "AR"
        assert ris.send(order("R2", sender="LISTED|H")).value("MSA-1") == "AA"
    (refused,) = listed(cli, "--refused", "--feed", "LISTED^H")
    assert (refused["control_id"], refused["runs"]) == ("R1", 1)
    lines = cli("list", "--feed", "LISTED^H").stdout.splitlines()
    assert [("ORM^O99" in line, "event is not supported" in line) for line in lines] == [(False, False), (True, True)]
    assert listed(cli, "--feed", "LISTED^H", "--until", "2020-01-01") == []
    shown = cli("show", refused["id"]).stdout
    assert "PID|||R1-1^^^HOSP" in shown
    assert "MSA|AR|R1" in shown
    done = json.loads(cli("replay", "--refused", "--feed", "LISTED^H", "--wait", 60, "--json", status=1).stdout)
    assert [(each["id"], each["state"], each["runs"]) for each in done["messages"]] == [(refused["id"], "refused", 2)]
    assert "1 processed, 1 of them refused" in cli("replay", refused["id"], "--wait", 60, status=1).stdout
    (hl7,) = server.pids("hl7")
    assert owner(server, done["job"]).split(":")[1] == str(hl7), "it queues up with those that come in"


def test_where_nothing_listens_the_process_of_the_jobs_replays(tmp_path: Path, commands: Commands) -> None:
    with Server(tmp_path / "data", hl7=True) as server:
        with calling(server) as ris:
            assert ris.send(order("R3", event="ORM^O99")).value("MSA-1") == "AR"
        assert server.stop() == 0
        server.start(hl7__listen=False)
        assert server.pids("hl7") == []
        done = json.loads(running(commands, server)("replay", "--refused", "--wait", 60, "--json", status=1).stdout)
        assert [(each["state"], each["runs"]) for each in done["messages"]] == [("refused", 2)]
        (jobs,) = server.pids("jobs")
        assert owner(server, done["job"]).split(":")[1] == str(jobs)
        assert server.stop() == 0


def owner(server: Server, number: int) -> str:
    """Who carried out a job: host, process and more."""
    index = database.open(server.data / "index.db")
    with index.reading() as connection:
        found = connection.execute(select(job.c.owner).where(job.c.id == number)).scalar_one()
    index.close()
    return str(found)


def test_commands_say_what_is_wrong(cli: Run) -> None:
    assert "which messages" in cli("replay", status=2).stderr
    assert "there is no message 99999" in cli("show", 99999, status=2).stderr
    assert "there is no message 99999" in cli("replay", 99999, status=2).stderr
    assert "is no time" in cli("list", "--since", "yesterday", status=2).stderr
    assert "is none of" in cli("list", "--state", "gone", status=2).stderr
    assert "not there" in cli("queue", "discard", 99999, status=1).stderr


def test_application_acknowledgements_over_another_connection(server: Server, cli: Run, ris: Ris) -> None:
    """Through the queue of outgoing messages: in order, put aside where they are refused, sent again on demand."""
    ris.refuses = True
    modes = ("AL|NE", "AL|ER", "AL|AL")
    messages = [order(f"E{n}", sender="ELSEWHERE|H", mode=mode) for n, mode in enumerate(modes, 1)]
    assert answers(server, *messages) == ["CA"] * 3
    (dead,) = until(lambda: json.loads(cli("queue", "--state", "dead", "--json").stdout), told="put aside")
    assert dead["destination"] == "back"
    assert "MSA|AA|E3" in cli("queue", "show", dead["id"]).stdout
    assert "AE: who is that?" in cli("queue").stdout
    ris.refuses = False
    assert "1 of 1 messages" in cli("queue", "retry").stdout
    until(lambda: len(ris.heard) == 2, told="sent again")
    assert [each.value("MSA-2") for each in ris.heard] == ["E3", "E3"]
    until(lambda: json.loads(cli("queue", "--json").stdout) == [], told="nothing waits")


def answers(server: Server, *messages: bytes) -> list[str]:
    """The codes of the first answers to messages that are sent all at once."""
    frames, found = Unframing(1 << 20), []
    with socket.create_connection((HOST, server.hl7_port), 60) as sock:
        sock.sendall(b"".join(map(framed, messages)))
        while len(found) < len(messages):
            found += [parsed(each).value("MSA-1") for each in frames.feed(sock.recv(1 << 16))]
    return found


def test_over_tls(server: Server, ca: Authority) -> None:
    """With a certificate; without one nobody comes in."""
    (ready,) = list(server.events("server.ready"))[-1:]
    client = ca.issue("client")
    address = (HOST, ready["hl7_tls_port"])
    ours = Tls(certificate=client.certificate, key=client.key, trusted=(ca.certificate,))
    with Caller(address, tls=client_context(ours, check_name=True)) as caller:
        assert caller.send(order("T1")).value("MSA-1") == "AA"
    nobody = client_context(Tls(trusted=(ca.certificate,)), check_name=True)
    with pytest.raises((ReceiverLost, ReceiverUnreachable)), Caller(address, tls=nobody) as caller:
        caller.send(order("T2"))
    with Caller(address) as caller, pytest.raises(ReceiverLost):
        caller.send(order("T3"))


def test_a_message_that_is_too_large_is_answered_and_the_connection_ends(server: Server) -> None:
    with calling(server) as caller:
        answer = caller.send(order("BIG") + b"NTE|1||" + b"x" * 100_000 + b"\r")
        assert (answer.value("MSA-1"), answer.value("MSA-2")) == ("AE", "BIG")
        with pytest.raises(ReceiverLost):
            caller.send(order("AFTER"))
    with calling(server) as caller:
        assert caller.send(order("AFTER")).value("MSA-1") == "AA"


def test_a_reload_and_a_restart_lose_no_message(server: Server, cli: Run) -> None:
    """Connections end; who sends again is answered, and nothing is done twice."""
    sent: list[str] = []

    def send(number: int) -> None:
        while True:
            try:
                with calling(server) as caller:
                    sent.append(caller.send(order(f"L{number}", sender="LOAD|H")).value("MSA-1"))
                    return
            except (ReceiverLost, ReceiverUnreachable):
                continue  # a restart, which is what this is about

    send(1)
    (before,) = server.pids("hl7")
    reloading = threading.Thread(target=server.reload)
    reloading.start()
    number = 1
    while reloading.is_alive():
        number += 1
        send(number)
    assert server.pids("hl7") != [before]
    server.await_restart("hl7", server.kill_kind("hl7"))
    send(number + 1)
    assert set(sent) == {"AA"}
    found = listed(cli, "--feed", "LOAD^H", "--limit", 1000)
    assert sorted(str(each["control_id"]) for each in found) == sorted(f"L{n}" for n in range(1, number + 2))
