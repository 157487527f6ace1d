"""Messages on their way out: PDUs of the right length, whatever the source and the peer's maximum."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.dimse import commands
from isocenter.dimse.failures import SourceFailed
from isocenter.dimse.outbound import BytesSource, FileSource, Vectors, command_pdus, data_pdus, fragment_size
from isocenter.dimse.pdu import Data
from isocenter.dimse.pdu_reading import decode_all


def values(wire: bytes, longest: int) -> list[tuple[int, int, bytes]]:
    found = []
    for pdu in decode_all(wire):
        assert isinstance(pdu, Data)
        assert len(pdu.values) == 1
        assert len(pdu.values[0][2]) <= longest
        found.append(pdu.values[0])
    return found


@pytest.mark.parametrize(
    ("peer", "own", "size"),
    [(16384, 1 << 20, 16378), (0, 1 << 18, (1 << 18) - 6), (1 << 30, 65536, 65530), (101, 65536, 94), (64, 65536, 58)],
)
def test_the_peers_maximum_counts_the_header_of_the_value(peer: int, own: int, size: int) -> None:
    assert fragment_size(peer, own) == size


@given(st.binary(max_size=3000), st.sampled_from([58, 94, 1000, 4090]), st.sampled_from([60, 300, 2000, 5000]))
def test_vectors_carry_every_byte_once(data: bytes, size: int, room: int) -> None:
    if room < size:
        room = size
    vectors = Vectors(bytearray(room), 5, size)
    source, wire, more = BytesSource([data[:7], b"", data[7:]]), b"", True
    while more:
        n, more = source.read_into(vectors.view)
        wire += b"".join(vectors.pdus(n, more))
    found = values(wire, size)
    assert b"".join(value for _, _, value in found) == data
    assert [control for _, control, _ in found] == [0] * (len(found) - 1) + [2]
    assert all(len(value) == size for _, _, value in found[:-1])
    assert {context_id for context_id, _, _ in found} == {5}


@given(st.binary(max_size=3000), st.sampled_from([58, 1000]))
def test_data_in_memory_likewise(data: bytes, size: int) -> None:
    found = values(data_pdus(3, data, size), size)
    assert b"".join(value for _, _, value in found) == data
    assert [control for _, control, _ in found] == [0] * (len(found) - 1) + [2]


def test_a_command_set_may_need_several_pdus_too() -> None:
    command = {commands.COMMAND_FIELD: 1, commands.ERROR_COMMENT: "x" * 64, commands.AFFECTED_SOP_CLASS: "1.2"}
    found = values(command_pdus(1, command, 58), 58)
    assert commands.decode(b"".join(value for _, _, value in found)) == command
    assert [control for _, control, _ in found] == [1] * (len(found) - 1) + [3]


def test_a_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "object"
    path.write_bytes(b"header" + bytes(range(250)) + b"trailer")
    fd = os.open(path, os.O_RDONLY)
    try:
        source, buffer = FileSource(fd, 6, 250), memoryview(bytearray(100))
        got = []
        more = True
        while more:
            n, more = source.read_into(buffer)
            got.append(bytes(buffer[:n]))
        assert b"".join(got) == bytes(range(250))
        assert [len(piece) for piece in got] == [100, 100, 50]
        with pytest.raises(SourceFailed, match="shorter"):
            FileSource(fd, 0, 5000).read_into(memoryview(bytearray(6000)))
    finally:
        os.close(fd)
    with pytest.raises(SourceFailed, match="read"):
        FileSource(fd, 0, 10).read_into(buffer)
