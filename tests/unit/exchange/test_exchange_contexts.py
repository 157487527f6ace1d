"""Presentation contexts for a set of objects, and the choice among those accepted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.config import Peer, SyntaxPriority
from isocenter.dicom import uids
from isocenter.dicom.uids import transfer_syntax
from isocenter.exchange.contexts import LIMIT, Choice, Proposal, Wish, choose, proposals, wish_of
from isocenter.imaging.plan import may_transcode

US = "1.2.840.10008.5.1.4.1.1.3.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
JPEG, LOSSLESS = uids.JPEG_BASELINE, uids.JPEG_LOSSLESS_SV1
NATIVE = (uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE)


@pytest.mark.req("I-SEND-03", "I-SEND-04")
def test_one_context_per_encapsulated_syntax_and_one_with_the_native_ones() -> None:
    assert proposals([(US, JPEG), (US, LOSSLESS), (US, JPEG)]) == [
        [Proposal(US, (JPEG,)), Proposal(US, (LOSSLESS,)), Proposal(US, NATIVE)]
    ]


@pytest.mark.req("M-SEND-03", "I-SEND-02")
def test_a_native_syntax_has_a_context_of_its_own_too() -> None:
    assert proposals([(CT, uids.IMPLICIT_LE)]) == [
        [Proposal(CT, (uids.IMPLICIT_LE,)), Proposal(CT, (uids.EXPLICIT_LE, uids.EXPLICIT_BE))]
    ]
    assert proposals([(CT, syntax) for syntax in NATIVE]) == [[Proposal(CT, (syntax,)) for syntax in sorted(NATIVE)]]


@pytest.mark.req("M-SEND-04")
def test_only_what_is_needed() -> None:
    (group,) = proposals([(US, JPEG), (CT, uids.EXPLICIT_LE)])
    assert {proposal.sop_class for proposal in group} == {US, CT}
    assert proposals([]) == [[]]


@pytest.mark.req("I-SEND-05")
def test_preferred_native_syntaxes_come_first() -> None:
    (group,) = proposals([(US, JPEG)], preferred=(uids.IMPLICIT_LE, LOSSLESS))
    assert group[-1] == Proposal(US, (uids.IMPLICIT_LE, uids.EXPLICIT_LE, uids.EXPLICIT_BE))


def test_no_more_than_128_contexts_an_association() -> None:
    kinds = [(f"1.2.{n}", syntax) for n in range(100) for syntax in (JPEG, LOSSLESS)]
    groups = proposals(kinds)
    assert [len(group) for group in groups] == [126, 126, 48]
    classes = [{proposal.sop_class for proposal in group} for group in groups]
    assert not classes[0] & classes[1]
    assert {(p.sop_class, p.syntaxes[0]) for group in groups for p in group} >= set(kinds)


def test_a_class_with_more_syntaxes_than_contexts() -> None:
    (group,) = proposals([(CT, f"1.2.3.{n}") for n in range(200)])
    assert len(group) == LIMIT


SYNTAXES = st.sampled_from([*NATIVE, uids.DEFLATED_LE, JPEG, LOSSLESS, uids.RLE_LOSSLESS, "1.2.3.4"])


@given(
    st.lists(st.tuples(st.integers(0, 90).map(lambda n: f"1.2.{n}"), SYNTAXES), max_size=300),
    st.lists(SYNTAXES, max_size=3),
)
def test_every_kind_is_proposed_exactly_once_as_it_is(kinds: list[tuple[str, str]], preferred: list[str]) -> None:
    groups = proposals(kinds, preferred=preferred)
    alone = [(p.sop_class, p.syntaxes[0]) for group in groups for p in group if len(p.syntaxes) == 1]
    assert set(alone) >= set(kinds)
    assert all(len(group) <= LIMIT for group in groups)
    for group in groups:
        for proposal in group:
            assert len(set(proposal.syntaxes)) == len(proposal.syntaxes) > 0


@pytest.mark.req("I-SEND-02", "I-SEND-05")
def test_the_stored_syntax_is_chosen_before_all_others() -> None:
    accepted = {CT: [Choice(1, uids.EXPLICIT_LE), Choice(3, uids.IMPLICIT_LE), Choice(5, uids.IMPLICIT_LE)]}
    assert choose(accepted, (CT, uids.IMPLICIT_LE), preferred=(uids.EXPLICIT_LE,)) == Choice(3, uids.IMPLICIT_LE)


@pytest.mark.req("I-SEND-05")
def test_what_can_be_converted_goes_by_preference() -> None:
    accepted = {CT: [Choice(1, uids.EXPLICIT_LE), Choice(3, uids.IMPLICIT_LE)]}
    assert choose(accepted, (CT, uids.EXPLICIT_BE)) == Choice(1, uids.EXPLICIT_LE)
    assert choose(accepted, (CT, uids.EXPLICIT_BE), preferred=(uids.IMPLICIT_LE,)) == Choice(3, uids.IMPLICIT_LE)
    assert choose({CT: [Choice(7, uids.DEFLATED_LE)]}, (CT, uids.EXPLICIT_LE)) == Choice(7, uids.DEFLATED_LE)


@pytest.mark.req("M-SEND-08")
def test_what_has_a_codec_fits_a_native_context_and_what_has_none_does_not() -> None:
    accepted = {CT: [Choice(1, uids.EXPLICIT_LE)]}
    assert choose(accepted, (CT, JPEG)) == Choice(1, uids.EXPLICIT_LE)
    assert choose(accepted, (CT, uids.MPEG4_HIGH_41)) is None
    assert choose(accepted, (CT, "1.2.3.4")) is None
    assert choose(accepted, (US, uids.EXPLICIT_LE)) is None
    assert choose({}, (CT, uids.EXPLICIT_LE)) is None


@given(SYNTAXES, st.lists(SYNTAXES, max_size=6), st.lists(SYNTAXES, max_size=3))
def test_a_choice_is_accepted_and_reachable(stored: str, taken: list[str], preferred: list[str]) -> None:
    accepted = {CT: [Choice(2 * n + 1, syntax) for n, syntax in enumerate(taken)]}
    choice = choose(accepted, (CT, stored), preferred=preferred)
    if choice is None:
        assert not any(may_transcode(stored, syntax) for syntax in taken)
    else:
        assert choice in accepted[CT]
        assert choice.syntax == stored or not transfer_syntax(choice.syntax).lossy
        native = [syntax for syntax in taken if syntax in NATIVE]
        if native and stored not in taken and not set(preferred) & set(taken):
            assert not transfer_syntax(choice.syntax).encapsulated


@pytest.mark.req("I-SEND-05", "I-SEND-08")
def test_a_priority_list_is_followed_as_far_as_objects_can_be_brought_there() -> None:
    wish = Wish(priority=((JPEG, (JPEG, uids.EXPLICIT_LE)), (uids.EXPLICIT_LE, (JPEG, LOSSLESS, uids.IMPLICIT_LE))))
    accepted = {CT: [Choice(1, LOSSLESS), Choice(3, uids.EXPLICIT_LE), Choice(5, uids.IMPLICIT_LE), Choice(7, JPEG)]}
    # never into what loses
    assert choose(accepted, (CT, uids.EXPLICIT_LE), preferred=wish) == Choice(1, LOSSLESS)
    assert choose({CT: accepted[CT][1:]}, (CT, uids.EXPLICIT_LE), preferred=wish) == Choice(5, uids.IMPLICIT_LE)
    assert choose(accepted, (CT, JPEG), preferred=wish) == Choice(7, JPEG)
    assert choose({CT: accepted[CT][:3]}, (CT, JPEG), preferred=wish) == Choice(3, uids.EXPLICIT_LE)
    # a list that leads nowhere is as none
    assert choose({CT: accepted[CT][1:2]}, (CT, uids.EXPLICIT_LE), preferred=wish) == Choice(3, uids.EXPLICIT_LE)
    assert choose(accepted, (CT, LOSSLESS), preferred=wish) == Choice(1, LOSSLESS)


@pytest.mark.req("I-SEND-05", "X-QR-04")
def test_contexts_for_a_priority_list_and_for_a_peer_that_chooses() -> None:
    priority = ((uids.EXPLICIT_LE, (uids.IMPLICIT_LE, uids.EXPLICIT_LE)),)
    assert proposals([(CT, uids.EXPLICIT_LE)], preferred=Wish(priority=priority)) == [
        [Proposal(CT, (uids.EXPLICIT_LE,)), Proposal(CT, (uids.IMPLICIT_LE,)), Proposal(CT, (uids.EXPLICIT_BE,))]
    ]
    assert proposals([(CT, JPEG), (CT, LOSSLESS)], preferred=Wish(joined=True)) == [
        [Proposal(CT, (*sorted((JPEG, LOSSLESS)), *NATIVE))]
    ]


def test_the_wish_of_a_peer() -> None:
    listed = SyntaxPriority(stored=JPEG, send=(JPEG,))
    peer = Peer(title="WS", syntaxes=(uids.IMPLICIT_LE,), syntax_priority=(listed,), contexts="joined")
    assert wish_of(peer) == Wish((uids.IMPLICIT_LE,), ((JPEG, (JPEG,)),), True)
