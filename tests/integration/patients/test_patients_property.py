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
from isocenter.workflow.patients.undoing import Done
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


def does(house: Hospital, op: Op, studies: dict[str, str], turned: set[int]) -> None:
    """One operation; what is refused changes nothing. `turned`: the events that gave a patient back a number that had
    been merged into his own."""
    if op[0] == "undo":
        undoes(house, op[1], turned)
    elif op[0] == "store":
        study = 10 + len(studies)
        studies[house.archived(study, patient=op[1], name=f"N{op[1]}")] = op[1]
    elif op[0] == "update":
        house.adt("A08", f"PID|||{op[1]}||{op[2]}")
    else:
        merges(house, *op, turned)
    while house.parts.late.step():
        pass


def merges(house: Hospital, kind: str, prior: str, patient: str, turned: set[int]) -> None:
    """Refused where the prior patient has become a third one."""
    before, last, now = house.state(), last_of(house), current(house)
    gone = now[prior] not in (f"\\{prior}", now[patient])
    turns = prior != patient and now[patient] == f"\\{prior}"
    try:
        house.adt("A40" if kind == "merge" else "A47", f"PID|||{patient}||N{patient}", f"MRG|{prior}")
    except MessageError:
        assert gone
        assert house.state() == before
    else:
        assert not gone
        if turns:
            turned.add(last_of(house))
            assert last_of(house) > last


def undoes(house: Hospital, at: int, turned: set[int]) -> None:
    """Refused where a later event stands on it, which is named."""
    standing = [one for one in house.events() if not one.undone_at]
    if not standing:
        return
    one, before, events = standing[at % len(standing)], house.state(), house.events()
    later = [each.id for each in standing if each.id > one.id and stands_on(house, each, one, turned)]
    if not later:
        house.undo(one.id)
        return
    with pytest.raises(Refused, match=f"event {later[0]} came later: take that back first"):
        house.undo(one.id)
    assert (house.state(), house.events()) == (before, events)


def stands_on(house: Hospital, later: Done, one: Done, turned: set[int]) -> bool:
    """A later merge of either number stands on a merge; on an update, and on a merge that turned another round,
    whatever came later of the patient does."""
    mine, theirs = ({each.identity, each.prior} - {""} for each in (one, later))
    if one.kind == "merge" and one.id not in turned:
        return later.kind == "merge" and bool(mine & theirs)
    now = current(house)
    called = {now.get(each[1:], each) for each in mine}
    return bool((mine | called | {f"\\{each}" for each in PATIENTS if now[each] in called}) & theirs)


def last_of(house: Hospital) -> int:
    """The number of the last event, 0 for none."""
    return next((one.id for one in house.events()), 0)


def current(house: Hospital) -> dict[str, str]:
    """By what identity each patient goes."""
    with house.database.reading() as connection:
        return {each: registered.current(connection, f"\\{each}") for each in PATIENTS}


def agreed(house: Hospital, studies: dict[str, str], steps: dict[str, int]) -> None:
    """Each thing is the patient's who has its patient's place by now, and is called as he is."""
    now, owners = current(house), house.studies()
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
        studies, steps, turned = dict[str, str](), dict[str, int](), set[int]()
        for number, each in enumerate(KNOWN, 1):
            studies[house.archived(number, patient=each, name=f"N{each}")] = each
            house.scheduled(each, patient=each, name=f"N{each}", study=study_uid(number))
            steps[each] = house.performed(f"1.2.3.{number}", patient=each, name=f"N{each}", study=study_uid(number))
        before = told(house)
        for op in ops:
            does(house, op, studies, turned)
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
"""A merge that turned another round is not taken back before what was said since."""
BELOW: list[Op] = [
    ("rename", "C", "D"), ("rename", "D", "C"), ("update", "C", "Poe^P"), ("store", "C"), ("undo", 1), ("undo", 0),
]  # fmt: skip
"""Nor is it where there were late objects."""
FORMER: list[Op] = [
    ("merge", "B", "A"), ("merge", "B", "B"), ("merge", "A", "B"), ("update", "A", "Roe^R"), ("undo", 1), ("undo", 1),
]  # fmt: skip
"""Nor where an update came between the two."""
AGAIN_HERS: list[Op] = [
    ("merge", "B", "A"), ("merge", "B", "B"), ("merge", "A", "B"), ("merge", "A", "A"), ("undo", 1), ("undo", 0),
]  # fmt: skip
CALLED: list[Op] = [("merge", "B", "A"), ("merge", "A", "B"), ("merge", "A", "A"), ("undo", 1), ("undo", 0)]
CIRCLE: list[Op] = [("merge", "B", "A"), ("merge", "A", "B"), ("merge", "A", "A"), ("undo", 1), ("undo", 1)]
"""A merge that another one turned round is not, until that one is."""
THIRD: list[Op] = [
    ("merge", "B", "A"), ("merge", "C", "B"), ("merge", "A", "B"), ("update", "A", "Roe^R"), ("undo", 1), ("undo", 1),
]  # fmt: skip
"""So it is with a third patient, who came to the two before."""
BETWEEN: list[Op] = [("merge", "B", "A"), ("merge", "C", "B"), ("merge", "A", "A"), ("undo", 1)]
"""What was undone while something stood on it does not come back with that."""
LEFT_TWICE: list[Op] = [
    ("update", "A", "Roe^R"), ("merge", "B", "A"), ("update", "A", "Roe^R"), ("merge", "C", "A"),
    ("update", "A", "Roe^R"), ("undo", 1), ("undo", 2),
]  # fmt: skip
"""What two merges said, which were undone before what has been said since."""


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
@example(ops=CIRCLE)
@example(ops=THIRD)
@example(ops=LEFT_TWICE)
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
