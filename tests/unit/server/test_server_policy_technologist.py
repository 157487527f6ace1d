"""What an AE that holds studies accepts: the rows of the catalogue's tables of TWF (T3.46 to T3.49), and nothing that
it could not answer for.
"""

import csv

import pytest

from isocenter.config import Peer, Settings, build
from isocenter.declarations.reconciling import COMPARED, STEPS
from isocenter.dicom import uids
from isocenter.dimse.negotiation import Admission
from isocenter.dimse.pdu import AssociateRequest, ContextProposal, Result, UserInformation
from isocenter.server.policy import ArchivePolicy
from isocenter.workflow.reconciling import worklists
from isocenter.workflow.reconciling.matching import Asked, asked_of
from isocenter.workflow.reconciling.worklists import identifier_of
from material import REQUIREMENTS

HERE = "10.0.0.1"
CT = "1.2.840.10008.5.1.4.1.1.2"


def rows(table: str) -> list[dict[str, str]]:
    """The rows of TWF in a table of the catalogue."""
    with (REQUIREMENTS / f"iconnect_{table}.csv").open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["ae"] == "TWF"]


CLASSES = rows("sop_classes")
STORED = [row for row in CLASSES if row["scp"] == "yes"]
SYNTAXES = [row["uid"] for row in rows("transfer_syntaxes") if row["context"].startswith("Storage SCP")]
ECHOED = [row["uid"] for row in rows("transfer_syntaxes") if row["context"].startswith("Verification SCP")]


@pytest.fixture(scope="module")
def settings() -> Settings:
    aes = [{"title": "A"}, {"title": "TWF", "preset": "technologist"}]
    return Settings(aes=build({"ae": aes}).aes, dicom_policy="open", peers=(Peer(title="CT1", host=HERE),))


def results(settings: Settings, *contexts: tuple[str, tuple[str, ...]]) -> list[tuple[int, str]]:
    """Result and syntax of each context that a peer proposes."""
    proposals = tuple(ContextProposal(2 * i + 1, uid, syntaxes) for i, (uid, syntaxes) in enumerate(contexts))
    asked = AssociateRequest("TWF", "CT1", proposals, UserInformation())
    decision = ArchivePolicy(settings).negotiate(asked, HERE, 104)
    assert isinstance(decision, Admission), decision
    return [(context.result, context.syntax) for context in decision.answer.contexts]


@pytest.mark.parametrize("row", STORED, ids=lambda row: f"{row['service']}-{row['uid']}")
@pytest.mark.req("I-TWF-03", "I-TWF-10")
def test_a_class_of_the_tables_is_accepted(settings: Settings, row: dict[str, str]) -> None:
    assert results(settings, (row["uid"], (uids.EXPLICIT_LE,))) == [(0, uids.EXPLICIT_LE)]


@pytest.mark.req("I-TWF-03")
def test_the_tables_have_as_many_classes_as_they_say() -> None:
    accepted = {row["uid"] for row in STORED if row["service"] == "Storage presentation context"}
    assert len(accepted) == 62
    assert uids.BASIC_STUDY_CONTENT_NOTIFICATION in accepted


@pytest.mark.parametrize("place", range(14))
@pytest.mark.req("I-TWF-04")
def test_of_the_syntaxes_the_first_of_the_list_is_taken(settings: Settings, place: int) -> None:
    """Table 3.48; acceptor first."""
    assert len(SYNTAXES) == 14
    offered = tuple(reversed(SYNTAXES[place:]))
    assert results(settings, (CT, offered)) == [(0, SYNTAXES[place])]


@pytest.mark.parametrize("place", range(4))
@pytest.mark.req("I-TWF-10")
def test_a_verification_has_four_syntaxes(settings: Settings, place: int) -> None:
    offered = tuple(reversed(ECHOED[place:]))
    assert results(settings, (uids.VERIFICATION, offered)) == [(0, ECHOED[place])]


@pytest.mark.parametrize(
    "service",
    [
        uids.STUDY_ROOT_FIND,
        uids.STUDY_ROOT_MOVE,
        uids.STUDY_ROOT_GET,
        uids.STORAGE_COMMITMENT_PUSH,
        uids.MODALITY_WORKLIST_FIND,
    ],
)
def test_nothing_of_what_is_held_can_be_asked_for(settings: Settings, service: str) -> None:
    ((result, _),) = results(settings, (service, (uids.IMPLICIT_LE,)))
    assert result == Result.ABSTRACT_SYNTAX_NOT_SUPPORTED


@pytest.mark.req("I-TWF-08", "I-REC-02")
def test_a_worklist_is_asked_in_one_syntax() -> None:
    (row,) = [row for row in CLASSES if row["scu"] == "yes" and "presentation context" in row["service"]]
    named = [row["uid"] for row in rows("transfer_syntaxes") if row["context"].startswith("MWL")]
    assert (worklists.CONTEXT.abstract, list(worklists.CONTEXT.syntaxes)) == (row["uid"], named)
    assert worklists.CONTEXT.extended == b""


@pytest.mark.parametrize("row", rows("query_keys"), ids=lambda row: row["keyword"])
@pytest.mark.req("I-TWF-07")
def test_a_key_of_the_table_is_asked_for(settings: Settings, row: dict[str, str]) -> None:
    study = {
        "00100020": {"vr": "LO", "Value": ["P1"]},
        "00080050": {"vr": "SH", "Value": ["A1"]},
        "00080060": {"vr": "CS", "Value": ["CT"]},
    }
    ae = settings.aes[1]
    asked = identifier_of(asked_of(study, ["CT"], ae.reconciling))
    if row["keyword"] == "ScheduledProcedureStepSequence":
        assert int(STEPS, 16) in asked
        return
    compared = COMPARED[row["keyword"]]
    (step,) = asked[int(STEPS, 16)].value
    assert isinstance(step, dict)
    element = (step if compared.step else asked)[int(compared.tag, 16)]
    assert element.value.strip() in (b"P1", b"A1", b"CT")  # type: ignore[union-attr]


@pytest.mark.req("I-TWF-02", "I-TWF-08")
def test_the_numbers_of_the_table_are_the_presets(settings: Settings) -> None:
    told = {row["parameter"]: row["default"] for row in rows("config")}
    ae = settings.aes[1]
    assert told["Maximum PDU size received"] == told["Maximum PDU size sent"] == "1024KB"
    assert ae.max_pdu == ae.max_pdu_sent == 1 << 20
    assert str(ae.reconciling.associations) == told["Pool of outgoing C-FIND associations"]
    assert ae.role == "reconcile"


def test_what_more_than_ascii_is_asked_for_names_its_character_set() -> None:
    asked = identifier_of(Asked({"PatientName": "Ørsted*"}))
    assert asked[0x00080005].value == b"ISO_IR 192"
    assert 0x00080005 not in identifier_of(Asked({"PatientName": "Orsted*"}))
