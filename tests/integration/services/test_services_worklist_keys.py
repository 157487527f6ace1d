"""Every row of the catalogue's worklist key tables, as the preset of its system matches and returns it."""

import csv
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any, NamedTuple

import pytest

from archives import Running, running
from databases import migrated
from isocenter.config.entries import entry
from isocenter.declarations.query_keys import Path
from isocenter.declarations.worklist import KEY_SETS, START_DATE, START_TIME, STATUS, Use, keys, requested, use_of
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, decode, encode, int_of, items_of, string_of
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.person_name import canonical
from isocenter.dimse import ClientAssociation, ProposedContext
from isocenter.index.matching_values import values_at
from material import REQUIREMENTS
from worklist_items import asked, complete, put, with_value

SEED, OTHER = 11, 12
WORKLIST = uids.MODALITY_WORKLIST_FIND
SETS = {"archive": "archive", "pacs": "pacs", "bridge": "bridge", "ris": "ris", "default": "all"}
"""The set of keys of each preset."""
CATALOGUES = {
    "archive": ("iconnect", "ae", {"WORKLIST_MANAGER"}),
    "pacs": ("marie", "service", {"MWL C-FIND"}),
    "bridge": ("intellibridge", "ae", {"MWL"}),
    "ris": ("ps32", "ae", {"DICOMSRV"}),
}
ASKED_BY = {"marie": ("service", {"MWL C-FIND"}), "ps32": ("ae", {"Workflow"}), "iconnect": ("ae", {"TWF"})}
"""Where the catalogue says what a worklist SCU asks for."""
ASIDE = ((0x00080005,), (0x00080201,))
"""Keys that say how the others are written."""
SOP_CLASS = (0x00080016,)


class Row(NamedTuple):
    """A row: whose AE, which attribute, and what the table says of it."""

    preset: str
    path: Path
    matched: bool
    single: bool
    returned: bool


def lines(name: str) -> list[dict[str, str]]:
    """The rows of one table."""
    return list(csv.DictReader((REQUIREMENTS / f"{name}_query_keys.csv").read_text("utf-8").splitlines()))


def path_of(row: dict[str, str]) -> Path:
    """The path of a row; some tables leave out the sequence that they are about."""
    path = tuple(int(part.strip("()").replace(",", ""), 16) for part in row["tag"].split(">"))
    place = row["level"]
    if not place.startswith("SPS") or path[0] == 0x00400100:
        return path
    return (0x00400100, *((0x00400008,) if "Protocol Code" in place else ()), *path)


def of_row(preset: str, row: dict[str, str]) -> Row:
    """What a row says: in the words of each table."""
    types, note = row["matching_types"], row["note"]
    if preset == "bridge":
        matched = types.startswith(("supported", "single value", "sequence matching"))
        returned = "return key no" not in note and "returned empty" not in note
        return Row(preset, path_of(row), matched, types == "single value; universal", returned)
    matched = "matching + return" in types or types.startswith("required")
    return Row(preset, path_of(row), matched, False, not types.startswith("not supported"))


@cache
def rows() -> list[Row]:
    """The rows of SCPs."""
    found = []
    for preset, (name, column, values) in CATALOGUES.items():
        found += [of_row(preset, row) for row in lines(name) if row[column] in values and row["role"] == "SCP"]
    return found


def test_the_rows_were_read() -> None:
    counts = {preset: sum(row.preset == preset for row in rows()) for preset in CATALOGUES}
    assert counts == {"archive": 133, "pacs": 32, "bridge": 52, "ris": 33}


class Asking:
    """An AE of each preset with two entries that have a value for every key, and an association with it."""

    def __init__(self, archive: Running, stack: ExitStack) -> None:
        self.entries = put(archive.database, complete(SEED), complete(OTHER))
        context = ProposedContext(WORKLIST, (uids.EXPLICIT_LE,))
        self.association: ClientAssociation = stack.enter_context(archive.connect(context))

    def ask(self, identifier: DataSet) -> list[tuple[int, DataSet]]:
        """Status and data set of the matches, and the last status."""
        answers = list(self.association.find(WORKLIST, encode(identifier, uids.EXPLICIT_LE)))
        assert answers[-1].status == 0, f"{answers[-1].status:04X} {answers[-1].comment}"
        return [(each.status, decode(each.data or b"", uids.EXPLICIT_LE)) for each in answers[:-1]]

    def matches(self, path: Path, value: str) -> list[int]:
        """Which of the two entries match, by their number."""
        found = [string_of(answer, 0x0020000D) for _, answer in self.ask(with_value({}, path, value))]
        return [n for n, each in enumerate(self.entries) if each.study_uid in found]

    def value(self, path: Path) -> str:
        """What the first entry says."""
        return next(iter(values_at(self.entries[0].model, path)), "")


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Asking]]:
    with ExitStack() as stack:
        found = {}
        for preset in SETS:
            folder = tmp_path_factory.mktemp(preset)
            ae = entry("ae", {"preset": preset, "policy": "open"}, origin="test")
            archive = stack.enter_context(running(folder, migrated(folder), ae=ae))  # type: ignore[arg-type]
            found[preset] = Asking(archive, stack)
        yield found


def taken(answer: DataSet, path: Path) -> str | None:
    """The value at `path` as text; None where the element is not there."""
    for tag in path[:-1]:
        items = items_of(answer, tag)
        if not items:
            return None
        answer = items[0]
    if path[-1] not in answer:
        return None
    return str(int_of(answer, path[-1]) or "") if vr_of(path[-1]) == "US" else string_of(answer, path[-1])


def variants(path: Path, value: str, *, single: bool) -> list[str]:
    """Values that match this one by the kinds of its VR (PS3.4 C.2.2.2)."""
    vr = vr_of(path[-1])
    if single or vr in ("US", "IS", "DS", "AS"):
        return [value]
    if vr == "UI":
        return [value, f"1.2.3\\{value}"]
    if vr in ("DA", "TM", "DT"):
        return [value, f"{value}-{value}"]
    return [value, f"{value[:-1]}?", f"{value[:4]}*{value[-2:]}"]


@pytest.mark.req("I-WLM-01", "I-WLM-02", "I-WLM-03", "I-WLM-04", "I-WLM-05", "I-WLM-06", "M-MWL-01", "M-MWL-04")
@pytest.mark.req("M-MWL-05", "M-MWL-06", "P-MWL-01", "P-MWL-02", "P-MWL-04", "P-MWL-06", "P-MWL-15", "X-RIS-15")
@pytest.mark.req(*(f"P-MWL-T38-{number:02d}" for number in range(1, 53)))
@pytest.mark.parametrize("row", rows(), ids=lambda r: f"{r.preset}-{'.'.join(f'{tag:08X}' for tag in r.path)}")
def test_row(asking: dict[str, Asking], row: Row) -> None:
    scene = asking[row.preset]
    if row.path in ASIDE:
        assert len(scene.ask(with_value({}, row.path, ""))) == 2
        return
    if vr_of(row.path[-1]) == "SQ":
        _sequence(scene, row)
        return
    _returned(scene, row)
    value = scene.value(row.path)
    if row.matched and row.path != START_TIME:
        for variant in variants(row.path, value, single=row.single):
            assert scene.matches(row.path, variant) == _matching(row.path), variant
        if row.single:
            assert scene.matches(row.path, f"{value[:-1]}*") == []
    elif not row.matched:
        assert scene.matches(row.path, "no such value" if vr_of(row.path[-1]) != "US" else "1") == [0, 1]


def _matching(path: Path) -> list[int]:
    """The entries that the first one's value matches; the SOP class is that of all."""
    return [0, 1] if path == SOP_CLASS else [0]


def _returned(scene: Asking, row: Row) -> None:
    answers = scene.ask(with_value({}, row.path, ""))
    assert len(answers) == 2
    supported = row.returned or row.preset == "bridge"
    assert {status for status, _ in answers} == {0xFF00 if supported else 0xFF01}
    own = next(answer for _, answer in answers if string_of(answer, 0x0020000D) == scene.entries[0].study_uid)
    assert (taken(own, row.path) or "") == (_shown(scene, row) if row.returned else "")


def _shown(scene: Asking, row: Row) -> str:
    """What the AE tells of the first entry; its quirks are those of its source."""
    value = scene.value(row.path)
    if row.preset == "archive" and vr_of(row.path[-1]) == "PN":
        return canonical(value)
    if row.preset == "bridge" and row.path == (0x00400100, 0x00400010):
        return scene.value((0x00400100, 0x00400001))[:16]
    return "SCHEDULED" if row.preset == "bridge" and row.path == STATUS else value


def _sequence(scene: Asking, row: Row) -> None:
    """Asked for as such, a sequence is returned with its item, or empty."""
    answers = scene.ask(with_value({}, row.path, ""))
    assert len(answers) == 2
    holder = answers[0][1]
    for tag in row.path[:-1]:
        (holder,) = items_of(holder, tag)
    assert row.path[-1] in holder
    assert len(items_of(holder, row.path[-1])) == (1 if row.returned else 0)


NAMES = [row.path for row in rows() if row.preset == "archive" and row.matched and vr_of(row.path[-1]) == "PN"]


def test_the_row_of_person_names_is_about_these() -> None:
    table = csv.DictReader((REQUIREMENTS / "iconnect_attributes.csv").read_text("utf-8").splitlines())
    (row,) = [row for row in table if row["ae"] == "WORKLIST_MANAGER"]
    assert (row["keyword"], "uppercased" in row["usage"]) == ("(every attribute with VR PN)", True)
    assert len(NAMES) >= 3


@pytest.mark.parametrize("path", NAMES, ids=lambda path: keys()[path].keyword)
def test_a_name_is_found_whatever_its_case(asking: dict[str, Asking], path: Path) -> None:
    scene = asking["archive"]
    value = scene.value(path)
    assert scene.matches(path, value.upper()) == scene.matches(path, value.lower()) == [0]


@pytest.mark.req("P-MWL-07")
def test_a_time_alone_is_no_key_of_the_bridge(asking: dict[str, Asking]) -> None:
    scene = asking["bridge"]
    date, time = scene.value(START_DATE), scene.value(START_TIME)
    assert scene.matches(START_TIME, time) == [0, 1]
    both = with_value(with_value({}, START_DATE, f"{date}-{date}"), START_TIME, "235959")
    assert scene.ask(both) == []
    both = with_value(with_value({}, START_DATE, f"{date}-{date}"), START_TIME, time)
    assert len(scene.ask(both)) == 1
    assert asking["default"].matches(START_TIME, time) == [0]


@pytest.mark.parametrize("path", [path for path in keys() if path not in ASIDE], ids=lambda p: keys()[p].keyword)
def test_by_default_every_key_matches_and_returns(asking: dict[str, Asking], path: Path) -> None:
    scene, row = asking["default"], Row("default", path, True, False, True)
    if vr_of(path[-1]) == "SQ":
        _sequence(scene, row)
        return
    _returned(scene, row)
    for variant in variants(path, scene.value(path), single=False):
        assert scene.matches(path, variant) == _matching(path), variant


@pytest.mark.req("M-MWL-13", "X-MOD-46", "I-TWF-07")
def test_our_own_queries_ask_for_what_the_clients_of_the_catalogue_ask_for(asking: dict[str, Asking]) -> None:
    wanted: dict[Path, Any] = {}
    for name, (column, values) in ASKED_BY.items():
        wanted |= {path_of(row): row for row in lines(name) if row[column] in values and row["role"] == "SCU"}
    assert len(wanted) > 40
    missing = [row["keyword"] for path, row in wanted.items() if path not in requested() and path not in ASIDE]
    assert missing == ["ScheduledProcedureStepSequence"]  # it is asked for by what it holds
    answers = asking["default"].ask(asked(*requested()))
    assert [status for status, _ in answers] == [0xFF00, 0xFF00]


CLIENTS = {**ASKED_BY, "sendtopacs": ("ae", {"MWL_CLIENT"})}
"""The tables of clients, whose queries are to be answered."""


@pytest.mark.parametrize("name", CLIENTS)
def test_all_that_a_client_asks_for_is_answered(asking: dict[str, Asking], name: str) -> None:
    """With FF00: no key of any client of the catalogue is unknown, but the level that a worklist has none of."""
    column, values = CLIENTS[name]
    wanted = [path_of(row) for row in lines(name) if row[column] in values and row["role"] == "SCU"]
    paths = [path for path in wanted if path not in ASIDE and path != (0x00080052,)]
    assert len(paths) >= 4
    answers = asking["default"].ask(asked(*paths))
    assert [status for status, _ in answers] == [0xFF00, 0xFF00]
    empty = [path for path in paths if vr_of(path[-1]) != "SQ" and not taken(answers[0][1], path)]
    assert empty == []


def test_every_key_has_a_use_in_each_set() -> None:
    assert {len(key.uses) for key in keys().values()} == {len(KEY_SETS)}
    assert set(SETS.values()) == set(KEY_SETS)
    assert use_of((0x00091001,), "all") is Use.UNKNOWN
