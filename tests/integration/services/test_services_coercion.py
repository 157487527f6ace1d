"""Objects that rules change as they are received: what is stored, answered, and found again."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from archives import MR, Object, Running, keys, made, running, sop_uid, study_uid
from isocenter import database
from isocenter.archive.likeness import likeness
from isocenter.config import HostedAE, build
from isocenter.config.coercion import Hooks, Rule
from isocenter.declarations import statuses
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, Element, decode, encode, items_of, string_of, text
from isocenter.dicom.elements import Kind, walk
from isocenter.dicom.part10 import read_header, read_receipt
from isocenter.dicom.uids import transfer_syntax
from isocenter.index.rebuild import rebuild
from isocenter.rules import View
from isocenter.rules.actions import hashed_uid
from isocenter.store.verify import verify

ORIGINALS = 0x04000561
PATIENT_ID, PATIENT_NAME, INSTITUTION = 0x00100020, 0x00100010, 0x00080080
PIXELS = bytes(range(256)) * 1024
SYNTAXES = [
    uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE, uids.DEFLATED_LE, uids.JPEG_BASELINE, uids.RLE_LOSSLESS
]  # fmt: skip


def rules(*given: Mapping[str, Any]) -> Sequence[Rule]:
    return build({"rule": [{"when": "receive", **rule} for rule in given]}).rules


NEW_ID = {"do": [{"replace": "PatientID", "pattern": "^P", "by": "HOSP-"}, {"delete": "StudyDescription"}]}


def head_of(archive: Running, number: int = 0) -> DataSet:
    """The elements before the pixel data of a stored object."""
    row = archive.rows("instance")[number]
    data = archive.data_of(row.store_key)
    return headers(data, row.syntax)


def headers(data: bytes, syntax: str) -> DataSet:
    if transfer_syntax(syntax).deflated:
        return {tag: element for tag, element in decode(data, syntax).items() if tag < 0x7FE00000}
    end = next(e.start for e in walk(data, syntax) if e.tag >= 0x7FE00000 and e.kind in (Kind.VALUE, Kind.FRAGMENTS))
    return decode(data[:end], syntax)


@pytest.mark.req("I-STORE-04", "M-STORE-05")
@pytest.mark.parametrize("pixels", [b"\1\2\3\4", PIXELS], ids=["small", "large"])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=uids.keyword_of)
def test_what_rules_make_is_stored_with_its_originals(
    tmp_path: Path, sqlite_url: str, syntax: str, pixels: bytes
) -> None:
    sent = made(syntax=syntax, pixels=pixels)
    with running(tmp_path, sqlite_url, rules=rules(NEW_ID)) as archive:
        archive.send(sent)
        (row,) = archive.rows("instance")
        assert archive.rows("patient")[0].patient_id == "HOSP-1"
        kept = head_of(archive)
        before = headers(sent.data, syntax)
        (item,) = items_of(kept, ORIGINALS)
        (former,) = items_of(item, 0x04000550)
        assert {**kept, PATIENT_ID: None, ORIGINALS: None} == {
            tag: element for tag, element in before.items() if tag != 0x00081030
        } | {PATIENT_ID: None, ORIGINALS: None}
        assert string_of(kept, PATIENT_ID) == "HOSP-1"
        assert (string_of(former, PATIENT_ID), string_of(former, 0x00081030)) == ("P1", "Thorax")
        assert (string_of(item, 0x04000563), string_of(item, 0x04000564)) == ("ISOCENTER", "TESTER")
        data = archive.data_of(row.store_key)
        if not transfer_syntax(syntax).deflated:
            assert data[-len(pixels) - 8 :] == sent.data[-len(pixels) - 8 :]
        assert [finding.verdict for finding in verify(archive.store)] == ["sound"]
        with archive.store.open(row.store_key) as stored:
            receipt = read_receipt(read_header(stored.pread(4096, 0)))
        assert receipt is not None
        assert receipt.received is not None
        length, where, digest = receipt.received
        assert hashlib.sha256(sent.data[:length]).hexdigest() == digest
        assert sent.data[length:] == data[where:]


@pytest.mark.req("M-STORE-07", "I-STORE-31")
def test_where_no_rule_applies_the_object_is_stored_as_received(tmp_path: Path, sqlite_url: str) -> None:
    for_others = {"calling": ["OTHER"], "do": [{"delete": "PatientID"}]}
    for_mr = {"modalities": ["MR"], "do": [{"delete": "PatientID"}]}
    sent = [made(1, pixels=PIXELS), made(2), made(3, syntax=uids.DEFLATED_LE)]
    with running(tmp_path, sqlite_url, rules=rules(for_others, for_mr)) as archive:
        archive.send(*sent)
        assert [archive.data_of(row.store_key) for row in archive.rows("instance")] == [each.data for each in sent]
        for row in archive.rows("instance"):
            with archive.store.open(row.store_key) as stored:
                receipt = read_receipt(read_header(stored.pread(4096, 0)))
            assert receipt is not None
            assert receipt.received is None


def with_long_header(size: int, **values: str) -> Object:
    """An object whose header goes on beyond what waits in memory."""
    sent = made(**values)
    whole = decode(sent.data, sent.syntax)
    long = {**whole, 0x00091010: Element("OB", bytes(size)), 0x00090010: Element("LO", b"ACME")}
    return sent._replace(data=encode(long, sent.syntax))


@pytest.mark.parametrize("size", [70_000, 900_000, 3_000_000])
def test_long_headers(tmp_path: Path, sqlite_url: str, size: int) -> None:
    sent = with_long_header(size)
    with running(tmp_path, sqlite_url, rules=rules(NEW_ID)) as archive:
        archive.send(sent)
        assert string_of(head_of(archive), PATIENT_ID) == "HOSP-1"
        assert head_of(archive)[0x00091010] == Element("OB", bytes(size))
        assert [finding.verdict for finding in verify(archive.store)] == ["sound"]
        archive.send(sent)
        assert len(archive.rows("instance")) == 1
        assert not archive.rows("instance_version")


def test_an_object_without_pixels(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url, rules=rules(NEW_ID)) as archive:
        archive.send(made(pixels=b""))
        (row,) = archive.rows("instance")
        found = decode(archive.data_of(row.store_key), row.syntax)
        assert string_of(found, PATIENT_ID) == "HOSP-1"


@pytest.mark.req("X-QR-45")
@pytest.mark.parametrize(
    ("rule", "ae", "status", "comment"),
    [
        ({"do": [{"set": "PatientID", "value": "x"}]}, HostedAE(), 0, ""),
        ({"do": [{"set": "PatientID", "value": "x"}]}, HostedAE(tell_sender=True), 0xB000, "elements were coerced"),
        ({"do": [{"delete": "StudyDate"}]}, HostedAE(tell_sender=True), 0xB006, "elements were discarded"),
        ({"do": [{"delete": "StudyDate"}], "tell_sender": True}, HostedAE(), 0xB006, "elements were discarded"),
        ({"do": [{"delete": "AccessionNumber"}]}, HostedAE(tell_sender=True), 0, ""),
    ],
)
def test_the_sender_is_told(
    tmp_path: Path, sqlite_url: str, rule: dict[str, Any], ae: HostedAE, status: int, comment: str
) -> None:
    with running(tmp_path, sqlite_url, ae=ae, rules=rules(rule)) as archive:
        (response,) = archive.store_all(made())
        assert (response.status, response.comment) == (status, comment)
        assert len(archive.rows("instance")) == 1


@pytest.mark.parametrize("policy", ["keep-first", "keep-first-supplement", "replace", "new-uid", "reject"])
@pytest.mark.parametrize("syntax", [uids.EXPLICIT_LE, uids.DEFLATED_LE], ids=uids.keyword_of)
def test_the_same_object_again_is_recognised(tmp_path: Path, any_url: str, policy: Any, syntax: str) -> None:
    sent = made(pixels=PIXELS, syntax=syntax)
    with running(tmp_path, any_url, ae=HostedAE(duplicates=policy), rules=rules(NEW_ID)) as archive:
        archive.send(sent, sent)
        archive.send(sent)
        assert len(archive.rows("instance")) == 1
        assert not archive.rows("instance_version")
        assert not archive.rows("conflict")
        assert [row.reason for row in archive.rows("removal")] == ["equal-duplicate"] * 2
        other = made(pixels=PIXELS[::-1], syntax=syntax)
        status = archive.status(other)
        assert status == (0x0111 if policy == "reject" else 0xB000 if policy == "new-uid" and "Defl" not in
                          uids.keyword_of(syntax) else 0)  # fmt: skip


def answers(archive: Running) -> Any:
    """What the index answers of everything."""
    instances = sorted(
        (row.sop_uid, row.store_key, row.digest, row.size, row.syntax) for row in archive.rows("instance")
    )
    versions = sorted((row.store_key, row.verdict) for row in archive.rows("instance_version"))
    conflicts = sorted((row.kind, row.store_key) for row in archive.rows("conflict"))
    removals = sorted((row.store_key, row.reason, row.kept_key) for row in archive.rows("removal"))
    patients = sorted((row.patient_id, row.patient_name) for row in archive.rows("patient"))
    return instances, versions, conflicts, removals, patients


def test_a_rebuilt_index_gives_the_same_answers(tmp_path: Path, any_url: str) -> None:
    plain, ruled = made(1, pixels=PIXELS), made(2, pixels=PIXELS)
    named = {"do": [{"set": "InstitutionName", "value": "here"}, {"delete": "StudyDescription"}]}
    with running(tmp_path, any_url) as archive:
        archive.send(plain)
    with running(tmp_path, any_url, rules=rules(named)) as archive:
        archive.send(ruled, ruled, plain, made(2, pixels=PIXELS, StudyTime="1200"), made(2, pixels=PIXELS[::-1]))
        before = answers(archive)
        with_rules = archive.store
        rebuild(with_rules, archive.database, compare=likeness)
        assert answers(archive) == before
        assert len(before[0]) == 2
        assert sorted(verdict for _, verdict in before[1]) == ["conflict", "version"]
        assert len(before[3]) == 2
    # and the other way round: rules that are gone
    with running(tmp_path, any_url) as archive:
        archive.send(ruled)
        assert len(archive.rows("removal")) == 3


def test_identifying_uids_may_change(tmp_path: Path, sqlite_url: str) -> None:
    hidden = [{"hash": name, "key": "k"} for name in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")]
    with running(tmp_path, sqlite_url, rules=rules({"do": hidden, "keep_originals": False})) as archive:
        (response,) = archive.store_all(made())
        assert response.status == statuses.COERCED
        (row,) = archive.rows("instance")
        assert row.sop_uid == hashed_uid(b"k", sop_uid())
        assert archive.rows("study")[0].study_uid == hashed_uid(b"k", study_uid())
        with archive.store.open(row.store_key) as stored:
            assert read_header(stored.pread(4096, 0)).sop_instance == row.sop_uid
        archive.status(made())
        assert len(archive.rows("instance")) == 1


# --- what can't be changed


def test_an_object_that_is_not_what_the_command_says_is_refused_as_it_came(tmp_path: Path, sqlite_url: str) -> None:
    sent = made()
    with running(tmp_path, sqlite_url, rules=rules(NEW_ID)) as archive:
        assert archive.status(sent._replace(sop_uid="1.2.3")) == 0xC001
        assert archive.status(sent._replace(sop_class=MR)) == 0xA900
        assert archive.status(sent._replace(data=sent.data[:30])) == 0xC000
        assert [data for _, data in archive.set_aside()] == [sent.data, sent.data, sent.data[:30]]
        archive.send(sent)


def test_a_rule_that_cannot_be_applied_sets_the_object_aside(tmp_path: Path, sqlite_url: str) -> None:
    sent = made(pixels=PIXELS)
    numbers = {"do": [{"copy": "Rows", "from": "PatientID"}]}
    for each in (sent, made(syntax=uids.DEFLATED_LE), with_long_header(2_000_000)):
        folder = tmp_path / str(len(each.data))
        with running(folder, sqlite_url, rules=rules(numbers)) as archive:
            (response,) = archive.store_all(each)
            assert response.status == 0xC002
            assert "rule" in response.comment
            assert [data for _, data in archive.set_aside()] == [each.data]


# --- hooks


def greet(view: View) -> None:
    """A hook of an installation."""
    assert view.facts["calling"] == "TESTER"
    view["InstitutionName"] = f"for {view['PatientName']}"
    if "StudyDescription" in view:
        del view["StudyDescription"]


def stumble(view: View) -> None:
    """A hook that fails."""
    if view.get("PatientID") == "P1":
        raise RuntimeError(view["PatientID"])


def test_a_hook_takes_the_place_of_the_rules(tmp_path: Path, sqlite_url: str) -> None:
    hooks = Hooks(receive=f"{__name__}:greet")
    with running(tmp_path, sqlite_url, rules=rules(NEW_ID), hooks=hooks) as archive:
        archive.send(made(pixels=PIXELS), made(2, syntax=uids.DEFLATED_LE))
        for number in (0, 1):
            kept = head_of(archive, number)
            assert string_of(kept, INSTITUTION) == "for Doe^Jane"
            assert string_of(kept, PATIENT_ID) == "P1"
            (item,) = items_of(kept, ORIGINALS)
            assert items_of(item, 0x04000550)[0].keys() == {INSTITUTION, 0x00081030}


def test_a_hook_that_fails_costs_one_object(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url, hooks=Hooks(receive=f"{__name__}:stumble")) as archive:
        first, second = archive.store_all(made(1, study=1), made(1, study=2))
        assert (first.status, second.status) == (0xC002, 0)
        assert "P1" not in first.comment
        assert [(reason, data) for reason, data in archive.set_aside()] == [("unable-to-process", made().data)]


# --- discarding


@pytest.mark.req("I-STORE-04", "I-STOW-RS-02")
@pytest.mark.parametrize("syntax", [uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.DEFLATED_LE], ids=uids.keyword_of)
def test_invalid_elements_are_discarded_where_the_ae_is_set_so(tmp_path: Path, sqlite_url: str, syntax: str) -> None:
    bad: DataSet = {
        0x00080020: Element("DA", b"yesterday "),
        0x00080050: text("SH", "x" * 17),
        0x00081010: Element("SH", b"caf\xe9"),
        0x00100030: Element("DA", b"19700131"),
        0x00101030: Element("DS", b"heavy "),
        0x00050010: Element("LO", b"no such group "),
        0x00280011: Element("US", b"\1"),
    }
    plain = decode(made(pixels=b"").data, uids.EXPLICIT_LE)
    sent = made(pixels=b"")._replace(syntax=syntax, data=encode({**plain, **bad}, syntax))
    with running(tmp_path, sqlite_url, ae=HostedAE(character_set="", drop_invalid=True)) as archive:
        first, second = archive.store_all(sent, made(2))
        assert (first.status, first.comment) == (0xB006, "elements were discarded")
        assert second.status == 0
        (row, other) = archive.rows("instance")
        kept = decode(archive.data_of(row.store_key), syntax)
        assert kept.keys() == {*plain, 0x00100030, 0x00280011, ORIGINALS} - {0x00080020}
        (item,) = items_of(kept, ORIGINALS)
        told = items_of(item, 0x04000551)
        assert [one[0x04000552].value for one in told] == [
            b"no such group ", b"yesterday ", b"x" * 17 + b" ", b"caf\xe9", b"heavy "
        ]  # fmt: skip
        assert archive.data_of(other.store_key) == made(2).data
    with running(tmp_path / "other", sqlite_url) as archive:
        assert archive.status(sent._replace(sop_uid=sent.sop_uid)) in (0, 0xB000)


def test_find_answers_with_what_rules_made(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url, rules=rules(NEW_ID)) as archive:
        archive.send(made())
        found = archive.find(keys("STUDY", PatientID="HOSP-1", StudyInstanceUID=""))
        assert [string_of(row, 0x0020000D) for _, row in found if row] == [study_uid()]
        assert not [row for _, row in archive.find(keys("STUDY", PatientID="P1", StudyInstanceUID="")) if row]
        assert isinstance(archive.database, database.Database)
