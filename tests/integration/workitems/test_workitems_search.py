"""Searching the unified worklist (PS3.4 CC.2.8): what the database narrows by changes how fast the answer is, and never
the answer."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import delete, func, select, text

from isocenter import database
from isocenter.database import facts
from isocenter.declarations.query_keys import resolve
from isocenter.declarations.workitem import KEYED, State
from isocenter.dicom.dictionary import vr_of
from isocenter.errors import Refused
from isocenter.index.matching_values import Exact, Sensitivity
from isocenter.workflow.workitems import keying, models
from isocenter.workflow.workitems.matching import Query, page, search, supported
from isocenter.workflow.workitems.tables import workitem, workitem_key
from workitem_models import Worklist, asked, code, sequence

_NAMES = (
    {"Alphabetic": "Ødegård^Åse"},
    {"Alphabetic": "Doe^Jane^^Dr"},
    {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"},
    {"Ideographic": "王^小明"},
    {"Alphabetic": "DOE"},
    {},
)
_TEXTS = ("Segment the liver", "SEGMENT*", "Ärzte  Liste", "x" * 300, "straße", "a_b%c", "A\\B", "")
_MOMENTS = ("2026", "202611", "20261121", "2026112112", "20261121120000.5", "20261121120000+0900", "20261122")
_CODES = ("WS1", "ws1", "WS12", "W*", "")
_UIDS = ("2.25.1", "2.25.11", "2.25.2")


def _value(path: tuple[int, ...], chance: random.Random) -> dict[str, Any]:
    """Something that an attribute may hold."""
    vr = vr_of(path[-1])
    if path == (0x00741200,):
        return {"vr": vr, "Value": [chance.choice(("HIGH", "MEDIUM", "LOW"))]}
    if path == (0x00404041,):
        return {"vr": vr, "Value": [chance.choice(("READY", "INCOMPLETE"))]}
    if vr == "PN":
        name = chance.choice(_NAMES)
        return {"vr": vr, "Value": [name]} if name else {"vr": vr}
    some = {"DT": _MOMENTS, "DA": ("20261121", "19700101"), "UI": _UIDS, "SH": _CODES}.get(vr, _TEXTS)
    text = chance.choice(some)
    return {"vr": vr, "Value": [text]} if text else {"vr": vr}


def _made(chance: random.Random) -> dict[str, Any]:
    """Attributes of a workitem at every key that there is."""
    found: dict[str, Any] = {}
    for path in KEYED:
        tag = f"t{path[0]:08X}"
        if len(path) == 1:
            found[tag] = _value(path, chance)
        elif path[-1] == 0x00080100:
            codes = [code(chance.choice(("WS1", "ws1", "WS12"))) for _ in range(chance.randrange(3))]
            held = [{"00404009": sequence(each), **_PERFORMER} for each in codes] if len(path) == 3 else codes
            found[tag] = sequence(*held)
    request = {**{tag: {"vr": vr_of(int(tag, 16))} for tag in _REQUEST}, "0020000D": _value((0x0020000D,), chance)}
    request["00080050"] = _value((0x00080050,), chance)
    found["t0040A370"] = sequence(request) if chance.random() < 0.7 else sequence()
    for tag in ("t00741204", "t00404005"):  # of type 1
        if "Value" not in found[tag]:
            del found[tag]
    return found


_PERFORMER = {"00404036": {"vr": "LO", "Value": ["Desk"]}, "00404037": {"vr": "PN", "Value": [{"Alphabetic": "A^B"}]}}
_REQUEST = ("00080051", "00321060", "00321064", "00400026", "00400027", "00401001")
_ALWAYS = ("*", "", '""', "nothing like it")
_PATTERNS = {
    "PN": (
        *("?oe*", "doe^*", "DOE^JANE*", "ødegard*", "odegård^*", "=山田*", "yamada*=山*", "王^*", "Doe", "^jane"),
        *("Yam?da^Tarou", "=王^小明", "==やまだ*"),
    ),
    "LO": (
        *("Segment*", "segment the liver", "SEGMENT*", "arzte*", "*liste", "strasse", "xxx*", "x" * 300),
        *("x" * 280 + "*", "a_b%c", "A", "B", "P1", "p1"),
    ),
    "SH": ("WS1", "ws1", "WS1*", "WS?", "W\\WS12", "w*", "\N{LATIN SMALL LETTER DOTLESS I}*"),
    "UI": ("2.25.1", "2.25.1\\2.25.2", "2.25.404"),
    "CS": ("READY", "ready", "HIGH", "HIGH\\LOW", "H*", "SCHEDULED"),
    "DT": (
        *("2026", "20261121", "20261121-", "-20261121", "20261121-20261122", "2026112112-2027", "20261121120000+0900"),
        *("202611", "tomorrow"),
    ),
    "DA": ("19700101", "1970-2000", "20261121-", "WS?"),
}


@pytest.fixture
def many(any_url: str) -> Iterator[Worklist]:
    """A worklist of workitems that are alike enough."""
    worklist, chance = Worklist(any_url), random.Random(20261121)
    with worklist.database.writing() as connection:
        for number in range(40):
            made = models.canonical(asked(**_made(chance)))
            worklist.items.create(connection, f"2.25.{number + 1}", made)
    yield worklist
    worklist.database.close()


def _answer(worklist: Worklist, query: Query) -> list[str] | str:
    """The UIDs of what is found, or why the search is refused."""
    try:
        found = [each.uid for part in search(worklist.database, query) for each in part]
        some, total = page(worklist.database, query, 2, 5)
    except Refused as refusal:
        return refusal.comment
    assert (total, [each.uid for each in some]) == (len(found), found[2:7])
    return found


def _queries() -> Iterator[Query]:
    chance = random.Random(7)
    for turn in range(110):
        named = chance.sample([*KEYED, (0x00741000,)], 1 if turn % 3 else 2)
        yield Query(
            keys=tuple((path, chance.choice((*_PATTERNS[vr_of(path[-1])], *_ALWAYS))) for path in named),
            sensitivity=Sensitivity(case=turn % 5 == 0, accents=turn % 7 == 0),
            fuzzy=turn % 11 == 0,
            empty=turn % 2 == 0,
        )


def test_keys_never_change_an_answer(many: Worklist) -> None:
    quick = {query: _answer(many, query) for query in _queries()}
    with many.database.writing() as connection:
        facts.write(connection, keying.FACT, "")
    for query, answer in quick.items():
        assert answer == _answer(many, query), query.keys
    assert sum(isinstance(each, list) and 0 < len(each) < 40 for each in quick.values()) > 20, "some, and not all"
    assert sum(isinstance(each, str) for each in quick.values()) > 1, "such as are none"


def test_each_key_finds_its_own(many: Worklist) -> None:
    """By what a workitem holds at a key, the workitem is found, and few are looked at."""
    assert all(supported(path) for path in KEYED)
    with many.database.reading() as connection:
        rows = connection.execute(select(workitem_key.c.key, workitem_key.c.value, workitem_key.c.workitem)).all()
        assert {row.key for row in rows} == {keying.name_of(path) for path in KEYED} - _UNUSED
        for path in KEYED:
            all_of_them = select(workitem.c.id)
            name, value, number = next((row for row in rows if row.key == keying.name_of(path)), ("", "", 0))
            if name:
                narrowed = keying.narrowed(all_of_them, {path: (Exact(value),)}, 0)
                found = set(connection.execute(narrowed).scalars())
                assert number in found
                assert found == {row.workitem for row in rows if (row.key, row.value) == (name, value)}


_UNUSED = {"0040A370.00401001"}
"""Which no workitem here has a value of."""


def test_rows_follow_the_workitem(any_url: str) -> None:
    worklist = Worklist(any_url)
    assert worklist.create("2.25.1", t00404025=sequence(code("WS1"), code("WS2"))) == 0
    station = resolve("ScheduledStationNameCodeSequence.CodeValue")
    assert station is not None

    def found(value: str) -> int:
        return page(worklist.database, Query(keys=((station, value),))).total

    assert [found(value) for value in ("WS1", "WS2", "WS3")] == [1, 1, 0]
    moved = models.canonical({"00404025": sequence(code("WS2"), code("WS3"))})
    assert worklist.do(worklist.items.update, "2.25.1", moved) == 0
    assert [found(value) for value in ("WS1", "WS2", "WS3")] == [0, 1, 1]
    worklist.put("2.25.2", State.COMPLETED)
    worklist.at += 10
    assert worklist.do(worklist.items.purge, worklist.at) == 1
    with worklist.database.reading() as connection:
        assert set(connection.execute(select(workitem_key.c.workitem)).scalars()) == {worklist.get("2.25.1").id}
    worklist.database.close()


def test_workitems_without_rows_are_found_all_the_same_and_get_theirs(any_url: str) -> None:
    """As an earlier version, or a damaged database, leaves them."""
    worklist = Worklist(any_url)
    for number in range(1, 4):
        worklist.create(f"2.25.{number}", t00741202={"vr": "LO", "Value": [f"LIST{number}"]})
    with worklist.database.writing() as connection:
        connection.execute(delete(workitem_key))
        facts.write(connection, keying.FACT, "")
    query = Query(keys=(((0x00741202,), "LIST2"), ((0x00741200,), "MEDIUM")))
    assert [each.uid for each in page(worklist.database, query).found] == ["2.25.2"]
    assert keying.renew(worklist.database) == 3
    assert keying.renew(worklist.database) == 0
    assert keying.renew(worklist.database, anyway=True) == 3
    assert [each.uid for each in page(worklist.database, query).found] == ["2.25.2"]
    with worklist.database.reading() as connection:
        held = select(func.count()).select_from(workitem_key).where(workitem_key.c.value == "list2")
        assert connection.execute(held).scalar() == 1
    worklist.database.close()


def test_workitems_of_an_earlier_schema(empty_url: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    opened = database.open(empty_url)
    model = models.dumped(models.completed(models.canonical(asked()), "2.25.1", State.SCHEDULED, "20261121120000"))
    row = {"uid": "2.25.1", "state": "SCHEDULED", "transaction_uid": "", "patient_fold": "p1", "attributes": model}
    with opened.writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0016")
        columns = ", ".join((*row, "created_at", "changed_at"))
        values = ", ".join(f":{name}" for name in row)
        connection.execute(text(f"INSERT INTO workitem ({columns}) VALUES ({values}, 1, 1)"), row)
    opened.close()
    database.migrate(empty_url)
    worklist = Worklist(empty_url)
    query = Query(keys=(((0x00100020,), "p1"), ((0x00741200,), "MEDIUM")))
    for renewed in (1, 0):
        assert [each.uid for each in page(worklist.database, query).found] == ["2.25.1"]
        assert keying.renew(worklist.database) == renewed
    worklist.database.close()
