"""What a running server accepts, matches and returns, against every row of its generated statement."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import pytest

from archives import MR, keys
from find_samples import complete
from integration.server.conformance_installation import NARROW, NATIVE, SEED, STRICT, WIDE, Installation, installed
from isocenter.conformance.model import Statement
from isocenter.declarations import sop_classes
from isocenter.declarations.offers import OFFERINGS
from isocenter.declarations.query_keys import Key, Level, keys_for
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, Element, decode, encode, strings_of, text
from isocenter.dimse import ClientAssociation, ProposedContext
from isocenter.dimse.negotiation import QueryExtras, query_extras


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(tmp_path_factory.mktemp("conformance")) as installation:
        yield installation


# --- presentation contexts


class Expected(NamedTuple):
    """One line of a table of acceptable presentation contexts: one class, one syntax, one role of ours."""

    uid: str
    syntax: str
    role: str
    extended: str


def expected(own: Statement, ae: str) -> list[Expected]:
    lists = {
        table.about: [row["Transfer Syntax UID"] for row in table.records()]
        for table in own.tables("syntax-list", ae=ae)
    }
    return [
        Expected(row["Abstract Syntax UID"], syntax, row["Role"], row["Extended Negotiation"])
        for table in own.tables("accepted-contexts", ae=ae)
        for row in table.records()
        for syntax in lists.get(row["Transfer Syntax UID List"]) or row["Transfer Syntax UID List"].split("\n")
    ]


def in_groups(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while group := list(islice(rest, size)):
        yield group


def got(association: ClientAssociation) -> dict[int, tuple[str, str, bool, bool]]:
    """What was accepted, by position of the proposal."""
    return {
        (context.id - 1) // 2: (context.abstract, context.transfer_syntax, context.as_scu, context.as_scp)
        for context in association.contexts.values()
    }


@pytest.mark.req("C-GEN-07", "C-RULE-10", "C-RULE-14", "C-RULE-15", "C-RULE-17", "C-DISC-03")
@pytest.mark.parametrize("ae", [WIDE, NARROW, STRICT])
@pytest.mark.parametrize("role", ["SCP", "SCU"])
def test_every_row_of_the_acceptable_contexts_is_accepted(filled: Installation, ae: str, role: str) -> None:
    """Each SOP class with each of its transfer syntaxes alone; where we are the SCU, the requestor offers to be SCP."""
    rows = list(dict.fromkeys(row for row in expected(filled.statement, ae) if row.role in (role, "BOTH")))
    theirs = (True, False) if role == "SCP" else (False, True)
    assert rows or (ae, role) == (NARROW, "SCU"), "a table without a row proves nothing"
    for group in in_groups(rows, 128):
        contexts = [ProposedContext(row.uid, (row.syntax,), *theirs) for row in group]
        with filled.connect(ae, *contexts) as association:
            assert got(association) == {n: (row.uid, row.syntax, *theirs) for n, row in enumerate(group)}


@pytest.mark.req("C-GEN-03", "C-CHK-02")
@pytest.mark.parametrize("ae", [WIDE, NARROW, STRICT])
def test_what_no_row_names_is_refused(filled: Installation, ae: str) -> None:
    """Every known SOP class, in both roles, that the tables leave out; and every syntax that no row has."""
    rows = expected(filled.statement, ae)
    for theirs, role in (((True, False), "SCP"), ((False, True), "SCU")):
        named = {row.uid for row in rows if row.role in (role, "BOTH")}
        others = sorted((set(sop_classes.registry()) | set(OFFERINGS)) - named)
        assert others
        for group in in_groups(others, 128):
            with filled.connect(ae, *(ProposedContext(uid, (NATIVE,), *theirs) for uid in group)) as association:
                assert got(association) == {}
    queries = [row.uid for row in rows if row.uid in OFFERINGS and not OFFERINGS[row.uid].stored]
    jpeg = [ProposedContext(uid, (uids.JPEG_BASELINE,)) for uid in dict.fromkeys(queries)]
    with filled.connect(ae, *jpeg) as association:
        assert got(association) == {}


def test_a_list_of_syntaxes_is_all_that_is_taken(filled: Installation) -> None:
    taken_here = {row.syntax for row in expected(filled.statement, NARROW) if row.uid == MR}
    others = [
        uid for uid, entry in uids.registry().items() if entry.kind == "Transfer Syntax" and uid not in taken_here
    ]
    with filled.connect(NARROW, *(ProposedContext(MR, (uid,)) for uid in others)) as association:
        assert got(association) == {}


@pytest.mark.req("C-GEN-07")
@pytest.mark.parametrize("ae", [WIDE, NARROW, STRICT])
def test_the_first_syntax_of_the_list_is_chosen_of_all(filled: Installation, ae: str) -> None:
    by_class: dict[str, list[str]] = {}
    for row in expected(filled.statement, ae):
        if row.role in ("SCP", "BOTH"):
            by_class.setdefault(row.uid, []).append(row.syntax)
    for group in in_groups(by_class.items(), 100):
        contexts = [ProposedContext(uid, tuple(reversed(syntaxes))) for uid, syntaxes in group]
        with filled.connect(ae, *contexts) as association:
            assert [got(association)[n][1] for n in range(len(group))] == [syntaxes[0] for _, syntaxes in group]


_WORDS = {
    "relational": "relational queries and retrievals",
    "combined_date_time": "combined date-time matching",
    "fuzzy_names": "fuzzy semantic matching of person names",
    "timezone": "timezone query adjustment",
    "enhanced_multiframe": "enhanced multi-frame image conversion",
}


@pytest.mark.req("C-GEN-07", "C-DISC-04")
@pytest.mark.parametrize("ae", [WIDE, NARROW, STRICT])
def test_extended_negotiation_agrees_to_what_the_rows_say(filled: Installation, ae: str) -> None:
    told = {row.uid: row.extended for row in expected(filled.statement, ae) if row.uid in OFFERINGS}
    everything = QueryExtras(*[True] * 5).encode()
    contexts = [
        ProposedContext(uid, (NATIVE,), extended=everything) for uid in told if uid != uids.STORAGE_COMMITMENT_PUSH
    ]
    with filled.connect(ae, *contexts) as association:
        agreed = {context.abstract: query_extras(context.extended) for context in association.contexts.values()}
    for uid, extras in agreed.items():
        words = ", ".join(text for field, text in _WORDS.items() if getattr(extras, field))
        assert words == told[uid].replace("None", "")


# --- query keys


NOT_STORED = frozenset({"RetrieveURL", "SpecificCharacterSet"})
"""Returned where there is something to say: this installation has no address of its own, and its data are ASCII."""


def _rows_of_keys(own: Statement) -> dict[tuple[str, str], str]:
    # of the archive's own models; those of the worklist and of work items follow
    table, *_ = own.tables("find-keys", ae=WIDE)
    return {
        (row["Level Name / Attribute Name"].partition(" /")[0], row["Tag"]): row["Types of Matching"]
        for row in table.records()
    }


def _tags(key: Key) -> str:
    return " ".join(f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in key.path)


def _asked(level: Level, **more: Any) -> DataSet:
    """An identifier at `level` in Patient Root, down to which the first patient's unique keys are given."""
    one = complete(SEED)
    given = {"PatientID": one.PatientID}
    for keyword, low in (("StudyInstanceUID", Level.STUDY), ("SeriesInstanceUID", Level.SERIES)):
        if list(Level).index(level) > list(Level).index(low):
            given[keyword] = str(one[keyword].value)
    return keys(str(level), **{**given, **more})


def _with(identifier: DataSet, path: Sequence[int], vr: str, value: str) -> DataSet:
    """The identifier with a key in it, nested as its path has it."""
    from isocenter.dicom.dataset import us

    top, *rest = path
    if rest:
        inner = identifier.get(top)
        item = dict(inner.value[0]) if inner is not None and not isinstance(inner.value, bytes) and inner.value else {}
        return {**identifier, top: Element("SQ", (_with(item, rest, vr, value),))}
    if vr == "SQ":
        return {**identifier, top: identifier.get(top, Element("SQ", ()))}
    if vr == "US":
        return {**identifier, top: us(int(value)) if value else Element("US", b"")}
    return {
        **identifier,
        top: text(vr, value) if vr != "UI" else Element("UI", value.encode() + b"\0" * (len(value) % 2)),
    }


def _matches(association: ClientAssociation, identifier: DataSet) -> list[DataSet]:
    answers = list(association.find(uids.PATIENT_ROOT_FIND, encode(identifier, NATIVE)))
    assert answers[-1].status == 0, answers[-1].comment
    assert all(each.status == 0xFF00 for each in answers[:-1]), "a key of the table is unsupported"
    return [decode(each.data or b"", NATIVE) for each in answers[:-1]]


def _value(found: DataSet, path: Sequence[int], vr: str) -> str | None:
    element = found.get(path[0])
    if element is None or (len(path) > 1 and not element.value):
        return None
    if len(path) > 1:
        return _value(element.value[0], path[1:], vr)  # type: ignore[arg-type]
    if vr == "SQ":
        return "items" if element.value else ""
    if vr == "US":
        return str(int.from_bytes(element.value, "little")) if element.value else ""  # type: ignore[arg-type]
    return "\\".join(strings_of(found, path[0]))


@pytest.mark.req("C-GEN-09", "C-DISC-04")
@pytest.mark.parametrize("level", list(Level))
def test_every_row_of_the_keys_is_returned_and_matched(filled: Installation, level: Level) -> None:
    told = _rows_of_keys(filled.statement)
    own = [key for key in keys_for(level).values() if key.level is level]
    assert {(str(level), _tags(key)) for key in own} == {row for row in told if row[0] == str(level)}
    asked = _asked(level)
    for key in sorted(own, key=lambda key: len(key.path)):
        if (key.path[0] not in asked or len(key.path) > 1) and not key.unique:
            asked = _with(asked, key.path, key.vr, "")
    with filled.connect(WIDE, ProposedContext(uids.PATIENT_ROOT_FIND, (NATIVE,))) as association:
        (answer,) = _matches(association, asked)
        for key in own:
            kinds = told[str(level), _tags(key)]
            value = _value(answer, key.path, key.vr)
            if "not returned" in kinds:
                value = f"M{SEED}"  # Modality at study level, which is returned as Modalities in Study
            assert value or key.keyword in NOT_STORED, f"{key.keyword} is not returned"
            if value and "single value" in kinds and not key.unique:
                _check_matching(association, level, key, kinds, value)


def _check_matching(association: ClientAssociation, level: Level, key: Key, kinds: str, value: str) -> None:
    """The first patient's value matches by each kind of matching that the row names, and another one does not."""
    first = value.split("\\")[0]
    fitting = {"single value": first}
    if "wildcard" in kinds:
        fitting["wildcard"] = f"{first[:-1]}*"
    if "list of UIDs" in kinds:
        fitting["list of UIDs"] = f"{first}\\1.2.3"
    if "range" in kinds:
        fitting["range"] = f"{first}-{first}"
    for kind, wanted in fitting.items():
        identifier = _with(_asked(level), key.path, key.vr, wanted)
        assert len(_matches(association, identifier)) == 1, f"{key.keyword} by {kind}"
    other = _with(_asked(level), key.path, key.vr, _other(key.vr, first))
    assert not _matches(association, other), f"{key.keyword} matches what it is not"


def _other(vr: str, value: str) -> str:
    match vr:
        case "DA":
            return "19000101"
        case "TM":
            return "235959"
        case "DT":
            return "19000101000000"
        case "UI":
            return "1.2.999.1"
        case "AS":
            return "001D"
        case "US" | "IS" | "DS":
            return str(int(float(value)) + 4321)
        case _:
            return "ANOTHER"


@pytest.mark.req("C-GEN-09")
def test_what_is_returned_without_being_asked_for(filled: Installation) -> None:
    (table,) = filled.statement.tables("return-keys", ae=WIDE)
    with filled.connect(WIDE, ProposedContext(uids.PATIENT_ROOT_FIND, (NATIVE,))) as association:
        (answer,) = _matches(association, _asked(Level.STUDY))
    for row in table.records():
        tag = int(row["Tag"][1:5] + row["Tag"][6:10], 16)
        assert tag in answer or row["Attribute"] in NOT_STORED
