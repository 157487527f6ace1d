"""Messages made by other libraries, sent by another one's client to a whole server; its answers read by them."""

from collections.abc import Iterator
from pathlib import Path

import hl7
import pytest
from hl7.client import MLLPClient
from hl7apy.core import Message
from hl7apy.parser import parse_message

from servers import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(Path(tmp_path_factory.mktemp("libraries")) / "data", hl7=True) as made:
        yield made


def sent(server: Server, *messages: str) -> list[str]:
    """What python-hl7's client is answered."""
    with MLLPClient("127.0.0.1", server.hl7_port, encoding="utf-8") as client:
        return [client.send_message(message).strip(b"\x0b\x1c\r").decode() + "\r" for message in messages]


def update(version: str, control_id: str, name: str = "Müller^Jürgen") -> str:
    """An update of a patient, as hl7apy makes it."""
    message = Message("ADT_A01", version=version)
    message.msh.msh_3 = "EHR"
    message.msh.msh_4 = "HOSPITAL"
    message.msh.msh_9 = "ADT^A08^ADT_A01" if version > "2.3" else "ADT^A08"
    message.msh.msh_10 = control_id
    message.msh.msh_11 = "P"
    message.msh.msh_18 = "UNICODE UTF-8"
    message.pid.pid_3 = "4711^^^HOSPITAL"
    message.pid.pid_5 = name
    message.pv1.pv1_2 = "O"
    return str(message.to_er7())


@pytest.mark.req("M-HL7-01")
@pytest.mark.parametrize("version", ["2.3", "2.4", "2.5", "2.6", "2.7", "2.8"])
def test_answers_are_what_the_versions_say(server: Server, version: str) -> None:
    """hl7apy knows each version's segments and fields."""
    good, bad = sent(
        server, update(version, f"A{version}"), update(version, f"B{version}").replace("4711^^^HOSPITAL", "")
    )
    for answer, code, control_id in ((good, "AA", f"A{version}"), (bad, "AE", f"B{version}")):
        message = parse_message(answer, find_groups=False)
        # before 2.4 an acknowledgement doesn't name its structure: its segments are all that can be looked at
        for each in message.children if version == "2.3" else [message]:
            each.validate()
        assert message.msh.msh_12.value == version
        assert (message.msa.msa_1.value, message.msa.msa_2.value) == (code, control_id)
        assert message.msh.msh_5.value == "EHR"


def test_a_library_reads_what_is_wrong_and_where(server: Server) -> None:
    (answer,) = sent(server, update("2.5", "W1").replace("4711^^^HOSPITAL", ""))
    parsed = hl7.parse(answer)
    assert parsed.extract_field("MSA", 1, 1) == "AE"
    assert parsed.extract_field("ERR", 1, 2, 1, 1) == "PID"
    assert parsed.extract_field("ERR", 1, 2, 1, 3) == "3"


def test_the_librarys_own_acknowledgement_is_like_ours(server: Server) -> None:
    """python-hl7 would answer the same message with the same application, facility, code and control ID."""
    message = update("2.5", "L1")
    (answer,) = sent(server, message)
    theirs, ours = hl7.parse(message).create_ack("AA"), hl7.parse(answer)
    for field in (5, 6, 11, 12):
        assert str(ours.segment("MSH")[field]) == str(theirs.segment("MSH")[field])
    for field in (1, 2):
        assert str(ours.segment("MSA")[field]) == str(theirs.segment("MSA")[field])
