"""PDUs and their items: round trips as properties, strangers' bytes, the wire form against the standard's tables."""

import contextlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocenter.dimse import pdu as pdus
from isocenter.dimse.pdu import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    CommonExtended,
    ContextProposal,
    ContextResult,
    Data,
    MalformedPdu,
    ReleaseReply,
    ReleaseRequest,
    Role,
    UserIdentity,
    UserInformation,
    encode,
)
from isocenter.dimse.pdu_reading import decode, decode_all

few = settings(max_examples=40, deadline=None)
uids = st.tuples(st.integers(0, 2), st.integers(0, 1 << 60)).map(lambda arcs: f"{arcs[0]}.{arcs[1]}")
titles = st.sampled_from(["A", "SIXTEEN_LETTERS_", "AE-1", "with blank"])
words = st.integers(0, 0xFFFF)
user_informations = st.builds(
    UserInformation,
    max_pdu=st.integers(0, 0xFFFFFFFF),
    implementation_class=uids,
    implementation_version=titles,
    window=st.none() | st.tuples(words, words),
    roles=st.dictionaries(uids, st.builds(Role, st.booleans(), st.booleans()), max_size=3),
    extended=st.dictionaries(uids, st.binary(max_size=20), max_size=3),
    common_extended=st.lists(
        st.builds(CommonExtended, uids, uids, st.lists(uids, max_size=3).map(tuple)), max_size=2
    ).map(tuple),
    user_identity=st.none()
    | st.builds(UserIdentity, st.integers(1, 5), st.binary(max_size=40), st.binary(max_size=40), st.booleans()),
    identity_response=st.none() | st.binary(max_size=40),
)
ids = st.lists(st.integers(0, 127).map(lambda i: 2 * i + 1), unique=True, max_size=8)


@st.composite
def requests(draw: st.DrawFn) -> AssociateRequest:
    syntaxes = st.lists(uids, max_size=4).map(tuple)
    contexts = tuple(ContextProposal(i, draw(uids), draw(syntaxes)) for i in draw(ids))
    return AssociateRequest(draw(titles), draw(titles), contexts, draw(user_informations))


@st.composite
def acceptances(draw: st.DrawFn) -> AssociateAccept:
    results = st.integers(0, 4)
    contexts = tuple(
        ContextResult(i, result, draw(uids) if result == 0 else "") for i in draw(ids) for result in [draw(results)]
    )
    return AssociateAccept(contexts, draw(user_informations), draw(titles), draw(titles))


fragments = st.tuples(st.integers(0, 255), st.integers(0, 3), st.binary(max_size=50))
small = st.one_of(
    st.builds(AssociateReject, st.integers(1, 2), st.integers(1, 3), st.integers(1, 7)),
    st.builds(Abort, st.sampled_from([0, 2]), st.integers(0, 6)),
    st.just(ReleaseRequest()),
    st.just(ReleaseReply()),
    st.builds(Data, st.lists(fragments, max_size=4).map(tuple)),
)
any_pdu = st.one_of(requests(), acceptances(), small)


@few
@given(st.lists(any_pdu, max_size=3))
def test_what_is_written_is_read(sent: list[pdus.Pdu]) -> None:
    assert list(decode_all(b"".join(map(encode, sent)))) == sent


@few
@given(st.sampled_from(range(1, 8)), st.binary(max_size=300))
def test_any_bytes_are_a_pdu_or_malformed(kind: int, body: bytes) -> None:
    with contextlib.suppress(MalformedPdu):  # nothing else may be raised
        decode(kind, body)


@few
@given(requests(), st.integers(0, 2000), st.binary(min_size=1, max_size=4))
def test_a_damaged_request_is_read_or_malformed(sent: AssociateRequest, at: int, damage: bytes) -> None:
    body = bytearray(encode(sent)[6:])
    at %= len(body)
    body[at : at + len(damage)] = damage
    with contextlib.suppress(MalformedPdu):  # nothing else may be raised
        decode(1, bytes(body))


@few
@given(requests(), st.data())
def test_a_truncated_request_is_read_or_malformed(sent: AssociateRequest, data: st.DataObject) -> None:
    body = encode(sent)[6:]
    cut = body[: data.draw(st.integers(0, len(body) - 1))]
    with contextlib.suppress(MalformedPdu):  # nothing else may be raised
        decode(1, cut)


def test_the_wire_form_of_a_request() -> None:
    """PS3.8 tables 9-11 to 9-19, byte by byte."""
    user = UserInformation(max_pdu=16384, implementation_class="1.2", implementation_version="V", window=(3, 4))
    wire = encode(AssociateRequest("CALLED", "CALLING", (ContextProposal(1, "1.9", ("1.8",)),), user))
    assert wire[:6] == b"\x01\x00" + struct.pack(">I", len(wire) - 6)
    assert wire[6:10] == b"\0\x01\0\0"
    assert wire[10:42] == b"CALLED".ljust(16) + b"CALLING".ljust(16)
    assert wire[42:74] == bytes(32)
    assert wire[74:99] == b"\x10\0\0\x151.2.840.10008.3.1.1.1"
    assert wire[99:121] == b"\x20\0\0\x12\x01\0\0\0\x30\0\0\x031.9\x40\0\0\x031.8"
    rest = b"\x51\0\0\x04\0\0\x40\0\x52\0\0\x031.2\x53\0\0\x04\0\x03\0\x04\x55\0\0\x01V"
    assert wire[121:] == b"\x50\0" + struct.pack(">H", len(rest)) + rest


def test_unknown_items_are_skipped() -> None:
    sent = AssociateRequest("A", "B", (ContextProposal(1, "1.2", ("1.3",)),), UserInformation(max_pdu=4096))
    wire = encode(sent)[6:]
    user_at = wire.rindex(b"\x50\0")
    length = int.from_bytes(wire[user_at + 2 : user_at + 4], "big")
    unknown = b"\x99\0\0\x05hello"
    user = b"\x50\0" + struct.pack(">H", length + 9) + unknown + wire[user_at + 4 :]
    assert decode(1, wire[:user_at] + unknown + user) == sent


@pytest.mark.parametrize(
    "contexts",
    [
        pytest.param([(2, "1.2")], id="even id"),
        pytest.param([(1, "1.2"), (1, "1.3")], id="id twice"),
    ],
)
def test_context_ids_have_to_be_odd_and_unique(contexts: list[tuple[int, str]]) -> None:
    wire = encode(AssociateRequest("A", "B", tuple(ContextProposal(i, uid, ("1.4",)) for i, uid in contexts)))
    with pytest.raises(MalformedPdu):
        decode(1, wire[6:])


@pytest.mark.req("I-ASSOC-04", "I-ASSOC-09", "M-ASSOC-07")
def test_we_say_who_we_are_and_what_we_take() -> None:
    sent = AssociateRequest("A", "B", (ContextProposal(1, "1.2", ("1.3",)),), UserInformation(max_pdu=51200))
    got = decode(1, encode(sent)[6:])
    assert isinstance(got, AssociateRequest)
    assert got.user.max_pdu == 51200
    assert got.user.implementation_class.startswith("2.25.")
    assert 1 <= len(got.user.implementation_version) <= 16
    assert got.application_context == "1.2.840.10008.3.1.1.1"


def test_titles_longer_than_sixteen_characters_are_refused() -> None:
    with pytest.raises(ValueError, match="16"):
        encode(AssociateRequest("A" * 17, "B", ()))


def test_the_limits_by_type() -> None:
    limits = [pdus.length_limit(kind, 5000) for kind in range(9)]
    assert limits == [-1, 1 << 20, 1 << 20, 256, 5000, 256, 256, 256, -1]


def test_credentials_stay_out_of_the_representation() -> None:
    assert "secret" not in repr(UserIdentity(2, b"secret name", b"secret pass"))
