"""Searching on both databases: what the columns narrow by is exactly what the keys ask for."""

import random
from functools import cache
from itertools import product
from typing import Any

import pytest
from sqlalchemy import delete

from isocenter.database import Database
from isocenter.declarations.query_keys import Path
from isocenter.errors import Reason, Refused
from isocenter.index.matching_items import How, matcher
from isocenter.index.matching_values import Sensitivity
from isocenter.workflow.worklist import attributes as of
from isocenter.workflow.worklist.entries import Worklist
from isocenter.workflow.worklist.rows import Entry
from isocenter.workflow.worklist.searching import MOMENTS, Query, View, asked
from isocenter.workflow.worklist.states import OVER, State
from isocenter.workflow.worklist.tables import worklist_item, worklist_station
from worklist_items import model, put

STEP = 0x00400100
NAME, PATIENT_ID, ACCESSION, STUDY = (0x00100010,), (0x00100020,), (0x00080050,), (0x0020000D,)
MODALITY, STATION, DATE, TIME = ((STEP, tag) for tag in (0x00080060, 0x00400001, 0x00400002, 0x00400003))
STATUS, PROCEDURE, STEP_ID, BIRTH = (STEP, 0x00400020), (0x00401001,), (STEP, 0x00400009), (0x00100030,)
NAMES = (
    *("Müller^Zoë", "MULLER^ZOE", "Mueller^A", "Yamada^Tarou=山田^太郎=やまだ^たろう", "O'Neill^Jack", "Ångström^Ø"),
    *("", "Doe^Jane\\Roe^Jane", "İnce^Ali"),
)
VALUES: dict[Path, tuple[str, ...]] = {
    NAME: ("muller*", "Müller^Zoë", "M?ller*", "*", "*zoe", "=山田^*", "==やまだ*", "O'NEILL^*", "Angstrom^o", "doe^*"),
    PATIENT_ID: ("P1", "p1", "P?", "P1*", "NOSUCH", "Ä*"),
    ACCESSION: ("A1", "a1", "A*", "*1", "A1\\A2", ""),
    STUDY: ("1.2.3.4", "1.2.3.4\\1.2.3.5"),
    MODALITY: ("CT", "CT\\MR", "C?", "*R"),
    STATION: ("CT1", "CT*", "ct1", "*2"),
    DATE: ("20260105", "20260105-20260107", "-20260106", "20260107-", "2026", "2026.01.05"),
    TIME: ("0930", "09", "0900-1200", "-1000", "1000-"),
    STATUS: ("SCHEDULED", "COMPLETED", "C*", "*"),
    PROCEDURE: ("R1", "R*"),
    STEP_ID: ("S1",),
    BIRTH: ("19700101", "-1980"),
}
VIEWS = (
    (),
    (View(modalities=("CT", "M?")),),
    (View(stations=("CT*",)), View(title="CT2")),
    (View(title="CT*"),),
)


def entries() -> list[dict[str, Any]]:
    """Some of everything."""
    chance = random.Random(7)
    found = []
    for number in range(60):
        modality = chance.choice(("CT", "MR", "US", "CR"))
        stations = chance.choice((("",), (f"{modality}1",), (f"{modality}1", f"{modality}2")))
        name = chance.choice(NAMES)
        found.append(
            model(
                number,
                PatientName=name.split("\\") if name else "",
                PatientID=chance.choice(("P1", "p1", "P2", "P11", "Ärzte")),
                AccessionNumber=chance.choice(("A1", "a1", "A2", "XA1", "")),
                StudyInstanceUID=f"1.2.3.{number % 9}",
                RequestedProcedureID=chance.choice(("R1", "R2", "X")),
                PatientBirthDate=chance.choice(("19700101", "19850607", "")),
                Modality=modality,
                ScheduledStationAETitle=stations,
                ScheduledProcedureStepStartDate=chance.choice(("20260105", "20260106", "20260107", "2026.01.05", "")),
                ScheduledProcedureStepStartTime=chance.choice(("0930", "093000", "10", "1145", "")),
            )
        )
    return found


@pytest.fixture(scope="module")
def filled(opened: Database) -> Worklist:
    """The entries, in all states."""
    with opened.writing() as connection:
        for table in (worklist_station, worklist_item):
            connection.execute(delete(table))
    put(opened, *entries(), states=[list(State)[n % 8] for n in range(60)])
    return Worklist(opened)


@cache
def everything(worklist: Worklist) -> list[Entry]:
    """All of them, read once."""
    return found(worklist, Query(hidden=frozenset()))


def found(worklist: Worklist, query: Query) -> list[Entry]:
    return [entry for page in worklist.matching(query) for entry in page]


def seen(entry: Entry, view: View) -> bool:
    """The view in plain words."""
    step = of.step_of(entry.model)
    modality, stations = of.text(step, of.MODALITY), of.stations_of(entry.model)
    if view.modalities and not (modality == "CT" or (modality[0] == "M" and len(modality) == 2)):
        return False
    if view.stations and not any(station.startswith("CT") for station in stations):
        return False
    return not view.title or view.title in stations


def by_hand(worklist: Worklist, query: Query) -> list[Entry]:
    """What the same query finds by looking at every entry as a whole."""
    accept = matcher(query.keys, query.how)
    states = [key for key in query.keys if key.path == STATUS and key.text.strip("*")]
    return [
        entry
        for entry in everything(worklist)
        if (accept is None or accept(entry.model))
        and (states or entry.state not in query.hidden)
        and all(seen(entry, view) for view in query.views)
    ]


ONE = [((path, value),) for path, values in VALUES.items() for value in values]
TWO = [
    ((one, first), (two, second))
    for one, two in (((DATE, MODALITY)), (STATION, DATE), (NAME, STATUS), (DATE, TIME), (PATIENT_ID, MODALITY))
    for first, second in list(product(VALUES[one], VALUES[two]))[::3]
]


def test_keys_find_what_a_look_at_every_entry_finds(filled: Worklist) -> None:
    matched = 0
    for keys in (*ONE, *TWO):
        query = Query(keys=tuple(asked(path, value) for path, value in keys if value))
        expected = by_hand(filled, query)
        assert found(filled, query) == expected, keys
        matched += bool(expected)
    assert matched > 60


@pytest.mark.parametrize("views", VIEWS, ids=str)
def test_a_view_holds_whatever_is_asked(filled: Worklist, views: tuple[View, ...]) -> None:
    for keys in ((), *ONE[::3]):
        query = Query(keys=tuple(asked(path, value) for path, value in keys if value), views=views)
        assert found(filled, query) == by_hand(filled, query), keys


@pytest.mark.parametrize(
    "how",
    [
        How(sensitivity=Sensitivity(case=True, accents=True)),
        How(fuzzy=True),
        How(empty=True),
        How(combined=MOMENTS),
    ],
    ids=("sensitive", "fuzzy", "empty", "combined"),
)
def test_so_it_is_however_values_are_compared(filled: Worklist, how: How) -> None:
    more = [((path, '""'),) for path in (NAME, ACCESSION, STATION, DATE, STATUS)] if how.empty else []
    for keys in (*ONE[::2], *TWO[::4], *more):
        query = Query(keys=tuple(asked(path, value) for path, value in keys if value), how=how, hidden=frozenset())
        assert found(filled, query) == by_hand(filled, query), keys


def test_a_limit_refuses_and_finds_up_to_it(filled: Worklist) -> None:
    query = Query(hidden=OVER)
    number = len(found(filled, query))
    assert len(found(filled, Query(refuse_above=number))) == number
    with pytest.raises(Refused) as refused:
        found(filled, Query(refuse_above=number - 1))
    assert refused.value.reason is Reason.TOO_MANY_MATCHES


@pytest.mark.parametrize("keys", [((DATE, "tomorrow"),), ((TIME, "-"),), ((BIRTH, "1"), (DATE, "2026010203"))])
def test_what_is_no_date_is_refused_at_once(filled: Worklist, keys: tuple[tuple[Path, str], ...]) -> None:
    with pytest.raises(Refused, match=r"Date|Time"):
        filled.matching(Query(keys=tuple(asked(*key) for key in keys)))


@pytest.mark.parametrize("path", [NAME, PATIENT_ID, ACCESSION, STUDY, MODALITY, STATION, DATE, PROCEDURE, STEP_ID])
def test_an_index_serves_each_popular_key(opened: Database, filled: Worklist, path: Path) -> None:
    """On SQLite, whose plan can be asked for; PostgreSQL rightly scans so few rows."""
    if opened.dialect != "sqlite":
        assert found(filled, Query(keys=(asked(path, VALUES[path][0]),))) is not None
        return
    plans: list[str] = []

    def explain(connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT worklist_item"):
            rows = connection.connection.dbapi_connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(str(row[3]) for row in rows)

    from sqlalchemy import event

    event.listen(opened.engine, "before_cursor_execute", explain)
    try:
        found(filled, Query(keys=(asked(path, VALUES[path][0]),)))
    finally:
        event.remove(opened.engine, "before_cursor_execute", explain)
    assert plans
    assert not [plan for plan in plans if plan.startswith("SCAN")], plans
