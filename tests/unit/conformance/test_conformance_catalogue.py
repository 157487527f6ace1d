"""Single requirements of the catalogue that a statement, or a preset's negotiation, shows."""

import re
from functools import cache

import pytest

from isocenter.config import Peer, Settings, build
from isocenter.conformance.building import statement
from isocenter.conformance.model import Statement
from isocenter.declarations.presets import PRESETS
from isocenter.dicom import uids
from isocenter.dimse import Admission, reasons
from isocenter.dimse.pdu import AssociateRequest, ContextProposal, Result, UserInformation
from isocenter.server.policy import ArchivePolicy
from unit.conformance.source_rows import SOURCES, contained, facts_of, rows, statement_of

CT = "1.2.840.10008.5.1.4.1.1.2"


@cache
def of_source(source: str) -> Statement:
    return statement_of(SOURCES[source])


@cache
def of_preset(preset: str) -> Statement:
    return statement_of((preset,))


# --- product identity is ours (docs/requirements/README.md)


THEIRS = ("1.2.826.0.1.3680043.2.133.", "11.3.0", "EXINTMOD", "MARIE", "SENDTOPACS")


@pytest.mark.req("I-ASSOC-27", "I-ASSOC-34", "I-ASSOC-45", "I-ASSOC-54")
@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_never_calls_itself_what_it_imitates(preset: str) -> None:
    for table in of_preset(preset).tables("implementation"):
        assert table.rows == ((uids.IMPLEMENTATION_CLASS_UID, uids.IMPLEMENTATION_VERSION_NAME),)
    told = " ".join(of_preset(preset).words())
    assert not any(name in told for name in THEIRS)


# --- statuses


@pytest.mark.req("M-STAT-01", "M-STAT-02")
def test_the_codes_that_marie_lists_for_its_archive_are_in_the_tables() -> None:
    facts = facts_of(of_source("marie"))
    own = [
        row
        for row in rows("marie_status_codes")
        if row["service"].startswith(("C-FIND (internal", "C-STORE (internal", "C-MOVE (internal"))
        and row["code_hex"] != "FF01"
    ]
    assert len(own) > 10
    assert all(contained("status_codes", row, facts) for row in own)


@pytest.mark.req(*(f"P-IMP-T76-0{n}" for n in range(1, 8)))
def test_every_status_of_the_bridge_s_storage_is_in_the_table() -> None:
    facts = facts_of(of_source("intellibridge"))
    own = [
        row
        for row in rows("intellibridge_status_codes")
        if row["ae"] == "STORAGE" and row["service"] == "C-STORE" and row["role"] == "SCP"
    ]
    assert len(own) == 7
    assert [row for row in own if not contained("status_codes", row, facts)] == []


# --- verification, of every preset


@pytest.mark.req("M-ECHO-03", "P-ECHO-05", "P-ECHO-06", "C-RULE-14", "C-CHK-01")
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("syntax", [uids.EXPLICIT_LE, uids.IMPLICIT_LE])
def test_every_preset_accepts_verification_in_both_syntaxes(preset: str, syntax: str) -> None:
    settings = build({"ae": [{"preset": preset}], "peer": [{"title": "CT1", "addresses": ["10.0.0.1"], "allow": []}]})
    user = UserInformation(extended={uids.VERIFICATION: b"\1"})
    request = AssociateRequest("ISOCENTER", "CT1", (ContextProposal(1, uids.VERIFICATION, (syntax,)),), user)
    decision = ArchivePolicy(settings).negotiate(request, "10.0.0.1", 11112)
    assert isinstance(decision, Admission)
    assert [(context.result, context.syntax) for context in decision.answer.contexts] == [(Result.ACCEPTANCE, syntax)]
    assert uids.VERIFICATION not in decision.answer.user.extended


# --- storage


@pytest.mark.req("M-STORE-12")
@pytest.mark.parametrize(("allow", "result"), [(("store",), Result.ACCEPTANCE), (("find",), Result.USER_REJECTION)])
def test_only_a_registered_sender_with_the_storage_role_may_store(allow: tuple[str, ...], result: int) -> None:
    settings = Settings(
        aes=build({"ae": [{"preset": "pacs"}]}).aes,
        peers=(Peer(title="CT1", host="10.0.0.1", allow=allow),),  # type: ignore[arg-type]
    )
    policy = ArchivePolicy(settings)
    request = AssociateRequest("ISOCENTER", "CT1", (ContextProposal(1, CT, (uids.EXPLICIT_LE,)),))
    decision = policy.negotiate(request, "10.0.0.1", 11112)
    assert isinstance(decision, Admission)
    assert [context.result for context in decision.answer.contexts] == [result]
    stranger = AssociateRequest("ISOCENTER", "CT2", request.contexts)
    assert not isinstance(policy.negotiate(stranger, "10.0.0.1", 11112), Admission)


# --- the sample query server


@pytest.mark.req("X-QR-01")
def test_the_query_server_sends_only_what_is_asked_for() -> None:
    own = of_preset("query-server")
    initiated = [table.about for table in own.tables("proposed-contexts", ae="QUERY_SERVER")]
    assert initiated == ["Send Instances"], "for the C-MOVE requests that it answers"
    assert "Verify a Peer" in [table.about for table in own.tables("proposed-contexts")], "the diagnostic tool"


@pytest.mark.req("X-QR-51")
def test_no_figure_is_told_that_nobody_measured() -> None:
    told = " ".join(of_source("ps32").words())
    assert not re.search(r"\d+ ?(MB|MiB|Mbit|objects|images)/s", told)


@pytest.mark.req("X-QR-85", "C-TPL-4.1.3")
def test_the_constraint_on_the_sequence_of_activities_is_told() -> None:
    section = of_preset("storage-server").section("4.1.3")
    assert section is not None
    told = " ".join(Statement(of_preset("storage-server").product, (section,)).texts())
    assert "An instance can be queried and retrieved as soon as its storage was answered with success." in told
    assert "has not arrived when the request is looked at is reported as missing" in told


@pytest.mark.req("X-QR-42", "X-QR-81")
def test_storage_level_and_signatures_are_told() -> None:
    told = " ".join(of_preset("storage-server").texts())
    assert "Level 2 (full) storage SCP" in told
    assert "stored data sets are bit-preserving, so signatures stay valid" in told


# --- the bridge


@pytest.mark.req("P-STO-03", "P-STO-04", "P-ASSOC-05")
def test_the_bridge_prefers_the_two_native_syntaxes_and_takes_fifty_associations() -> None:
    """What it refuses beyond them the archive keeps: the sources are the floor."""
    own = of_preset("bridge")
    (accepted,) = own.tables("accepted-contexts", ae="BRIDGE", about="Receive Instances")
    lists = {t.about: [row[1] for row in t.rows] for t in own.tables("syntax-list", ae="BRIDGE")}
    for row in accepted.records():
        assert lists[row["Transfer Syntax UID List"]][:2] == [uids.EXPLICIT_LE, uids.IMPLICIT_LE]
        assert row["Extended Negotiation"] == "None"
    (limit,) = own.tables("associations-accepted", ae="BRIDGE")
    assert limit.rows[0][1] == "50"


@pytest.mark.req("P-EXP-06", "P-IMP-05")
@pytest.mark.parametrize(
    "row",
    [row for row in rows("intellibridge_status_codes") if row["service"].startswith(("A-ASSOCIATE-RJ", "A-ABORT"))],
    ids=lambda row: f"{row['ae']}-{row['role'][:9]}-{row['code_hex']}",
)
def test_every_rejection_and_abort_has_its_words_for_the_log(row: dict[str, str]) -> None:
    numbers = [int(part) for part in row["code_hex"].split("/")]
    told = reasons.rejection(*numbers) if len(numbers) == 3 else reasons.abort(*numbers)
    assert "reserved" not in told
    assert "unknown" not in told


# --- what the settings decide


@pytest.mark.req("I-CHAR-02")
def test_text_from_outside_is_taken_for_utf_8_unless_set_otherwise() -> None:
    assert "to be in ISO_IR 192 by ISOCENTER" in " ".join(statement(Settings(), date="2026-01-31").texts())
    other = build({"ae": [{"character_set": "ISO_IR 100"}]})
    assert "to be in ISO_IR 100 by ISOCENTER" in " ".join(statement(other, date="2026-01-31").texts())


@pytest.mark.req("I-STORE-32")
@pytest.mark.parametrize(
    ("level", "words"), [("none", "not validated"), ("minimal", "identifying"), ("iod", "requires")]
)
def test_validation_beyond_identity_is_a_setting(level: str, words: str) -> None:
    told = " ".join(statement(build({"ae": [{"validation": level}]}), date="2026-01-31").texts())
    assert words in told
    assert Settings().aes[0].validation == "none"


BUILT_IN = ("481.4", "481.6", "481.7", "9.1.1", "9.1.2", "9.1.3", "9.2.1", "9.3.1", "9.4.1", "11.1", "88.11", "88.22")


@pytest.mark.req("I-STORE-33")
@pytest.mark.parametrize("number", BUILT_IN)
def test_a_built_in_class_may_be_opened_by_a_setting(number: str) -> None:
    uid = f"1.2.840.10008.5.1.4.1.1.{number}"
    for classes, wanted in (((uid,), Result.ACCEPTANCE), ((), Result.ABSTRACT_SYNTAX_NOT_SUPPORTED)):
        settings = build({"ae": [{"storage": "none", "classes": classes}]})
        request = AssociateRequest("ISOCENTER", "CT1", (ContextProposal(1, uid, (uids.EXPLICIT_LE,)),))
        decision = ArchivePolicy(settings).negotiate(request, "127.0.0.1", 11112)
        assert isinstance(decision, Admission)
        assert [context.result for context in decision.answer.contexts] == [wanted]
