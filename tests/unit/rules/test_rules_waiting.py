"""The beginning of an object that waits for the rules: however it comes in pieces, and whatever it is."""

import hashlib
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from isocenter.archive.coercing import Coerced, Identity, Waiting, recast
from isocenter.archive.repeating import Recurring
from isocenter.dicom import uids
from isocenter.dicom.dataset import Element, encode
from isocenter.dicom.scan import scan
from isocenter.errors import Refused
from isocenter.index.keys import INDEXED
from isocenter.rules import Coercion
from unit.dicom.dicom_data_sets import data_sets
from unit.rules.rule_samples import AT, coercion, data_set

CT = "1.2.840.10008.5.1.4.1.1.2"
NAMED = data_set(SOPClassUID=CT, SOPInstanceUID="1.2.3", PatientID="17", Modality="CT", PatientName="A^B")
RULES: tuple[dict[str, Any], ...] = (
    {"do": [{"replace": "PatientID", "pattern": "^", "by": "X-"}, {"delete": "PatientName"}]},
    {"modalities": ["CT"], "do": [{"set": "InstitutionName", "value": "here"}]},
    {"do": [{"private": "0099", "creator": "ACME", "element": 1, "vr": "LO", "value": "x"}]},
)


def ruled(rules: tuple[dict[str, Any], ...] = RULES, **options: Any) -> Coercion:
    found = coercion(*rules, **options)
    assert found is not None
    return found


def passed(data: bytes, syntax: str, cuts: list[int], **options: Any) -> tuple[Any, bytes]:
    """What is decided of an object that comes in pieces, and all that is to be written."""
    waiting = Waiting(ruled(**options), Identity(CT, "1.2.3"), syntax, INDEXED, "", AT)
    ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    start, decided, rest = 0, None, b""
    for end in ends:
        piece = [memoryview(data[start:end])]
        if decided is None:
            found = waiting.feed(piece)
            if found is not None:
                decided, rest = found[0], b"".join(found[1])
        else:
            rest += piece[0]
        start = end
    if decided is None:
        decided = waiting.finish()
    return decided, decided.head + rest


@pytest.mark.parametrize("syntax", [uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE], ids=uids.keyword_of)
@given(data_sets(), st.integers(0, 200_000), st.lists(st.integers(1, 210_000), max_size=5))
@settings(max_examples=40, deadline=None)
def test_pieces_do_not_matter(syntax: str, more: Any, pixels: int, cuts: list[int]) -> None:
    content = {**more, **NAMED, 0x7FE00010: Element("OW", bytes(pixels // 2 * 2))}
    data = encode(content, syntax)
    decided, written = passed(data, syntax, cuts)
    at_once, same = passed(data, syntax, [])
    assert written == same
    assert decided.outcome == at_once.outcome
    assert decided.received == at_once.received
    length, where, digest = decided.received
    assert hashlib.sha256(data[:length]).hexdigest() == digest
    assert data[length:] == written[where:]
    again = scan(written, syntax, INDEXED)
    assert {tag: raw for tag, raw in decided.scan.elements.items() if tag in INDEXED} == again.elements
    assert (decided.scan.end, decided.scan.pixel) == (again.end, again.pixel)


@given(data_sets())
@settings(max_examples=25, deadline=None)
def test_what_is_made_of_the_whole_is_what_is_made_of_the_beginning(more: Any) -> None:
    data = encode({**more, **NAMED, 0x7FE00010: Element("OW", bytes(400))}, uids.EXPLICIT_LE)
    decided, written = passed(data, uids.EXPLICIT_LE, [])
    digest = hashlib.sha256(data).hexdigest()
    made = recast(
        ruled(), lambda n, at: data[at : at + n], len(data), digest, uids.EXPLICIT_LE, Identity(CT, "1.2.3"), "", AT
    )
    assert made is not None
    assert b"".join(made.pieces) == written
    assert made.received == decided.received
    assert made.outcome == decided.outcome


@given(st.binary(max_size=300), st.booleans())
@example(b"", False)
@example(b"\xfe\xff\x00\xe0" + bytes(200), True)
@settings(max_examples=150, deadline=None)
def test_bytes_that_are_no_object_pass_as_they_came(noise: bytes, drop: bool) -> None:
    for syntax in (uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE, uids.DEFLATED_LE):
        decided, written = passed(noise, syntax, [7, 50], drop_invalid=drop)
        assert written == noise
        assert decided.received is None


@given(data_sets(), st.integers(0, 4000), st.binary(min_size=1, max_size=8), st.booleans())
@settings(max_examples=150, deadline=None)
def test_damaged_objects_are_changed_or_pass_but_never_break(more: Any, at: int, noise: bytes, drop: bool) -> None:
    data = bytearray(encode({**more, **NAMED, 0x7FE00010: Element("OW", bytes(40))}, uids.EXPLICIT_LE))
    data[at % len(data) : at % len(data) + len(noise)] = noise
    damaged = bytes(data)
    decided, written = passed(damaged, uids.EXPLICIT_LE, [], drop_invalid=drop)
    if decided.received is None:
        assert written == damaged
    try:
        recast(
            ruled(drop_invalid=drop), lambda n, where: damaged[where : where + n], len(damaged), "",
            uids.EXPLICIT_LE, Identity(CT, "1.2.3"), "", AT,
        )  # fmt: skip
    except Refused:
        assert decided.received is None or decided.refusal is None


@given(
    st.lists(
        st.tuples(st.sampled_from(["1", "2"]), st.sampled_from(["A^B", "C^D"]), st.integers(1, 3), st.integers(0, 1)),
        min_size=2,
        max_size=8,
    ),
    st.sampled_from([uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE]),
    st.sampled_from([RULES, RULES[:2]]),
)
@settings(max_examples=60, deadline=None)
def test_what_came_before_does_not_matter(
    objects: list[tuple[str, str, int, int]], syntax: str, rules: tuple[dict[str, Any], ...]
) -> None:
    shared, recurring = ruled(rules), Recurring()
    for patient, name, number, second in objects:
        own = data_set(PatientID=patient, PatientName=name, InstanceNumber=str(10**number), ImageComments="x" * number)
        data = encode({**NAMED, **own, 0x7FE00010: Element("OW", bytes(400))}, syntax)
        made = []
        for each, known in ((shared, recurring), (shared, None), (ruled(rules), None)):
            at = AT + second * 1_000_000
            waiting = Waiting(each, Identity(CT, "1.2.3"), syntax, INDEXED, "", at, known)
            decided = waiting.feed([memoryview(data)])
            found, rest = (decided[0], decided[1]) if decided is not None else (waiting.finish(), [])
            scanned = found.scan._replace(alike=None) if found.scan is not None else None
            told = found.received._replace(length=0, stored=0, digest="") if found.received is not None else None
            made.append((b"".join([found.head, *rest]), found._replace(head=b"", scan=scanned, received=told)))
            assert_told(found, data, made[-1][0])
        assert made[0] == made[1] == made[2]


def test_what_a_series_has_in_common_is_decided_once_a_second() -> None:
    shared, recurring, made = ruled(RULES[:2]), Recurring(), list[Coerced]()
    for number in range(6):
        own = data_set(InstanceNumber=str(10**number), ImageComments="x" * number)
        data = encode({**NAMED, **own, 0x7FE00010: Element("OW", bytes(400))}, uids.EXPLICIT_LE)
        waiting = Waiting(shared, Identity(CT, "1.2.3"), uids.EXPLICIT_LE, INDEXED, "", AT + number, recurring)
        found = waiting.feed([memoryview(data)])
        made.append(found[0] if found is not None else waiting.finish())
    repeated = [each for each in made if each.scan is not None and each.scan.alike is not None]
    assert len(repeated) == 3
    assert all(each.outcome is repeated[0].outcome and each.outcome.changes for each in repeated)
    later = Waiting(shared, Identity(CT, "1.2.3"), uids.EXPLICIT_LE, INDEXED, "", AT + 1_000_000, recurring)
    decided = later.feed([memoryview(data)])
    found_later = decided[0] if decided is not None else later.finish()
    assert found_later.outcome.changes != repeated[0].outcome.changes


def assert_told(found: Coerced, data: bytes, written: bytes) -> None:
    """What is told of the bytes that came is so."""
    if found.received is not None:
        length, stored, digest = found.received
        assert hashlib.sha256(data[:length]).hexdigest() == digest
        assert data[length:] == written[stored:]
