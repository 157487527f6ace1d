"""C-GET: objects over the requestor's own association."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from archives import CT, MR, Object, Running, keys, made, running, series_uid, sop_uid, study_uid
from isocenter.config import Peer
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, decode, encode, string_of, text
from isocenter.dimse import Association, BufferSink, ClientAssociation, Context, Progress, ProposedContext, commands

STUDY = keys("STUDY", StudyInstanceUID=study_uid())


class Getter:
    """A requestor that takes the role of storage SCP."""

    def __init__(self, archive: Running, *kinds: tuple[str, str], model: str = uids.STUDY_ROOT_GET) -> None:
        self.got: list[tuple[str, str, bytes]] = []
        self.on_object = lambda: None
        self._archive, self._kinds, self._model = archive, kinds or ((CT, uids.EXPLICIT_LE),), model

    @contextmanager
    def connected(self, extended: bytes = b"", *, window: int = 1) -> Iterator[ClientAssociation]:
        contexts = [ProposedContext(c, (s,), scu=False, scp=True) for c, s in self._kinds]
        asking = ProposedContext(self._model, (uids.EXPLICIT_LE,), extended=extended)
        with self._archive.connect(asking, *contexts, window=window) as association:
            yield association

    def get(self, identifier: DataSet = STUDY, *, extended: bytes = b"", window: int = 1) -> list[Progress]:
        with self.connected(extended, window=window) as association:
            return list(self.responses(association, identifier))

    def responses(self, association: ClientAssociation, identifier: DataSet = STUDY) -> Iterator[Progress]:
        return association.get(self._model, encode(identifier, uids.EXPLICIT_LE), self._sink)

    def _sink(self, association: Association, context: Context, command: commands.Command) -> "_Sink":
        return _Sink(self, context.transfer_syntax, str(command[commands.AFFECTED_SOP_INSTANCE]))

    @property
    def uids(self) -> list[str]:
        return [uid for uid, _, _ in self.got]


class _Sink(BufferSink):
    def __init__(self, getter: Getter, syntax: str, uid: str) -> None:
        super().__init__(1 << 28)
        self._getter, self._syntax, self._uid = getter, syntax, uid

    def close(self) -> None:
        self._getter.got.append((self._uid, self._syntax, self.value()))
        self._getter.on_object()


@contextmanager
def holding(folder: Path, url: str, *objects: Object, **options: Any) -> Iterator[Running]:
    """An archive with these objects."""
    with running(folder, url, **options) as archive:
        archive.send(*objects)
        yield archive


def failed_uids(progress: Progress) -> list[str]:
    """Failed SOP Instance UID List."""
    return [] if progress.data is None else string_of(decode(progress.data, uids.EXPLICIT_LE), 0x00080058).split("\\")


@pytest.mark.req("I-MOVE-01", "I-ASSOC-03")
@pytest.mark.parametrize("window", [1, 8])
def test_a_study_byte_for_byte(tmp_path: Path, sqlite_url: str, window: int) -> None:
    sent = [made(n, pixels=bytes([n]) * 70_000) for n in range(1, 7)]
    with holding(tmp_path, sqlite_url, *sent) as archive:
        getter = Getter(archive)
        progress = getter.get(window=window)
    assert [each[:5] for each in progress] == [(0xFF00, 5 - n, n + 1, 0, 0) for n in range(6)] + [(0, None, 6, 0, 0)]
    assert getter.got == [(each.sop_uid, each.syntax, each.data) for each in sent]


@pytest.mark.req("I-MOVE-02", "M-GET-01")
@pytest.mark.parametrize(
    ("model", "identifier", "expected"),
    [
        (uids.PATIENT_ROOT_GET, keys("PATIENT", PatientID="P1"), [sop_uid(1), sop_uid(2), sop_uid(1, series=2)]),
        (uids.PATIENT_STUDY_ONLY_GET, keys("PATIENT", PatientID="P2"), [sop_uid(1, 2)]),
        (uids.PATIENT_ROOT_GET, keys("STUDY", PatientID="P2", StudyInstanceUID=study_uid(2)), [sop_uid(1, 2)]),
        (
            uids.STUDY_ROOT_GET,
            keys("SERIES", StudyInstanceUID=study_uid(), SeriesInstanceUID=series_uid(1, 2)),
            [sop_uid(1, series=2)],
        ),
        (
            uids.STUDY_ROOT_GET,
            keys("IMAGE", StudyInstanceUID=study_uid(), SeriesInstanceUID=series_uid(), SOPInstanceUID=sop_uid(2)),
            [sop_uid(2)],
        ),
        (uids.STUDY_ROOT_GET, keys("STUDY", PatientName="doe*", StudyInstanceUID=study_uid(2)), [sop_uid(1, 2)]),
        (uids.STUDY_ROOT_GET, keys("STUDY", StudyInstanceUID="1.2.3"), []),
    ],
)
def test_levels_and_models(
    tmp_path: Path, sqlite_url: str, model: str, identifier: DataSet, expected: list[str]
) -> None:
    with holding(tmp_path, sqlite_url, made(1), made(2), made(1, series=2), made(1, study=2)) as archive:
        getter = Getter(archive, model=model)
        assert getter.get(identifier)[-1][:5] == (0, None, len(expected), 0, 0)
    assert getter.uids == expected


@pytest.mark.req("I-MOVE-ST-02", "I-MOVE-ST-04", "I-CTX-07")
def test_rules_of_the_identifier(tmp_path: Path, sqlite_url: str) -> None:
    image = keys("IMAGE", SOPInstanceUID=sop_uid())
    with holding(tmp_path, sqlite_url, made(1)) as archive:
        getter = Getter(archive)
        (only,) = getter.get(image)
        assert only.status == 0xA900
        assert only.comment
        assert getter.get(image, extended=b"\1")[-1].status == 0
        with getter.connected() as association:
            corrupt = encode(STUDY, uids.EXPLICIT_LE)[:-3]
            context = association.context_for(uids.STUDY_ROOT_GET)
            response = association.invoke(context.id, commands.get_rq(uids.STUDY_ROOT_GET), corrupt)
            assert response.status == 0xC000
            response = association.invoke(context.id, commands.get_rq(uids.STUDY_ROOT_GET))
            assert response.status == 0xC000


@pytest.mark.req("M-SEND-05")
def test_classes_and_syntaxes_without_a_context_fail_alone(tmp_path: Path, sqlite_url: str) -> None:
    sent = [made(1), made(2, sop_class=MR), made(3, syntax=uids.JPEG_BASELINE), made(4, syntax=uids.EXPLICIT_BE)]
    with holding(tmp_path, sqlite_url, *sent) as archive:
        getter = Getter(archive)
        final = getter.get()[-1]
        assert final[:5] == (0xB000, None, 2, 2, 0)
        assert failed_uids(final) == [sop_uid(2), sop_uid(3)]
        assert "context" in final.comment
        assert getter.got == [
            (sop_uid(1), uids.EXPLICIT_LE, sent[0].data),
            (sop_uid(4), uids.EXPLICIT_LE, made(4).data),
        ]
        every = Getter(archive, *((each.sop_class, each.syntax) for each in sent))
        assert every.get()[-1][:5] == (0, None, 4, 0, 0)
        assert every.got == [(each.sop_uid, each.syntax, each.data) for each in sent]
        # nobody takes the role of SCP
        with archive.connect(ProposedContext(uids.STUDY_ROOT_GET, (uids.EXPLICIT_LE,))) as association:
            final = list(getter.responses(association))[-1]
        assert final[:5] == (0xA702, None, 0, 4, 0)
        assert len(failed_uids(final)) == 4


@pytest.mark.req("I-MOVE-ST-05")
def test_cancel_in_the_middle(tmp_path: Path, sqlite_url: str) -> None:
    with holding(tmp_path, sqlite_url, *(made(n) for n in range(1, 9))) as archive:
        getter = Getter(archive)
        with getter.connected() as association:
            context = association.context_for(uids.STUDY_ROOT_GET)

            def third() -> None:
                # before its C-STORE is answered: the archive waits for that
                if len(getter.got) == 3:
                    association.cancel(context.id, 1)

            getter.on_object = third
            final = list(getter.responses(association))[-1]
            assert final[:5] == (0xFE00, 5, 3, 0, 0)
            # the association goes on
            getter.on_object = lambda: None
            assert list(getter.responses(association))[-1].status == 0
    assert len(getter.got) == 3 + 8


def test_the_requestor_goes_away_in_the_middle(tmp_path: Path, sqlite_url: str) -> None:
    with holding(tmp_path, sqlite_url, *(made(n) for n in range(1, 9))) as archive:
        getter = Getter(archive)
        with getter.connected() as association:
            answers = getter.responses(association)
            next(answers)
            association.abort()
        archive.acceptor.drain(30)
    assert len(getter.got) < 8


@pytest.mark.req("I-CHAR-07")
def test_a_known_requestor_gets_its_character_set(tmp_path: Path, sqlite_url: str) -> None:
    known = Peer(title="TESTER", character_set_sent="ISO_IR 192")
    plain = decode(made(1, pixels=b"").data, uids.EXPLICIT_LE)
    latin = {**plain, 0x00080005: text("CS", "ISO_IR 100"), 0x00100010: text("PN", "Jérôme", "ISO_IR 100")}
    sent = made(1)._replace(data=encode(latin, uids.EXPLICIT_LE))
    with holding(tmp_path, sqlite_url, sent, peers=[known]) as archive:
        getter = Getter(archive)
        assert getter.get()[-1].status == 0
    ((_, _, data),) = getter.got
    found = decode(data, uids.EXPLICIT_LE)
    assert found[0x00080005] == text("CS", "ISO_IR 192")
    assert found[0x00100010] == text("PN", "Jérôme", "ISO_IR 192")
