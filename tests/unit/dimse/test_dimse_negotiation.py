"""Decisions on requests: contexts, syntaxes, roles, extended negotiation, windows, and the catalogue's rejections."""

import csv
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.dimse import negotiation
from isocenter.dimse.negotiation import (
    Offer,
    Preference,
    QueryExtras,
    TitlePolicy,
    accept,
    accepted_contexts,
    choose_syntax,
    choose_window,
    extras_answer,
    propose,
    query_extras,
)
from isocenter.dimse.pdu import (
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextProposal,
    Role,
    UserInformation,
)
from isocenter.dimse.settings import ProposedContext, Settings
from material import REQUIREMENTS

IMPLICIT, EXPLICIT, JPEG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"
CT, FIND = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.2.2.1"
ORDER = (EXPLICIT, IMPLICIT, JPEG)
OFFERS = {
    CT: Offer(ORDER, scu=True, scp=True),
    FIND: Offer(ORDER, extended=extras_answer(QueryExtras(relational=True, fuzzy_names=True))),
}
POLICY = TitlePolicy(OFFERS.get, called=frozenset({"ARCHIVE"}), calling=frozenset({"MODALITY"}))


def asked(*contexts: ProposedContext, **changes: object) -> AssociateRequest:
    request = propose(contexts or (ProposedContext(CT, ORDER),), calling="MODALITY", called="ARCHIVE")
    return replace(request, **changes)  # type: ignore[arg-type]


def accepted(request: AssociateRequest, policy: TitlePolicy = POLICY) -> AssociateAccept:
    answer = policy.negotiate(request, "127.0.0.1", 104)
    assert isinstance(answer, AssociateAccept)
    return answer


WHEN = {
    "unsupported application context": asked(application_context="1.2.3"),
    "unknown called AE Title": asked(called="NOBODY"),
    "unknown calling AE Title": asked(calling="NOBODY"),
    "called AE Title differs from the shared title": asked(called="NOBODY"),
}
CONSTANTS = {
    "local-limit-exceeded": negotiation.LOCAL_LIMIT_EXCEEDED,
    "temporary-congestion": negotiation.TEMPORARY_CONGESTION,
    "application-context-name-not-supported": negotiation.APPLICATION_CONTEXT_NOT_SUPPORTED,
    "called-AE-title-not-recognized": negotiation.CALLED_TITLE_NOT_RECOGNIZED,
    "calling-AE-title-not-recognized": negotiation.CALLING_TITLE_NOT_RECOGNIZED,
    "no-reason-given": negotiation.UNREADABLE,
}


def catalogue() -> list[dict[str, str]]:
    with open(REQUIREMENTS / "ps32_association_rejects.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.req("C-GEN-10")
@pytest.mark.parametrize("row", catalogue(), ids=lambda row: row["reason_diag"] or row["when"])
def test_the_rejections_of_the_catalogue(row: dict[str, str]) -> None:
    """Each row's numbers are those of our constant, and its cause leads to them."""
    if row["reason_diag"]:
        number, name = row["reason_diag"].split(maxsplit=1)
        constant = CONSTANTS[name]
        assert (constant.result, constant.source, constant.reason) == (
            int(row["result"].split()[0]),
            int(row["source"].split()[0]),
            int(number),
        )
        if row["when"] in WHEN:
            assert POLICY.negotiate(WHEN[row["when"]], "127.0.0.1", 104) == constant
    elif row["when"] in WHEN:
        assert isinstance(POLICY.negotiate(WHEN[row["when"]], "127.0.0.1", 104), AssociateReject)
    else:
        assert "context is acceptable" in row["when"]
        strict = replace(POLICY, reject_empty=True)
        assert isinstance(strict.negotiate(asked(ProposedContext("1.2.3", ORDER)), "127.0.0.1", 104), AssociateReject)


def test_each_context_has_its_own_result() -> None:
    request = asked(
        ProposedContext(CT, (JPEG, IMPLICIT)),
        ProposedContext("1.2.3", ORDER),
        ProposedContext(CT, ("1.2.840.10008.1.2.4.100",)),
        ProposedContext(FIND, ORDER, scu=False, scp=True),
    )
    answer = accepted(request)
    assert [(c.id, int(c.result), c.syntax) for c in answer.contexts] == [
        (1, 0, IMPLICIT),
        (3, 3, ""),
        (5, 4, ""),
        (7, 1, ""),
    ]


@pytest.mark.req("M-ASSOC-09")
def test_the_first_syntax_of_the_proposer_where_that_is_wanted() -> None:
    request = asked(ProposedContext(CT, (JPEG, IMPLICIT, EXPLICIT)))
    assert accepted(request).contexts[0].syntax == EXPLICIT
    proposer = replace(POLICY, preference=Preference.PROPOSER)
    assert accepted(request, proposer).contexts[0].syntax == JPEG


def test_an_offer_without_syntaxes_takes_any() -> None:
    assert choose_syntax(("1.9.9",), (), Preference.ACCEPTOR) == "1.9.9"
    assert choose_syntax((), (), Preference.ACCEPTOR) is None


@given(
    st.lists(st.sampled_from(ORDER), unique=True),
    st.lists(st.sampled_from(ORDER), min_size=1, unique=True),
    st.sampled_from(Preference),
)
def test_a_chosen_syntax_is_in_both_lists(proposed: list[str], taken: list[str], preference: Preference) -> None:
    chosen = choose_syntax(proposed, taken, preference)
    common = [s for s in (taken if preference is Preference.ACCEPTOR else proposed) if s in proposed and s in taken]
    assert chosen == (common[0] if common else None)


@pytest.mark.req("I-ASSOC-03", "I-ASSOC-24")
@pytest.mark.parametrize("scu", [True, False])
@pytest.mark.parametrize("scp", [True, False])
def test_roles_are_agreed_on(scu: bool, scp: bool) -> None:
    request = asked(ProposedContext(CT, ORDER, scu=scu, scp=scp))
    answer = accepted(request)
    ours = accepted_contexts(request, answer, requestor=True)
    theirs = accepted_contexts(request, answer, requestor=False)
    if not (scu or scp):
        assert ours == {}
        return
    assert (ours[1].as_scu, ours[1].as_scp) == (scu, scp)
    assert (theirs[1].as_scu, theirs[1].as_scp) == (scp, scu)


def test_a_role_that_the_acceptor_lacks_is_not_given() -> None:
    request = asked(ProposedContext(FIND, ORDER, scu=True, scp=True))
    answer = accepted(request)
    assert answer.user.roles == {FIND: Role(scu=True, scp=False)}
    assert not accepted_contexts(request, answer, requestor=True)[1].as_scp


def test_an_acceptor_that_does_not_answer_roles_leaves_the_default() -> None:
    request = asked(ProposedContext(CT, ORDER, scu=True, scp=True))
    answer = replace(accepted(request), user=UserInformation())
    context = accepted_contexts(request, answer, requestor=True)[1]
    assert (context.as_scu, context.as_scp) == (True, False)


@pytest.mark.parametrize(
    ("sent", "answered"),
    [(b"\x01", b"\x01"), (b"\x01\x01\x01", b"\x01\x00\x01"), (b"\x00\x00", b"\x00\x00"), (b"", None)],
)
def test_extended_negotiation_agrees_to_what_both_have(sent: bytes, answered: bytes | None) -> None:
    """PS3.4 C.5.1.1: a byte each for relational queries, combined date and time, fuzzy names, time zone."""
    request = asked(ProposedContext(FIND, ORDER, extended=b"\x01"))
    request = replace(request, user=replace(request.user, extended={FIND: sent, CT: b"\x01"}))
    answer = accepted(request)
    assert answer.user.extended == ({FIND: answered} if answered is not None else {})
    context = accepted_contexts(request, answer, requestor=False)[1]
    assert query_extras(context.extended).relational is (sent[:1] == b"\x01")


@given(st.builds(QueryExtras, *[st.booleans()] * 5))
def test_query_extras_survive_the_wire(extras: QueryExtras) -> None:
    assert query_extras(extras.encode()) == extras


@pytest.mark.req("I-ASSOC-08", "P-ASSOC-04", "M-ASSOC-06")
@pytest.mark.parametrize(
    ("proposed", "own", "answered"),
    [
        (None, (8, 8), None),
        ((5, 3), (1, 1), (1, 1)),
        ((5, 3), (2, 4), (4, 2)),
        ((0, 0), (8, 4), (4, 8)),
        ((5, 3), (0, 0), (5, 3)),
        ((0, 0), (0, 0), (0, 0)),
    ],
)
def test_windows(proposed: tuple[int, int] | None, own: tuple[int, int], answered: tuple[int, int] | None) -> None:
    assert choose_window(proposed, own) == answered


def test_a_window_is_proposed_only_where_there_is_one() -> None:
    context = (ProposedContext(CT, ORDER),)
    assert propose(context, calling="A", called="B").user.window is None
    assert propose(context, calling="A", called="B", settings=Settings(window=(8, 1))).user.window == (8, 1)


def test_our_maximum_is_announced_and_never_unlimited() -> None:
    assert accept(asked(), OFFERS.get, settings=Settings(max_pdu=50 << 10)).user.max_pdu == 50 << 10
    assert accept(asked(), OFFERS.get).user.max_pdu >= 128 << 10


@pytest.mark.parametrize("count", [0, 129])
def test_more_contexts_than_ids_are_the_callers_to_split(count: int) -> None:
    with pytest.raises(ValueError, match="128"):
        propose([ProposedContext(CT, ORDER)] * count, calling="A", called="B")


def test_contexts_that_were_not_proposed_are_overlooked() -> None:
    request = asked()
    answer = accept(replace(request, contexts=(*request.contexts, ContextProposal(9, CT, ORDER))), OFFERS.get)
    assert set(accepted_contexts(request, answer, requestor=True)) == {1}
