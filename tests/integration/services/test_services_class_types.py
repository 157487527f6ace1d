"""The four types of SOP classes (PS3.2 7.3) as an archive meets them: instances of each are kept and given back as they
came, and none of them changes what another means."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from archives import CT, ROOT, Destination, Object, Running, keys, listening, made, running, study_uid
from isocenter.config import HostedAE, Settings
from isocenter.declarations import sop_classes
from isocenter.declarations.query_keys import Level, keys_for
from isocenter.dicom import dictionary, uids
from isocenter.dimse import Admission
from isocenter.dimse.pdu import AssociateRequest, CommonExtended, ContextProposal, UserInformation
from isocenter.server.policy import ArchivePolicy

PRIVATE = f"{ROOT}.77"
PRIVATE_SYNTAX = f"{ROOT}.78"
STORAGE_SERVICE = "1.2.840.10008.4.2"
NATIVE = uids.EXPLICIT_LE


@pytest.fixture
def served(tmp_path: Path, sqlite_url: str) -> Iterator[tuple[Running, Destination]]:
    destination = Destination()
    with listening(destination), running(tmp_path, sqlite_url, peers=[destination.peer]) as archive:
        yield archive, destination


def extended(number: int = 1, sop_class: str = CT) -> Object:
    """An instance with a private Type 3 attribute, and standard ones that its class does not have."""
    plain = made(number, sop_class=sop_class, AcquisitionProtocolDescription="Added", StationName="S")
    group = b"\x09\x00\x10\x00LO\x04\x00OURS" + b"\x09\x00\x01\x10LO\x06\x00secret"
    at = plain.data.index(b"\x10\x00\x10\x00PN")
    return plain._replace(data=plain.data[:at] + group + plain.data[at:])


@pytest.mark.req(
    "C-RULE-42", "C-RULE-43", "C-RULE-44", "C-RULE-45", "C-RULE-46", "C-RULE-47", "C-RULE-56", "C-RULE-58",
    "C-RULE-59",
)  # fmt: skip
def test_a_standard_extended_class_is_kept_with_its_additions_under_its_own_uid(
    served: tuple[Running, Destination],
) -> None:
    """Additions are taken for Type 3: neither asked for where they lack nor taken away, and the rest means the same."""
    archive, destination = served
    with_additions, plain = extended(1), made(2)
    archive.send(with_additions, plain)
    responses = archive.move("DEST", keys("STUDY", StudyInstanceUID=study_uid()))
    assert responses[-1].status == 0
    got = {each.sop_uid: each.data for each in destination.received}
    assert got == {with_additions.sop_uid: with_additions.data, plain.sop_uid: plain.data}
    assert {row.sop_class for row in archive.rows("instance")} == {CT}
    ((_, found), _) = archive.find(keys("STUDY", StudyInstanceUID=study_uid(), PatientID=""))
    assert found[0x00100020].value.strip() == b"P1"  # type: ignore[union-attr]


@pytest.mark.req("C-RULE-50", "C-RULE-51", "C-RULE-52", "C-RULE-53", "C-RULE-57", "C-RULE-60", "C-RULE-62")
@pytest.mark.parametrize("storage", ["any", "none"])
def test_specialized_and_private_classes_are_kept_under_their_private_uids(
    tmp_path: Path, sqlite_url: str, storage: str
) -> None:
    """A class that no list knows, by being open to all of them, or by its UID in the settings."""
    destination = Destination()
    ae = HostedAE(storage=storage, classes=() if storage == "any" else (PRIVATE,))  # type: ignore[arg-type]
    with listening(destination), running(tmp_path, sqlite_url, ae=ae, peers=[destination.peer]) as archive:
        private = extended(1, PRIVATE)
        archive.send(private)
        assert archive.move("DEST", keys("STUDY", StudyInstanceUID=study_uid()))[-1].status == 0
    assert [(each.sop_uid, each.data) for each in destination.received] == [(private.sop_uid, private.data)]
    assert not PRIVATE.startswith("1.2.840.10008.")


@pytest.mark.req("C-RULE-53", "C-DEF-04")
def test_a_specialized_class_may_be_announced_by_common_extended_negotiation() -> None:
    told = CommonExtended(PRIVATE, STORAGE_SERVICE, (CT,))
    request = AssociateRequest(
        "ISOCENTER", "CT1", (ContextProposal(1, PRIVATE, (NATIVE,)),), UserInformation(common_extended=(told,))
    )
    decision = ArchivePolicy(Settings()).negotiate(request, "127.0.0.1", 11112)
    assert isinstance(decision, Admission)
    assert [(context.result, context.syntax) for context in decision.answer.contexts] == [(0, NATIVE)]


@pytest.mark.req("C-RULE-55", "C-RULE-24")
def test_an_object_in_a_private_transfer_syntax_is_kept(served: tuple[Running, Destination]) -> None:
    """A private class need not support the default syntax; an archive that keeps bytes need not understand another."""
    archive, destination = served
    private = made(1, sop_class=PRIVATE)._replace(syntax=PRIVATE_SYNTAX)
    archive.send(private)
    assert archive.move("DEST", keys("STUDY", StudyInstanceUID=study_uid()))[-1].status == 0
    assert [(each.syntax, each.data) for each in destination.received] == [(PRIVATE_SYNTAX, private.data)]


@pytest.mark.req("C-RULE-40", "C-RULE-56", "C-DEF-02", "C-DEF-05", "C-DEF-06")
def test_standard_uids_and_tags_are_used_for_what_the_standard_means() -> None:
    for uid, entry in sop_classes.registry().items():
        registered = uids.registry().get(uid)
        assert entry.private == (not uid.startswith("1.2.840.10008."))
        assert registered is None or registered.kind in ("SOP Class", "Meta SOP Class", "Media Storage SOP Class")
    for level in Level:
        for key in keys_for(level).values():
            assert all(dictionary.entry_of(tag) is not None for tag in key.path), "keys are standard attributes"
            assert key.vr in (dictionary.vr_of(key.path[-1]), "US")


@pytest.mark.req("C-RULE-58")
def test_a_service_that_no_class_has_is_refused(served: tuple[Running, Destination]) -> None:
    """No DIMSE service is added to a class: C-FIND on a storage context, C-STORE on one of a query."""
    archive, _ = served
    from isocenter.dimse import ProposedContext, commands

    with archive.connect(
        ProposedContext(CT, (NATIVE,)), ProposedContext(uids.STUDY_ROOT_FIND, (NATIVE,))
    ) as association:
        storing, finding = association.context_for(CT), association.context_for(uids.STUDY_ROOT_FIND)
        one = made(1)
        found = association.invoke(storing.id, commands.find_rq(CT), one.data)
        stored = association.invoke(finding.id, commands.store_rq(uids.STUDY_ROOT_FIND, one.sop_uid), one.data)
    assert (found.status, stored.status) == (0x0122, 0x0122)


@pytest.mark.req("X-QR-42", "X-QR-81")
def test_a_signed_object_leaves_bit_by_bit_as_it_came(served: tuple[Running, Destination]) -> None:
    """Digital Signatures Sequence (FFFA,FFFA), and what it signs, are the bytes that were received."""
    archive, destination = served
    plain = made(1)
    signature = b"\x00\x04\x00\x01UI\x04\x001.2\x00" + b"\x00\x04\x20\x01OB\x00\x00\x04\x00\x00\x00SIGN"
    item = b"\xfe\xff\x00\xe0" + len(signature).to_bytes(4, "little") + signature
    sequence = b"\xfa\xff\xfa\xffSQ\x00\x00" + len(item).to_bytes(4, "little") + item
    signed = plain._replace(data=plain.data + sequence)
    archive.send(signed)
    assert archive.move("DEST", keys("STUDY", StudyInstanceUID=study_uid()))[-1].status == 0
    assert [(each.syntax, each.data) for each in destination.received] == [(NATIVE, signed.data)]


@pytest.mark.req("I-STORE-07", "P-IMP-02")
@pytest.mark.parametrize("syntax", [uids.JPEG_LOSSLESS_SV1, uids.JPEG_BASELINE, uids.JPEG_EXTENDED])
def test_a_compressed_object_keeps_its_syntax_in_the_folder_of_the_archive(
    served: tuple[Running, Destination], syntax: str, tmp_path: Path
) -> None:
    archive, _ = served
    one = made(1, syntax=syntax)
    archive.send(one)
    (row,) = archive.rows("instance")
    assert row.syntax == syntax
    assert archive.data_of(row.store_key) == one.data
    kept = [path for path in (tmp_path / "store").rglob("*") if path.is_file() and one.data in path.read_bytes()]
    assert kept
