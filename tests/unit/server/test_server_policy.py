"""Which associations are accepted, and which contexts on them."""

import csv

import pytest

from isocenter.config import HostedAE, Limits, Peer, Settings, Window
from isocenter.declarations import sop_classes
from isocenter.dicom import uids
from isocenter.dimse import Admission
from isocenter.dimse.negotiation import Offer
from isocenter.dimse.pdu import (
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextProposal,
    Result,
    Role,
    UserInformation,
)
from isocenter.registry.roster import Roster
from isocenter.server import policy
from isocenter.server.board import Board, Kind
from isocenter.server.policy import ArchivePolicy, Door, Hosts, Places, network_settings, plain
from material import REQUIREMENTS

CT = "1.2.840.10008.5.1.4.1.1.2"
J2K = "1.2.840.10008.1.2.4.90"
JPEG = "1.2.840.10008.1.2.4.50"


def request(
    *contexts: tuple[str, tuple[str, ...]], called: str = "ISOCENTER", calling: str = "CT1", **user: object
) -> AssociateRequest:
    proposals = tuple(ContextProposal(2 * i + 1, abstract, syntaxes) for i, (abstract, syntaxes) in enumerate(contexts))
    return AssociateRequest(called, calling, proposals, UserInformation(**user))  # type: ignore[arg-type]


def admitted(settings: Settings, asked: AssociateRequest, address: str = "10.0.0.1") -> Admission:
    decision = ArchivePolicy(settings).negotiate(asked, address, 11112)
    assert isinstance(decision, Admission)
    return decision


def decide(settings: Settings, asked: AssociateRequest, address: str = "10.0.0.1") -> AssociateAccept | AssociateReject:
    decision = ArchivePolicy(settings).negotiate(asked, address, 11112)
    return decision.answer if isinstance(decision, Admission) else decision


def accepted(settings: Settings, asked: AssociateRequest, address: str = "10.0.0.1") -> AssociateAccept:
    answer = decide(settings, asked, address)
    assert isinstance(answer, AssociateAccept)
    return answer


def results(settings: Settings, *contexts: tuple[str, tuple[str, ...]]) -> list[tuple[int, str]]:
    answer = accepted(settings, request(*contexts))
    return [(c.result, c.syntax) for c in answer.contexts]


ECHO = (uids.VERIFICATION, (uids.IMPLICIT_LE,))
KNOWN = Settings(dicom_policy="known-peers", peers=(Peer(title="CT1", host="10.0.0.1"),))


@pytest.mark.req("M-ASSOC-04")
def test_a_foreign_application_context_is_rejected() -> None:
    asked = AssociateRequest("ISOCENTER", "CT1", (), application_context="1.2.3")
    assert decide(Settings(), asked) == AssociateReject(1, 1, 2)


def test_an_unknown_called_title_is_rejected() -> None:
    assert decide(Settings(), request(ECHO, called="OTHER")) == AssociateReject(1, 1, 7)


@pytest.mark.req("I-SEC-03", "M-ASSOC-08", "M-SEC-05")
def test_with_known_peers_title_and_address_must_fit() -> None:
    assert isinstance(decide(KNOWN, request(ECHO)), AssociateAccept)
    assert isinstance(decide(KNOWN, request(ECHO), "::ffff:10.0.0.1"), AssociateAccept)
    assert decide(KNOWN, request(ECHO), "10.0.0.2") == AssociateReject(1, 1, 3)
    assert decide(KNOWN, request(ECHO, calling="CT2")) == AssociateReject(1, 1, 3)


def test_a_peer_without_an_address_may_call_from_anywhere() -> None:
    settings = Settings(dicom_policy="known-peers", peers=(Peer(title="CT1"),))
    assert isinstance(decide(settings, request(ECHO), "192.0.2.9"), AssociateAccept)


def test_one_ae_may_be_guarded_and_another_open() -> None:
    settings = Settings(aes=(HostedAE(title="OPEN"), HostedAE(title="SHUT", policy="known-peers")))
    assert isinstance(decide(settings, request(ECHO, called="OPEN")), AssociateAccept)
    assert decide(settings, request(ECHO, called="SHUT")) == AssociateReject(1, 1, 3)


@pytest.mark.req("X-COM-10")
def test_a_hosts_name_is_looked_up_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    now = [100.0]

    def look_up(host: str) -> frozenset[str]:
        asked.append(host)
        return frozenset({"10.0.0.9"})

    monkeypatch.setattr("isocenter.server.policy._look_up", look_up)
    hosts = Hosts(lambda: now[0])
    peer = Peer(title="A", host="modality.example.org")
    assert hosts.caller((peer,), "10.0.0.9") is peer
    assert hosts.caller((peer,), "10.0.0.8") is None
    assert asked == ["modality.example.org"]
    now[0] += 61
    assert hosts.caller((peer,), "10.0.0.9") is peer
    assert len(asked) == 2


def test_while_names_cannot_be_looked_up_peers_may_call_from_where_they_last_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [frozenset({"10.0.0.9"}), frozenset[str](), frozenset({"10.0.0.10"})]
    now = [100.0]
    monkeypatch.setattr("isocenter.server.policy._look_up", lambda host: answers.pop(0))
    hosts = Hosts(lambda: now[0])
    peer = Peer(title="A", host="modality.example.org")
    assert hosts.caller((peer,), "10.0.0.9") is peer
    now[0] += 61  # the name service fails
    assert hosts.caller((peer,), "10.0.0.9") is peer
    assert hosts.caller((peer,), "10.0.0.10") is None
    now[0] += 61  # it is back, and the modality has moved
    assert hosts.caller((peer,), "10.0.0.9") is None
    assert hosts.caller((peer,), "10.0.0.10") is peer


def test_a_class_in_many_contexts_is_decided_on_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    offer = policy._offer

    def counted(ae: HostedAE, allowed: policy.Allowed, abstract: str, proposal: AssociateRequest) -> Offer | None:
        asked.append(abstract)
        return offer(ae, allowed, abstract, proposal)

    monkeypatch.setattr(policy, "_offer", counted)
    unknown = tuple(f"1.2.3.{n}" for n in range(70))
    answers = results(Settings(), *[(CT, unknown)] * 128)
    assert answers == [(Result.ACCEPTANCE, "1.2.3.0")] * 128
    assert asked == [CT]


@pytest.mark.req("I-SEC-04", "M-SEC-06")
def test_a_peer_gets_only_the_contexts_it_is_allowed() -> None:
    settings = Settings(peers=(Peer(title="CT1", host="10.0.0.1", allow=("store",)),))
    native = (uids.EXPLICIT_LE,)
    contexts = (
        (uids.VERIFICATION, native),
        (CT, native),
        (uids.STUDY_ROOT_FIND, native),
        (uids.STUDY_ROOT_MOVE, native),
    )
    assert [result for result, _ in results(settings, *contexts)] == [
        Result.ACCEPTANCE,
        Result.ACCEPTANCE,
        Result.USER_REJECTION,
        Result.USER_REJECTION,
    ]


@pytest.mark.req("I-CTX-02")
def test_the_acceptors_order_decides_so_that_nobody_is_made_to_compress() -> None:
    offered = (JPEG, J2K, uids.IMPLICIT_LE, uids.EXPLICIT_LE)
    assert results(Settings(), (CT, offered)) == [(0, uids.EXPLICIT_LE)]
    assert results(Settings(), (CT, (JPEG, J2K))) == [(0, J2K)]


@pytest.mark.req("M-ASSOC-09")
def test_the_proposers_order_decides_where_that_is_set() -> None:
    offered = (J2K, uids.IMPLICIT_LE, uids.EXPLICIT_LE)
    for ae in (HostedAE(preset="pacs"), HostedAE(syntax_choice="proposer")):
        assert results(Settings(aes=(ae,)), (CT, offered)) == [(0, J2K)]


def test_an_ae_may_be_limited_to_some_syntaxes() -> None:
    settings = Settings(aes=(HostedAE(syntaxes=(uids.IMPLICIT_LE,)),))
    assert results(settings, (CT, (uids.EXPLICIT_LE,)), (CT, (uids.EXPLICIT_LE, uids.IMPLICIT_LE))) == [
        (Result.TRANSFER_SYNTAXES_NOT_SUPPORTED, ""),
        (0, uids.IMPLICIT_LE),
    ]


@pytest.mark.req("I-EXT-02")
def test_a_syntax_that_no_list_knows_is_kept_if_nothing_better_was_offered() -> None:
    assert results(Settings(), (CT, ("1.2.3.4.5",)), (CT, ("1.2.3.4.5", uids.EXPLICIT_LE))) == [
        (0, "1.2.3.4.5"),
        (0, uids.EXPLICIT_LE),
    ]


@pytest.mark.req("I-ARCH-12")
def test_which_storage_classes_an_ae_takes() -> None:
    native = (uids.EXPLICIT_LE,)
    # the general purpose worklist is retired: no AE offers it
    unknown, worklist = ("1.2.3.4", native), ("1.2.840.10008.5.1.4.32", native)
    refused = Result.ABSTRACT_SYNTAX_NOT_SUPPORTED
    for ae, expected in (
        (HostedAE(), [0, 0, refused]),
        (HostedAE(storage="declared"), [0, refused, refused]),
        (HostedAE(storage="declared", classes=("1.2.3.4",)), [0, 0, refused]),
        (HostedAE(storage="none"), [refused, refused, refused]),
    ):
        found = results(Settings(aes=(ae,)), (CT, native), unknown, worklist)
        assert [result for result, _ in found] == expected


def test_every_storage_class_of_the_catalogue_is_accepted() -> None:
    wanted = set()
    for name in ("marie", "iconnect", "sendtopacs", "intellibridge"):
        with (REQUIREMENTS / f"{name}_sop_classes.csv").open() as file:
            for row in csv.DictReader(file):
                uid = row.get("uid") or row.get("sop_class_uid") or ""
                if sop_classes.is_storage(uid):
                    wanted.add(uid)
    assert len(wanted) > 100
    policy = Settings(aes=(HostedAE(storage="declared"),))
    ordered = sorted(wanted)
    for start in range(0, len(ordered), 128):
        found = results(policy, *((uid, (uids.IMPLICIT_LE,)) for uid in ordered[start : start + 128]))
        assert {result for result, _ in found} == {0}


@pytest.mark.req("I-ASSOC-03")
def test_a_requestor_that_retrieves_may_be_the_storage_scp() -> None:
    asked = request((CT, (uids.EXPLICIT_LE,)), roles={CT: Role(scu=False, scp=True)})
    assert accepted(Settings(), asked).user.roles == {CT: Role(scu=False, scp=True)}


@pytest.mark.req("I-CTX-07", "I-CTX-06", "I-FIND-03")
def test_relational_queries_are_granted_as_the_ae_is_set() -> None:
    find, move = uids.STUDY_ROOT_FIND, uids.STUDY_ROOT_MOVE
    for relational in (True, False):
        asked = request((find, (uids.EXPLICIT_LE,)), (move, (uids.EXPLICIT_LE,)), extended={find: b"\1", move: b"\1"})
        answer = accepted(Settings(aes=(HostedAE(relational=relational),)), asked)
        assert answer.user.extended == {find: bytes([relational]), move: bytes([relational])}


@pytest.mark.req("I-ASSOC-04")
def test_the_maximum_pdu_is_configured() -> None:
    assert accepted(Settings(limits=Limits(max_pdu=50 << 10)), request(ECHO)).user.max_pdu == 50 << 10


@pytest.mark.req("I-ASSOC-04", "M-ASSOC-03")
def test_an_ae_may_have_limits_and_time_outs_of_its_own() -> None:
    settings = Settings(
        limits=Limits(dimse=7, response=8, idle=9),
        aes=(
            HostedAE(max_pdu=16384, max_pdu_sent=16384, idle=0, response=3),
            HostedAE(title="OTHER"),
        ),
    )
    own = admitted(settings, request(ECHO))
    assert own.answer.user.max_pdu == 16384
    assert own.settings is not None
    assert (own.settings.max_pdu, own.settings.max_pdu_sent) == (16384, 16384)
    assert (own.settings.dimse, own.settings.response, own.settings.idle) == (7, 3, 0)
    other = admitted(settings, request(ECHO, called="OTHER")).settings
    assert other == network_settings(settings)
    assert (other.dimse, other.response, other.idle) == (7, 8, 9)


@pytest.mark.req("I-ASSOC-08", "I-ASSOC-33", "M-ASSOC-06")
def test_the_window_of_asynchronous_operations_is_granted_as_the_ae_is_set() -> None:
    asked = request(ECHO, window=(10, 4))
    assert accepted(Settings(), asked).user.window == (1, 1)
    assert accepted(Settings(), request(ECHO)).user.window is None
    for window, granted in (((2, 3), (3, 2)), ((0, 0), (10, 4)), ((8, 20), (10, 4))):
        ae = HostedAE(window=Window(invoked=window[0], performed=window[1]))
        assert accepted(Settings(aes=(ae,)), asked).user.window == granted


def test_an_ae_may_offer_some_services_only() -> None:
    native = (uids.EXPLICIT_LE,)
    contexts = (ECHO, (CT, native), (uids.STUDY_ROOT_FIND, native), (uids.STUDY_ROOT_MOVE, native))
    refused = Result.ABSTRACT_SYNTAX_NOT_SUPPORTED
    for services, expected in (
        (("store",), [0, 0, refused, refused]),
        (("find", "move"), [0, refused, 0, 0]),
        ((), [0, refused, refused, refused]),
    ):
        ae = HostedAE(services=services)
        assert [result for result, _ in results(Settings(aes=(ae,)), *contexts)] == expected
    storing = Settings(aes=(HostedAE(services=("store",)),))
    assert accepted(storing, request((CT, native), roles={CT: Role(scu=True, scp=True)})).user.roles == {
        CT: Role(scu=True, scp=False)
    }


def test_the_association_keeps_the_ae_and_the_peer_that_it_began_with() -> None:
    (peer,) = KNOWN.peers
    assert admitted(KNOWN, request(ECHO)).basis == Door(HostedAE(), peer)
    opened = Settings(peers=KNOWN.peers)
    assert admitted(opened, request(ECHO), "10.0.0.2").basis == Door(HostedAE(), None)


class Changing:
    """A directory in which something was changed that nobody has looked at yet."""

    def __init__(self, before: Roster, after: Roster) -> None:
        self.before, self.after, self.fresh = before, after, 0

    def now(self, *, fresh: bool = False) -> Roster:
        self.fresh += fresh
        return self.after if self.fresh else self.before


@pytest.mark.parametrize(
    "after",
    [
        Settings(aes=(HostedAE(title="NEW"),)),
        Settings(aes=(HostedAE(title="NEW", policy="known-peers"),), peers=(Peer(title="CT1"),)),
    ],
)
def test_a_title_that_is_missing_is_looked_for_again_at_once(after: Settings) -> None:
    changing = Changing(Roster(Settings()), Roster(after, 1))
    policy = ArchivePolicy(Settings(), changing)
    assert isinstance(policy.negotiate(request(ECHO, called="NEW"), "10.0.0.1", 1), Admission)
    assert changing.fresh == 1
    assert policy.negotiate(request(ECHO, called="ISOCENTER"), "10.0.0.1", 1) == AssociateReject(1, 1, 7)


def test_a_peer_whose_row_can_not_be_read_is_kept_out() -> None:
    roster = Roster(Settings(), 1, unreadable=frozenset({"CT1"}))
    policy = ArchivePolicy(Settings(), Changing(roster, roster))
    assert policy.negotiate(request(ECHO), "10.0.0.1", 1) == AssociateReject(1, 1, 3)
    assert isinstance(policy.negotiate(request(ECHO, calling="CT2"), "10.0.0.1", 1), Admission)


@pytest.mark.req("I-ASSOC-32")
def test_the_limit_of_an_ae_that_came_later_holds_in_every_process() -> None:
    board = Board(2, 10)
    board.open(0, Kind.DICOM, 0)
    board.open(1, Kind.DICOM, 0)
    later = Roster(Settings(aes=(HostedAE(), HostedAE(title="NEW", associations=1))), 1)
    directory = Changing(later, later)
    one, two = (Places(Settings(), board, slot, directory) for slot in (0, 1))
    place = one.enter("NEW", "A", "10.0.0.1")
    assert place is not None
    assert two.enter("NEW", "B", "10.0.0.2") is None
    one.leave(place)
    assert two.enter("NEW", "B", "10.0.0.2") is not None


@pytest.mark.req("I-ASSOC-32")
def test_limits_count_all_processes_together() -> None:
    settings = Settings(limits=Limits(associations=2), aes=(HostedAE(), HostedAE(title="SMALL", associations=1)))
    board = Board(2, 10)
    board.open(0, Kind.DICOM, 0)
    board.open(1, Kind.DICOM, 0)
    one, two = Places(settings, board, 0), Places(settings, board, 1)
    small = one.enter("SMALL", "A", "10.0.0.1")
    assert small is not None
    assert two.enter("SMALL", "B", "10.0.0.2") is None
    assert two.enter("ISOCENTER", "B", "10.0.0.2") is not None
    assert one.enter("ISOCENTER", "C", "10.0.0.3") is None
    one.leave(small)
    assert one.enter("ISOCENTER", "C", "10.0.0.3") is not None
    assert board.total() == 2


def test_an_address_may_have_a_limit_of_its_own() -> None:
    settings = Settings(limits=Limits(associations_per_address=1))
    places = Places(settings, Board(1, 10), 0)
    assert places.enter("ISOCENTER", "A", "10.0.0.1") is not None
    assert places.enter("ISOCENTER", "B", "::ffff:10.0.0.1") is None
    assert places.enter("ISOCENTER", "B", "10.0.0.2") is not None


def test_plain_addresses() -> None:
    assert plain("::ffff:10.0.0.1") == "10.0.0.1"
    assert plain("fe80::1%eth0") == "fe80::1"
    assert plain("10.0.0.1") == "10.0.0.1"
