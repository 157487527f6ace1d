"""Each check of a statement (C-CHK) finds the fault that it is there for, in a statement that was spoilt."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from isocenter.config import Settings
from isocenter.conformance.building import statement
from isocenter.conformance.checks import CHECKS, findings
from isocenter.conformance.model import Block, Bullets, Figure, Paragraph, Row, Section, Statement, Table
from isocenter.dicom import uids

CT = "1.2.840.10008.5.1.4.1.1.2"


@cache
def sound() -> Statement:
    return statement(Settings(), date="2026-01-31")


def spoilt(change: Callable[[Section, Block], Block | None]) -> Statement:
    """The statement with every block passed through `change`; None leaves it out."""

    def of(section: Section) -> Section:
        blocks = (change(section, block) for block in section.blocks)
        return replace(
            section, blocks=tuple(b for b in blocks if b is not None), sections=tuple(map(of, section.sections))
        )

    return Statement(sound().product, tuple(map(of, sound().sections)))


def rows_of(kind: str, change: Callable[[Row], Row | None]) -> Callable[[Section, Block], Block]:
    """A change of the rows of the tables of a kind."""

    def of(_: Section, block: Block) -> Block:
        if not isinstance(block, Table) or block.kind != kind:
            return block
        changed = (change(row) for row in block.rows)
        return replace(block, rows=tuple(row for row in changed if row is not None))

    return of


def with_row(kind: str, row: Row) -> Callable[[Section, Block], Block]:
    """One more row in the tables of a kind."""

    def of(_: Section, block: Block) -> Block:
        return replace(block, rows=(*block.rows, row)) if isinstance(block, Table) and block.kind == kind else block

    return of


def without(uid: str) -> Callable[[Row], Row | None]:
    """Leaves the rows out that hold a UID."""
    return lambda row: None if uid in row else row


def words(old: str, new: str) -> Callable[[Section, Block], Block]:
    """Other words in the text."""

    def of(_: Section, block: Block) -> Block:
        if isinstance(block, Paragraph):
            return Paragraph(block.text.replace(old, new))
        return Bullets(tuple(i.replace(old, new) for i in block.items)) if isinstance(block, Bullets) else block

    return of


def no_figures(section: Section, block: Block) -> Block | None:
    """No diagram of the data flow."""
    return None if isinstance(block, Figure) and section.role == "4.1.1" else block


def columns(section: Section, block: Block) -> Block:
    """Columns in another order."""
    if isinstance(block, Table) and block.kind == "sop-classes":
        return replace(block, columns=(block.columns[1], block.columns[0], *block.columns[2:]))
    return block


def other_role(row: Row) -> Row:
    """SCP where SCU belongs (samples D and G do that for C-MOVE)."""
    return (*row[:4], "SCP", row[5]) if row[1] == uids.STUDY_ROOT_MOVE and row[4] == "SCU" else row


FAULTS = [
    ("C-CHK-01", rows_of("accepted-contexts", without(uids.VERIFICATION)), "does not accept Verification"),
    ("C-CHK-02", rows_of("sop-classes", without(CT)), f"{CT} is in a context and not among its SOP classes"),
    ("C-CHK-02", with_row("sop-classes", ("X Storage", "1.2.3", "Yes", "No")), "1.2.3 is among its SOP classes and in"),
    ("C-CHK-02", rows_of("network-services", without("CT Image Storage")), "CT Image Storage is not in the overview"),
    ("C-CHK-02", with_row("network-services", ("X Storage", "Yes", "No")), "X Storage is in the overview and of no AE"),
    ("C-CHK-03", rows_of("sop-classes", lambda r: ("CT Storage", *r[1:]) if CT in r else r), "is called 'CT Storage'"),
    ("C-CHK-03", with_row("accepted-contexts", ("X", "1.2.840.10008.99", "", "", "SCP", "None")), "is in no registry"),
    ("C-CHK-03", with_row("accepted-contexts", ("X", "1.3.6.1.99", "", "", "SCP", "None")), "not published"),
    (
        "C-CHK-04",
        with_row("created-attributes", ("Secret", "(0009,1001)", "LO", "x", "ALWAYS", "AUTO")),
        "(0009,1001) of a created instance is not in the dictionary",
    ),
    ("C-CHK-04", lambda s, b: None if isinstance(b, Table) and b.kind == "created-modules" else b, "no table of their"),
    ("C-CHK-05", no_figures, "there is no data flow diagram"),
    ("C-CHK-05", words(", Answer Queries: ", ", Answer Nothing: "), "Answer Queries is not in the data flow"),
    ("C-CHK-05", words(", Answer Queries: ", ", Answer Nothing: "), "Answer Nothing of the data flow is not specified"),
    ("C-CHK-06", rows_of("status-reasons", lambda r: None if "anything else" in r[-1] else r), "no row for all other"),
    ("C-CHK-06", rows_of("status-behaviour", lambda r: (*r[:3], "")), "does not tell the behavior of every status"),
    (
        "C-CHK-07",
        rows_of("network-services", lambda r: (r[0], "No", "Yes") if r[0] == "CT Image Storage" else r),
        "CT Image Storage has other roles in the overview",
    ),
    ("C-CHK-08", rows_of("sop-classes", lambda r: None), "no standard SOP class is supported"),
    ("C-CHK-08", rows_of("media-services", lambda r: ("STD-GEN-CD", "Yes", "No")), "application profiles differ"),
    ("C-CHK-09", with_row("media-profiles", ("STD-GEN-CD", "Export", "FSX")), "is used in no standard role"),
    ("C-CHK-09", with_row("media-profiles", ("PRI-OWN-CD", "Export", "FSC")), "is no standard profile"),
    (
        "C-CHK-10",
        rows_of("parameters", lambda r: (*r[:2], "") if r[0].startswith("`ae.duplicates`") else r),
        "has no default",
    ),
    ("C-CHK-10", words("`tls.profile`", "`tls.fashion`"), "`tls.fashion` is named and not in section 4.4.2"),
    ("C-CHK-11", words("Choice of the transfer syntax", "Choice"), "transfer syntax choice as initiator is not told"),
    ("C-CHK-11", words("fall-back to a related", "way to a related"), "fall-back of the SOP class is not told"),
    ("C-CHK-11", words("only lossy compressed", "compressed"), "images held only lossy compressed is not told"),
    ("C-CHK-11", words("Unsupported sets", "Sets"), "unsupported character sets is not told"),
    ("C-CHK-12", rows_of("proposed-contexts", other_role), "is proposed in the role SCP"),
    ("C-TPL-0.2", columns, "has the columns SOP Class UID, SOP Class Name"),
    ("C-TPL-0.2", with_row("sop-classes", ("X", "1.2.3")), "has a row of another length"),
]


@pytest.mark.req(*(check for check in CHECKS if check.startswith("C-CHK")))
@pytest.mark.parametrize(("check", "change", "told"), FAULTS, ids=[f"{c}-{n}" for n, (c, _, _) in enumerate(FAULTS)])
def test_a_fault_is_found(check: str, change: Callable[[Section, Block], Block | None], told: str) -> None:
    found = [finding for finding in findings(spoilt(change)) if finding.check == check]
    assert any(told in finding.text for finding in found), found


@pytest.mark.req("C-CHK-01", "C-RULE-14")
def test_a_sound_statement_has_no_finding() -> None:
    assert findings(sound()) == []


def test_every_check_has_a_fault_that_it_finds() -> None:
    assert {check for check, _, _ in FAULTS} == set(CHECKS)
