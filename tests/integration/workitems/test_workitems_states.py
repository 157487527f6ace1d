"""The state table of the unified worklist (PS3.4 CC.1.1), every cell of it, and what a workitem must hold."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from databases import migrated
from isocenter.declarations.workitem import Event, State, Status, attributes
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.uids import new_uid
from isocenter.workflow.workitems import models
from workitem_models import TRANSACTION, Worklist, asked, code, done, sequence, stopped

_ABSENT = "absent"
_COLUMNS = (_ABSENT, *State)


@pytest.fixture(scope="module")
def worklist(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worklist]:
    made = Worklist(migrated(tmp_path_factory.mktemp("workitems")))
    yield made
    made.database.close()


def _row(name: str, *statuses: int) -> list[tuple[str, str, int]]:
    return [(name, column, status) for column, status in zip(_COLUMNS, statuses, strict=True)]


CELLS = [
    *_row("create", 0x0000, 0x0111, 0x0111, 0x0111, 0x0111),
    *_row("claim", 0xC307, 0x0000, 0xC302, 0xC300, 0xC300),
    *_row("claim without", 0xC307, 0xC301, 0xC301, 0xC301, 0xC301),
    *_row("schedule", 0xC307, 0xC303, 0xC303, 0xC303, 0xC303),
    *_row("complete", 0xC307, 0xC310, 0x0000, 0xB306, 0xC300),
    *_row("complete without", 0xC307, 0xC301, 0xC301, 0xC301, 0xC301),
    *_row("complete unready", 0xC307, 0xC310, 0xC304, 0xB306, 0xC300),
    *_row("request cancel", 0xC307, 0x0000, 0x0000, 0xC311, 0xB304),
    *_row("cancel", 0xC307, 0xC310, 0x0000, 0xC300, 0xB304),
    *_row("cancel without", 0xC307, 0xC301, 0xC301, 0xC301, 0xC301),
    *_row("cancel unready", 0xC307, 0xC310, 0xC304, 0xC300, 0xB304),
    *_row("set", 0xC307, 0xC310, 0x0000, 0xC300, 0xC300),
    *_row("set without", 0xC307, 0x0000, 0xC301, 0xC300, 0xC300),
]
FOLLOWS = {
    ("claim", "SCHEDULED"): "IN PROGRESS",
    ("complete", "IN PROGRESS"): "COMPLETED",
    ("cancel", "IN PROGRESS"): "CANCELED",
    ("request cancel", "SCHEDULED"): "CANCELED",
}
_WANTED = {
    "claim": State.IN_PROGRESS,
    "schedule": State.SCHEDULED,
    "complete": State.COMPLETED,
    "cancel": State.CANCELED,
}


@pytest.mark.parametrize(("request_name", "state", "status"), CELLS)
def test_every_cell(worklist: Worklist, request_name: str, state: str, status: int) -> None:
    uid, items = new_uid(), worklist.items
    verb, _, how = request_name.partition(" ")
    if state != _ABSENT:
        worklist.put(uid, State(state))
        if state == State.IN_PROGRESS and how != "unready":
            said = models.canonical({**done(), **stopped()})
            assert worklist.do(items.update, uid, said, TRANSACTION) == Status.SUCCESS
    if state != _ABSENT and request_name == "request cancel":
        worklist.subscribe(uid)  # without anybody it would be C312
    given = "" if how == "without" else TRANSACTION
    match verb:
        case "create":
            answer = worklist.create(uid)
        case "request":
            answer = worklist.do(items.request_cancel, uid, "ASKER", {})
        case "set":
            change = models.canonical({"00741200": {"vr": "CS", "Value": ["HIGH"]}})
            answer = worklist.do(items.update, uid, change, given)
        case _:
            answer = worklist.change(uid, _WANTED[verb], given)
    assert f"{answer:04X}" == f"{status:04X}"
    if state != _ABSENT:
        found = worklist.get(uid)
        assert found.state == FOLLOWS.get((request_name, state), state)
        assert models.value(found.model, models.STATE) == found.state


def test_another_performer_s_transaction_uid_opens_nothing(worklist: Worklist) -> None:
    worklist.put("2.25.11", State.IN_PROGRESS)
    assert worklist.change("2.25.11", State.IN_PROGRESS, "2.25.12") == Status.WRONG_TRANSACTION
    assert worklist.change("2.25.11", State.CANCELED, "2.25.12") == Status.WRONG_TRANSACTION
    change = models.canonical(
        {"00081195": {"vr": "UI", "Value": ["2.25.12"]}, "00741200": {"vr": "CS", "Value": ["LOW"]}}
    )
    assert worklist.do(worklist.items.update, "2.25.11", change) == Status.WRONG_TRANSACTION
    assert TRANSACTION not in str(worklist.get("2.25.11").model)


def test_two_who_claim_at_once(any_url: str) -> None:
    worklist = Worklist(any_url)
    for number in range(1, 6):
        uid = f"2.25.{number}"
        worklist.create(uid)
        answers: list[int] = []
        barrier = threading.Barrier(4)

        def claim(
            mine: str, uid: str = uid, answers: list[int] = answers, barrier: threading.Barrier = barrier
        ) -> None:
            barrier.wait()
            answers.append(worklist.change(uid, State.IN_PROGRESS, mine))

        threads = [threading.Thread(target=claim, args=(f"2.25.9{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == [0, 0xC301, 0xC301, 0xC301]
    worklist.database.close()


# --- the attributes (CC.2.5.1.3)


_TOP = [row for row in attributes().values() if len(row.path) == 1]
_REQUIRED = [row for row in _TOP if row.create in ("1", "2") and row.keyword != "TransactionUID"]


@pytest.mark.parametrize("row", _REQUIRED, ids=lambda row: row.keyword)
def test_what_a_creation_needs(worklist: Worklist, row: Any) -> None:
    uid, tag = new_uid(), f"{row.path[0]:08X}"
    assert worklist.create(uid, **{f"t{tag}": None}) == Status.MISSING_ATTRIBUTE
    empty = worklist.create(uid, **{f"t{tag}": {"vr": vr_of(row.path[0])}})
    assert empty == (Status.MISSING_VALUE if row.create == "1" else Status.SUCCESS)


def test_what_is_missing_may_be_added_instead(sqlite_url: str) -> None:
    worklist = Worklist(sqlite_url, missing="supplement", label="READING")
    assert worklist.create("2.25.1", t00741202=None, t00404018=None) == Status.CREATED_WITH_MODIFICATIONS
    found = worklist.get("2.25.1").model
    assert found["00404018"] == {"vr": "SQ"}
    assert models.value(found, models.LABEL) == "READING"
    assert worklist.create("2.25.2", t00741200=None) == Status.MISSING_ATTRIBUTE
    worklist.database.close()


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"t00741000": {"vr": "CS", "Value": ["IN PROGRESS"]}}, 0xC309),
        ({"t00741200": {"vr": "CS", "Value": ["URGENT"]}}, 0x0106),
        ({"t00404041": {"vr": "CS", "Value": ["SOON"]}}, 0x0106),
        ({"t00404005": {"vr": "DT", "Value": ["tomorrow"]}}, 0x0106),
        ({"t00081195": {"vr": "UI", "Value": ["2.25.5"]}}, 0x0106),
        ({"t00741002": sequence({"00741004": {"vr": "DS", "Value": [5]}})}, 0x0106),
        ({"t00741216": sequence({"00400254": {"vr": "LO"}})}, 0x0106),
        ({"t00404025": sequence({"00080100": {"vr": "SH", "Value": ["ST1"]}})}, 0x0120),
        ({"t00404025": sequence({**code("ST1"), "00080104": {"vr": "LO"}})}, 0x0121),
    ],
)
def test_what_a_creation_must_not_say(worklist: Worklist, changes: dict[str, Any], status: int) -> None:
    assert worklist.create(new_uid(), **changes) == status


@pytest.mark.parametrize("uid", ["", "1.2.840.10008.5.1.4.34.5", "1.2.840.10008.5.1.4.34.5.1", "1..2", "a", "1." * 40])
def test_what_is_no_uid_for_a_workitem(worklist: Worklist, uid: str) -> None:
    assert worklist.create(uid) == Status.INVALID_INSTANCE


_FIXED = [row for row in _TOP if row.change == "N" and row.path[-1] not in (0x00080016, 0x00080018)]


@pytest.mark.parametrize("row", _FIXED, ids=lambda row: row.keyword)
def test_what_a_change_must_not_touch(worklist: Worklist, row: Any) -> None:
    uid = new_uid()
    worklist.put(uid, State.IN_PROGRESS)
    vr = vr_of(row.path[0])
    value: Any = {"vr": vr} if vr == "SQ" else {"vr": vr, "Value": [{"Alphabetic": "B"} if vr == "PN" else "20260101"]}
    before = worklist.get(uid).model
    assert worklist.do(worklist.items.update, uid, {f"{row.path[0]:08X}": value}, TRANSACTION) == Status.INVALID_VALUE
    assert worklist.get(uid).model == before


@pytest.mark.parametrize("tag", ["00741200", "00741204", "00404005", "00404041"])
def test_what_a_change_must_not_empty(worklist: Worklist, tag: str) -> None:
    uid = new_uid()
    worklist.put(uid, State.SCHEDULED)
    assert worklist.do(worklist.items.update, uid, {tag: {"vr": vr_of(int(tag, 16))}}) == Status.MISSING_VALUE


_FINAL = [
    (row, wanted)
    for row in attributes().values()
    for wanted, needed in ((State.COMPLETED, "P"), (State.CANCELED, "X"))
    if row.final == needed
]


@pytest.mark.parametrize(("row", "wanted"), _FINAL, ids=lambda each: getattr(each, "keyword", str(each)))
def test_what_a_final_state_needs(worklist: Worklist, row: Any, wanted: State) -> None:
    uid, last = new_uid(), f"t{row.path[-1]:08X}"
    worklist.put(uid, State.IN_PROGRESS)
    if len(row.path) == 2:
        short = done(**{last: None}) if wanted is State.COMPLETED else stopped(**{last: None})
        assert worklist.do(worklist.items.update, uid, models.canonical(short), TRANSACTION) == 0
    assert worklist.change(uid, wanted) == Status.FINAL_STATE_NOT_MET
    assert worklist.get(uid).state is State.IN_PROGRESS
    whole = done() if wanted is State.COMPLETED else stopped()
    assert worklist.do(worklist.items.update, uid, models.canonical(whole), TRANSACTION) == 0
    assert worklist.change(uid, wanted) == Status.SUCCESS


def test_the_final_state_codes_are_those_of_the_standard() -> None:
    def last(letter: str) -> set[str]:
        return {row.keyword.rpartition(".")[2] for row in attributes().values() if row.final == letter}

    assert last("P") == {
        *("UnifiedProcedureStepPerformedProcedureSequence", "PerformedStationNameCodeSequence"),
        *("PerformedProcedureStepStartDateTime", "PerformedProcedureStepEndDateTime"),
        *("PerformedWorkitemCodeSequence", "OutputInformationSequence"),
    }
    assert last("X") == {
        *("ProcedureStepProgressInformationSequence", "ProcedureStepCancellationDateTime"),
        "ProcedureStepDiscontinuationReasonCodeSequence",
    }
    assert last("R") == {
        *("SOPClassUID", "SOPInstanceUID", "ScheduledProcedureStepPriority", "ProcedureStepState"),
        *("ScheduledProcedureStepModificationDateTime", "ScheduledProcedureStepStartDateTime", "InputReadinessState"),
    }


def test_a_cancelled_order_says_why(worklist: Worklist) -> None:
    uid = new_uid()
    worklist.put(uid, State.SCHEDULED)
    worklist.subscribe(uid)
    asked_for = models.canonical({"00741238": {"vr": "LT", "Value": ["doubled"]}})
    assert worklist.do(worklist.items.request_cancel, uid, "ASKER", asked_for) == 0
    (item,) = models.items(worklist.get(uid).model, models.PROGRESS)
    assert models.value(item, models.REASON) == "doubled"
    assert models.items(item, models.REASON_CODE)[0]["00080100"]["Value"] == ["110513"]
    assert models.unmet(worklist.get(uid).model, State.CANCELED) == []
    told = [models.value(model, models.STATE) for kind, model in worklist.events() if kind is Event.STATE_REPORT]
    assert told[-3:] == ["SCHEDULED", "IN PROGRESS", "CANCELED"]
    assert worklist.events()[-1][1]["00741238"]["Value"] == ["doubled"]


def test_nobody_to_be_told_of_a_wish_to_cancel(worklist: Worklist) -> None:
    uid = new_uid()
    worklist.put(uid, State.IN_PROGRESS)
    assert worklist.do(worklist.items.request_cancel, uid, "ASKER", {}) == Status.PERFORMER_OUT_OF_REACH


def test_a_set_twice_is_a_set_once(worklist: Worklist) -> None:
    uid = new_uid()
    worklist.put(uid, State.IN_PROGRESS)
    worklist.subscribe(uid, "TWICE")
    said = models.canonical({"00741002": sequence({"00741004": {"vr": "DS", "Value": [50]}})})
    for _ in range(2):
        assert worklist.do(worklist.items.update, uid, said, TRANSACTION) == 0
    assert [kind for kind, _ in worklist.events("TWICE")] == [Event.STATE_REPORT, Event.PROGRESS_REPORT]


def test_the_end_of_a_workitem(tmp_path: Path, any_url: str) -> None:
    worklist = Worklist(any_url)
    for number, state in enumerate((State.COMPLETED, State.CANCELED, State.IN_PROGRESS, State.COMPLETED)):
        worklist.put(f"2.25.{number}", state)
    worklist.subscribe("2.25.3", lock=True)
    assert worklist.do(worklist.items.purge, worklist.at) == 0
    worklist.at += 10
    assert worklist.do(worklist.items.purge, worklist.at) == 2
    assert worklist.create("2.25.0") == Status.DUPLICATE_INSTANCE
    for gone in ("2.25.0", "2.25.1"):
        assert worklist.change(gone, State.COMPLETED) == Status.NO_SUCH_WORKITEM
    assert worklist.subscribe("2.25.0") == Status.NO_SUCH_WORKITEM
    worklist.do(worklist.items.subscriptions.unsubscribe, "2.25.3", "WATCHER")
    worklist.at += 10
    assert worklist.do(worklist.items.purge, worklist.at) == 1
    assert worklist.create("2.25.0") == Status.SUCCESS  # what was removed before that is forgotten
    assert worklist.get("2.25.2").state is State.IN_PROGRESS
    worklist.database.close()


def test_asked_is_what_the_standard_asks_for() -> None:
    assert models.check_creation(models.pruned(models.canonical(asked()))) == []
