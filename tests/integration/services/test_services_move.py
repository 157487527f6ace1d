"""C-MOVE: what reaches the destination, and what the requestor is told."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from archives import (
    CT,
    MR,
    Destination,
    Running,
    keys,
    listening,
    made,
    running,
    series_uid,
    sop_uid,
    study_uid,
    unused_port,
)
from isocenter.archive.retrieval.instances import Located
from isocenter.config import HostedAE, Peer
from isocenter.config.settings import ResponseLimits
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, decode, encode, string_of
from isocenter.dimse import Progress, ProposedContext, commands
from isocenter.services import retrieving

STUDY = keys("STUDY", StudyInstanceUID=study_uid())
NUMBER_ONE = keys("IMAGE", InstanceNumber="1")


def named(level: str, patient: str = "", study: str = "", series: str = "", image: str = "") -> DataSet:
    """An identifier of unique keys."""
    values = {"PatientID": patient, "StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": image}
    return keys(level, **{keyword: value for keyword, value in values.items() if value})


@contextmanager
def moving(folder: Path, url: str, *destinations: Destination, **options: Any) -> Iterator[Running]:
    """An archive that knows the destinations."""
    with listening(*destinations):
        peers = [*options.pop("peers", ()), *(one.peer for one in destinations)]
        with running(folder, url, peers=peers, **options) as archive:
            yield archive


def counts(progress: Progress) -> tuple[int | None, ...]:
    """Status, remaining, completed, failed, warning."""
    return progress[:5]


def failed_uids(progress: Progress) -> list[str]:
    """Failed SOP Instance UID List."""
    if progress.data is None:
        return []
    return string_of(decode(progress.data, uids.EXPLICIT_LE), 0x00080058).split("\\")


@pytest.mark.req("I-MOVE-01", "I-MOVE-05", "I-MOVE-20", "M-MOVE-03", "M-SEND-02", "I-ASSOC-01", "I-ASSOC-05")
def test_a_study(tmp_path: Path, any_url: str) -> None:
    destination = Destination()
    sent = [made(n, series=s) for s in (2, 1) for n in (3, 1, 2)]
    with moving(tmp_path, any_url, destination) as archive:
        archive.send(*sent, made(9, study=2))
        progress = archive.move("DEST", STUDY)
    assert [counts(each) for each in progress] == [(0xFF00, 5 - n, n + 1, 0, 0) for n in range(6)] + [
        (0x0000, None, 6, 0, 0)
    ]
    assert not any(each.data or each.comment for each in progress)
    # series after series, in the order of their numbers
    assert destination.uids == [sop_uid(n, series=s) for s in (1, 2) for n in (1, 2, 3)]
    assert {each.data for each in destination.received} == {each.data for each in sent}
    (request,) = destination.requests
    assert (request.calling, request.called) == ("ISOCENTER", "DEST")
    command = destination.received[0].command
    assert command[commands.MOVE_ORIGINATOR] == "TESTER"
    assert command[commands.MOVE_ORIGINATOR_MESSAGE_ID] == 1
    assert command[commands.PRIORITY] == 0


ALL = {(1, 1, 1), (2, 1, 1), (1, 1, 2)}
"""(number, study, series) of the first study's objects."""


@pytest.mark.req("I-MOVE-01", "I-MOVE-02", "M-MOVE-01")
@pytest.mark.parametrize(
    ("model", "identifier", "expected"),
    [
        (uids.PATIENT_ROOT_MOVE, named("PATIENT", "P1"), ALL),
        (uids.PATIENT_ROOT_MOVE, named("STUDY", "P1", study_uid()), ALL),
        (uids.PATIENT_ROOT_MOVE, named("STUDY", "P2", study_uid()), set()),
        (uids.PATIENT_ROOT_MOVE, named("IMAGE", "P1", study_uid(), series_uid(), sop_uid(2)), {(2, 1, 1)}),
        (uids.PATIENT_STUDY_ONLY_MOVE, named("PATIENT", "P2"), {(1, 2, 1)}),
        (uids.PATIENT_STUDY_ONLY_MOVE, named("STUDY", "P2", study_uid(2)), {(1, 2, 1)}),
        (uids.STUDY_ROOT_MOVE, named("STUDY", "", f"{study_uid(2)}\\{study_uid(3)}"), {(1, 2, 1), (1, 3, 1)}),
        (uids.STUDY_ROOT_MOVE, named("SERIES", "", study_uid(), series_uid(1, 2)), {(1, 1, 2)}),
        (uids.STUDY_ROOT_MOVE, named("SERIES", "", study_uid(), f"{series_uid(1, 2)}\\{series_uid()}"), ALL),
        (
            uids.STUDY_ROOT_MOVE,
            named("IMAGE", "", study_uid(), series_uid(), f"{sop_uid(2)}\\{sop_uid(1)}\\1.2.3"),
            {(1, 1, 1), (2, 1, 1)},
        ),
    ],
)
def test_levels_and_models(
    tmp_path: Path, sqlite_url: str, model: str, identifier: DataSet, expected: set[tuple[int, int, int]]
) -> None:
    destination = Destination()
    with moving(tmp_path, sqlite_url, destination) as archive:
        archive.send(made(1), made(2), made(1, series=2), made(1, study=2), made(1, study=3))
        final = archive.move("DEST", identifier, model=model)[-1]
    assert counts(final) == (0, None, len(expected), 0, 0)
    assert set(destination.uids) == {sop_uid(n, study, series) for n, study, series in expected}


@pytest.mark.req("I-MOVE-04")
def test_zero_matches_are_success_and_open_no_association(tmp_path: Path, sqlite_url: str) -> None:
    destination = Destination()
    with moving(tmp_path, sqlite_url, destination) as archive:
        archive.send(made(1))
        for identifier in (
            keys("STUDY", StudyInstanceUID="1.2.3"),
            keys("STUDY", PatientName="NOBODY*"),
            keys("IMAGE", StudyInstanceUID=study_uid(), SeriesInstanceUID=series_uid(), SOPInstanceUID="1.2.3"),
        ):
            (only,) = archive.move("DEST", identifier)
            assert counts(only) == (0, None, 0, 0, 0)
    assert not destination.requests


@pytest.mark.req("M-MOVE-04", "M-MOVE-05")
@pytest.mark.parametrize(
    ("model", "identifier", "expected"),
    [
        (uids.STUDY_ROOT_MOVE, keys("STUDY", PatientName="doe*"), {1, 2}),
        (uids.STUDY_ROOT_MOVE, keys("STUDY", StudyDate="20240101-20241231"), {1, 2}),
        (uids.STUDY_ROOT_MOVE, keys("STUDY", AccessionNumber="A3"), {3}),
        (uids.STUDY_ROOT_MOVE, keys("STUDY", ModalitiesInStudy="MR"), {3}),
        (uids.STUDY_ROOT_MOVE, keys("STUDY", StudyInstanceUID=study_uid(1), PatientName="roe*"), set()),
        (uids.PATIENT_ROOT_MOVE, keys("PATIENT", PatientName="Roe^Jane"), {3}),
        (uids.PATIENT_ROOT_MOVE, keys("PATIENT", PatientID="P?"), {1, 2, 3}),
        (uids.PATIENT_ROOT_MOVE, keys("STUDY", PatientID="P3", StudyDescription="Thorax"), {3}),
        (uids.STUDY_ROOT_MOVE, keys("SERIES", StudyInstanceUID=study_uid(3), Modality="MR"), {3}),
        (uids.STUDY_ROOT_MOVE, named("IMAGE", "", study_uid(2), series_uid(2)) | NUMBER_ONE, {2}),
    ],
)  # fmt: skip
def test_keys_that_are_not_unique(
    tmp_path: Path, sqlite_url: str, model: str, identifier: DataSet, expected: set[int]
) -> None:
    destination = Destination()
    third = made(1, study=3, PatientName="Roe^Jane", StudyDate="20230101", AccessionNumber="A3", Modality="MR")
    with moving(tmp_path, sqlite_url, destination) as archive:
        archive.send(made(1), made(1, study=2), third)
        final = archive.move("DEST", identifier, model=model)[-1]
        assert final.status == 0
    assert destination.uids == sorted(sop_uid(1, study) for study in expected)


@pytest.mark.req("M-MOVE-05")
def test_case_sensitive_matching(tmp_path: Path, sqlite_url: str) -> None:
    destination = Destination()
    with moving(tmp_path, sqlite_url, destination, ae=HostedAE(case_sensitive=True)) as archive:
        archive.send(made(1))
        assert counts(archive.move("DEST", keys("STUDY", PatientName="doe*"))[-1]) == (0, None, 0, 0, 0)
        assert counts(archive.move("DEST", keys("STUDY", PatientName="Doe*"))[-1]) == (0, None, 1, 0, 0)


def test_a_search_does_not_leave_its_study(tmp_path: Path, sqlite_url: str) -> None:
    """One SOP Instance UID in two studies: only the one that was asked for leaves."""
    destination = Destination()
    with moving(tmp_path, sqlite_url, destination) as archive:
        archive.send(made(1), made(1, study=2, SOPInstanceUID=sop_uid(1)))
        identifier = keys("IMAGE", StudyInstanceUID=study_uid(2), SeriesInstanceUID=series_uid(2), InstanceNumber="1")
        assert counts(archive.move("DEST", identifier)[-1]) == (0, None, 1, 0, 0)
    assert destination.received[0].data == made(1, study=2, SOPInstanceUID=sop_uid(1)).data


@pytest.mark.req("M-MOVE-06")
def test_more_matches_than_the_ae_retrieves(tmp_path: Path, sqlite_url: str) -> None:
    destination = Destination()
    limits = ResponseLimits(study=2, image=1)
    with moving(tmp_path, sqlite_url, destination, ae=HostedAE(responses=limits)) as archive:
        archive.send(*(made(1, study=study) for study in (1, 2, 3)), made(2))
        named = keys("STUDY", StudyInstanceUID="\\".join(study_uid(n) for n in (1, 2, 3)))
        for identifier in (named, keys("STUDY", PatientName="DOE*")):
            (only,) = archive.move("DEST", identifier)
            assert only.status == 0xC001
            assert only.comment
        # a limit holds for the level that is asked for
        assert archive.move("DEST", STUDY)[-1].completed == 2
        assert archive.move("DEST", keys("STUDY", StudyInstanceUID=f"{study_uid(2)}\\{study_uid(3)}"))[-1].status == 0
    assert len(destination.received) == 4


@pytest.mark.req("I-MOVE-ST-02", "I-MOVE-ST-04")
@pytest.mark.parametrize(
    ("model", "identifier"),
    [
        (uids.STUDY_ROOT_MOVE, keys("STUDY")),
        (uids.STUDY_ROOT_MOVE, keys("STUDY", StudyInstanceUID="*", PatientName="**")),
        (uids.STUDY_ROOT_MOVE, keys("PATIENT", PatientID="P1")),
        (uids.STUDY_ROOT_MOVE, keys("SERIES", SeriesInstanceUID=series_uid())),
        (uids.STUDY_ROOT_MOVE, keys("IMAGE", SOPInstanceUID=sop_uid())),
        (uids.STUDY_ROOT_MOVE, named("SERIES", "", f"{study_uid(1)}\\{study_uid(2)}", series_uid())),
        (uids.PATIENT_ROOT_MOVE, keys("STUDY", StudyInstanceUID=study_uid())),
        (uids.PATIENT_STUDY_ONLY_MOVE, named("SERIES", "P1", study_uid(), series_uid())),
        (uids.STUDY_ROOT_MOVE, keys("FRAME", StudyInstanceUID=study_uid())),
        (uids.STUDY_ROOT_MOVE, {0x0020000D: keys("STUDY", StudyInstanceUID=study_uid())[0x0020000D]}),
    ],
)  # fmt: skip
def test_identifiers_that_break_the_rules(tmp_path: Path, sqlite_url: str, model: str, identifier: DataSet) -> None:
    destination = Destination()
    with moving(tmp_path, sqlite_url, destination) as archive:
        archive.send(made(1))
        (only,) = archive.move("DEST", identifier, model=model)
        assert only.status == 0xA900
        assert only.comment
        context = ProposedContext(model, (uids.EXPLICIT_LE,))
        with archive.connect(context) as association:
            (corrupt,) = association.move(model, encode(STUDY, uids.EXPLICIT_LE)[:-3], "DEST")
            assert corrupt.status == 0xC000
            assert corrupt.comment
    assert not destination.requests


@pytest.mark.req("I-MOVE-02", "I-CTX-06", "I-CTX-07")
def test_relational_retrieval_where_it_was_negotiated(tmp_path: Path, sqlite_url: str) -> None:
    destination = Destination()
    image = keys("IMAGE", SOPInstanceUID=sop_uid())
    with moving(tmp_path, sqlite_url, destination) as archive:
        archive.send(made(1), made(2))
        assert archive.move("DEST", image)[-1].status == 0xA900
        assert counts(archive.move("DEST", image, extended=b"\1")[-1]) == (0, None, 1, 0, 0)
        series = keys("SERIES", SeriesInstanceUID=series_uid())
        assert counts(archive.move("DEST", series, extended=b"\1")[-1]) == (0, None, 2, 0, 0)
        assert archive.move("DEST", image, extended=b"\0")[-1].status == 0xA900


@pytest.mark.req("I-MOVE-03", "I-MOVE-ST-08")
def test_unknown_and_unreachable_destinations(tmp_path: Path, sqlite_url: str) -> None:
    gone = Peer(title="GONE", host="127.0.0.1", port=unused_port())
    with moving(tmp_path, sqlite_url, peers=[gone]) as archive:
        archive.send(made(1), made(2))
        (only,) = archive.move("NOBODY", STUDY)
        assert only.status == 0xA801
        assert only.comment
        (only,) = archive.move("NOBODY", keys("STUDY", StudyInstanceUID="1.2.3"))
        assert only.status == 0xA801
        (only,) = archive.move("GONE", STUDY)
        assert counts(only) == (0xA801, None, 0, 2, 0)
        assert failed_uids(only) == [sop_uid(1), sop_uid(2)]


def test_the_log_names_the_destination_of_a_move_that_failed(
    tmp_path: Path, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    destination = Destination()
    with moving(tmp_path, sqlite_url, destination) as archive, caplog.at_level("INFO", "isocenter.services.retrieve"):
        archive.send(made(1))
        archive.move("NOBODY", STUDY)
        archive.move("DEST", STUDY)
    moves = [each for each in caplog.records if each.message == "move.done"]
    told = [(each.levelname, each.fields["destination"], each.fields["status"]) for each in moves]  # type: ignore[attr-defined]
    assert told == [("WARNING", "NOBODY", "A801"), ("INFO", "DEST", "0000")]


@pytest.mark.req("I-ASSOC-02")
def test_an_unknown_destination_may_be_at_the_requestors_address(tmp_path: Path, sqlite_url: str) -> None:
    destination = Destination(title="UNKNOWN")
    with listening(destination):
        ae = HostedAE(unknown_destination="requestor", unknown_destination_port=destination.port)
        with running(tmp_path, sqlite_url, ae=ae) as archive:
            archive.send(made(1))
            assert counts(archive.move("UNKNOWN", STUDY)[-1]) == (0, None, 1, 0, 0)
    assert destination.uids == [sop_uid(1)]


@pytest.mark.req("I-MOVE-03", "I-MOVE-ST-07")
def test_a_destination_that_rejects(tmp_path: Path, sqlite_url: str) -> None:
    destination = Destination(refuse=True)
    with moving(tmp_path, sqlite_url, destination) as archive:
        archive.send(made(1), made(2))
        (only,) = archive.move("DEST", STUDY)
    assert counts(only) == (0xA702, None, 0, 2, 0)
    assert "rejected" in only.comment
    assert failed_uids(only) == [sop_uid(1), sop_uid(2)]


@pytest.mark.req("I-SEND-02", "M-SEND-08")
@pytest.mark.parametrize("stored", [uids.EXPLICIT_LE, uids.EXPLICIT_BE, uids.DEFLATED_LE, uids.IMPLICIT_LE])
@pytest.mark.parametrize("taken", [uids.IMPLICIT_LE, uids.EXPLICIT_LE, uids.EXPLICIT_BE])
def test_conversion_where_the_stored_syntax_is_not_taken(
    tmp_path: Path, sqlite_url: str, stored: str, taken: str
) -> None:
    destination = Destination(syntaxes=(taken,))
    sent = made(1, syntax=stored)
    with moving(tmp_path, sqlite_url, destination) as archive:
        archive.send(sent)
        assert counts(archive.move("DEST", STUDY)[-1]) == (0, None, 1, 0, 0)
    (received,) = destination.received
    assert received.syntax == taken
    assert received.data == made(1, syntax=taken).data


@pytest.mark.req("I-SEND-02", "I-SEND-03")
def test_encapsulated_objects_leave_as_they_are(tmp_path: Path, sqlite_url: str) -> None:
    destination = Destination()
    sent = [made(n, syntax=s) for n, s in enumerate([uids.JPEG_BASELINE, uids.JPEG_LOSSLESS_SV1, uids.EXPLICIT_LE])]
    with moving(tmp_path, sqlite_url, destination) as archive:
        archive.send(*sent)
        assert counts(archive.move("DEST", STUDY)[-1]) == (0, None, 3, 0, 0)
    assert [(each.syntax, each.data) for each in destination.received] == [(s.syntax, s.data) for s in sent]
    proposed = [context.syntaxes for context in destination.requests[0].contexts]
    assert (uids.JPEG_BASELINE,) in proposed
    assert (uids.JPEG_LOSSLESS_SV1,) in proposed


@pytest.mark.req("M-SEND-05", "I-MOVE-20")
def test_objects_that_fail_alone(tmp_path: Path, sqlite_url: str) -> None:
    destination = Destination(
        syntaxes=(uids.IMPLICIT_LE, uids.EXPLICIT_LE),
        classes=frozenset({CT}),
        statuses={sop_uid(2): 0xA700, sop_uid(3): 0xB000, sop_uid(4): 0x0107},
    )
    with moving(tmp_path, sqlite_url, destination) as archive:
        archive.send(
            *(made(n) for n in (1, 2, 3, 4)),
            made(5, sop_class=MR),
            made(6, syntax=uids.JPEG_BASELINE),
            made(7),
            made(8),
            made(9, pixels=bytes(3 << 20)),
        )
        # one file is gone, another is cut
        rows = {row.sop_uid: row.store_key for row in archive.rows("instance")}
        archive.store.remove(rows[sop_uid(7)])
        cut = rows[sop_uid(9)]
        os.truncate(tmp_path / "store" / "objects" / cut[:2] / cut[2:4] / cut, 2 << 20)
        progress = archive.move("DEST", STUDY)
    assert [each.status for each in progress] == [0xFF00] * 9 + [0xB000]
    assert [each.remaining for each in progress[:9]] == list(range(8, -1, -1))
    assert counts(progress[-1]) == (0xB000, None, 2, 5, 2)
    assert failed_uids(progress[-1]) == [sop_uid(n) for n in (2, 5, 6, 7, 9)]
    assert "A700" in progress[-1].comment
    assert destination.uids == [sop_uid(n) for n in (1, 2, 3, 4, 8)]


@pytest.mark.req("I-MOVE-ST-07")
def test_all_fail(tmp_path: Path, sqlite_url: str) -> None:
    destination = Destination(statuses={sop_uid(n): 0xC000 for n in (1, 2)})
    with moving(tmp_path, sqlite_url, destination) as archive:
        archive.send(made(1), made(2))
        progress = archive.move("DEST", STUDY)
    assert counts(progress[-1]) == (0xA702, None, 0, 2, 0)
    assert failed_uids(progress[-1]) == [sop_uid(1), sop_uid(2)]


@pytest.mark.req("M-SEND-06", "I-MOVE-20")
@pytest.mark.parametrize(("drop_after", "status"), [(2, 0xB000), (0, 0xA702)])
def test_a_destination_that_goes_away_in_the_middle(
    tmp_path: Path, sqlite_url: str, drop_after: int, status: int
) -> None:
    destination = Destination(drop_after=drop_after)
    with moving(tmp_path, sqlite_url, destination) as archive:
        archive.send(*(made(n) for n in range(1, 6)))
        progress = archive.move("DEST", STUDY)
        assert counts(progress[-1]) == (status, None, drop_after, 5 - drop_after, 0)
        assert failed_uids(progress[-1]) == [sop_uid(n) for n in range(drop_after + 1, 6)]
        assert "aborted" in progress[-1].comment


class Holding(Destination):
    """Keeps the answer to one object back until `before_answer` is set."""

    def __init__(self, uid: str, **options: Any) -> None:
        super().__init__(**options)
        self._uid = uid

    def perform(self, association: Any, context: Any, command: commands.Command, sink: Any) -> None:
        """See `dimse.Service`."""
        if command[commands.AFFECTED_SOP_INSTANCE] == self._uid:
            self.before_answer.clear()
        super().perform(association, context, command, sink)


@pytest.mark.req("I-MOVE-ST-05")
def test_cancel_in_the_middle(tmp_path: Path, sqlite_url: str) -> None:
    destination = Holding(sop_uid(4), statuses={sop_uid(2): 0xA700})
    model = uids.STUDY_ROOT_MOVE
    with moving(tmp_path, sqlite_url, destination) as archive:
        archive.send(*(made(n) for n in range(1, 11)))
        with archive.connect(ProposedContext(model, (uids.EXPLICIT_LE,))) as association:
            context = association.context_for(model)
            request = commands.move_rq(model, "DEST")
            message = association.request(context.id, request, encode(STUDY, uids.EXPLICIT_LE))
            answers = association.responses(message)
            # the third is accounted for while the fourth waits at the destination, and the cancel at the archive
            assert [next(answers).command[commands.REMAINING] for _ in range(3)] == [9, 8, 7]
            for _ in range(4):
                assert destination.arrived.acquire(timeout=30)
            association.cancel(context.id, message)
            destination.before_answer.set()
            fourth, last = answers
    assert destination.uids == [sop_uid(n) for n in (1, 2, 3, 4)]
    assert (fourth.status, last.status) == (0xFF00, 0xFE00)
    command = last.command
    assert (command[commands.REMAINING], command[commands.COMPLETED]) == (6, 3)
    assert (command[commands.FAILED], command[commands.WARNING]) == (1, 0)
    assert last.data is not None
    assert string_of(decode(last.data, uids.EXPLICIT_LE), 0x00080058) == sop_uid(2)


@pytest.mark.req("I-MOVE-05")
def test_more_contexts_than_an_association_has(tmp_path: Path, sqlite_url: str) -> None:
    destination = Destination()
    sent = [made(n, sop_class=f"1.2.3.4.{n}") for n in range(150)]
    with moving(tmp_path, sqlite_url, destination) as archive:
        for part in (sent[:100], sent[100:]):
            archive.send(*part)
        progress = archive.move("DEST", STUDY)
    assert counts(progress[-1]) == (0, None, 150, 0, 0)
    assert len(destination.requests) == 3
    assert sorted(destination.uids) == sorted(each.sop_uid for each in sent)


def test_the_requestor_goes_away(tmp_path: Path, sqlite_url: str) -> None:
    destination = Destination()
    model = uids.STUDY_ROOT_MOVE
    with moving(tmp_path, sqlite_url, destination) as archive:
        archive.send(*(made(n) for n in range(1, 11)))
        association = archive.connect(ProposedContext(model, (uids.EXPLICIT_LE,)))
        destination.before_answer.clear()
        command = commands.move_rq(model, "DEST")
        association.request(association.context_for(model).id, command, encode(STUDY, uids.EXPLICIT_LE))
        assert destination.arrived.acquire(timeout=30)
        association.abort()
        destination.before_answer.set()
        archive.acceptor.drain(30)
    assert len(destination.received) < 10


@pytest.mark.req("I-MOVE-ST-06", "I-MOVE-ST-07")
def test_an_index_that_can_not_be_read(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    destination = Destination()
    fault = OperationalError("SELECT secret", {"name": "Doe"}, Exception("disk I/O error"))

    def failing(*_: object, **__: object) -> Any:
        raise fault

    def broken(*arguments: Any, **options: Any) -> Iterator[list[Located]]:
        page = next(iter(locate(*arguments, **options)))
        yield page[:2]
        raise fault

    locate = retrieving.locate
    with moving(tmp_path, sqlite_url, destination) as archive:
        archive.send(*(made(n) for n in range(1, 6)))
        with monkeypatch.context() as patch:
            patch.setattr(retrieving, "kinds", failing)
            (only,) = archive.move("DEST", STUDY)
            assert only.status == 0xA701
            assert "Doe" not in only.comment
        with monkeypatch.context() as patch:
            patch.setattr(retrieving, "locate", broken)
            progress = archive.move("DEST", STUDY)
            assert counts(progress[-1]) == (0xB000, None, 2, 3, 0)
            patch.setattr(retrieving, "locate", failing)
            assert counts(archive.move("DEST", STUDY)[-1]) == (0xA702, None, 0, 5, 0)
        assert archive.move("DEST", STUDY)[-1].completed == 5


def test_two_at_once(tmp_path: Path, any_url: str) -> None:
    first, second = Destination(), Destination(title="OTHER")
    with moving(tmp_path, any_url, first, second) as archive:
        archive.send(*(made(n) for n in range(30)))
        finals: list[Progress] = []
        threads = [
            threading.Thread(target=lambda title=title: finals.append(archive.move(title, STUDY)[-1]))
            for title in ("DEST", "OTHER")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [final.completed for final in finals] == [30, 30]


def test_a_long_list_of_failures_fits_its_element() -> None:
    account = retrieving.Account(5000)
    account.give_up(_Named(f"1.2.826.0.1.3680043.10.999.{n:020}") for n in range(5000))
    data = account.identifier(uids.EXPLICIT_LE)
    assert data is not None
    listed = string_of(decode(data, uids.EXPLICIT_LE), 0x00080058).split("\\")
    assert 1000 < len(listed) < 5000
    assert account.failed == 5000


class _Named:
    sop_class, syntax = CT, uids.EXPLICIT_LE

    def __init__(self, sop_uid: str) -> None:
        self.sop_uid = sop_uid


def test_more_sub_operations_than_the_counters_hold() -> None:
    account = retrieving.Account(70_000)
    pending = account.pending(commands.move_rq(uids.STUDY_ROOT_MOVE, "DEST"))
    assert commands.encode(pending)
    assert pending[commands.REMAINING] == 0xFFFF
