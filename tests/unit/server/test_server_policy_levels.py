"""The levels of a policy, SOP classes and roles by name, ports of single AEs, and answers where nobody fits."""

import pytest

from isocenter.config import HostedAE, Peer, Settings
from isocenter.config.settings import Policy
from isocenter.dicom import uids
from isocenter.dimse.negotiation import Admission
from isocenter.dimse.pdu import (
    AssociateReject,
    AssociateRequest,
    ContextProposal,
    Result,
    Role,
    UserInformation,
)
from isocenter.server.board import Board, Kind
from isocenter.server.policy import ArchivePolicy, Door, Places
from isocenter.server.ports import NO_OWN_PORTS, OwnPorts

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
FIND = uids.STUDY_ROOT_FIND
HERE, THERE = "10.0.0.1", "10.0.0.2"
NO_CALLING, NO_CALLED = AssociateReject(1, 1, 3), AssociateReject(1, 1, 7)


def request(
    *classes: str, called: str = "ISOCENTER", calling: str = "CT1", roles: dict[str, Role] | None = None
) -> AssociateRequest:
    proposals = tuple(ContextProposal(2 * i + 1, uid, (uids.EXPLICIT_LE,)) for i, uid in enumerate(classes))
    return AssociateRequest(called, calling, proposals, UserInformation(roles=roles or {}))


def decided(
    settings: Settings,
    asked: AssociateRequest,
    address: str = HERE,
    *,
    port: int = 1,
    ports: OwnPorts = NO_OWN_PORTS,
) -> Admission | AssociateReject:
    policy = ArchivePolicy(settings, ports=ports)
    return policy.negotiate(asked, address, port)


def admitted(settings: Settings, asked: AssociateRequest, address: str = HERE) -> Admission:
    decision = decided(settings, asked, address)
    assert isinstance(decision, Admission)
    return decision


def results(settings: Settings, *classes: str) -> list[int]:
    return [context.result for context in admitted(settings, request(*classes)).answer.contexts]


@pytest.mark.req("I-SEC-01", "I-SEC-02", "I-SEC-03", "M-SEC-05", "M-ASSOC-08", "P-ASSOC-06", "P-ASSOC-07", "X-QR-80")
@pytest.mark.parametrize(
    ("level", "known_here", "known_elsewhere", "unknown"),
    [
        ("open", True, True, True),
        ("known-titles", True, True, False),
        ("known-peers", True, False, False),
        ("named-classes", True, False, False),
    ],
)
def test_each_level_lets_fewer_in(level: Policy, known_here: bool, known_elsewhere: bool, unknown: bool) -> None:
    """The same for the whole server and for one AE of an open one."""
    peers = (Peer(title="CT1", host=HERE),)
    for settings in (
        Settings(dicom_policy=level, peers=peers),
        Settings(dicom_policy="open", aes=(HostedAE(policy=level),), peers=peers),
    ):
        for asked, address, comes_in in (
            (request(uids.VERIFICATION), HERE, known_here),
            (request(uids.VERIFICATION), THERE, known_elsewhere),
            (request(uids.VERIFICATION, calling="CT2"), HERE, unknown),
        ):
            decision = decided(settings, asked, address)
            assert isinstance(decision, Admission) if comes_in else decision == NO_CALLING


def test_a_title_alone_is_enough_where_titles_are_known() -> None:
    peer = Peer(title="CT1", host=HERE, allow=("store",))
    settings = Settings(dicom_policy="known-titles", peers=(peer,))
    assert admitted(settings, request(uids.VERIFICATION), THERE).basis == Door(HostedAE(), peer)


@pytest.mark.req("I-SEC-04", "I-CONF-03")
def test_named_classes_are_all_that_a_peer_gets() -> None:
    named = Peer(title="CT1", host=HERE, sop_classes=(CT, f"{FIND}:scu"))
    strict = Settings(dicom_policy="named-classes", peers=(named,))
    refused = Result.USER_REJECTION
    assert results(strict, uids.VERIFICATION, CT, MR, FIND, uids.STUDY_ROOT_MOVE) == [0, 0, refused, 0, refused]
    # where only peers have to be known the list holds too, but an empty one means all
    known = Settings(dicom_policy="known-peers", peers=(named,))
    assert results(known, CT, MR) == [0, refused]
    nothing = Peer(title="CT1", host=HERE)
    assert results(Settings(dicom_policy="named-classes", peers=(nothing,)), uids.VERIFICATION, CT) == [0, refused]
    assert results(Settings(dicom_policy="known-peers", peers=(nothing,)), CT, MR) == [0, 0]


@pytest.mark.req("I-SEC-04", "I-ASSOC-03")
def test_roles_are_allowed_one_by_one() -> None:
    both = {CT: Role(scu=True, scp=True)}
    for entry, granted in ((CT, Role(True, True)), (f"{CT}:scu", Role(True, False)), (f"{CT}:scp", Role(False, True))):
        for settings in (
            Settings(dicom_policy="named-classes", peers=(Peer(title="CT1", host=HERE, sop_classes=(entry,)),)),
            Settings(aes=(HostedAE(sop_classes=(entry,)),)),
        ):
            answer = admitted(settings, request(CT, roles=both)).answer
            assert answer.user.roles == {CT: granted}
            assert [context.result for context in answer.contexts] == [0]


@pytest.mark.req("I-CONF-03", "I-EXT-01")
def test_an_ae_may_list_all_the_classes_it_accepts() -> None:
    settings = Settings(aes=(HostedAE(sop_classes=(CT, "1.2.3.4")),))
    refused = Result.ABSTRACT_SYNTAX_NOT_SUPPORTED
    assert results(settings, uids.VERIFICATION, CT, "1.2.3.4", MR, FIND) == [0, 0, 0, refused, refused]


def test_an_alias_is_as_good_as_the_title() -> None:
    peer = Peer(title="CT1", aliases=("CT_OLD",), host=HERE)
    settings = Settings(dicom_policy="known-peers", peers=(peer,))
    assert admitted(settings, request(uids.VERIFICATION, calling="CT_OLD")).basis == Door(HostedAE(), peer)
    assert decided(settings, request(uids.VERIFICATION, calling="CT_OLD"), THERE) == NO_CALLING


def test_two_devices_may_share_a_title() -> None:
    one, two = Peer(title="US", host=HERE, allow=("store",)), Peer(title="US", addresses=("10.0.0.2/31",), issuer="B")
    settings = Settings(dicom_policy="known-peers", peers=(one, two))
    for address, peer in ((HERE, one), (THERE, two), ("10.0.0.3", two)):
        assert admitted(settings, request(uids.VERIFICATION, calling="US"), address).basis == Door(HostedAE(), peer)
    assert decided(settings, request(uids.VERIFICATION, calling="US"), "10.0.0.4") == NO_CALLING


@pytest.mark.req("X-QR-21", "X-QR-41")
def test_an_association_without_any_context_may_be_rejected() -> None:
    strange = request("1.2.840.10008.5.1.4.32")
    assert isinstance(decided(Settings(), strange), Admission)
    settings = Settings(aes=(HostedAE(reject_empty=True),))
    assert decided(settings, strange) == AssociateReject(1, 1, 1)
    assert isinstance(decided(settings, request("1.2.840.10008.5.1.4.32", CT)), Admission)


@pytest.mark.req("P-ASSOC-07", "X-QR-80")
def test_an_ae_may_answer_whatever_title_is_called() -> None:
    asked = request(uids.VERIFICATION, called="WHATEVER")
    assert decided(Settings(), asked) == NO_CALLED
    ae = HostedAE(title="ANY", any_title=True)
    assert admitted(Settings(aes=(HostedAE(), ae)), asked).basis == Door(ae, None)


@pytest.mark.req("I-CONF-03", "X-MOD-03")
def test_an_ae_with_ports_answers_there_only() -> None:
    settings = Settings(aes=(HostedAE(title="A"), HostedAE(title="B"), HostedAE(title="C")))
    ports = OwnPorts({104: frozenset({"B", "C"}), 105: frozenset({"B"}), 11112: frozenset({"C"})}, frozenset({11112}))
    expected = {11112: "AC", 104: "BC", 105: "B"}
    for port, titles in expected.items():
        for title in "ABC":
            decision = decided(settings, request(uids.VERIFICATION, called=title), port=port, ports=ports)
            assert isinstance(decision, Admission) if title in titles else decision == NO_CALLED


def test_an_ae_of_any_title_answers_at_its_own_ports() -> None:
    settings = Settings(aes=(HostedAE(title="A"), HostedAE(title="B", any_title=True)))
    ports = OwnPorts({104: frozenset({"B"})}, frozenset({11112}))
    asked = request(uids.VERIFICATION, called="X")
    assert isinstance(decided(settings, asked, port=104, ports=ports), Admission)
    assert decided(settings, asked, port=11112, ports=ports) == NO_CALLED


@pytest.mark.req("X-QR-21", "X-QR-41")
def test_one_address_may_have_some_associations_to_a_title() -> None:
    settings = Settings(aes=(HostedAE(associations_per_address=1), HostedAE(title="OTHER")))
    board = Board(1, 10)
    board.open(0, Kind.DICOM, 0)
    places = Places(settings, board, 0)
    first = places.enter("ISOCENTER", "A", HERE)
    assert first is not None
    assert places.enter("ISOCENTER", "B", HERE) is None
    assert places.enter("ISOCENTER", "B", THERE) is not None
    assert places.enter("OTHER", "B", HERE) is not None
    places.leave(first)
    assert places.enter("ISOCENTER", "B", HERE) is not None


@pytest.mark.req("I-ASSOC-32")
def test_calls_of_any_title_count_for_the_ae_that_answers_them() -> None:
    settings = Settings(aes=(HostedAE(), HostedAE(title="ANY", any_title=True, associations=1)))
    board = Board(1, 10)
    board.open(0, Kind.DICOM, 0)
    places = Places(settings, board, 0)
    assert places.enter("WHATEVER", "A", HERE) is not None
    assert places.enter("ANOTHER", "A", THERE) is None
    assert places.enter("ISOCENTER", "A", THERE) is not None


def test_calls_count_for_the_ae_that_answers_at_the_port() -> None:
    settings = Settings(aes=(HostedAE(title="A", any_title=True), HostedAE(title="B", any_title=True, associations=1)))
    ports = OwnPorts({104: frozenset({"B"})}, frozenset({11112}))
    board = Board(1, 10)
    board.open(0, Kind.DICOM, 0)
    places = Places(settings, board, 0, ports=ports)
    assert places.enter("WHATEVER", "X", HERE, 104) is not None
    assert places.enter("WHATEVER", "X", HERE, 104) is None
    # at the general port it is the other that answers, even to the title of the first
    assert places.enter("WHATEVER", "X", HERE, 11112) is not None
    assert places.enter("B", "X", HERE, 11112) is not None
