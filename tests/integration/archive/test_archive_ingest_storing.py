"""C-STORE from the wire to store and index: what is stored, what is refused and where it goes then."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from archives import CT, MR, Object, answered, made, running, series_uid, sop_uid, study_uid
from isocenter import database, dimse
from isocenter.config import HostedAE
from isocenter.config.settings import Limits
from isocenter.dicom import part10, uids
from isocenter.dimse import ProposedContext, commands
from isocenter.errors import IsocenterError, Reason, Refused, Retriable
from isocenter.index import extract
from isocenter.index.batches import already_durable
from isocenter.index.records import Arrival, Outcome, Record
from isocenter.index.writer import LocalWriter
from isocenter.store.filesystem import FilesystemStore
from isocenter.store.memory import MemoryStore
from isocenter.store.verify import verify

BIG = bytes(range(256)) * 8192
"""Two megabytes: several slabs."""


@pytest.mark.req(
    "I-STORE-01", "I-STORE-03", "I-STORE-04", "I-STORE-05", "I-STORE-ST-01", "M-STORE-02", "M-STORE-07", "M-STORE-09"
)
@pytest.mark.parametrize("syntax", [uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE, uids.DEFLATED_LE,
                                    uids.JPEG_2000_LOSSLESS, "1.2.3.4.5"])  # fmt: skip
@pytest.mark.parametrize("pixels", [b"", b"\1\2" * 40, BIG])
def test_stored_byte_for_byte(tmp_path: Path, sqlite_url: str, syntax: str, pixels: bytes) -> None:
    sent = made(syntax=syntax, pixels=pixels)
    with running(tmp_path, sqlite_url) as archive:
        (response,) = archive.store_all(sent)
        assert response.status == 0
        assert commands.text(response.command, commands.AFFECTED_SOP_INSTANCE) == sent.sop_uid
        (row,) = archive.rows("instance")
        assert (row.sop_class, row.sop_uid, row.syntax, row.digest, row.size) == (
            CT, sent.sop_uid, syntax, sent.digest, len(sent.data)
        )  # fmt: skip
        assert archive.data_of(row.store_key) == sent.data
        with archive.store.open(row.store_key) as stored:
            header = part10.read_header(stored.pread(row.offset, 0))
        assert (header.sop_class, header.sop_instance, header.syntax) == (CT, sent.sop_uid, syntax)
        receipt = part10.read_receipt(header)
        assert receipt is not None
        assert receipt[:3] == ("TESTER", "ISOCENTER", "127.0.0.1")
        assert (receipt.digest, receipt.received_at) == (sent.digest, row.received_at)


@pytest.mark.req("M-STORE-04")
def test_many_on_one_association(tmp_path: Path, sqlite_url: str) -> None:
    sent = [made(n, study=n % 3 + 1, sop_class=[CT, MR][n % 2]) for n in range(40)]
    store = MemoryStore()
    with running(tmp_path, sqlite_url, store=store) as archive:
        archive.send(*sent)
        assert {row.digest for row in archive.rows("instance")} == {each.digest for each in sent}
        assert sorted(row.study_uid for row in archive.rows("study")) == [study_uid(n) for n in (1, 2, 3)]
        assert {row.patient_id for row in archive.rows("study")} == {"P1", "P2", "P3"}
        assert not store.unsettled


def _wrong(kind: str) -> tuple[Object, int, str]:
    """An object, the status it gets, and the reason in the exceptions area."""
    good = made()
    match kind:
        case "class of the data set":
            return good._replace(sop_class=MR), 0xA900, Reason.SOP_CLASS_MISMATCH
        case "instance":
            return good._replace(sop_uid="1.2.3"), 0xC001, Reason.SOP_INSTANCE_MISMATCH
        case "no instance":
            return good._replace(sop_uid=""), 0xC001, Reason.SOP_INSTANCE_MISMATCH
        case "truncated":
            return good._replace(data=good.data[:90]), 0xC000, Reason.CANNOT_UNDERSTAND
        case "no study":
            return made(without=[0x0020000D]), 0xC000, Reason.CANNOT_UNDERSTAND
        case "empty series":
            return made(SeriesInstanceUID=""), 0xC000, Reason.CANNOT_UNDERSTAND
        case "noise":
            return good._replace(data=b"\xff\x17not a data set" * 300), 0xC000, Reason.CANNOT_UNDERSTAND
        case _:
            return good._replace(data=b"\x08\0\x16\0UI\xf0\xff" + b"1" * 200_000), 0xC000, Reason.CANNOT_UNDERSTAND


@pytest.mark.req("I-STORE-02", "I-STORE-20", "I-STORE-ST-04", "I-STORE-ST-05", "I-STORE-ST-06")
@pytest.mark.parametrize(
    "kind",
    ["class of the data set", "instance", "no instance", "truncated", "no study", "empty series", "noise", "long"],
)
def test_what_is_refused_is_set_aside(tmp_path: Path, sqlite_url: str, kind: str) -> None:
    sent, status, reason = _wrong(kind)
    with running(tmp_path, sqlite_url) as archive:
        (response,) = archive.store_all(sent)
        assert response.status == status
        assert response.comment
        assert archive.set_aside() == [(reason, sent.data)]
        (row,) = archive.rows("exception")
        (entry,) = archive.store.exceptions()
        assert (row.store_key, row.reason, row.comment) == (entry.key, reason, entry.facts["comment"])
        assert (row.sop_class, row.sop_uid, row.syntax) == (sent.sop_class, sent.sop_uid, sent.syntax)
        assert (row.calling, row.called, row.address) == ("TESTER", "ISOCENTER", "127.0.0.1")
        assert {"sop_class", "sop_uid", "syntax", "calling", "called", "address"} <= set(entry.facts)
        assert "Doe" not in str(row) + str(entry)
        assert not archive.rows("instance")
        assert not archive.objects()


@pytest.mark.req("M-STORE-10")
def test_one_code_for_whatever_is_wrong(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url, ae=HostedAE(preset="pacs")) as archive:
        for kind in ("class of the data set", "instance", "no study", "noise"):
            assert archive.status(_wrong(kind)[0]) == 0xA700


@pytest.mark.req("I-STORE-ST-04")
def test_a_command_of_another_class_than_its_context(tmp_path: Path, sqlite_url: str) -> None:
    sent = made()
    with (
        running(tmp_path, sqlite_url) as archive,
        archive.connect(ProposedContext(CT, (uids.EXPLICIT_LE,))) as association,
    ):
        command = commands.store_rq(MR, sent.sop_uid)
        response = association.invoke(association.context_for(CT).id, command, sent.data)
        assert response.status == 0xA900
        assert archive.set_aside() == [(Reason.SOP_CLASS_MISMATCH, sent.data)]
        # the association lives
        assert answered(association, sent).status == 0


@pytest.mark.req("I-STORE-ST-03", "I-STORE-20")
def test_an_unexpected_error_keeps_the_bytes(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sent = made()
    with running(tmp_path, sqlite_url) as archive:
        with monkeypatch.context() as patch:
            patch.setattr(extract, "arrival", lambda *_a, **_k: {}["Doe^Jane"])
            (response,) = archive.store_all(sent)
        assert response.status == 0x0110
        assert "Doe" not in response.comment
        assert archive.set_aside() == [(Reason.PROCESSING_FAILURE, sent.data)]
        assert len(archive.rows("exception")) == 1
        assert archive.status(sent) == 0
    assert "Doe" not in caplog.text


def test_a_data_set_of_no_bytes(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url) as archive:
        assert archive.status(made()._replace(data=b"")) == 0xA900
        assert archive.set_aside() == [(Reason.SOP_CLASS_MISMATCH, b"")]


def test_a_request_without_data_set(tmp_path: Path, sqlite_url: str) -> None:
    sent = made()
    with (
        running(tmp_path, sqlite_url) as archive,
        archive.connect(ProposedContext(CT, (uids.EXPLICIT_LE,))) as association,
    ):
        context = association.context_for(CT)
        assert association.invoke(context.id, commands.store_rq(CT, sent.sop_uid)).status == 0xC000
        assert answered(association, sent).status == 0


def test_a_header_longer_than_the_prefix(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url) as archive:
        sent = [made(n, ImageComments="x" * length) for n, length in enumerate((1 << 17, 1 << 19, 3 << 20))]
        objects = [_with_private(each, length) for each, length in zip(sent, (1 << 17, 1 << 19, 3 << 20), strict=True)]
        archive.send(*objects)
        assert [row.study_uid for row in archive.rows("study")] == [study_uid()]
        assert [archive.data_of(row.store_key) for row in archive.rows("instance")] == [o.data for o in objects]


def _with_private(sent: Object, length: int) -> Object:
    """The same with a long private element before its study."""
    at = sent.data.index(b"\x20\0\x0d\0UI")
    private = b"\x09\0\x10\0LO\4\0TEST" + b"\x09\0\1\x10OB\0\0" + length.to_bytes(4, "little") + bytes(length)
    start = sent.data.index(b"\x10\0\x10\0PN")
    assert start < at
    return sent._replace(data=sent.data[:start] + private + sent.data[start:])


@pytest.mark.req("M-STORE-11")
def test_the_size_limit(tmp_path: Path, sqlite_url: str) -> None:
    small, large = made(1), made(2, pixels=BIG)
    with running(tmp_path, sqlite_url, limits=Limits(object=len(small.data))) as archive:
        statuses = [response.status for response in archive.store_all(large, small, large)]
        assert statuses == [0xA700, 0, 0xA700]
        assert [row.sop_uid for row in archive.rows("instance")] == [small.sop_uid]
        assert len(archive.objects()) == 1
        assert not archive.set_aside()


@pytest.mark.req("M-STORE-10")
def test_out_of_storage(tmp_path: Path, sqlite_url: str) -> None:
    store = MemoryStore(capacity=1 << 20, floor_bytes=1 << 19)
    with running(tmp_path, sqlite_url, store=store) as archive:
        responses = archive.store_all(*(made(n, pixels=b"\1" * 300_000) for n in range(4)))
        assert [response.status for response in responses] == [0, 0, 0xA700, 0xA700]
        assert responses[-1].comment
        assert len(archive.rows("instance")) == 2


def test_a_sender_that_goes_away_in_mid_object(tmp_path: Path, sqlite_url: str) -> None:
    sent = made(pixels=BIG)
    with running(tmp_path, sqlite_url) as archive:
        association = archive.connect(ProposedContext(CT, (uids.EXPLICIT_LE,)))
        broken = dimse.BytesSource(_failing(sent.data[: 1 << 20], association))
        with pytest.raises(IsocenterError):
            association.store(association.context_for(CT).id, CT, sent.sop_uid, broken)
        association.close()
        archive.acceptor.drain(30)
        assert not archive.objects()
        assert not archive.rows("instance")
        assert not archive.set_aside()


def _failing(data: bytes, association: dimse.Association) -> Any:
    yield data[: len(data) // 2]
    yield data[len(data) // 2 :] * 4
    raise dimse.SourceFailed("gone")


class Faulty:
    """A writer that fails as it is told, before or after it has filed."""

    def __init__(self, writer: LocalWriter, fault: Exception, *, after: bool = False) -> None:
        self._writer, self._fault, self._after, self.count = writer, fault, after, 1

    def submit(self, record: Record) -> Future[Outcome]:
        return self._writer.submit(record)

    def file(self, record: Record, before_commit: Callable[[], None] = already_durable) -> Outcome:
        if not isinstance(record, Arrival) or not self.count:
            return self._writer.file(record, before_commit)
        self.count -= 1
        if self._after:
            self._writer.file(record, before_commit)
        else:
            before_commit()
        raise self._fault

    def close(self) -> None:
        self._writer.close()


@pytest.mark.req("I-STORE-20")
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("fault", [Retriable(Reason.OUT_OF_RESOURCES, "index away")])
def test_an_index_that_does_not_answer(tmp_path: Path, sqlite_url: str, fault: Exception, after: bool) -> None:
    sent = made()
    held = database.open(sqlite_url)
    writer, store = Faulty(LocalWriter(held), fault, after=after), MemoryStore()
    with running(tmp_path, sqlite_url, writer=writer, store=store) as archive:
        assert archive.status(sent) == 0xA700
        assert archive.status(sent) == 0
        assert len(archive.rows("instance")) == 1
        assert not archive.set_aside()
        # whether the index has the first copy isn't known: it stays offered
        (offered,) = store.recover().recovered
        assert store.exists(offered)
    held.close()


@pytest.mark.req("I-STORE-ST-03", "I-STORE-20")
def test_an_object_that_the_index_can_not_take(tmp_path: Path, sqlite_url: str) -> None:
    sent = made()
    held = database.open(sqlite_url)
    writer = Faulty(LocalWriter(held), Refused(Reason.PROCESSING_FAILURE, "the index can't take this object"))
    store = MemoryStore()
    with running(tmp_path, sqlite_url, writer=writer, store=store) as archive:
        assert archive.status(sent) == 0x0110
        assert archive.set_aside() == [(Reason.PROCESSING_FAILURE, sent.data)]
        assert [row.reason for row in archive.rows("exception")] == [Reason.PROCESSING_FAILURE]
        assert not store.unsettled
        assert archive.status(sent) == 0
    held.close()


class NoQuarantine(FilesystemStore):
    """A store whose exceptions area is full."""

    def set_aside(self, *_: Any, **__: Any) -> str:
        raise Retriable(Reason.OUT_OF_STORAGE, "no space")


@pytest.mark.req("I-STORE-02")
def test_the_exceptions_area_is_only_used_if_possible(tmp_path: Path, sqlite_url: str) -> None:
    store = NoQuarantine(tmp_path / "store", durability="process", floor_bytes=0)
    with running(tmp_path, sqlite_url, store=store) as archive:
        assert archive.status(_wrong("no study")[0]) == 0xC000
        assert not archive.objects()
        assert archive.status(made()) == 0


@pytest.mark.req("I-STORE-12", "I-STORE-13", "M-STORE-01", "M-STORE-13")
def test_retired_private_and_unknown_classes(tmp_path: Path, sqlite_url: str) -> None:
    classes = ["1.2.840.10008.5.1.4.1.1.6", "1.3.46.670589.2.5.1.1", "1.2.3.4.5.6", "1.2.840.10008.5.1.4.1.1.12.3"]
    sent = [made(n, sop_class=each) for n, each in enumerate(classes)]
    with running(tmp_path, sqlite_url) as archive:
        archive.send(*sent)
        assert [row.sop_class for row in archive.rows("instance")] == classes


def test_uids_with_padding_and_leading_zeros(tmp_path: Path, sqlite_url: str) -> None:
    sent = made(StudyInstanceUID="1.2.003", SOPInstanceUID="1.2.3.04.5")
    padded = sent._replace(data=sent.data.replace(b"1.2.3.04.5", b"1.2.3.04.5", 1))
    with running(tmp_path, sqlite_url) as archive:
        assert archive.status(padded) == 0
        assert archive.rows("study")[0].study_uid == "1.2.003"
        assert [row.kind for row in archive.rows("conflict")] == ["irregular-uid"]


def test_a_uid_of_zeros(tmp_path: Path, sqlite_url: str) -> None:
    """As many as stand in for the digest while that isn't known."""
    sent = made(SOPInstanceUID=f"1.{'0' * 80}1")
    with running(tmp_path, sqlite_url) as archive:
        archive.send(sent)
        assert [finding.verdict for finding in verify(archive.store)] == ["sound"]


def test_two_hosted_paths_lead_to_one_series(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url) as archive:
        archive.send(made(1), made(2), calling="ONE")
        archive.send(made(3), calling="TWO")
        (row,) = archive.rows("series")
        assert (row.series_uid, row.instances) == (series_uid(), 3)
        assert [r.source_aet for r in archive.rows("instance")] == ["ONE", "ONE", "TWO"]
        assert archive.rows("instance")[0].sop_uid == sop_uid(1)
