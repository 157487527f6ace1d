"""Decisions on an association request, and what both sides make of an acceptance, as pure functions (PS3.7 D.3).

An acceptor describes what it takes of each abstract syntax as an `Offer`; `accept` works out the answer. A refused
association gets one of the rejections below, the reasons of PS3.8 table 9-21 that the catalogue's conformance
statements name.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, TypeAlias

from isocenter.dicom.uids import APPLICATION_CONTEXT
from isocenter.dimse.pdu import (
    PLAIN,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextProposal,
    ContextResult,
    Result,
    Role,
    UserInformation,
)
from isocenter.dimse.service import Context
from isocenter.dimse.settings import DEFAULTS, ProposedContext, Settings
from isocenter.dimse.transport import Session

NO_REASON: Final = AssociateReject(1, 1, 1)
APPLICATION_CONTEXT_NOT_SUPPORTED: Final = AssociateReject(1, 1, 2)
CALLING_TITLE_NOT_RECOGNIZED: Final = AssociateReject(1, 1, 3)
CALLED_TITLE_NOT_RECOGNIZED: Final = AssociateReject(1, 1, 7)
UNREADABLE: Final = AssociateReject(1, 2, 1)
"""No reason given by the ACSE provider: the request could not be parsed. Sent by the core itself."""
VERSION_NOT_SUPPORTED: Final = AssociateReject(1, 2, 2)
"""Sent by the core itself."""
TEMPORARY_CONGESTION: Final = AssociateReject(2, 3, 1)
LOCAL_LIMIT_EXCEEDED: Final = AssociateReject(2, 3, 2)


class Preference(StrEnum):
    """Whose order of transfer syntaxes counts."""

    ACCEPTOR = "acceptor"
    PROPOSER = "proposer"


@dataclass(frozen=True, slots=True)
class Offer:
    """What an acceptor takes of an abstract syntax. `scu`, `scp`: the roles that the requestor may have."""

    syntaxes: tuple[str, ...]
    """In the acceptor's order of preference; () takes any syntax that is proposed."""
    scu: bool = True
    scp: bool = False
    extended: Callable[[bytes], bytes | None] | None = None
    """The answer to service class application information; None: such items stay unanswered."""


OfferOf = Callable[[str], Offer | None]
"""What is offered for an abstract syntax; None: it isn't supported."""


@dataclass(frozen=True, slots=True)
class Admission:
    """An acceptance and what the association goes by, as long as it lasts."""

    answer: AssociateAccept
    settings: Settings | None = None
    """Its limits and time-outs; None: the acceptor's. Window and maximum PDU are the answer's own."""
    basis: object = None
    """What the policy decided by, for the services: `Association.basis`."""
    user: str = ""
    """Who the requestor's user is, where an identity was verified: `Association.user`."""


Decision: TypeAlias = AssociateAccept | AssociateReject | Admission


class Policy(Protocol):
    """Decides on association requests."""

    def negotiate(self, request: AssociateRequest, address: str, port: int, session: Session | None = None) -> Decision:
        """The answer to a request from the IP `address` to our `port`, over the TLS `session` or without TLS. Called in
        the association's thread."""


@dataclass(frozen=True, slots=True)
class TitlePolicy:
    """Looks at the titles, then at each context. None for a set of titles takes any."""

    offer_of: OfferOf
    called: frozenset[str] | None = None
    calling: frozenset[str] | None = None
    preference: Preference = Preference.ACCEPTOR
    settings: Settings = DEFAULTS
    reject_empty: bool = False
    """Reject an association of which no context is acceptable, instead of accepting it without any."""

    def negotiate(
        self, request: AssociateRequest, address: str, port: int, session: Session | None = None
    ) -> AssociateAccept | AssociateReject:
        """See `Policy`."""
        refusal = check_titles(request, self.called, self.calling)
        if refusal is not None:
            return refusal
        answer = accept(request, self.offer_of, preference=self.preference, settings=self.settings)
        if self.reject_empty and all(context.result for context in answer.contexts):
            return NO_REASON
        return answer


def check_titles(
    request: AssociateRequest, called: frozenset[str] | None, calling: frozenset[str] | None
) -> AssociateReject | None:
    """The rejection for a foreign application context or an unknown title, or None."""
    if request.application_context != APPLICATION_CONTEXT:
        return APPLICATION_CONTEXT_NOT_SUPPORTED
    if called is not None and request.called not in called:
        return CALLED_TITLE_NOT_RECOGNIZED
    if calling is not None and request.calling not in calling:
        return CALLING_TITLE_NOT_RECOGNIZED
    return None


def accept(
    request: AssociateRequest,
    offer_of: OfferOf,
    *,
    preference: Preference = Preference.ACCEPTOR,
    settings: Settings = DEFAULTS,
    identity_response: bytes | None = None,
) -> AssociateAccept:
    """The acceptance of `request`: a result for each context, roles, extended negotiation, window, our maximum PDU."""
    offers = {context.abstract: offer_of(context.abstract) for context in request.contexts}
    known = {uid: offer for uid, offer in offers.items() if offer is not None}
    user = UserInformation(
        max_pdu=settings.max_pdu,
        window=choose_window(request.user.window, settings.window),
        roles=choose_roles(request.user.roles, known),
        extended=choose_extended(request.user.extended, known),
        identity_response=identity_response,
    )
    results = tuple(
        choose_context(context, offers[context.abstract], request.user.roles.get(context.abstract), preference)
        for context in request.contexts
    )
    return AssociateAccept(results, user, request.called, request.calling)


def choose_context(
    proposal: ContextProposal, offer: Offer | None, role: Role | None, preference: Preference
) -> ContextResult:
    """The result for one context (PS3.8 9.3.3.2).

    Where the requestor is only to receive (C-GET), its own order counts: it says how it wants what we hold.
    """
    if offer is None:
        return ContextResult(proposal.id, Result.ABSTRACT_SYNTAX_NOT_SUPPORTED)
    wanted = role or Role(scu=True, scp=False)
    if not (wanted.scu and offer.scu) and not (wanted.scp and offer.scp):
        return ContextResult(proposal.id, Result.USER_REJECTION)
    order = Preference.PROPOSER if wanted.scp and not wanted.scu else preference
    syntax = choose_syntax(proposal.syntaxes, offer.syntaxes, order)
    if syntax is None:
        return ContextResult(proposal.id, Result.TRANSFER_SYNTAXES_NOT_SUPPORTED)
    return ContextResult(proposal.id, Result.ACCEPTANCE, syntax)


def choose_syntax(proposed: Sequence[str], taken: Sequence[str], preference: Preference) -> str | None:
    """The first of one side's list that the other has too; `taken` () takes anything."""
    if not taken:
        return next(iter(proposed), None)
    first, second = (taken, proposed) if preference is Preference.ACCEPTOR else (proposed, taken)
    return next((syntax for syntax in first if syntax in second), None)


def choose_roles(proposed: Mapping[str, Role], offers: Mapping[str, Offer]) -> dict[str, Role]:
    """The answers to role selection: never more than was proposed (PS3.7 D.3.3.4.2)."""
    return {
        uid: Role(role.scu and offers[uid].scu, role.scp and offers[uid].scp)
        for uid, role in proposed.items()
        if uid in offers
    }


def choose_extended(proposed: Mapping[str, bytes], offers: Mapping[str, Offer]) -> dict[str, bytes]:
    """The answers to SOP class extended negotiation (PS3.7 D.3.3.5)."""
    answers: dict[str, bytes] = {}
    for uid, information in proposed.items():
        offer = offers.get(uid)
        answer = offer.extended(information) if offer is not None and offer.extended is not None else None
        if answer is not None:
            answers[uid] = answer
    return answers


def choose_window(proposed: tuple[int, int] | None, own: tuple[int, int]) -> tuple[int, int] | None:
    """The asynchronous operations window to answer with (PS3.7 D.3.3.3): what the requestor may invoke is at most what
    we perform at once, and the other way round. 0 is any number."""
    if proposed is None:
        return None
    invoked, performed = proposed
    return _lesser(invoked, own[1]), _lesser(performed, own[0])


def _lesser(one: int, other: int) -> int:
    return min(one, other) if one and other else one or other


# ---- service class application information of query and retrieve (PS3.4 C.5.1.1, C.5.2.1, C.5.3.1)


@dataclass(frozen=True, slots=True)
class QueryExtras:
    """The negotiable extras of C-FIND, a byte each on the wire; C-MOVE and C-GET have the first only."""

    relational: bool = False
    combined_date_time: bool = False
    fuzzy_names: bool = False
    timezone: bool = False
    enhanced_multiframe: bool = False

    def encode(self) -> bytes:
        """The five bytes of C-FIND."""
        flags = (self.relational, self.combined_date_time, self.fuzzy_names, self.timezone, self.enhanced_multiframe)
        return bytes(flags)


def query_extras(information: bytes) -> QueryExtras:
    """What the information says; missing bytes mean no."""
    return QueryExtras(*(flag == 1 for flag in information[:5]))


def extras_answer(supported: QueryExtras) -> Callable[[bytes], bytes | None]:
    """An `Offer.extended` that agrees to what is both asked for and supported, in as many bytes as were sent."""
    mask = supported.encode()

    def answer(information: bytes) -> bytes | None:
        agreed = bytes(int(asked == 1 and able == 1) for asked, able in zip(information, mask, strict=False))
        return agreed or None

    return answer


# ---- what both sides make of it


def accepted_contexts(request: AssociateRequest, answer: AssociateAccept, *, requestor: bool) -> dict[int, Context]:
    """The accepted contexts by id, with our roles as requestor or as acceptor."""
    proposed = {context.id: context for context in request.contexts}
    contexts: dict[int, Context] = {}
    for result in answer.contexts:
        proposal = proposed.get(result.id)
        if result.result != Result.ACCEPTANCE or proposal is None:
            continue
        scu, scp = _agreed(request.user.roles.get(proposal.abstract), answer.user.roles.get(proposal.abstract))
        ours = (scu, scp) if requestor else (scp, scu)
        extended = answer.user.extended.get(proposal.abstract, b"")
        contexts[result.id] = Context(result.id, proposal.abstract, result.syntax, *ours, extended)
    return contexts


def _agreed(proposed: Role | None, answered: Role | None) -> tuple[bool, bool]:
    """The requestor's roles: the default where either side said nothing."""
    if proposed is None or answered is None:
        return True, False
    return proposed.scu and answered.scu, proposed.scp and answered.scp


def propose(
    contexts: Iterable[ProposedContext],
    *,
    calling: str,
    called: str,
    settings: Settings = DEFAULTS,
    user: UserInformation = PLAIN,
) -> AssociateRequest:
    """The request for `contexts` (at most 128, ids 1, 3, 5, ...). Identity and the like come from `user`."""
    asked = list(contexts)
    if not 1 <= len(asked) <= 128:
        raise ValueError("an association has 1 to 128 presentation contexts")
    proposals = tuple(ContextProposal(2 * i + 1, c.abstract, c.syntaxes) for i, c in enumerate(asked))
    information = UserInformation(
        max_pdu=settings.max_pdu,
        implementation_class=user.implementation_class,
        implementation_version=user.implementation_version,
        window=None if settings.window == (1, 1) else settings.window,
        roles={c.abstract: Role(c.scu, c.scp) for c in asked if (c.scu, c.scp) != (True, False)},
        extended={c.abstract: c.extended for c in asked if c.extended},
        common_extended=user.common_extended,
        user_identity=user.user_identity,
    )
    return AssociateRequest(called, calling, proposals, information)
