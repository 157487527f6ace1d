"""Worklists of other makers, played by pynetdicom: what is asked of them, and what becomes of each way to answer."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

import held_archives
from archives import made
from databases import migrated
from held_archives import item, value
from isocenter import database
from isocenter.config import Peer, Settings, build
from isocenter.dicom.uids import EXPLICIT_LE, MODALITY_WORKLIST_FIND
from isocenter.exchange.peers import Peers
from isocenter.workflow.reconciling.matching import Asked
from isocenter.workflow.reconciling.states import Finding, State
from isocenter.workflow.reconciling.worklists import Worklists


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return migrated(tmp_path)


class Ris:
    """A worklist SCP: it answers each query with `models`, then with `status`."""

    def __init__(self) -> None:
        self.models: list[dict[str, Any]] = []
        self.statuses: list[int] = []
        self.asked: list[Dataset] = []
        self.proposed: list[tuple[str, list[str]]] = []
        self.announced: list[tuple[int, tuple[int, int]]] = []
        self.cancelled = threading.Event()
        self.port = 0

    @property
    def peer(self) -> Peer:
        """How the archive knows it."""
        return Peer(title="RIS", host="127.0.0.1", port=self.port)

    def find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        """C-FIND."""
        self.asked.append(event.identifier)
        status = self.statuses.pop(0) if self.statuses else 0
        if status:
            yield status, None
            return
        for model in self.models:
            if event.is_cancelled:
                self.cancelled.set()
                yield 0xFE00, None
                return
            yield 0xFF00, Dataset.from_json(model)

    def requested(self, event: Any) -> None:
        """What a requestor proposes."""
        requestor = event.assoc.requestor
        self.announced.append((requestor.maximum_length, requestor.asynchronous_operations))
        contexts = requestor.requested_contexts
        self.proposed += [(str(each.abstract_syntax), [str(uid) for uid in each.transfer_syntax]) for each in contexts]


class Pooled(Ris):
    """One that is asked `questions`, and tells whether more than `places` were under way at once."""

    def __init__(self, places: int, questions: int) -> None:
        super().__init__()
        self._places, self._questions, self._under_way = places, questions, 0
        self._counting = threading.Lock()
        self.full, self.beyond, self.done = (threading.Event() for _ in range(3))

    def find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        """C-FIND. Answers once all places were taken, and gives one too many time to come."""
        with self._counting:
            self._under_way += 1
            if self._under_way == self._places:
                self.full.set()
            if self._under_way > self._places:
                self.beyond.set()
        self.full.wait(held_archives.archives.PATIENCE)
        self.beyond.wait(0.2)
        yield from super().find(event)
        with self._counting:
            self._under_way -= 1
            if len(self.asked) == self._questions:
                self.done.set()


@pytest.fixture
def ris() -> Iterator[Ris]:
    played = Ris()
    with listening(played):
        yield played


@contextmanager
def listening(played: Ris) -> Iterator[None]:
    """Serve it, on a port of its own."""
    entity = AE("RIS")
    entity.add_supported_context(MODALITY_WORKLIST_FIND)
    handlers = [(evt.EVT_C_FIND, played.find), (evt.EVT_REQUESTED, played.requested)]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    assert server is not None
    played.port = server.server_address[1]
    yield
    server.shutdown()


@contextmanager
def running(folder: Path, url: str, ris: Ris, **settings: Any) -> Iterator[held_archives.Bench]:
    """An AE whose studies are looked for there."""
    wanted = {"worklists": ("RIS",), "retry_delay": 0.0, **settings}
    with held_archives.running(folder, url, peers=(ris.peer,), **wanted) as bench:
        yield bench


@pytest.mark.req("I-TWF-07", "I-TWF-08", "I-REC-02")
def test_it_is_asked_in_one_context_for_what_the_study_has(tmp_path: Path, sqlite_url: str, ris: Ris) -> None:
    ris.models = [item()]
    with running(tmp_path, sqlite_url, ris) as bench:
        bench.archive.send(made(1, AccessionNumber="A1"))
        bench.archive.send(made(1, study=2))
        bench.settle()
        assert [study.state for study in bench.studies()] == [State.RELEASED, State.OPEN]
    assert ris.proposed == [(MODALITY_WORKLIST_FIND, [EXPLICIT_LE])] * 2
    first, second = sorted(ris.asked, key=lambda one: str(one.PatientID))
    assert (first.PatientID, first.AccessionNumber) == ("P1", "A1")
    assert (second.PatientID, second.AccessionNumber) == ("P2", "")
    assert first.ScheduledProcedureStepSequence[0].Modality == "CT"
    assert "RequestedProcedureID" in first
    assert "SpecificCharacterSet" not in first


@pytest.mark.req("I-ASSOC-50", "I-ASSOC-51", "I-ASSOC-53")
@pytest.mark.parametrize(
    ("said", "announced"),
    [({}, (1 << 20, (1, 1))), ({"max_pdu": 32768, "window": {"invoked": 7}}, (32768, (7, 1)))],
)
def test_each_question_of_a_person_is_an_association(
    tmp_path: Path, sqlite_url: str, ris: Ris, said: dict[str, Any], announced: tuple[int, tuple[int, int]]
) -> None:
    """With the maximum PDU and the window of operations of the AE that asks; 1024 KB as the source has it."""
    twf = {"title": "TWF", "preset": "technologist", "reconciling": {"worklists": ["RIS"]}, **said}
    settings = Settings(aes=build({"ae": [twf]}).aes, peers=(ris.peer,))
    with closing(database.open(sqlite_url)) as index:
        asking = Worklists(index, Peers(settings))
        for number in range(1, 4):
            assert asking.search(settings.aes[0], Asked({"PatientID": f"P{number}"})) == []
            assert (len(ris.asked), len(ris.proposed)) == (number, number)
    assert ris.announced == [announced] * 3


@pytest.mark.req("I-ASSOC-52")
def test_no_more_worklists_are_asked_at_a_time_than_the_pool_has_places(tmp_path: Path, sqlite_url: str) -> None:
    ris = Pooled(places=2, questions=6)
    with listening(ris), running(tmp_path, sqlite_url, ris, associations=2) as bench:
        bench.archive.send(*(made(1, study=number) for number in range(1, 7)))
        while bench.following.step():
            pass
        bench.runner.start()
        assert ris.done.wait(held_archives.archives.PATIENCE)
        bench.runner.stop()
    assert ris.full.is_set()
    assert not ris.beyond.is_set()


def test_an_item_with_two_steps_is_two_candidates(tmp_path: Path, sqlite_url: str, ris: Ris) -> None:
    model = item()
    (step,) = model["00400100"]["Value"]
    model["00400100"]["Value"] = [step, {**step, "00080060": {"vr": "CS", "Value": ["MR"]}}]
    ris.models = [model]
    with running(tmp_path, sqlite_url, ris) as bench:
        bench.archive.send(made(1))
        bench.settle()
        assert [len(study.candidates) for study in bench.studies()] == [1]  # the other one is of another modality


def test_one_that_is_out_of_resources_is_asked_again(tmp_path: Path, sqlite_url: str, ris: Ris) -> None:
    ris.models, ris.statuses = [item()], [0xA700, 0xA700]
    with running(tmp_path, sqlite_url, ris) as bench:
        bench.archive.send(made(1))
        bench.settle()
        assert (bench.study().finding, len(ris.asked)) == (Finding.MATCHED, 3)


@pytest.mark.parametrize("status", [0xA700, 0xA900, 0xC001])
def test_one_that_always_fails_leaves_the_study_to_a_person(
    tmp_path: Path, sqlite_url: str, ris: Ris, status: int
) -> None:
    ris.statuses = [status] * 9
    with running(tmp_path, sqlite_url, ris, retries=2) as bench:
        bench.archive.send(made(1))
        bench.settle()
        assert (bench.study().state, bench.study().finding) == (State.OPEN, Finding.UNREACHABLE)
        assert len(ris.asked) == (3 if status == 0xA700 else 1)


def test_one_that_is_away_is_no_reason_to_ask_no_other(tmp_path: Path, sqlite_url: str, ris: Ris) -> None:
    with running(tmp_path, sqlite_url, ris, worklists=("NOBODY", "own")) as bench:
        bench.order()
        bench.archive.send(made(1))
        bench.settle()
        assert bench.study().finding is Finding.MATCHED


def test_nobody_there_is_tried_again_and_then_left_to_a_person(tmp_path: Path, sqlite_url: str, ris: Ris) -> None:
    ris.port = 1
    with running(tmp_path, sqlite_url, ris, retries=1) as bench:
        bench.archive.send(made(1))
        bench.settle()
        assert bench.study().finding is Finding.UNREACHABLE


def test_endless_answers_are_cancelled(tmp_path: Path, sqlite_url: str, ris: Ris) -> None:
    ris.models = [item(AccessionNumber=f"A{number}") for number in range(5000)]
    with running(tmp_path, sqlite_url, ris) as bench:
        bench.archive.send(made(1))
        bench.settle()
        assert bench.study().finding is Finding.SEVERAL
        assert len(bench.study().candidates) == 50
        assert ris.cancelled.wait(held_archives.archives.PATIENCE)


def test_text_of_other_character_sets_arrives_whole(tmp_path: Path, sqlite_url: str, ris: Ris) -> None:
    ris.models = [{**item(PatientName="Müller^Jürgen"), "00080005": {"vr": "CS", "Value": ["ISO_IR 100"]}}]
    with running(tmp_path, sqlite_url, ris) as bench:
        bench.archive.send(made(1))
        bench.settle()
        assert [value(model, "PatientName") for model in bench.archived()] == ["Müller^Jürgen"]
