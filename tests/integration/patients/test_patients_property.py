"""Whatever is merged, updated, received and taken back, in whatever order: archive, worklist and procedure steps agree
on whose things are whose, and all of it taken back is as it was in the beginning."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from archives import running, study_uid
from databases import migrated
from hospital import NAME, Hospital
from isocenter.errors import Refused
from isocenter.hl7.errors import MessageError
from isocenter.workflow.patients import registered
from isocenter.workflow.worklist.attributes import text

PATIENTS = ("A", "B", "C", "D")
KNOWN = ("A", "B", "C")
"""Of whom there is something from the beginning; D is but a number."""
patients = st.sampled_from(PATIENTS)
Op = tuple[Any, ...]
OPS: st.SearchStrategy[Op] = st.one_of(
    st.tuples(st.just("merge"), patients, patients),
    st.tuples(st.just("merge"), patients, patients),
    st.tuples(st.just("rename"), patients, patients),
    st.tuples(st.just("update"), patients, st.sampled_from(("Roe^R", "Poe^P"))),
    st.tuples(st.just("store"), patients),
    st.tuples(st.just("undo"), st.integers(0, 3)),
)
BOUNDED = (Phase.explicit, Phase.reuse, Phase.generate)
ALL = (*BOUNDED, Phase.shrink)


def does(house: Hospital, op: Op, studies: dict[str, str]) -> None:
    """One operation; what is refused changes nothing."""
    before = house.state()
    try:
        if op[0] == "store":
            study = 10 + len(studies)
            studies[house.archived(study, patient=op[1], name=f"N{op[1]}")] = op[1]
        elif op[0] == "update":
            house.adt("A08", f"PID|||{op[1]}||{op[2]}")
        elif op[0] == "undo":
            standing = [one for one in house.events() if not one.undone_at]
            house.undo(standing[op[1] % len(standing)].id if standing else 999)
        else:
            house.adt("A40" if op[0] == "merge" else "A47", f"PID|||{op[2]}||N{op[2]}", f"MRG|{op[1]}")
    except (MessageError, Refused):
        assert house.state() == before
    while house.parts.late.step():
        pass


def agreed(house: Hospital, studies: dict[str, str], steps: dict[str, int]) -> None:
    """Each thing is the patient's who has its patient's place by now, and is called as he is."""
    with house.database.reading() as connection:
        now = {each: registered.current(connection, f"\\{each}") for each in PATIENTS}
    owners = house.studies()
    assert {uid: owners[uid][0] for uid in studies} == {uid: now[each] for uid, each in studies.items()}
    for each, number in steps.items():
        entry, step = house.entry(each), house.step(number)
        assert (entry.identity, step.identity) == (now[each], now[each])
        assert text(entry.model, NAME) == text(step.model, NAME) == owners[study_uid(PATIENTS.index(each) + 1)][1]
    assert not [row for row in house.archive.rows("conflict") if row.kind == "patient-differs"]


def told(house: Hospital) -> dict[str, Any]:
    """Without the register, which may have numbers that were but named, and without late objects."""
    state = house.state()
    first = {study_uid(PATIENTS.index(each) + 1) for each in KNOWN}
    return {
        "archive": {uid: owner for uid, owner in state["archive"].items() if uid in first},
        "worklist": state["worklist"],
        "steps": state["steps"],
    }


def performed(url: str, folder: Path, ops: list[Op]) -> None:
    with running(folder, url, durable=False) as archive:
        house = Hospital(archive)
        studies, steps = dict[str, str](), dict[str, int]()
        for number, each in enumerate(KNOWN, 1):
            studies[house.archived(number, patient=each, name=f"N{each}")] = each
            house.scheduled(each, patient=each, name=f"N{each}", study=study_uid(number))
            steps[each] = house.performed(f"1.2.3.{number}", patient=each, name=f"N{each}", study=study_uid(number))
        before = told(house)
        for op in ops:
            does(house, op, studies)
            agreed(house, studies, steps)
        while standing := [one.id for one in house.events() if not one.undone_at]:
            house.undo(standing[0])
        assert told(house) == before


RENUMBERED: list[Op] = [
    ("merge", "C", "D"), ("undo", 0), ("merge", "C", "B"), ("undo", 0), ("merge", "B", "D"), ("store", "D"),
    ("store", "C"), ("rename", "D", "A"),
]  # fmt: skip
"""A number that was but named by a merge is nobody's once that is undone."""
APART: list[Op] = [
    ("merge", "C", "A"), ("update", "A", "Roe^R"), ("update", "C", "Poe^P"), ("undo", 2), ("update", "D", "Poe^P"),
    ("undo", 2),
]  # fmt: skip
"""An update is taken back of those alone who are still the patient's."""
SINCE: list[Op] = [
    ("rename", "C", "D"), ("rename", "A", "C"), ("update", "A", "Roe^R"), ("store", "D"), ("undo", 1),
]  # fmt: skip
"""What a survivor has been called since stays when the merge is undone."""
LEFT: list[Op] = [("update", "A", "Roe^R"), ("merge", "D", "A"), ("update", "D", "Roe^R"), ("undo", 1)]
"""So does what that stands on, until it is undone."""
LATE: list[Op] = [("merge", "D", "A"), ("merge", "A", "B"), ("store", "D"), ("undo", 0)]
"""What came late goes back with the patient whom its number was merged into first."""
CHAIN: list[Op] = [
    ("update", "A", "Roe^R"), ("merge", "A", "D"), ("merge", "B", "A"), ("store", "B"), ("rename", "D", "B"),
    ("store", "A"),
]  # fmt: skip
"""So it does where the one at the end of the chain gets his former number back."""
TURNED: list[Op] = [("merge", "C", "D"), ("merge", "D", "C"), ("store", "C"), ("store", "D"), ("undo", 0)]
"""What came under a number that had been taken back goes, once that is undone, where the number was merged to."""
AGAIN: list[Op] = [("update", "A", "Roe^R"), ("merge", "A", "D"), ("merge", "A", "D")]
"""A merge that is told again is the first one's."""
NOBODY: list[Op] = [("merge", "C", "B"), ("merge", "B", "C"), ("update", "C", "Poe^P"), ("undo", 1)]
"""What was said under a number that nobody has any more can be taken back."""
BELOW: list[Op] = [
    ("rename", "C", "D"), ("rename", "D", "C"), ("update", "C", "Poe^P"), ("store", "C"), ("undo", 1), ("undo", 0),
]  # fmt: skip
"""So can what was said of one whom late objects have merged away since."""


FORMER: list[Op] = [
    ("merge", "B", "A"), ("merge", "B", "B"), ("merge", "A", "B"), ("update", "A", "Roe^R"), ("undo", 1), ("undo", 1),
]  # fmt: skip
"""An update by a number that a patient had for a while is one of hers."""
AGAIN_HERS: list[Op] = [
    ("merge", "B", "A"), ("merge", "B", "B"), ("merge", "A", "B"), ("merge", "A", "A"), ("undo", 1), ("undo", 0),
]  # fmt: skip
"""So it is once she has the number back that she had before."""
CALLED: list[Op] = [("merge", "B", "A"), ("merge", "A", "B"), ("merge", "A", "A"), ("undo", 1), ("undo", 0)]
"""What such a merge had called her is not what she is called when all is undone."""
BETWEEN: list[Op] = [("merge", "B", "A"), ("merge", "C", "B"), ("merge", "A", "A"), ("undo", 1)]
"""What was undone while something stood on it does not come back with that."""


@example(ops=RENUMBERED)
@example(ops=APART)
@example(ops=SINCE)
@example(ops=LEFT)
@example(ops=LATE)
@example(ops=CHAIN)
@example(ops=TURNED)
@example(ops=AGAIN)
@example(ops=NOBODY)
@example(ops=BELOW)
@example(ops=FORMER)
@example(ops=AGAIN_HERS)
@example(ops=CALLED)
@example(ops=BETWEEN)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=BOUNDED)
@given(ops=st.lists(OPS, max_size=8))
def test_whatever_is_done_agrees_and_can_be_taken_back(ops: list[Op]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        performed(migrated(Path(folder)), Path(folder), ops)


@pytest.mark.fuzz
@pytest.mark.timeout(1800)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=ALL)
@given(ops=st.lists(OPS, min_size=3, max_size=9))
def test_so_do_longer_stories(ops: list[Op]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        performed(migrated(Path(folder)), Path(folder), ops)


def test_on_postgresql(tmp_path: Path, postgresql_url: str) -> None:
    """One story that has it all."""
    story: list[Op] = [
        ("merge", "A", "B"), ("store", "A"), ("update", "B", "Roe^R"), ("rename", "B", "D"), ("store", "B"),
        ("merge", "D", "B"), ("undo", 1), ("undo", 0), ("update", "C", "Poe^P"), ("merge", "C", "C"), ("undo", 0),
    ]  # fmt: skip
    performed(postgresql_url, tmp_path, story)
