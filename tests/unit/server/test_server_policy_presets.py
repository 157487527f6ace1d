"""What an AE of each preset lets in and accepts: the general statements of the sources about their associations."""

import socket

import pytest

from isocenter.config import Peer, Settings, build
from isocenter.config.hl7 import Hl7
from isocenter.declarations.presets import PRESETS
from isocenter.dicom import uids
from isocenter.dimse.negotiation import Admission
from isocenter.dimse.pdu import AssociateReject, AssociateRequest, ContextProposal, Result, Role, UserInformation
from isocenter.exchange import committing, reporting
from isocenter.server.policy import ArchivePolicy
from isocenter.server.ports import bind

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
NATIVE = (uids.IMPLICIT_LE, uids.EXPLICIT_LE)
RETRIEVING = (uids.STUDY_ROOT_FIND, uids.PATIENT_ROOT_FIND, uids.STUDY_ROOT_MOVE, uids.PATIENT_ROOT_MOVE)
NO = Result.ABSTRACT_SYNTAX_NOT_SUPPORTED
HERE = "10.0.0.1"


def of(preset: str, **said: object) -> Settings:
    settings = build({"ae": [{"title": "A", "preset": preset, **said}], "dicom_policy": "open"})
    peers = (Peer(title="CT1", host=HERE),)
    return Settings(aes=settings.aes, dicom_policy="open", peers=peers)


def request(*contexts: tuple[str, tuple[str, ...]], calling: str = "CT1", **user: object) -> AssociateRequest:
    proposals = tuple(ContextProposal(2 * i + 1, uid, syntaxes) for i, (uid, syntaxes) in enumerate(contexts))
    return AssociateRequest("A", calling, proposals, UserInformation(**user))  # type: ignore[arg-type]


def admitted(settings: Settings, asked: AssociateRequest, address: str = HERE) -> Admission:
    decision = ArchivePolicy(settings).negotiate(asked, address, 104)
    assert isinstance(decision, Admission), decision
    return decision


def results(settings: Settings, *classes: str) -> list[int]:
    answer = admitted(settings, request(*((uid, NATIVE) for uid in classes))).answer
    return [context.result for context in answer.contexts]


@pytest.mark.req("M-AE-01", "M-AE-02", "M-AE-30", "M-ASSOC-01")
def test_the_pacs_stores_and_is_asked() -> None:
    assert results(of("pacs"), uids.VERIFICATION, CT, *RETRIEVING) == [0] * 6


@pytest.mark.req("M-AE-10", "M-AE-12", "M-AE-31", "M-ASSOC-01")
def test_the_viewer_stores_and_is_not_asked() -> None:
    assert results(of("viewer"), uids.VERIFICATION, CT, *RETRIEVING) == [0, 0, NO, NO, NO, NO]


@pytest.mark.req("I-SEC-06")
def test_what_an_association_allows_on_the_archive() -> None:
    allowed = (uids.VERIFICATION, CT, *RETRIEVING, uids.STORAGE_COMMITMENT_PUSH)
    assert results(of("archive"), *allowed) == [0] * len(allowed)


@pytest.mark.req("I-CTX-03", "I-CTX-05")
def test_contexts_other_than_storage_carry_four_syntaxes() -> None:
    """In one context each, proposed as accepted, in this order."""
    four = (uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE, uids.DEFLATED_LE)
    assert committing.CONTEXT.syntaxes == reporting.CONTEXT.syntaxes == four
    for n in range(4):
        offered = tuple(reversed(four[n:]))
        asked = request((uids.VERIFICATION, offered), (uids.STORAGE_COMMITMENT_PUSH, offered))
        found = admitted(of("archive"), asked).answer.contexts
        assert [(context.result, context.syntax) for context in found] == [(0, four[n])] * 2


@pytest.mark.req("X-VIEW-01")
def test_the_workstation_stores_and_is_not_asked() -> None:
    assert results(of("workstation"), uids.VERIFICATION, CT, MR, *RETRIEVING) == [0, 0, 0, NO, NO, NO, NO]


@pytest.mark.req("X-QR-20", "X-QR-40")
def test_the_query_server_and_the_storage_server_share_the_work() -> None:
    both = (uids.VERIFICATION, CT, *RETRIEVING)
    assert results(of("query-server"), *both) == [0, NO, 0, 0, 0, 0]
    assert results(of("storage-server"), *both) == [0, 0, NO, NO, NO, NO]


@pytest.mark.req("P-ASSOC-10")
def test_clients_are_asked_for_nothing() -> None:
    assert results(of("import"), uids.VERIFICATION, CT, *RETRIEVING) == [0, NO, NO, NO, NO, NO]


@pytest.mark.parametrize("preset", sorted(set(PRESETS) - {"default", "archive", "import", "modality"}))
@pytest.mark.req("M-ASSOC-02", "M-ASSOC-10", "P-ASSOC-05", "X-COM-07", "I-CTX-06")
def test_who_does_not_negotiate_extensions_says_nothing_of_them(preset: str) -> None:
    asked = request(
        *((uid, NATIVE) for uid in (uids.VERIFICATION, *RETRIEVING)), extended=dict.fromkeys(RETRIEVING, b"\1\1\1")
    )  # fmt: skip
    assert admitted(of(preset), asked).answer.user.extended == {}
    answered = admitted(of("archive"), asked).answer.user.extended
    assert answered[uids.STUDY_ROOT_FIND][0] == answered[uids.STUDY_ROOT_MOVE][0] == 1


@pytest.mark.parametrize("preset", sorted(set(PRESETS) - {"default", "archive"}))
@pytest.mark.req("M-ASSOC-06", "P-ASSOC-04", "X-COM-02")
def test_who_works_one_after_the_other_grants_one_operation(preset: str) -> None:
    asked = request((uids.VERIFICATION, NATIVE), window=(0, 0))
    assert admitted(of(preset), asked).answer.user.window == (1, 1)
    unasked = request((uids.VERIFICATION, NATIVE))
    assert admitted(of(preset), unasked).answer.user.window is None


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.req("M-ASSOC-10")
def test_without_role_selection_the_requestor_is_the_scu(preset: str) -> None:
    assert admitted(of(preset), request((uids.VERIFICATION, NATIVE), (CT, NATIVE))).answer.user.roles == {}
    asked = request((uids.VERIFICATION, NATIVE), (CT, NATIVE), roles={CT: Role(scu=True, scp=False)})
    assert admitted(of(preset), asked).answer.user.roles in ({}, {CT: Role(scu=True, scp=False)})


@pytest.mark.parametrize(
    ("preset", "elsewhere", "unknown"),
    [
        ("default", True, True),
        ("archive", True, True),
        ("pacs", False, False),
        ("viewer", False, False),
        ("workstation", True, True),
        ("bridge", True, False),
        ("modality", True, False),
    ],
)
@pytest.mark.req("M-ASSOC-08", "M-SEC-05", "P-ASSOC-06", "X-VIEW-01", "X-VIEW-45", "X-HP-11", "X-MOD-37")
def test_whom_a_preset_lets_in(preset: str, elsewhere: bool, unknown: bool) -> None:
    """On a server that is open: a preset that says nothing leaves it so."""
    asked = request((uids.VERIFICATION, NATIVE))
    for decision, comes_in in (
        (ArchivePolicy(of(preset)).negotiate(asked, HERE, 104), True),
        (ArchivePolicy(of(preset)).negotiate(asked, "10.0.0.9", 104), elsewhere),
        (
            ArchivePolicy(of(preset)).negotiate(request((uids.VERIFICATION, NATIVE), calling="NOBODY"), HERE, 104),
            unknown,
        ),
    ):
        assert isinstance(decision, Admission) if comes_in else decision == AssociateReject(1, 1, 3)


@pytest.mark.req("X-VIEW-03", "I-CTX-01")
def test_contexts_of_one_class_are_accepted_each_by_itself() -> None:
    one, two = uids.EXPLICIT_LE, uids.IMPLICIT_LE
    asked = request((CT, (one,)), (CT, (two,)), (CT, (uids.EXPLICIT_BE,)), (CT, (one, two)))
    found = admitted(of("workstation"), asked).answer.contexts
    assert [(context.result, context.syntax) for context in found] == [
        (0, one),
        (0, two),
        (0, uids.EXPLICIT_BE),
        (0, one),
    ]


@pytest.mark.req("X-COM-06", "X-VIEW-02", "X-HP-01")
def test_an_explicit_syntax_is_preferred_by_the_samples() -> None:
    for preset in ("workstation", "query-server", "storage-server", "modality"):
        asked = request((CT, NATIVE), (uids.STUDY_ROOT_FIND, NATIVE), (uids.VERIFICATION, NATIVE))
        found = admitted(of(preset), asked).answer.contexts
        assert {context.syntax for context in found if not context.result} == {uids.EXPLICIT_LE}
    only = request((CT, (uids.IMPLICIT_LE, uids.EXPLICIT_BE)), (CT, (uids.IMPLICIT_LE,)))
    found = admitted(of("workstation"), only).answer.contexts
    assert [context.syntax for context in found] == [uids.EXPLICIT_BE, uids.IMPLICIT_LE]


@pytest.mark.req("X-VIEW-06", "X-HP-01", "X-QR-44", "M-STORE-06", "M-DWSTORE-04")
def test_what_becomes_of_duplicates_by_preset() -> None:
    found = {preset: of(preset).aes[0].duplicates for preset in PRESETS}
    assert found["workstation"] == "replace"
    assert found["storage-server"] == "new-uid"
    assert found["pacs"] == found["viewer"] == "keep-first-supplement"


@pytest.mark.req("X-COM-11", "P-NET-01", "P-NET-04")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_both_versions_of_ip_are_listened_on(host: str) -> None:
    listeners = bind(Settings(host=host, dicom_port=0, http_port=0, hl7=Hl7(listen=False)))
    listeners.listen()
    try:
        with socket.create_connection((host, listeners.dicom_port), 10) as sock:
            assert sock.getpeername()[1] == listeners.dicom_port
    finally:
        listeners.close()
