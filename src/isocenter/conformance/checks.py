"""Whether a statement is consistent in itself (C-CHK): run when one is written, and in the tests."""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from isocenter.conformance.facts import name_of
from isocenter.conformance.model import Bullets, Figure, Section, Statement, Table
from isocenter.conformance.templates import templates
from isocenter.declarations import sop_classes
from isocenter.declarations.overview import STORAGE_SERVICE
from isocenter.dicom import uids


class Finding(NamedTuple):
    """Something that is amiss: the check's id in the catalogue, and what."""

    check: str
    text: str


def findings(statement: Statement) -> list[Finding]:
    """What is amiss in a statement; nothing, where it is as it should be."""
    return [Finding(check, text) for check, run in CHECKS.items() for text in run(statement)]


def _verification(statement: Statement) -> Iterator[str]:
    """Any AE that accepts associations accepts Verification as SCP."""
    accepting = {table.ae for table in statement.tables("accepted-contexts")}
    for ae in sorted(accepting):
        rows = _rows(statement, "accepted-contexts", ae)
        if not any(row["Abstract Syntax UID"] == uids.VERIFICATION and row["Role"] == "SCP" for row in rows):
            yield f"{ae} does not accept Verification"


def _rows(statement: Statement, kind: str, ae: str | None = None) -> list[dict[str, str]]:
    return [record for table in statement.tables(kind, ae=ae) for record in table.records()]


def _aes(statement: Statement) -> list[str]:
    return list(dict.fromkeys(table.ae for table in statement.tables("sop-classes")))


def _same_classes(statement: Statement) -> Iterator[str]:
    """The SOP classes of contexts, of the AE's table and of the overview are the same."""
    shown = {row["SOP Classes"] for row in _rows(statement, "network-services")}
    for ae in _aes(statement):
        own = {row["SOP Class UID"]: row["SOP Class Name"] for row in _rows(statement, "sop-classes", ae)}
        contexts = {
            row["Abstract Syntax UID"]
            for kind in ("proposed-contexts", "accepted-contexts")
            for row in _rows(statement, kind, ae)
        }
        yield from (
            f"{ae}: {uid} is in a context and not among its SOP classes" for uid in sorted(contexts - own.keys())
        )
        yield from (f"{ae}: {uid} is among its SOP classes and in no context" for uid in sorted(own.keys() - contexts))
        missing = {name for uid, name in own.items() if uid != uids.VERIFICATION} - shown
        yield from (f"{ae}: {name} is not in the overview" for name in sorted(missing))
    united = {row["SOP Class Name"] for row in _rows(statement, "sop-classes")} | {name_of(STORAGE_SERVICE), _ALL}
    yield from (f"{name} is in the overview and of no AE" for name in sorted(shown - united))


_ALL: Final = "All services of the Storage Service Class"
_NAMED: Final = (
    ("sop-classes", "SOP Class UID", "SOP Class Name"),
    ("proposed-contexts", "Abstract Syntax UID", "Abstract Syntax Name"),
    ("accepted-contexts", "Abstract Syntax UID", "Abstract Syntax Name"),
    ("syntax-list", "Transfer Syntax UID", "Transfer Syntax Name"),
    ("extended-scp", "SOP Class UID", "SOP Class Name"),
    ("extended-scu", "SOP Class UID", "SOP Class Name"),
    ("uid-categories", "UID Value", "UID Name"),
)


def _registered(statement: Statement) -> Iterator[str]:
    """Every UID has the name of the registry, or is known to be private."""
    for kind, value, name in _NAMED:
        for row in _rows(statement, kind):
            uid = row[value]
            known = uid == STORAGE_SERVICE or uid in uids.registry() or uid in sop_classes.registry()
            if known and row[name] != name_of(uid):
                yield f"{uid} is called {row[name]!r}, not {name_of(uid)!r}"
            elif not known and uid.startswith("1.2.840.10008."):
                yield f"{uid} is in no registry"
            elif not known and not _told(statement, "8.5", uid):
                yield f"{uid} is private and not published in section 8.5"


def _told(statement: Statement, role: str, text: str) -> bool:
    section = statement.section(role)
    return section is not None and any(text in said for said in Statement(statement.product, (section,)).words())


def _added_attributes(statement: Statement) -> Iterator[str]:
    """Private attributes that are added have a line in the private dictionary, and created IODs their tables."""
    private = " ".join(cell for row in _rows(statement, "private-attributes") for cell in row.values())
    for row in _rows(statement, "created-attributes"):
        tag = row["Tag"]
        if tag[1:5].isalnum() and int(tag[1:5], 16) % 2 and tag not in private:
            yield f"{tag} of a created instance is not in the dictionary of private attributes"
    if statement.tables("created-attributes") and not statement.tables("created-modules"):
        yield "created instances have no table of their modules"


def _activities(statement: Statement) -> Iterator[str]:
    """The data flow shows every activity of the specifications, and no other."""
    flow = statement.section("4.1.1")
    figures = [block for block in flow.blocks if isinstance(block, Figure)] if flow else []
    if not figures:
        yield "there is no data flow diagram"
    specified = [section for _, section in statement.numbered() if section.role in ("4.2.x.3.y", "4.2.x.4.y")]
    names = {section.title.removeprefix("Activity: ") for section in specified}
    said = list(_bullets(flow))
    yield from (
        f"{name} is not in the data flow" for name in sorted(names) if not any(f", {name}: " in t for t in said)
    )
    for text in said:
        name = text.partition(", ")[2].partition(": ")[0]
        if name not in names:
            yield f"{name} of the data flow is not specified"
    for section in specified:
        if not any(isinstance(block, Figure) for sub in section.sections for block in sub.blocks):
            yield f"{section.title} has no sequence diagram"


def _bullets(section: Section | None) -> Iterator[str]:
    for block in section.blocks if section else ():
        if isinstance(block, Bullets):
            yield from block.items


def _statuses(statement: Statement) -> Iterator[str]:
    """Status tables end in a catch-all row; SCU tables tell behaviour, SCP tables the reason."""
    for kind, column in (("status-reasons", "Reason"), ("status-behaviour", "Behavior")):
        for table in statement.tables(kind):
            last = table.rows[-1] if table.rows else ("",)
            if not any("any other" in cell.lower() or "anything else" in cell for cell in last):
                yield f"{table.title} of {table.ae} has no row for all other statuses"
            if column not in table.columns or any(not row[-1] for row in table.rows):
                yield f"{table.title} of {table.ae} does not tell the {column.lower()} of every status"


def _overview(statement: Statement) -> Iterator[str]:
    """Yes and No of the overview are the union over the AEs."""
    united: dict[str, tuple[bool, bool]] = {}
    for row in _rows(statement, "sop-classes"):
        scu, scp = united.get(row["SOP Class Name"], (False, False))
        united[row["SOP Class Name"]] = (scu or row["SCU"] == "Yes", scp or row["SCP"] == "Yes")
    for row in _rows(statement, "network-services"):
        shown = (row["User of Service (SCU)"] != "No", row["Provider of Service (SCP)"] != "No")
        if united.get(row["SOP Classes"], shown) != shown:
            yield f"{row['SOP Classes']} has other roles in the overview than in the AEs"


def _claim(statement: Statement) -> Iterator[str]:
    """A standard SOP class at least; and an application profile, where media are claimed."""
    standard = [row for row in _rows(statement, "sop-classes") if row["SOP Class UID"].startswith("1.2.840.10008.")]
    if not standard:
        yield "no standard SOP class is supported"
    claimed = [row for row in _rows(statement, "media-services") if _STATED & set(row.values())]
    profiles = [row for row in _rows(statement, "media-profiles") if row["Supported Application Profile"] != "None"]
    if bool(claimed) != bool(profiles):
        yield "media services of the overview and application profiles differ"


_STATED: Final = frozenset({"Yes", "Option"})


def _profiles(statement: Statement) -> Iterator[str]:
    """Application profiles are standard ones, or described where they are augmented or private."""
    for row in _rows(statement, "media-profiles"):
        name = row["Supported Application Profile"]
        if name == "None":
            continue
        if row["Roles"] not in ("FSC", "FSR", "FSU", "FSC, FSR", "FSC, FSU", "FSR, FSU", "FSC, FSR, FSU"):
            yield f"{name} is used in no standard role"
        if not name.startswith("STD-") and not _told(statement, "5.3", name):
            yield f"{name} is no standard profile and is not described in section 5.3"


def _parameters(statement: Statement) -> Iterator[str]:
    """Every configurable parameter has a default; every setting that the text names is in the tables."""
    tables = statement.tables("parameters")
    listed = " ".join(row[0] for table in tables for row in table.rows)
    for table in tables:
        for row in table.records():
            if row["Configurable (Yes/No)"] == "Yes" and not row["Default Value"]:
                yield f"{row['Parameter']} has no default"
    for text in statement.texts():
        for name in text.split("`")[1::2]:
            if name not in listed:
                yield f"`{name}` is named and not in section 4.4.2"


_DISCLOSED: Final = (
    ("4.2.x.3.y.2", "Choice of the transfer syntax", "transfer syntax choice as initiator"),
    ("4.2.x.3.y.2", "fall-back to a related general SOP class", "fall-back of the SOP class"),
    ("4.2.x.3.y.2", "only lossy compressed", "images held only lossy compressed"),
    ("6", "Unsupported sets", "unsupported character sets"),
)


def _disclosures(statement: Statement) -> Iterator[str]:
    """The four disclosures that are easily forgotten."""
    for role, words, what in _DISCLOSED:
        sections = [section for _, section in statement.numbered() if section.role == role]
        texts = (text for section in sections for text in Statement(statement.product, (section,)).texts())
        needed = role == "6" or any("Send" in section.title for section in _activity_sections(statement))
        if needed and not any(words in text for text in texts):
            yield f"{what} is not told"


def _activity_sections(statement: Statement) -> list[Section]:
    return [section for _, section in statement.numbered() if section.role == "4.2.x.3.y"]


def _roles(statement: Statement) -> Iterator[str]:
    """Contexts for C-FIND and C-MOVE that are proposed read SCU."""
    asked = {uid for uid, entry in sop_classes.registry().items() if entry.category in ("query", "retrieve")}
    for row in _rows(statement, "proposed-contexts"):
        if row["Abstract Syntax UID"] in asked and row["Role"] != "SCU":
            yield f"{row['Abstract Syntax Name']} is proposed in the role {row['Role']}"


def _columns(statement: Statement) -> Iterator[str]:
    """Every table of the template has the template's columns, in their order, and rows that fill them."""
    for table in statement.tables():
        template = templates().get(table.kind)
        if template is not None and not _fits(table, template.columns):
            yield f"{table.title} has the columns {', '.join(table.columns)}"
        if any(len(row) not in (1, len(table.columns)) for row in table.rows):
            yield f"{table.title} has a row of another length than its headings"


def _fits(table: Table, columns: tuple[str, ...]) -> bool:
    wanted = tuple("" if column.startswith("(value") else column for column in columns)
    return table.columns == wanted


CHECKS: Final[dict[str, Callable[[Statement], Iterator[str]]]] = {
    "C-CHK-01": _verification,
    "C-CHK-02": _same_classes,
    "C-CHK-03": _registered,
    "C-CHK-04": _added_attributes,
    "C-CHK-05": _activities,
    "C-CHK-06": _statuses,
    "C-CHK-07": _overview,
    "C-CHK-08": _claim,
    "C-CHK-09": _profiles,
    "C-CHK-10": _parameters,
    "C-CHK-11": _disclosures,
    "C-CHK-12": _roles,
    "C-TPL-0.2": _columns,
}
"""By the id of what they check."""
