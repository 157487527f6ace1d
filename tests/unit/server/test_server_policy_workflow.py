"""Who reaches the AEs of the workflow: worklist, procedure steps and the desk that reconciles, by the sources' numbers,
titles and contexts.
"""

import csv

import pytest

from isocenter.config import Limits, Peer, Settings, build
from isocenter.config.entities import Policy
from isocenter.dicom import uids
from isocenter.dimse.negotiation import Admission
from isocenter.dimse.pdu import AssociateReject, AssociateRequest, ContextProposal, Result, Role, UserInformation
from isocenter.server.board import Board, Kind
from isocenter.server.policy import ArchivePolicy, Places, network_settings
from isocenter.server.ports import OwnPorts
from material import REQUIREMENTS

HERE, THERE = "10.0.0.1", "10.0.0.2"
CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
WORKLIST, STEPS = uids.MODALITY_WORKLIST_FIND, uids.MODALITY_PERFORMED_PROCEDURE_STEP
NATIVE = (uids.IMPLICIT_LE, uids.EXPLICIT_LE)
NO_CALLED, NO_CALLING = AssociateReject(1, 1, 7), AssociateReject(1, 1, 3)


def of(preset: str, *, peers: tuple[Peer, ...] = (Peer(title="CT1", host=HERE),), **said: object) -> Settings:
    """An installation with one AE, SCP1."""
    aes = build({"ae": [{"title": "SCP1", "preset": preset, **said}]}).aes
    return Settings(aes=aes, dicom_policy="open", peers=peers)


def request(*contexts: tuple[str, tuple[str, ...]], called: str = "SCP1", calling: str = "CT1",
            roles: dict[str, Role] | None = None) -> AssociateRequest:  # fmt: skip
    proposals = tuple(ContextProposal(2 * i + 1, uid, syntaxes) for i, (uid, syntaxes) in enumerate(contexts))
    return AssociateRequest(called, calling, proposals, UserInformation(roles=roles or {}))


def admitted(settings: Settings, asked: AssociateRequest, address: str = HERE) -> Admission:
    decision = ArchivePolicy(settings).negotiate(asked, address, 104)
    assert isinstance(decision, Admission), decision
    return decision


def results(settings: Settings, *contexts: tuple[str, tuple[str, ...]]) -> list[tuple[int, str]]:
    return [(context.result, context.syntax) for context in admitted(settings, request(*contexts)).answer.contexts]


# --- how many


def places(settings: Settings) -> Places:
    board = Board(1, 100)
    board.open(0, Kind.DICOM, 0)
    return Places(settings, board, 0)


@pytest.mark.req("P-MWL-13", "P-MPPS-05")
def test_four_associations_at_a_time_reach_the_bridge() -> None:
    counted = places(of("bridge", associations=4))
    taken = [counted.enter("SCP1", "CT1", f"10.0.0.{n}") for n in range(4)]
    assert None not in taken
    assert counted.enter("SCP1", "CT1", "10.0.0.9") is None
    assert taken[0] is not None
    counted.leave(taken[0])
    assert counted.enter("SCP1", "CT1", "10.0.0.9") is not None


@pytest.mark.req("X-RIS-04")
def test_twenty_associations_reach_the_ris_and_three_of_each_peer() -> None:
    counted = places(of("ris"))
    assert [counted.enter("SCP1", "A", HERE) is None for _ in range(4)] == [False, False, False, True]
    others = [counted.enter("SCP1", "B", f"10.0.1.{n}") for n in range(18)]
    assert others.index(None) == 17


# --- at which title and port


@pytest.mark.req("P-MWL-14", "P-MPPS-06", "P-MWL-01", "P-MPPS-01")
@pytest.mark.parametrize("service", [WORKLIST, STEPS])
def test_the_listener_of_the_bridge(service: str) -> None:
    """Tables 85 and 86: AE title and port, both titles required; any calling title where that is wanted."""
    settings = of("bridge", ports=[5111])
    ports = OwnPorts({port: frozenset({ae.title}) for ae in settings.aes for port in ae.ports}, frozenset({104}))
    policy = ArchivePolicy(settings, ports=ports)
    asked = request((service, NATIVE))
    decision = policy.negotiate(asked, HERE, 5111)
    assert isinstance(decision, Admission)
    assert [context.result for context in decision.answer.contexts] == [0]
    assert policy.negotiate(asked, HERE, 104) == NO_CALLED
    assert policy.negotiate(request((service, NATIVE), called="SCP2"), HERE, 5111) == NO_CALLED
    assert policy.negotiate(request((service, NATIVE), calling="CT2"), HERE, 5111) == NO_CALLING
    anybody = ArchivePolicy(of("bridge", policy="open"))
    assert isinstance(anybody.negotiate(request((service, NATIVE), calling="CT2"), HERE, 104), Admission)


@pytest.mark.req("X-RIS-50")
def test_titles_addresses_and_contexts_of_the_ris_are_configured() -> None:
    named = Peer(title="CT1", host=HERE, port=104, sop_classes=(f"{WORKLIST}:scu",))
    settings = of("ris", peers=(named, Peer(title="MR1", host=THERE, port=104)), policy="named-classes")
    refused = Result.USER_REJECTION
    native = (uids.EXPLICIT_LE,)
    found = [
        result for result, _ in results(settings, (uids.VERIFICATION, native), (WORKLIST, native), (STEPS, native))
    ]
    assert found == [0, 0, refused]
    policy = ArchivePolicy(settings)
    assert policy.negotiate(request((WORKLIST, native), calling="US1"), HERE, 104) == NO_CALLING
    assert policy.negotiate(request((WORKLIST, native), calling="MR1"), HERE, 104) == NO_CALLING


# --- in which contexts


@pytest.mark.req("X-RIS-04", "X-RIS-06")
@pytest.mark.parametrize("service", [uids.VERIFICATION, WORKLIST, STEPS])
def test_the_ris_prefers_an_explicit_syntax_and_takes_a_class_in_several_contexts(service: str) -> None:
    explicit, implicit = (0, uids.EXPLICIT_LE), (0, uids.IMPLICIT_LE)
    settings = of("ris")
    assert results(settings, (service, NATIVE)) == [explicit]
    assert results(settings, (service, NATIVE), (service, (uids.IMPLICIT_LE,))) == [explicit, implicit]


@pytest.mark.req("X-RIS-06")
def test_whose_order_decides_is_configured() -> None:
    offered = (uids.EXPLICIT_BE, uids.IMPLICIT_LE)
    ours, theirs = of("ris", syntax_choice="acceptor"), of("ris", syntax_choice="proposer")
    assert results(ours, (uids.VERIFICATION, offered)) == [(0, uids.IMPLICIT_LE)]
    assert results(theirs, (uids.VERIFICATION, offered)) == [(0, uids.EXPLICIT_BE)]


SYSTEMS = {
    "iconnect": ("archive", {"WORKLIST_MANAGER"}),
    "marie": ("pacs", {"MARIE_PACS"}),
    "intellibridge": ("bridge", {"MWL", "MPPS", "ALL"}),
}
CLASSES = {"MWL": WORKLIST, "Modality Worklist": WORKLIST, "MPPS": STEPS, "Verification": uids.VERIFICATION}


def rows() -> list[tuple[str, str, str]]:
    """Preset, class and transfer syntax of the rows of SCPs of worklist and procedure steps."""
    found = []
    for source, (preset, aes) in SYSTEMS.items():
        with (REQUIREMENTS / f"{source}_transfer_syntaxes.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                context = row["context"].removeprefix("Supported transfer syntaxes (T87): ")
                service = next((uid for words, uid in CLASSES.items() if context.startswith(words)), "")
                if row["ae"] in aes and service and " SCU " not in context:
                    found.append((preset, service, row["uid"]))
    return list(dict.fromkeys(found))


def test_the_rows_were_read() -> None:
    of_steps = {preset for preset, service, _ in rows() if service == STEPS}
    of_worklist = {preset for preset, service, _ in rows() if service == WORKLIST}
    assert (of_steps, of_worklist) == ({"pacs", "bridge"}, {"archive", "pacs", "bridge"})


@pytest.mark.req("I-CTX-04", "I-WLM-01", "M-MWL-02", "M-MPPS-01", "M-MPPS-04", "P-MWL-03", "P-MPPS-02", "P-ECHO-06")
@pytest.mark.parametrize("row", rows(), ids=lambda row: "-".join(row))
def test_a_syntax_of_the_tables_is_accepted(row: tuple[str, str, str]) -> None:
    preset, service, syntax = row
    assert results(of(preset), (service, (syntax,))) == [(0, syntax)]


@pytest.mark.req("I-CTX-04")
def test_the_worklist_manager_takes_the_first_of_its_list() -> None:
    order = [syntax for preset, service, syntax in rows() if (preset, service) == ("archive", WORKLIST)]
    assert len(order) == 3
    for place in range(3):
        assert results(of("archive"), (WORKLIST, tuple(reversed(order[place:])))) == [(0, order[place])]


@pytest.mark.req("I-ASSOC-31")
def test_the_maximum_pdu_of_the_worklist_manager() -> None:
    """50 KB both ways, and as it is set."""
    asked = request((WORKLIST, NATIVE))
    for settings, size in ((of("archive"), 50 << 10), (of("archive", max_pdu=8192, max_pdu_sent=8192), 8192)):
        decision = admitted(settings, asked)
        assert decision.answer.user.max_pdu == size
        assert decision.settings is not None
        assert (decision.settings.max_pdu, decision.settings.max_pdu_sent) == (size, size)


# --- the desk that reconciles


@pytest.mark.req("I-TWF-11")
@pytest.mark.parametrize(
    ("level", "elsewhere", "unknown"),
    [("open", True, True), ("known-titles", True, False), ("known-peers", False, False)],
)
def test_each_level_lets_fewer_send_to_the_desk(level: Policy, elsewhere: bool, unknown: bool) -> None:
    policy = ArchivePolicy(of("technologist", policy=level))
    for calling, address, comes_in in (("CT1", HERE, True), ("CT1", THERE, elsewhere), ("CT2", HERE, unknown)):
        decision = policy.negotiate(request((CT, NATIVE), calling=calling), address, 104)
        assert isinstance(decision, Admission) if comes_in else decision == NO_CALLING


@pytest.mark.req("I-TWF-11")
def test_a_peer_of_the_desk_gets_the_classes_and_roles_that_are_named() -> None:
    named = Peer(title="CT1", host=HERE, sop_classes=(f"{CT}:scu",))
    settings = of("technologist", policy="named-classes", peers=(named,))
    assert [result for result, _ in results(settings, (CT, NATIVE), (MR, NATIVE))] == [0, Result.USER_REJECTION]
    both = request((CT, NATIVE), roles={CT: Role(scu=True, scp=True)})
    assert admitted(settings, both).answer.user.roles == {CT: Role(scu=True, scp=False)}


@pytest.mark.req("P-IAN-06", "P-MPPS-05")
def test_without_a_time_out_a_peer_may_take_its_time() -> None:
    """ARTIM is 30 s unless it is set otherwise; 0 is none."""
    assert [network_settings(Settings(limits=limits)).artim for limits in (Limits(), Limits(artim=0))] == [30.0, 0.0]
