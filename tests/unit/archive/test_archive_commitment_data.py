"""The data sets of storage commitment, made and read."""

from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.filereader import read_dataset

from isocenter.archive.commitment.data import (
    Malformed,
    Reference,
    Requested,
    Result,
    digest,
    event_reply,
    event_type,
    read_report,
    read_request,
    report,
    request,
)
from isocenter.declarations.commitment import Action, delivered
from isocenter.dicom import dataset, uids
from isocenter.dicom.dataset import encode, sequence, uid, us

SYNTAXES = (uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE, uids.DEFLATED_LE)
CT = "1.2.840.10008.5.1.4.1.1.2"
names = st.from_regex(r"[0-9]{1,5}(\.[0-9]{1,5}){1,8}", fullmatch=True)
references = st.builds(Reference, names, names)
failures = st.sampled_from([0, 0, 0x0110, 0x0112, 0x0119, 0x0131, 0xC000])


@settings(max_examples=20, deadline=None)
@given(names, st.lists(references, min_size=1, max_size=20, unique=True), st.sampled_from(SYNTAXES))
def test_a_request_comes_back(transaction: str, named: list[Reference], syntax: str) -> None:
    asked = Requested(transaction, tuple(named))
    assert read_request(request(asked, syntax), syntax) == asked


@settings(max_examples=20, deadline=None)
@given(names, st.dictionaries(names, st.tuples(names, failures), min_size=1, max_size=20), st.sampled_from(SYNTAXES))
def test_a_report_comes_back(transaction: str, said: dict[str, tuple[str, int]], syntax: str) -> None:
    results = [
        Result(sop_class, sop_uid, failure, "" if failure else "HERE") for sop_uid, (sop_class, failure) in said.items()
    ]
    found = read_report(report(transaction, results, "HERE", syntax), syntax)
    assert (found.transaction_uid, sorted(found.results)) == (transaction, sorted(results))
    assert event_type(results) == (2 if any(each.failure for each in results) else 1)


def test_a_report_as_pydicom_sees_it() -> None:
    results = [Result(CT, "1.2.1", 0), Result(CT, "1.2.2", 0x0112), Result(CT, "1.2.3", 0)]
    found = read_dataset(BytesIO(report("1.2", results, "HERE", uids.EXPLICIT_LE)), False, True)
    assert (found.TransactionUID, found.RetrieveAETitle) == ("1.2", "HERE")
    assert [item.ReferencedSOPInstanceUID for item in found.ReferencedSOPSequence] == ["1.2.1", "1.2.3"]
    (failed,) = found.FailedSOPSequence
    assert (failed.ReferencedSOPClassUID, failed.ReferencedSOPInstanceUID, failed.FailureReason) == (
        CT,
        "1.2.2",
        0x0112,
    )
    # neither of a file-set nor of a study component (X-MOD-33, X-QR-65)
    assert [element.keyword for element in found] == [
        "RetrieveAETitle", "TransactionUID", "FailedSOPSequence", "ReferencedSOPSequence"
    ]  # fmt: skip


def test_empty_sequences_are_left_out() -> None:
    well = dataset.decode(report("1.2", [Result(CT, "1.2.1", 0)], "HERE", uids.EXPLICIT_LE), uids.EXPLICIT_LE)
    ill = dataset.decode(report("1.2", [Result(CT, "1.2.1", 272)], "HERE", uids.EXPLICIT_LE), uids.EXPLICIT_LE)
    assert (0x00081198 in well, 0x00081199 in well) == (False, True)
    assert (0x00081198 in ill, 0x00081199 in ill, 0x00080054 in ill) == (True, False, False)


def test_where_each_instance_may_be_retrieved_from() -> None:
    item = {0x00081150: uid(CT), 0x00081155: uid("1.2.1")}
    own = {**item, 0x00080054: dataset.text("AE", "OWN"), 0x00081155: uid("1.2.2")}
    found = {0x00080054: dataset.text("AE", "ALL"), 0x00081195: uid("1.2"), 0x00081199: sequence(item, own)}
    said = read_report(encode(found, uids.EXPLICIT_LE), uids.EXPLICIT_LE)
    assert [each.retrieve_aet for each in said.results] == ["ALL", "OWN"]


def test_what_is_called_both_counts_as_failed() -> None:
    item = {0x00081150: uid(CT), 0x00081155: uid("1.2.1")}
    found = {0x00081195: uid("1.2"), 0x00081199: sequence(item), 0x00081198: sequence({**item, 0x00081197: us(0x0213)})}
    assert [each.failure for each in read_report(encode(found, uids.EXPLICIT_LE), uids.EXPLICIT_LE).results] == [0x0213]
    found[0x00081198] = sequence(item)
    assert [each.failure for each in read_report(encode(found, uids.EXPLICIT_LE), uids.EXPLICIT_LE).results] == [0x0110]


def test_a_report_of_nothing_is_none() -> None:
    with pytest.raises(Malformed, match="names no instance"):
        read_report(encode({0x00081195: uid("1.2")}, uids.EXPLICIT_LE), uids.EXPLICIT_LE)


def test_the_same_instances_have_the_same_digest() -> None:
    one, two = Reference(CT, "1.2"), Reference(CT, "1.3")
    assert digest([one, two]) == digest([two, one]) != digest([one])


def test_an_instance_that_is_named_twice_counts_once() -> None:
    one = Reference(CT, "1.2")
    assert read_request(request(Requested("1.9", (one, one)), uids.IMPLICIT_LE), uids.IMPLICIT_LE).references == (one,)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(SYNTAXES))
def test_garbage_is_refused_in_the_protocols_terms(data: bytes, syntax: str) -> None:
    for read in (read_request, read_report):
        with pytest.raises(Malformed) as refused:
            read(data, syntax)
        assert refused.value.status in set(Action) - {Action.SUCCESS}
        assert 0 < len(refused.value.comment) <= 64


def test_the_reply_names_what_is_unknown() -> None:
    reply = dataset.decode(event_reply([Result(CT, "1.2.1", 0)], uids.EXPLICIT_LE), uids.EXPLICIT_LE)
    assert [dataset.string_of(item, 0x00081155) for item in dataset.items_of(reply, 0x00081199)] == ["1.2.1"]


@pytest.mark.req("X-QR-66")
@pytest.mark.parametrize(
    ("status", "good"), [(0, True), (0x0107, True), (0xB000, True), (0x0110, False), (0x0211, False)]
)
def test_delivered(status: int, good: bool) -> None:
    assert delivered(status) is good
