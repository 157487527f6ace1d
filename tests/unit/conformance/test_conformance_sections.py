"""What the sections on network, configuration, character sets, security and annexes say (PS3.2 A.4 to A.8)."""

import uuid

import pytest

from isocenter.config import HostedAE, Limits, Peer, Settings, Window, build
from isocenter.conformance.building import statement
from isocenter.conformance.checks import findings
from isocenter.conformance.facts import COMMAND_TITLE
from isocenter.conformance.model import Bullets, Figure, Statement
from isocenter.declarations import association_failures, rejections, sop_classes
from isocenter.declarations.activities import COMMANDS, HOSTED
from isocenter.declarations.repertoire_names import names
from isocenter.dicom import uids
from isocenter.dicom.charset import TERMS
from isocenter.dimse import negotiation
from unit.conformance.default_statement import DATE, made, section, text_of
from unit.conformance.source_rows import rows

# --- the network


@pytest.mark.req("C-DISC-01", "C-TPL-4.1.1", "C-GEN-02", "C-GEN-06", "C-DISC-05")
def test_the_data_flow_shows_every_ae_with_its_activities() -> None:
    flow = section("4.1.1")
    figures = [block for block in flow.blocks if isinstance(block, Figure)]
    told = next(block for block in flow.blocks if isinstance(block, Bullets)).items
    names = ("Archive ISOCENTER", "Command Line")
    assert [f.title for f in figures] == [
        f"Figure 4.1-{n}. Application data flow of {name}" for n, name in enumerate(names, 1)
    ]
    assert sum(item.startswith("Archive ISOCENTER, ") for item in told) == len(HOSTED)
    assert "overlap" in text_of(flow)


@pytest.mark.req("C-TPL-4.1.2", "C-DISC-02", "C-TPL-4.2")
def test_every_ae_has_its_definition_and_its_specification() -> None:
    two = statement(Settings(aes=(HostedAE(title="A"), HostedAE(title="B", services=("find",)))), date=DATE)
    definitions = [s.title for _, s in two.numbered() if s.role == "4.1.2.x"]
    specifications = [s.title for _, s in two.numbered() if s.role == "4.2.x"]
    assert definitions == [f"Functional Definition of {name}" for name in ("Archive A", "Archive B", "Command Line")]
    assert specifications == [f"{name} AE Specification" for name in ("Archive A", "Archive B", "Command Line")]
    for _, own in two.numbered():
        if own.role == "4.2.x":
            assert [s.role for s in own.sections] == ["4.2.x.1", "4.2.x.2", "4.2.x.3", "4.2.x.4"]
    assert findings(two) == []


def test_one_ae_can_be_asked_for_alone() -> None:
    two = Settings(aes=(HostedAE(title="A"), HostedAE(title="B")))
    one = statement(two, date=DATE, title="B")
    assert {table.ae for table in one.tables("sop-classes")} == {"B", COMMAND_TITLE}


@pytest.mark.req("C-TPL-4.2.x.1", "C-RULE-12", "C-RULE-40", "C-RULE-41", "C-DISC-02")
def test_standard_conformance_is_claimed_for_named_classes_in_their_roles() -> None:
    (own,) = made().tables("sop-classes", ae="ISOCENTER")
    assert "provides Standard Conformance to the following SOP classes" in text_of(section("4.2.x.1"))
    assert ("CT Image Storage", "1.2.840.10008.5.1.4.1.1.2", "Yes", "Yes") in own.rows
    assert ("Verification SOP Class", uids.VERIFICATION, "No", "Yes") in own.rows
    assert len(own.rows) > 200


@pytest.mark.req("C-TPL-4.2.x.2", "C-TPL-4.2.x.2.1", "C-TPL-4.2.x.2.2", "C-TPL-4.2.x.2.3", "C-GEN-05")
def test_the_policies_are_the_settings_numbers() -> None:
    ae = HostedAE(associations=7, max_pdu=65536, window=Window(invoked=3, performed=0))
    own = statement(Settings(aes=(ae,), limits=Limits(associations=90, associations_per_address=5)), date=DATE)

    def value(kind: str) -> str:
        (table,) = own.tables(kind, ae="ISOCENTER")
        return table.rows[0][-1]

    assert value("application-context") == uids.APPLICATION_CONTEXT == "1.2.840.10008.3.1.1.1"
    assert value("pdu-size") == "65536 bytes"
    assert value("associations-accepted") == "7"
    assert value("asynchronous") == "3"
    words = " ".join(own.texts())
    assert "All AEs together accept 90 at once, and no more than 5 from one address." in words
    assert "agrees to any number of operations" in words


@pytest.mark.req("C-TPL-4.2.x.2.4", "C-RULE-16", "C-RULE-32")
def test_the_implementation_is_named_under_a_root_that_needs_no_registration() -> None:
    """UIDs of our own are UUIDs below 2.25, to which everybody is entitled (PS3.5 B.2)."""
    (own,) = made().tables("implementation", ae="ISOCENTER")
    assert own.rows == ((uids.IMPLEMENTATION_CLASS_UID, uids.IMPLEMENTATION_VERSION_NAME),)
    for uid in (uids.IMPLEMENTATION_CLASS_UID, uids.PRIVATE_CREATOR, uids.new_uid()):
        root, number = uid.rsplit(".", 1)
        assert root == "2.25"
        assert str(int(number)) == number
        assert uuid.UUID(int=int(number)).variant == uuid.RFC_4122
        assert len(uid) <= 64


@pytest.mark.req("C-TPL-4.2.x.3", "C-TPL-4.2.x.4")
def test_policies_of_initiation_and_acceptance_are_told_also_where_there_is_none() -> None:
    told = " ".join(made().texts())
    assert "The Archive ISOCENTER AE initiates associations for these activities" in told
    assert "The Command Line AE does not accept associations." in told
    # `isocenter push` sends as any hosted AE
    fewer = " ".join(statement(Settings(aes=(HostedAE(services=("store", "find")),)), date=DATE).texts())
    assert "The Archive ISOCENTER AE initiates associations for these activities: Send Instances." in fewer


@pytest.mark.req(
    "C-TPL-4.2.x.3.y.1", "C-TPL-4.2.x.3.y.2", "C-TPL-4.2.x.3.y.3", "C-TPL-4.2.x.4.y.1", "C-TPL-4.2.x.4.y.2",
    "C-TPL-4.2.x.4.y.3", "C-DISC-03", "C-DISC-04", "C-GEN-06", "C-GEN-07", "C-GEN-08",
)  # fmt: skip
def test_every_activity_has_its_sequence_contexts_statuses_and_failures() -> None:
    activities = [s for _, s in made().numbered() if s.role in ("4.2.x.3.y", "4.2.x.4.y")]
    assert len(activities) == len(HOSTED) + len(COMMANDS)
    for activity in activities:
        described, contexts, specific = activity.sections
        figure = next(block for block in described.blocks if isinstance(block, Figure))
        assert "Open association" in figure.text
        kinds = {table.kind for table in Statement(made().product, (activity,)).tables()}
        initiated = activity.role == "4.2.x.3.y"
        assert {"proposed-contexts" if initiated else "accepted-contexts", "failure-behaviour"} <= kinds
        assert {"status-behaviour"} <= kinds if initiated else kinds & {"status-reasons", "event-status"}
        assert len(text_of(contexts)) > 100
        assert len(text_of(specific)) > 100


@pytest.mark.req("C-RULE-04", "C-RULE-13")
def test_extension_beyond_the_minimum_is_told() -> None:
    words = " ".join(made().texts())
    assert "standard extended, specialized and private" in words
    narrow = statement(Settings(aes=(HostedAE(storage="declared"),)), date=DATE)
    assert "Specialized and private SOP classes are accepted where they are listed below." in " ".join(narrow.texts())


@pytest.mark.req("C-GEN-10", "C-TPL-4.2.x.4.y.1")
@pytest.mark.parametrize(
    "row",
    [row for row in rows("ps32_association_rejects") if row["source"]],
    ids=lambda row: row["reason_diag"],
)
def test_the_rejections_of_the_samples_are_among_ours(row: dict[str, str]) -> None:
    (table,) = made().tables("rejections", ae="ISOCENTER")
    wanted = tuple(row[column].partition(" ")[0] for column in ("result", "source", "reason_diag"))
    assert wanted in {tuple(cell.partition(" ")[0] for cell in ours[:3]) for ours in table.rows}


def test_the_rejections_are_those_of_the_negotiator() -> None:
    ours = {answer for answer, _ in association_failures.REJECTIONS}
    known = {each for each in vars(negotiation).values() if isinstance(each, negotiation.AssociateReject)}
    assert ours == known


@pytest.mark.req("C-TPL-4.3", "C-TPL-4.3.1", "C-TPL-4.3.2", "C-TPL-4.3.3", "C-GEN-11", "C-RULE-17")
def test_the_network_interfaces_are_told() -> None:
    told = text_of(section("4.3"))
    for word in ("TCP/IP", "DNS", "DHCP", "NTP", "LDAP", "IPv4", "IPv6", "no relation to AE titles", "Profile Name"):
        assert word in told


@pytest.mark.req("C-TPL-4.4", "C-TPL-4.4.1", "C-TPL-4.4.1.1", "C-TPL-4.4.1.2", "C-DISC-07", "I-CONF-02")
def test_titles_ports_and_peers_are_those_of_the_settings() -> None:
    settings = Settings(
        dicom_port=104,
        aes=(HostedAE(title="A"), HostedAE(title="B", ports=(1104, 1105))),
        peers=(Peer(title="CT1", host="10.0.0.7", port=4242, aliases=("CT1B",), allow=("store",)),),
    )
    own = statement(settings, date=DATE)
    (titles,) = own.tables("ae-titles")
    assert titles.rows[:2] == (("Archive A", "A", "104"), ("Archive B", "B", "1104, 1105"))
    (remote,) = own.tables("remote-aes")
    assert remote.rows == (("CT1\nCT1B", "10.0.0.7", "4242", "store", "as stored"),)


BASELINE = {
    "Time-out waiting for acceptance or rejection response": "acceptance or rejection of an association request",
    "General DIMSE level time-out values": "General DIMSE level time-out",
    "Time-out waiting for response to TCP/IP connect request": "Time-out waiting for response to a TCP/IP connect",
    "Time-out waiting for acceptance of a TCP/IP message": "Time-out waiting for acceptance of a TCP/IP message",
    "Time-out for waiting for data between TCP/IP packets": "Time-out waiting for data between TCP/IP packets",
    "Changes to default TCP/IP settings": "Changes to default TCP/IP settings",
    "Other configurable parameters": "Other configurable parameters",
    "Size constraint in maximum object size": "Size constraint in maximum object size",
    "Maximum PDU size the AE can receive": "Maximum PDU size the AE can receive",
    "Maximum PDU size the AE can send": "Maximum PDU size the AE can send",
    "AE specific DIMSE level time-out values": "AE specific DIMSE level time-out",
    "Number of simultaneous associations by service": "Number of simultaneous associations by service",
    "SOP Class support": "SOP Class support",
    "Transfer Syntax support": "Transfer Syntax support",
    "Other parameters that are configurable": "Other configurable parameters",
}
"""How a row of the template begins, and how ours does."""


@pytest.mark.req("C-TPL-4.4.2", "C-GEN-12")
@pytest.mark.parametrize(
    "row", [row for row in rows("ps32_config") if row["annex"] == "A"], ids=lambda row: row["parameter"][:40]
)
def test_the_baseline_parameters_have_a_row(row: dict[str, str]) -> None:
    wanted = next(ours for theirs, ours in BASELINE.items() if row["parameter"].startswith(theirs))
    general, *per_ae = made().tables("parameters")
    for table in [general] if row["ae"] == "(general)" else per_ae:
        assert any(wanted in ours[0] for ours in table.rows)


@pytest.mark.req("C-TPL-4.4.2", "I-CONF-03", "C-DISC-08")
def test_the_parameters_show_their_defaults_and_what_holds_here() -> None:
    own = statement(Settings(aes=(HostedAE(duplicates="reject"),), limits=Limits(idle=60)), date=DATE)
    general, of_ae = own.tables("parameters")
    cells = {row["Parameter"].partition("`:")[0]: row["Default Value"] for row in of_ae.records()}
    assert cells["`ae.duplicates"] == "keep-first\nhere: reject"
    assert any(row[0].endswith("(`limits.idle`)") and row[2] == "60 s" for row in general.rows)
    assert all(row["Configurable (Yes/No)"] in ("Yes", "No") for row in general.records())


def test_no_secret_and_no_place_of_a_file_gets_into_a_statement() -> None:
    own = {"http": {"token": "s3cret"}, "database": "postgresql://u:pw1234@db/x", "data": "/srv/very/private"}
    words = " ".join(statement(build({**own, "tls": {"certificate": "/srv/very/c.pem"}}), date=DATE).words())
    assert not any(word in words for word in ("s3cret", "pw1234", "/srv/very"))


# --- character sets, security, annexes


@pytest.mark.req("C-TPL-6", "C-GEN-14")
def test_every_character_set_is_named_and_the_behaviour_told() -> None:
    (own,) = made().tables("character-sets")
    assert {row[1] for row in own.rows} == set(TERMS) == set(names())
    told = text_of(section("6"))
    for word in ("Unsupported sets", "Configuration", "conversion", "as SCP", "as SCU", "Person names", "Presentation"):
        assert word in told
    refusing = statement(Settings(aes=(HostedAE(unknown_character_set="refuse"),)), date=DATE)
    assert "refused by ISOCENTER" in " ".join(refusing.texts())


@pytest.mark.req("C-RULE-76", "C-RULE-77", "C-TPL-7.1", "C-TPL-7.2", "C-TPL-7.3", "C-GEN-15")
def test_security_profiles_filters_and_identities_are_those_of_the_settings() -> None:
    own = statement(
        build(
            {
                "tls": {"ports": [2762], "profile": "non-downgrading"},
                "ae": [{"policy": "known-peers", "identity": "required", "tls_only": True}],
                "user": [{"name": "anna", "passcode": "$argon2id$x"}],
            }
        ),
        date=DATE,
    )
    (profiles,) = own.tables("security-profiles")
    used = {row["Security Profile"]: row["In use here"] for row in profiles.records()}
    assert sorted(used.values()) == ["No", "No", "No", "Yes"]
    assert "TLS_AES_256_GCM_SHA384" in profiles.rows[0][-1]
    (guarded,) = own.tables("association-security")
    assert guarded.rows[0][0] == "ISOCENTER"
    assert guarded.rows[0][1].startswith("Only known peers")
    assert "demanded" in guarded.rows[0][2]
    assert guarded.rows[0][3] == "Yes"
    words = " ".join(own.texts())
    assert "identities of these kinds can be verified here: user name and passcode." in words
    assert "Digital signatures: stored data sets are bit-preserving" in words
    assert "anna" not in words


@pytest.mark.req("C-TPL-8.1.4", "C-GEN-16", "C-DISC-08")
def test_coercions_are_those_that_are_configured() -> None:
    rule = {
        "name": "site prefix", "when": "receive",
        "do": [{"replace": "PatientID", "pattern": "^", "by": "N-"}, {"delete": "PatientComments"}],
    }  # fmt: skip
    own = statement(build({"ae": [{"duplicates": "new-uid", "merge_on_send": "full"}], "rule": [rule]}), date=DATE)
    (coerced,) = own.tables("coerced")
    said = [" ".join(row) for row in coerced.rows]
    assert any("PatientID (0010,0020) received: replaced by pattern by the rule site prefix" in row for row in said)
    assert any("PatientComments (0010,4000) received: removed" in row for row in said)
    assert any("SOPInstanceUID (0008,0018) duplicates at ISOCENTER" in row for row in said)
    assert any("sent by ISOCENTER: values of the index" in row for row in said)
    assert not any("rule" in " ".join(row) and "received:" in " ".join(row) for row in made().tables("coerced")[0].rows)


@pytest.mark.req("C-TPL-8.1.1", "C-TPL-8.2", "C-TPL-8.3.1", "C-GEN-16", "C-GEN-17", "C-DISC-06", "C-DISC-09")
def test_created_objects_private_items_and_codes_are_listed() -> None:
    created = {
        row["Attribute Name"]: row["Value"] for table in made().tables("created-attributes") for row in table.records()
    }
    assert created["SOPClassUID"] == "1.2.840.10008.5.1.4.1.1.88.59"
    (groups,) = made().tables("context-groups")
    assert all(code in groups.rows[0][1] for code in ("113001", "113037", "113038", "113039"))
    assert uids.PRIVATE_CREATOR in text_of(section("8.2"))
    assert "(0002,0102)" in text_of(section("8.2"))


@pytest.mark.req(
    "C-TPL-8.5", "C-TPL-8.6", "C-DISC-06", "C-RULE-47", "C-RULE-48", "C-RULE-54", "C-RULE-61", "C-RULE-46", "C-RULE-52",
    "C-RULE-57",
)  # fmt: skip
def test_no_class_or_syntax_of_our_own_is_claimed_and_added_ones_are_published() -> None:
    """No extended, specialized or private class is the product's own; those of others that a site adds are named."""
    assert "The product defines none." in text_of(section("8.5"))
    assert "None are defined by this product." in text_of(section("8.6"))
    private = "1.2.826.0.1.3680043.10.999.77"
    own = statement(Settings(aes=(HostedAE(classes=(private,)),)), date=DATE)
    assert private in " ".join(own.texts())
    assert findings(own) == []
    assert not any(uid.startswith("2.25.") for uid in sop_classes.registry())


# --- events and exceptions of the samples


@pytest.mark.req("C-GEN-08", "C-TPL-4.2.x.3.y.3")
@pytest.mark.parametrize(
    "row",
    [row for row in rows("ps32_event_types") if row["sop_class"].startswith("Storage Commitment")],
    ids=lambda row: f"{row['role']}-{row['event_type_id']}",
)
def test_the_events_of_storage_commitment_have_a_row_in_both_roles(row: dict[str, str]) -> None:
    activity = {"SCU": "Receive Storage Commitment Reports", "SCP": "Answer Storage Commitment Requests"}[row["role"]]
    (table,) = made().tables("event-reports", ae="ISOCENTER", about=activity)
    assert any(ours["Event Type ID"] == row["event_type_id"] and ours["Behavior"] for ours in table.records())


@pytest.mark.req("C-GEN-08", "C-TPL-4.2.x.4.y.3")
@pytest.mark.parametrize(
    "row",
    [row for row in rows("ps32_comm_failures") if row["annex"] == "F"],
    ids=lambda row: f"{row['ae']}-{row['exception'][:30]}",
)
def test_the_exceptions_of_the_sample_server_have_a_row(row: dict[str, str]) -> None:
    """Each names the time-out, or the abort, that ours does; the sample calls its PDU and TCP time-outs one."""
    as_scu = row["role"] == "SCU"
    told = " ".join(
        ours["Exception"]
        for table in made().tables("failure-behaviour", ae="ISOCENTER")
        if (table.about in ("Send Instances", "Report Storage Commitment")) is as_scu
        for ours in table.records()
    )
    words = {
        "DIMSE response timeout": "No response in time (DIMSE)",
        "timeout waiting for the N-EVENT-REPORT": "The rest of a message does not arrive in time",
        "timeout waiting for the next data set PDU": "The rest of a message does not arrive in time (PDU, TCP)",
        "timeout waiting": "No request in time",
        "PDU or TCP timeout": "in time (PDU, TCP)",
        "abort or socket closed": "aborts the association or the connection is lost",
    }
    wanted = next(ours for theirs, ours in words.items() if row["exception"].startswith(theirs))
    assert wanted in told


def test_what_rejection_notes_do_is_told_title_by_title() -> None:
    settings = build(
        {
            "rejection": {"quality": {"resend": "revive", "remove_after": 60}},
            "peer": [{"title": "CT1", "host": "ct1", "may_reject": False}],
        }
    )
    bullets = [
        item
        for _, each in statement(settings, date=DATE).numbered()
        for block in each.blocks
        if isinstance(block, Bullets)
        for item in block.items
    ]
    for title in rejections.TITLES:
        [told] = [item for item in bullets if item.startswith(f"{title.code} {title.meaning}: ")]
        revived = title.name in ("quality", "expired")
        assert ("comes back in sight" in told) == revived
        assert ("is deleted after 60 s" in told) == (title.name == "quality")
    assert "Rejection notes of these AEs are refused with 0124: CT1." in bullets


@pytest.mark.req("I-TWF-07", "I-TWF-08", "I-REC-02")
def test_an_ae_that_reconciles_says_what_it_asks_a_worklist() -> None:
    reconciling = {"worklists": ["RIS", "own"], "days": 3}
    aes = [{"title": "A"}, {"title": "TWF", "preset": "technologist", "reconciling": reconciling}]
    told = statement(build({"ae": aes, "peer": [{"title": "RIS", "host": "ris"}]}), date=DATE)
    assert findings(told) == []
    text = " ".join(told.texts())
    assert "Reconcile TWF AE Specification" in " ".join(s.title for _, s in told.numbered())
    assert "Reconcile Studies" in text
    assert "wait until their study is reconciled" in text
    rows_of = [row for each in told.tables(ae="TWF", about="Reconcile Studies") for row in each.rows]
    assert any(uids.MODALITY_WORKLIST_FIND in row for row in rows_of)
    asked = {row[0] for row in rows_of}
    assert {"PatientID", "AccessionNumber", "Modality", "ScheduledProcedureStepStartDate"} <= asked
