"""Acknowledgements in the layout of each version."""

from datetime import UTC, datetime

import pytest

from isocenter.hl7.acknowledgement import Answered, Code, Way, acknowledgement, condition_of, way_of
from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.hl7.message import Message, parsed

NOW = datetime(2024, 1, 31, 12, 0, tzinfo=UTC)
FAULT = MessageError(Condition.REQUIRED_FIELD, "the patient has no identifier", Location("PID", 1, 3, 1, 4))


def message(version: str = "2.5", accept: str = "", application: str = "", more: str = "") -> Message:
    text = f"MSH|^~\\&|RIS|HOSP|ISOCENTER|RAD|20240131||ADT^A08|M7|T|{version}|||{accept}|{application}{more}\r"
    return parsed(text.encode())


def answer(asked: Message, *faults: MessageError, accepting: bool = False) -> Message:
    answered = Answered(faults[0] if faults else None)
    made = acknowledgement(asked, answered, now=NOW, control_id="A1", accepting=accepting)
    return parsed(made.encoded())


def test_success() -> None:
    said = answer(message()).written().split("\r")
    assert said == [
        "MSH|^~\\&|ISOCENTER|RAD|RIS|HOSP|20240131120000+0000||ACK^A08^ACK|A1|T|2.5",
        "MSA|AA|M7",
        "",
    ]


def test_the_character_set_is_the_senders() -> None:
    assert answer(message(more="||8859/1")).value("MSH-18") == "8859/1"


@pytest.mark.parametrize(
    ("version", "error"),
    [
        ("2.3", "ERR|PID^1^3^101&Required field missing&HL70357"),
        ("2.3.1", "ERR|PID^1^3^101&Required field missing&HL70357"),
        ("2.4", "ERR|PID^1^3^101&Required field missing&HL70357"),
        ("2.5", "ERR||PID^1^3^1^4|101^Required field missing^HL70357|E||||the patient has no identifier"),
        ("2.8", "ERR||PID^1^3^1^4|101^Required field missing^HL70357|E||||the patient has no identifier"),
        ("nonsense", "ERR||PID^1^3^1^4|101^Required field missing^HL70357|E||||the patient has no identifier"),
    ],
)
def test_errors_name_segment_and_field(version: str, error: str) -> None:
    said = answer(message(version), FAULT).written().split("\r")
    assert said[2] == error
    assert said[1].startswith("MSA|AE|M7")
    assert ("no identifier" in said[1]) == (version != "2.8")


@pytest.mark.parametrize("condition", list(Condition)[1:])
@pytest.mark.parametrize("accepting", [True, False])
def test_who_is_to_blame(condition: Condition, accepting: bool) -> None:
    said = answer(message(), MessageError(condition, "no"), accepting=accepting)
    letter = "R" if condition in (200, 201, 202, 203) else "E"
    assert said.value("MSA-1") == ("C" if accepting else "A") + letter
    assert said.value("ERR-3") == str(int(condition))
    assert condition_of(said) == (Code(said.value("MSA-1")), "no")


def test_warnings_stand_beside_success() -> None:
    made = acknowledgement(message(), Answered(None, [FAULT]), now=NOW, control_id="A1")
    assert made.value("MSA-1") == "AA"
    assert made.value("ERR-4") == "W"


@pytest.mark.parametrize(
    ("accept", "application", "failed", "way"),
    [
        ("", "", False, Way(False, True)),
        ("", "", True, Way(False, True)),
        ("AL", "AL", False, Way(True, True)),
        ("AL", "NE", False, Way(True, False)),
        ("NE", "AL", True, Way(False, True)),
        ("ER", "SU", True, Way(True, False)),
        ("ER", "SU", False, Way(False, True)),
        ("AL", "", False, Way(True, False)),
        ("XX", "AL", False, Way(False, True)),
    ],
)
def test_which_acknowledgements_are_due(accept: str, application: str, failed: bool, way: Way) -> None:
    assert way_of(message("2.5", accept, application), failed=failed) == way


def test_an_answer_that_is_none() -> None:
    assert condition_of(message()) == (None, "Application internal error")
