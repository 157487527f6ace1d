"""Rules: their conditions, their actions and what they leave behind."""

import re
from pathlib import Path
from typing import Any

import pytest

from isocenter.config import build
from isocenter.dicom import uids
from isocenter.dicom.convert import native_syntaxes
from isocenter.dicom.dataset import DataSet, Element, items_of, us
from isocenter.errors import ConfigurationError, Refused
from isocenter.rules import Ends, compiled, patterns
from isocenter.rules.actions import hashed_uid
from unit.rules.rule_samples import ORIGINALS, after, applied, coercion, data_set, holds, tag, texts

CT = data_set(
    SOPClassUID="1.2.840.10008.5.1.4.1.1.2",
    SOPInstanceUID="1.2.3.4",
    Modality="CT",
    PatientName="Müller^Jürgen",
    PatientID="X-0017",
    PatientBirthDate="19700131",
    StudyDate="20240229",
    SliceThickness="2.5",
    ImageType="ORIGINAL\\PRIMARY",
    RequestAttributesSequence=(data_set(AccessionNumber="A1"), data_set(AccessionNumber="A2")),
    PatientComments="",
) | {0x00280010: us(512)}


@pytest.mark.parametrize("syntax", native_syntaxes, ids=uids.keyword_of)
@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"attribute": "PatientID", "equals": "X-0017"}, True),
        ({"attribute": "PatientID", "equals": "x-0017"}, False),
        ({"attribute": "PatientID", "equals": "X-0017", "not": True}, False),
        ({"attribute": "PatientName", "equals": "Müller^Jürgen"}, True),
        ({"attribute": "PatientName", "like": "M*ller^J?rgen"}, True),
        ({"attribute": "PatientName", "like": "Muller*"}, False),
        ({"attribute": "PatientID", "matches": r"^X-\d+$"}, True),
        ({"attribute": "PatientID", "matches": r"^\d"}, False),
        ({"attribute": "ImageType", "equals": "PRIMARY"}, True),
        ({"attribute": "ImageType", "in": ["DERIVED", "SECONDARY"]}, False),
        ({"attribute": "ImageType", "in": ["DERIVED", "ORIGINAL"]}, True),
        ({"attribute": "PatientComments", "exists": True}, False),
        ({"attribute": "PatientComments", "exists": False}, True),
        ({"attribute": "PatientComments", "absent": True}, False),
        ({"attribute": "PatientComments", "equals": ""}, True),
        ({"attribute": "StudyComments", "absent": True}, True),
        ({"attribute": "StudyComments", "exists": True}, False),
        ({"attribute": "RequestAttributesSequence[1].AccessionNumber", "equals": "A2"}, True),
        ({"attribute": "RequestAttributesSequence[0].AccessionNumber", "equals": "A2"}, False),
        ({"attribute": "RequestAttributesSequence[*].AccessionNumber", "equals": "A2"}, True),
        ({"attribute": "RequestAttributesSequence[2].AccessionNumber", "absent": True}, True),
        ({"attribute": "RequestAttributesSequence", "exists": True}, True),
        ({"attribute": "SliceThickness", "range": ["1", "3"]}, True),
        ({"attribute": "SliceThickness", "range": ["10", "30"]}, False),
        ({"attribute": "Rows", "range": ["512", "1024"]}, True),
        ({"attribute": "Rows", "equals": "512"}, True),
        ({"attribute": "StudyDate", "range": ["20240201", "20240229"]}, True),
        ({"attribute": "PatientName", "range": ["A", "M"]}, True),
        ({"attribute": "PatientName", "range": ["1", "3"]}, False),
    ],
    ids=str,
)
def test_conditions(condition: dict[str, Any], expected: bool, syntax: str) -> None:
    outcome, _ = applied(CT, {"where": [condition], "do": [{"set": "InstitutionName", "value": "here"}]}, syntax=syntax)
    assert bool(outcome.rules) is expected


def test_all_conditions_of_a_rule_must_hold() -> None:
    fits, not_so = {"attribute": "Modality", "equals": "CT"}, {"attribute": "Modality", "equals": "MR"}
    assert holds(CT, fits)
    assert not holds(CT, fits, not_so)
    assert holds(CT, modalities=["MR", "CT"])
    assert not holds(CT, modalities=["MR"])
    assert not holds(CT, classes=["MRImageStorage"])


def test_classes_are_the_objects() -> None:
    rule = {"classes": ["CTImageStorage", "1.2.3"], "do": [{"set": "PatientID", "value": "x"}]}
    assert applied(CT, rule, sop_class="1.2.840.10008.5.1.4.1.1.2")[0].rules
    assert applied(CT, rule, sop_class="1.2.3")[0].rules
    assert not applied(CT, rule, sop_class="1.2.840.10008.5.1.4.1.1.4")[0].rules


@pytest.mark.parametrize(
    ("conditions", "fits"),
    [
        ({}, True),
        ({"calling": ["CT1"]}, True),
        ({"calling": ["MR*", "CT?"]}, True),
        ({"calling": ["ct1"]}, False),
        ({"called": ["OTHER"]}, False),
        ({"addresses": ["10.1.0.0/16"]}, True),
        ({"addresses": ["10.2.0.0/16", "::1"]}, False),
        ({"peers": ["CT*"]}, True),
        ({"peers": ["MR*"]}, False),
        ({"calling": ["CT1"], "addresses": ["10.2.0.0/16"]}, False),
    ],
)
def test_an_association_without_a_rule_for_it_has_none(conditions: dict[str, Any], fits: bool) -> None:
    rule = {**conditions, "do": [{"delete": "PatientID"}]}
    assert (coercion(rule) is not None) is fits


def test_an_ipv4_address_over_ipv6_is_itself() -> None:
    rule = {"addresses": ["10.1.0.0/16"], "do": [{"delete": "PatientID"}]}
    assert coercion(rule, ends=Ends("A", "B", "::ffff:10.1.2.3")) is not None
    assert coercion(rule, ends=Ends("A", "B", "")) is None


# --- actions


def test_set() -> None:
    found = after(
        CT,
        {"set": "PatientSex", "value": "O"},
        {"set": "PatientName", "value": "Ærlig^Åse"},
        {"set": "Rows", "value": "17"},
        {"set": "ImageType", "value": "DERIVED\\SECONDARY"},
        {"set": "PatientID", "value": ""},
        {"set": "00091010", "value": "private", "vr": "LO"},
        {"set": "RequestAttributesSequence[*].RequestedProcedureID", "value": "R"},
        {"set": "ReferencedStudySequence[0].ReferencedSOPInstanceUID", "value": "1.2.9"},
    )
    assert [texts(found, k) for k in ("PatientSex", "PatientName", "ImageType", "PatientID")] == [
        "O", "Ærlig^Åse", "DERIVED\\SECONDARY", ""
    ]  # fmt: skip
    assert found[tag("Rows")] == us(17)
    assert found[0x00091010] == Element("LO", b"private ")
    inner = items_of(found, tag("RequestAttributesSequence"))
    assert [(texts(i, "AccessionNumber"), texts(i, "RequestedProcedureID")) for i in inner] == [
        ("A1", "R"),
        ("A2", "R"),
    ]
    (study,) = items_of(found, tag("ReferencedStudySequence"))
    assert texts(study, "ReferencedSOPInstanceUID") == "1.2.9"


def test_delete() -> None:
    found = after(
        CT,
        {"delete": "PatientName"},
        {"delete": "StudyComments"},
        {"delete": "RequestAttributesSequence[0].AccessionNumber"},
    )
    assert texts(found, "PatientName") is None
    inner = items_of(found, tag("RequestAttributesSequence"))
    assert [texts(i, "AccessionNumber") for i in inner] == [None, "A2"]
    assert after(CT, {"delete": "RequestAttributesSequence"}).keys() == CT.keys() - {tag("RequestAttributesSequence")}


def test_copy() -> None:
    found = after(
        CT,
        {"copy": "AccessionNumber", "from": "RequestAttributesSequence[1].AccessionNumber"},
        {"copy": "PatientComments", "from": "PatientName"},
        {"copy": "StudyDescription", "from": "StudyComments"},
        {"copy": "SeriesDescription", "from": "Rows"},
    )
    assert texts(found, "AccessionNumber") == "A2"
    assert texts(found, "PatientComments") == "Müller^Jürgen"
    assert texts(found, "StudyDescription") is None
    assert texts(found, "SeriesDescription") == "512"


def test_replace() -> None:
    found = after(
        CT,
        {"replace": "PatientID", "pattern": r"^X-0*(\d+)$", "by": r"HOSP-\1"},
        {"replace": "PatientName", "pattern": r"^(?P<last>[^^]*)\^(?P<first>.*)$", "by": r"\g<first>^\g<last>"},
        {"replace": "ImageType", "pattern": "PRI", "by": "SEC"},
        {"replace": "StudyDate", "pattern": "^19", "by": "20"},
        {"replace": "RequestAttributesSequence.AccessionNumber", "pattern": "^", "by": "S-"},
    )
    assert [texts(found, k) for k in ("PatientID", "PatientName", "ImageType", "StudyDate")] == [
        "HOSP-17", "Jürgen^Müller", "ORIGINAL\\SECMARY", "20240229"
    ]  # fmt: skip
    inner = items_of(found, tag("RequestAttributesSequence"))
    assert [texts(i, "AccessionNumber") for i in inner] == ["S-A1", "S-A2"]


def test_map(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text('X-0017,"00,42"\nother, 1\n', encoding="utf-8")
    found = after(
        CT,
        {"map": "Modality", "table": {"CT": "OT"}},
        {"map": "PatientID", "file": str(tmp_path / "ids.csv")},
        {"map": "ImageType", "table": {"PRIMARY": "P"}, "otherwise": "-"},
    )
    assert [texts(found, k) for k in ("Modality", "PatientID", "ImageType")] == ["OT", "00,42", "-\\P"]
    assert texts(after(CT, {"map": "Modality", "table": {"MR": "x"}}), "Modality") == "CT"


def test_hash() -> None:
    uid, patient = {"hash": "SOPInstanceUID", "key": "k"}, {"hash": "PatientID", "key": "k"}
    found, again = after(CT, uid, patient), after(CT, uid, patient)
    assert found == again
    assert re.fullmatch(r"2\.25\.\d{1,39}", texts(found, "SOPInstanceUID") or "")
    assert re.fullmatch("[0-9A-F]{64}", texts(found, "PatientID") or "")
    assert texts(after(CT, {**uid, "key": "other"}), "SOPInstanceUID") != texts(found, "SOPInstanceUID")
    assert hashed_uid(b"k", "1.2.3.4") == texts(found, "SOPInstanceUID")
    assert texts(after(CT, {"hash": "StationName", "key": "k"}), "StationName") is None


def test_private_block() -> None:
    ours = {"private": "0099", "creator": "ACME", "element": 3, "vr": "LO", "value": "hello"}
    found = after(CT, ours)
    assert found[0x00990010] == Element("LO", b"ACME")
    assert found[0x00991003] == Element("LO", b"hello ")
    taken: DataSet = {**CT, 0x00990010: Element("LO", b"OTHER"), 0x00990011: Element("LO", b"ACME")}
    assert after(taken, ours)[0x00991103] == Element("LO", b"hello ")
    free = after({**CT, 0x00990010: Element("LO", b"OTHER")}, ours)
    assert (free[0x00990011].value, free[0x00991103].value) == (b"ACME", b"hello ")


def test_rules_apply_in_order_to_what_the_ones_before_left() -> None:
    first = {"do": [{"set": "StudyDescription", "value": "one"}]}
    second = {
        "where": [{"attribute": "StudyDescription", "equals": "one"}],
        "do": [{"set": "StudyDescription", "value": "two"}],
    }
    outcome, found = applied(CT, first, second)
    assert texts(found, "StudyDescription") == "two"
    assert outcome.rules == ("rule 1", "rule 2")
    assert not applied(CT, second)[0].rules


# --- what is left behind


def test_originals_are_kept() -> None:
    earlier = Element("SQ", ({0x04000565: Element("CS", b"CORRECT ")},))
    rules = (
        {"do": [{"set": "PatientID", "value": "new"}, {"delete": "PatientName"}, {"set": "PatientSex", "value": "O"}]},
        {"do": [{"delete": "RequestAttributesSequence"}], "reason": "CORRECT"},
        {"do": [{"set": "StudyDescription", "value": "quiet"}], "keep_originals": False},
    )
    _, found = applied({**CT, ORIGINALS: earlier}, *rules)
    before, coerced, corrected = items_of(found, ORIGINALS)
    assert texts(before, "ReasonForTheAttributeModification") == "CORRECT"
    assert texts(coerced, "ReasonForTheAttributeModification") == "COERCE"
    assert texts(coerced, "ModifyingSystem") == "ISOCENTER"
    assert texts(coerced, "SourceOfPreviousValues") == "CT1"
    assert texts(coerced, "AttributeModificationDateTime") == "20231114221320+0000"
    (former,) = items_of(coerced, tag("ModifiedAttributesSequence"))
    assert former.keys() == {tag("PatientID"), tag("PatientName"), tag("PatientSex")}
    assert (texts(former, "PatientID"), texts(former, "PatientName")) == ("X-0017", "Müller^Jürgen")
    assert former[tag("PatientSex")] == Element("CS", b"")
    (items,) = items_of(corrected, tag("ModifiedAttributesSequence"))
    assert items[tag("RequestAttributesSequence")] == CT[tag("RequestAttributesSequence")]._replace(
        value=items_of(items, tag("RequestAttributesSequence"))
    )
    assert len(items_of(items, tag("RequestAttributesSequence"))) == 2


def test_what_changes_nothing_leaves_nothing_behind() -> None:
    same = [{"set": "PatientID", "value": "X-0017"}, {"delete": "StudyComments"}, {"set": "Modality", "value": "CT"}]
    there_and_back = [{"set": "PatientSex", "value": "O"}, {"delete": "PatientSex"}]
    outcome, found = applied(CT, {"do": same}, {"do": there_and_back}, tell=True)
    assert outcome == (outcome.changes, (), False, False, False)
    assert not outcome.changes
    assert ORIGINALS not in found


def test_on_sending_what_hides_leaves_no_originals() -> None:
    open_rule = {"do": [{"set": "PatientID", "value": "new"}]}
    hiding = {"do": [{"delete": "PatientName"}]}
    assert ORIGINALS in applied(CT, open_rule, when="send")[1]
    assert ORIGINALS not in applied(CT, open_rule, hiding, when="send")[1]
    kept = {**hiding, "keep_originals": True}
    assert ORIGINALS in applied(CT, open_rule, kept, when="send")[1]
    receiving = applied(CT, hiding)[1]
    assert ORIGINALS in receiving


@pytest.mark.parametrize(
    ("rule", "ae", "told"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"tell_sender": True}, False, True),
        ({"tell_sender": False}, True, False),
    ],
)
@pytest.mark.req("X-QR-45")
def test_the_sender_is_told_as_rule_and_ae_say(rule: dict[str, Any], ae: bool, told: bool) -> None:
    outcome, _ = applied(CT, {"do": [{"delete": "PatientName"}], **rule}, tell=ae)
    assert (outcome.tell, outcome.coerced, outcome.discarded) == (told, False, True)
    outcome, _ = applied(CT, {"do": [{"set": "PatientName", "value": "x"}], **rule}, tell=ae)
    assert (outcome.tell, outcome.coerced, outcome.discarded) == (told, True, False)


@pytest.mark.parametrize(
    ("action", "fits"),
    [
        ({"replace": "StudyInstanceUID", "pattern": "^1", "by": "01"}, False),
        ({"replace": "StudyInstanceUID", "pattern": "^1.*", "by": ""}, False),
        ({"copy": "SeriesInstanceUID", "from": "PatientID"}, False),
        ({"replace": "SOPInstanceUID", "pattern": "$", "by": ".x"}, False),
        ({"replace": "StudyInstanceUID", "pattern": "^1", "by": "2"}, True),
        ({"hash": "StudyInstanceUID", "key": "secret"}, True),
        ({"replace": "FrameOfReferenceUID", "pattern": "^1", "by": "x"}, True),
    ],
)
def test_what_identifies_an_object_stays_a_uid(action: dict[str, str], fits: bool) -> None:
    named = {"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.3", "SOPInstanceUID": "1.4"}
    content = data_set(**named, FrameOfReferenceUID="1.5", PatientID="P-1")
    if fits:
        assert after(content, action) != content
        return
    with pytest.raises(Refused, match="invalid UID"):
        after(content, action)


def test_a_uid_that_was_none_before_may_stay_none() -> None:
    content = data_set(StudyInstanceUID="1.02")
    made = after(content, {"replace": "StudyInstanceUID", "pattern": "^1", "by": "2"})
    assert made == data_set(StudyInstanceUID="2.02")


def test_a_value_that_cannot_be_written_refuses_the_object() -> None:
    with pytest.raises(Refused, match="could not be applied"):
        applied(CT, {"do": [{"copy": "Rows", "from": "PatientID"}]})


QUERY_SERVER: tuple[dict[str, Any], ...] = (
    {"do": [{"map": "PatientSex", "table": {"M": "M", "F": "F", "O": "O"}, "otherwise": "U"}]},
    {"do": [{"replace": "PatientName", "pattern": r"^([^,^]+), *([^,^]+)$", "by": r"\1^\2"}]},
    {"where": [{"attribute": "Modality", "exists": False}], "do": [{"set": "Modality", "value": "US"}]},
    {
        "where": [
            {"attribute": "PatientID", "equals": "17"},
            {"attribute": "PatientName", "equals": "Other^One", "not": True},
        ],
        "do": [{"set": "PatientID", "value": "17-2"}],
    },
)


@pytest.mark.req("X-QR-47")
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"PatientSex": "X"}, {"PatientSex": "U"}),
        ({"PatientSex": "F"}, {"PatientSex": "F"}),
        ({"PatientName": "Doe, Jane"}, {"PatientName": "Doe^Jane"}),
        ({"PatientName": "Doe^Jane"}, {"PatientName": "Doe^Jane"}),
        ({"PatientID": "17", "PatientName": "Doe^Jane"}, {"PatientID": "17-2"}),
        ({"PatientID": "17", "PatientName": "Other^One"}, {"PatientID": "17"}),
        ({}, {"Modality": "US"}),
        ({"Modality": "CT"}, {"Modality": "CT"}),
    ],
)
def test_what_a_query_server_coerces_can_be_written_as_rules(values: dict[str, str], expected: dict[str, str]) -> None:
    _, found = applied(data_set(**values), *QUERY_SERVER)
    assert {name: texts(found, name) for name in expected} == expected


@pytest.mark.req("X-QR-47")
def test_an_unknown_sex_leaves_empty() -> None:
    rule = {"where": [{"attribute": "PatientSex", "equals": "U"}], "do": [{"set": "PatientSex", "value": ""}]}
    assert texts(applied(data_set(PatientSex="U"), rule, when="send")[1], "PatientSex") == ""


# --- what is wrong with a rule


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ({"do": []}, r"rule\[0\].do: a rule without an action"),
        ({"do": [{}]}, r"rule\[0\].do\[0\]: one of set, delete"),
        ({"do": [{"set": "PatientID", "delete": "PatientID"}]}, r"rule\[0\].do\[0\]: one of"),
        ({"do": [{"set": "PatientId", "value": "x"}]}, r"set PatientId: there is no attribute 'PatientId'"),
        ({"do": [{"set": "PatientID"}]}, r"set needs 'value'"),
        ({"do": [{"delete": "PatientID", "value": "x"}]}, r"delete has no 'value'"),
        ({"do": [{"set": "Rows", "value": "many"}]}, r"set Rows: not a value of VR US"),
        ({"do": [{"set": "00091010", "value": "x"}]}, r"give its vr"),
        ({"do": [{"replace": "PatientID", "pattern": "(", "by": ""}]}, r"no regular expression"),
        ({"do": [{"replace": "PatientID", "pattern": "x", "by": r"\1"}]}, r"by: invalid group"),
        ({"do": [{"replace": "PatientID", "pattern": "(a+)+$", "by": ""}]}, r"repetition within a repetition"),
        ({"do": [{"map": "PatientID"}]}, r"either a table or a file"),
        ({"do": [{"map": "PatientID", "file": "/nowhere/x.csv"}]}, r"can't be read: FileNotFoundError"),
        ({"do": [{"hash": "PatientID"}]}, r"hash needs 'key'"),
        ({"do": [{"hash": "StudyDate", "key": "k"}]}, r"VR DA has no room for a hash"),
        ({"do": [{"set": "SOPClassUID", "value": "1.2"}]}, r"what identifies the object"),
        ({"do": [{"delete": "StudyInstanceUID"}]}, r"what identifies the object"),
        ({"do": [{"copy": "PatientID", "from": "Unheard"}]}, r"no attribute 'Unheard'"),
        ({"do": [{"private": "0010", "creator": "A", "element": 1, "vr": "LO", "value": "x"}]}, r"no odd group"),
        ({"do": [{"private": "0099", "creator": "A", "element": 256, "vr": "LO", "value": "x"}]}, r"0 to 255"),
        ({"where": [{"attribute": "PatientID"}], "do": [{"delete": "PatientID"}]}, r"where\[0\]: PatientID: one of"),
        (
            {"where": [{"attribute": "PatientID", "matches": "(.*)*"}], "do": [{"delete": "PatientID"}]},
            r"PatientID: matches: a repetition within",
        ),
        ({"classes": ["CTImage"], "do": [{"delete": "PatientID"}]}, r"classes: 'CTImage' is neither a UID"),
        ({"addresses": ["10.0.0.0/33"], "do": [{"delete": "PatientID"}]}, r"rule\[0\].addresses"),
        ({"do": [{"set": "StudyInstanceUID", "value": "1.x"}]}, "'1.x' is no UID"),
        ({"do": [{"set": "StudyInstanceUID", "value": ""}]}, "'' is no UID"),
        ({"do": [{"set": "FrameOfReferenceUID", "value": "1." + 64 * "1"}]}, "is no UID"),
        ({"do": [{"map": "SOPInstanceUID", "table": {"1.2": "1.3", "1.4": "01"}}]}, "'01' is no UID"),
        ({"do": [{"map": "SeriesInstanceUID", "table": {"1.2": "1.3"}, "otherwise": "none"}]}, "'none' is no UID"),
        ({"name": "mine", "do": [{"set": "Unheard", "value": ""}]}, r"rule\[0\] \(mine\).do\[0\]"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_rule_is_told_at_the_start(rule: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        compiled(build({"rule": [{"when": "receive", **rule}]}))


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ({"when": "later", "do": []}, "rule"),
        ({"when": "send", "do": [{"sett": "PatientID"}]}, r"rule\[0\].do\[0\].sett.*nearest"),
        ({"when": "send", "where": [{"atribute": "x"}], "do": []}, r"atribute.*nearest"),
        ({"do": []}, "when"),
    ],
)
def test_unknown_keys_are_told(rule: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    from isocenter.config import load

    with pytest.raises(ConfigurationError, match=complaint):
        load(None, {}, {"rule": [rule]})


@pytest.mark.parametrize(
    "pattern", ["^(a|aa)*$", "^(a?a)*$", "(a+)+$", "(?:(?:a|aa){1,40})$", "a?" * 60 + "a" * 60, ".*a.*a.*a.*b"]
)
def test_a_pattern_that_may_take_for_ever_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"for ever|too many ways"):
        patterns.compiled(pattern)


@pytest.mark.parametrize(
    "pattern", [r"^0*([0-9]+)$", r"^(.*)\^(.*)\^(.*)$", "^(CT|MR|US).*", "[0-9]{1,20}-?[A-Z]*", "([0-9]{2})*", "^$"]
)
def test_an_honest_pattern_is_taken(pattern: str) -> None:
    patterns.compiled(pattern)
