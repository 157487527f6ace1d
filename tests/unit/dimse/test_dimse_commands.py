"""Command sets: round trips, tolerance, and agreement with pydicom."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from isocenter.dimse import commands
from isocenter.dimse.commands import Command, MalformedCommand, decode, encode

texts = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64)
shorts = st.integers(0, 0xFFFF)
some = st.fixed_dictionaries(
    {commands.COMMAND_FIELD: shorts, commands.DATA_SET_TYPE: shorts},
    optional={
        commands.MESSAGE_ID: shorts,
        commands.STATUS: shorts,
        commands.AFFECTED_SOP_CLASS: st.from_regex(r"\A[1-2](\.[1-9][0-9]{0,5}){1,8}\Z"),
        commands.ERROR_COMMENT: texts,
        commands.MOVE_DESTINATION: texts,
        commands.OFFENDING_ELEMENT: st.lists(st.integers(0, 0xFFFFFFFF), max_size=4),
        commands.ATTRIBUTE_LIST: st.lists(st.integers(0, 0xFFFFFFFF), max_size=4),
        0x5010: st.binary(max_size=10).map(lambda raw: raw[: len(raw) & ~1]),
    },
)


@given(some)
def test_what_is_written_is_read(command: Command) -> None:
    wire = encode(command)
    assert decode(wire) == command
    assert len(wire) % 2 == 0
    assert int.from_bytes(wire[8:12], "little") == len(wire) - 12


@given(st.binary(max_size=200))
def test_any_bytes_are_a_command_or_malformed(data: bytes) -> None:
    try:
        command = decode(data)
    except MalformedCommand:
        return
    assert isinstance(command[commands.COMMAND_FIELD], int)


def test_elements_are_in_order_and_uids_padded_with_nul() -> None:
    wire = encode({commands.COMMAND_FIELD: 1, commands.AFFECTED_SOP_CLASS: "1.2.3", commands.DATA_SET_TYPE: 0x101})
    assert wire[12:] == (
        b"\0\0\x02\0\x06\0\0\x001.2.3\0" + b"\0\0\0\x01\x02\0\0\0\x01\0" + b"\0\0\0\x08\x02\0\0\0\x01\x01"
    )


def test_blanks_and_nuls_around_texts_go() -> None:
    wire = encode({commands.COMMAND_FIELD: 0x21, commands.MOVE_DESTINATION: "  DEST "})
    assert commands.text(decode(wire), commands.MOVE_DESTINATION) == "DEST"


def test_a_response_repeats_what_identifies_its_request() -> None:
    request = {**commands.store_rq("1.2", "1.2.3"), commands.MESSAGE_ID: 7}
    answer = commands.response(request, 0xA700, "x" * 100)
    assert answer[commands.COMMAND_FIELD] == 0x8001
    assert answer[commands.MESSAGE_ID_RESPONDED] == 7
    assert (answer[commands.AFFECTED_SOP_CLASS], answer[commands.AFFECTED_SOP_INSTANCE]) == ("1.2", "1.2.3")
    assert answer[commands.ERROR_COMMENT] == "x" * 64


def test_requested_becomes_affected_in_a_response() -> None:
    request = {**commands.n_action_rq("1.2", "1.2.3", 1), commands.MESSAGE_ID: 9}
    answer = commands.response(request, 0)
    assert (answer[commands.AFFECTED_SOP_CLASS], answer[commands.ACTION_TYPE]) == ("1.2", 1)
    assert commands.REQUESTED_SOP_CLASS not in answer


@pytest.mark.parametrize(
    ("ours", "field", "values"),
    [
        (
            commands.store_rq("1.2", "1.2.3", priority=1, originator=("MOVER", 5)),
            0x0001,
            {
                "AffectedSOPClassUID": "1.2",
                "AffectedSOPInstanceUID": "1.2.3",
                "Priority": 1,
                "MoveOriginatorApplicationEntityTitle": "MOVER",
                "MoveOriginatorMessageID": 5,
            },
        ),
        (commands.find_rq("1.2"), 0x0020, {"AffectedSOPClassUID": "1.2", "Priority": 0}),
        (
            commands.move_rq("1.2", "DEST"),
            0x0021,
            {"AffectedSOPClassUID": "1.2", "Priority": 0, "MoveDestination": "DEST"},
        ),
        (commands.echo_rq(), 0x0030, {"AffectedSOPClassUID": "1.2.840.10008.1.1"}),
        (
            commands.n_get_rq("1.2", "1.3", [0x00100010]),
            0x0110,
            {"RequestedSOPClassUID": "1.2", "RequestedSOPInstanceUID": "1.3", "AttributeIdentifierList": [0x00100010]},
        ),
        (
            commands.n_action_rq("1.2", "1.3", 4),
            0x0130,
            {"RequestedSOPClassUID": "1.2", "RequestedSOPInstanceUID": "1.3", "ActionTypeID": 4},
        ),
        (
            commands.event_report_rq("1.2", "1.3", 2),
            0x0100,
            {"AffectedSOPClassUID": "1.2", "AffectedSOPInstanceUID": "1.3", "EventTypeID": 2},
        ),
    ],
)
def test_the_same_bytes_as_pydicom(ours: Command, field: int, values: dict[str, object]) -> None:
    reference = Dataset()
    for name, value in {**values, "CommandField": field, "MessageID": 3, "CommandDataSetType": 0x0101}.items():
        setattr(reference, name, value)
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, True
    write_dataset(stream, reference)
    assert encode({**ours, commands.MESSAGE_ID: 3})[12:] == stream.getvalue()
