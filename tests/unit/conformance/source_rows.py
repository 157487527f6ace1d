"""The rows of the catalogue's tables, and whether a generated statement contains them.

A row is looked for by what it means (role, SOP class, transfer syntax, key, status) in the tables of the whole
statement: which of our AEs does it is our affair. What differs is listed in docs/conformance-differences.md.
"""

import csv
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import NamedTuple

from isocenter.config import build
from isocenter.conformance.building import statement
from isocenter.conformance.model import Statement
from isocenter.declarations import sop_classes
from isocenter.dicom import uids
from material import REPOSITORY, REQUIREMENTS

DIFFERENCES = REPOSITORY / "docs" / "conformance-differences.md"
Row = dict[str, str]

SOURCES = {
    "iconnect": ("archive",),
    "marie": ("pacs", "viewer"),
    "intellibridge": ("bridge",),
    "sendtopacs": ("import",),
    "ps32": ("modality", "workstation", "query-server", "storage-server", "ris"),
}
"""The presets that imitate the systems of each source."""
TABLES = ("sop_classes", "transfer_syntaxes", "presentation_contexts", "query_keys", "status_codes")


def rows(table: str) -> list[Row]:
    """The rows of a CSV of the catalogue. Of statuses only those with a code: the others tell what is done."""
    with (REQUIREMENTS / f"{table}.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    if not table.endswith("status_codes"):
        return found
    return [row for row in found if (row.get("code_hex") or row.get("code_hex_or_http") or "").strip()]


def tables() -> list[tuple[str, str]]:
    """Every (source, table) that there is; PS3.2's samples have their syntaxes among the presentation contexts."""
    return [(s, t) for s in SOURCES for t in TABLES if (REQUIREMENTS / f"{s}_{t}.csv").exists()]


def statement_of(presets: tuple[str, ...]) -> Statement:
    """The statement of an installation with an AE of each preset."""
    aes = [{"title": preset.upper().replace("-", "_"), "preset": preset} for preset in presets]
    return statement(build({"ae": aes}), date="2026-01-01")


class Facts(NamedTuple):
    """What a statement's tables say, as sets to look into."""

    classes: frozenset[tuple[str, str]]
    """(SOP Class UID, role)."""
    syntaxes: frozenset[tuple[str, str, str]]
    """(SOP Class UID, role, Transfer Syntax UID)."""
    keys: frozenset[tuple[str, str]]
    """(level, tags)."""
    matched: frozenset[tuple[str, str]]
    """The keys that are matched on."""
    answered: frozenset[tuple[str, str]]
    """(service, code) of SCPs, `*` for whatever is not named."""
    understood: frozenset[tuple[str, str]]
    """(service, code or range) of SCUs."""
    rejections: frozenset[str]
    """Result, source and reason of the association rejections that are sent, with slashes."""


def facts_of(made: Statement) -> Facts:
    """The sets of a statement."""
    lists = {
        (table.ae, table.about): [row["Transfer Syntax UID"] for row in table.records()]
        for table in made.tables("syntax-list")
    }
    classes, syntaxes = set(), set()
    for table in made.tables("sop-classes"):
        for row in table.records():
            classes |= {(row["SOP Class UID"], role) for role in ("SCU", "SCP") if row[role] == "Yes"}
    for kind in ("accepted-contexts", "proposed-contexts"):
        for table in made.tables(kind):
            for row in table.records():
                found = lists.get((table.ae, row["Transfer Syntax UID List"]))
                for uid in found or row["Transfer Syntax UID List"].split("\n"):
                    for role in ("SCU", "SCP") if row["Role"] == "BOTH" else (row["Role"],):
                        syntaxes.add((row["Abstract Syntax UID"], role, uid))
    keys, matched = set(), set()
    for table in made.tables("find-keys"):
        for row in table.records():
            level = row["Level Name / Attribute Name"].partition(" /")[0]
            if _SERVICES.get(table.about) == _WORKLIST:
                level = _WORKLIST
            keys.add((level, row["Tag"]))
            if "universal" in row["Types of Matching"]:
                matched.add((level, row["Tag"]))
    return Facts(
        frozenset(classes),
        frozenset(syntaxes),
        frozenset(keys),
        frozenset(matched),
        frozenset((*_codes(made, "status-reasons"), *_codes(made, "event-status"))),
        frozenset(_codes(made, "status-behaviour")),
        frozenset(_rejections(made)),
    )


_WORKLIST = "WORKLIST"
_SERVICES = {
    "Verify Communication": "ECHO", "Receive Instances": "STORE", "Answer Queries": "FIND",
    "Answer Move Requests": "MOVE", "Answer Get Requests": "GET", "Answer Storage Commitment Requests": "ACTION",
    "Verify a Peer": "ECHO", "Send Files": "STORE", "Send Instances": "STORE", "Query a Peer": "FIND",
    "Have a Peer Send": "MOVE", "Retrieve from a Peer": "GET", "Report Storage Commitment": "EVENT",
    "Receive Storage Commitment Reports": "EVENT", "Request Storage Commitment": "ACTION",
    "Receive Performed Procedure Steps": "MPPS", "Pass On Performed Procedure Steps": "MPPS",
    "Report a Procedure Step": "MPPS",
    "Receive Notifications": "NOTIFICATION", "Notify of Studies": "NOTIFICATION",
    "Answer Worklist Queries": _WORKLIST, "Query a Worklist": _WORKLIST,
}  # fmt: skip


def _rejections(made: Statement) -> Iterator[str]:
    for table in made.tables("rejections"):
        for row in table.records():
            yield "/".join(cell.partition(" ")[0] for cell in list(row.values())[:3])


def _codes(made: Statement, kind: str) -> Iterator[tuple[str, str]]:
    for table in made.tables(kind):
        service = _SERVICES.get(table.about, table.about)
        for row in table.records():
            for code in row["Error Code"].split(", "):
                yield service, code
        yield service, "*"


# --- whether a row is contained


def contained(table: str, row: Row, facts: Facts) -> bool:
    """Whether a statement's tables contain a row of the catalogue's `table` (without the source's name)."""
    return _CONTAINED[table](row, facts)


def _class(row: Row, facts: Facts) -> bool:
    wanted = {role.upper() for role in ("scu", "scp") if row[role].lower() in ("yes", "option")}
    return bool(wanted) and all((row["uid"], role) in facts.classes for role in wanted)


_MODELS = {
    ("Patient Root", "FIND"): uids.PATIENT_ROOT_FIND, ("Study Root", "FIND"): uids.STUDY_ROOT_FIND,
    ("Patient/Study Only", "FIND"): uids.PATIENT_STUDY_ONLY_FIND, ("Patient Root", "MOVE"): uids.PATIENT_ROOT_MOVE,
    ("Study Root", "MOVE"): uids.STUDY_ROOT_MOVE, ("Patient/Study Only", "MOVE"): uids.PATIENT_STUDY_ONLY_MOVE,
    ("Patient Root", "GET"): uids.PATIENT_ROOT_GET, ("Study Root", "GET"): uids.STUDY_ROOT_GET,
    ("Patient/Study Only", "GET"): uids.PATIENT_STUDY_ONLY_GET,
}  # fmt: skip


_ASKED = {"FIND": uids.STUDY_ROOT_FIND, "MOVE": uids.STUDY_ROOT_MOVE, "ECHO": uids.VERIFICATION}


def abstract_of(context: str) -> str:
    """The SOP class that a context of a `*_transfer_syntaxes.csv` speaks of: a UID, `storage`, or '' for another."""
    if found := re.search(r" for (1\.[\d.]+)", context):
        return found[1]
    for (model, verb), uid in _MODELS.items():
        if model in context and verb in context:
            return uid
    if context.startswith("Verification"):
        return uids.VERIFICATION
    if context.startswith("Storage Commitment"):
        return uids.STORAGE_COMMITMENT_PUSH
    if context.startswith(("MPPS", "Modality Performed", "Supported transfer syntaxes (T87): MPPS")):
        return uids.MODALITY_PERFORMED_PROCEDURE_STEP
    if context.startswith(("MWL", "Modality Worklist", "Supported transfer syntaxes (T87): MWL")):
        return uids.MODALITY_WORKLIST_FIND
    if context.startswith("Basic Study Content"):
        return uids.BASIC_STUDY_CONTENT_NOTIFICATION
    if context.startswith("IAN"):
        return uids.INSTANCE_AVAILABILITY_NOTIFICATION
    if context.startswith("Supported transfer syntaxes (T87): C-"):
        return _ASKED.get(context[-4:], "")
    return "storage" if context.startswith(("Storage SC", "Image ", "must be accepted by")) else ""


def _syntax(row: Row, facts: Facts) -> bool:
    role = "SCP" if " SCP" in row["context"] else "SCU"
    abstract = abstract_of(row["context"])
    if abstract != "storage":
        return (abstract, role, row["uid"]) in facts.syntaxes
    mine = {uid for uid, r, syntax in facts.syntaxes if r == role and syntax == row["uid"]}
    return mine >= _STORAGE_FLOOR


_STORAGE_FLOOR = frozenset(
    entry.uid for entry in sop_classes.classes_of("storage") if not entry.private and not entry.retired
)
"""A syntax of storage contexts has to be there for every one of these."""


def _contexts(row: Row, facts: Facts) -> bool:
    """A row of the samples' presentation contexts, with all of its transfer syntaxes in its role."""
    uid, wanted = row["abstract_syntax_uid"], row["transfer_syntax_uids"].split()
    classes = _STORAGE_FLOOR if uid.startswith("see ") else {uid}
    return bool(wanted) and {(each, row["role"], syntax) for each in classes for syntax in wanted} <= facts.syntaxes


_LEVELS = ("PATIENT", "STUDY", "SERIES", "IMAGE")


def _key(row: Row, facts: Facts) -> bool:
    service, asked = row["service"].upper(), row["matching_types"]
    if "MWL" in service or "WORKLIST" in service or row["ae"] == "MWL_CLIENT":
        return _worklist_key(row, facts)
    if not any(verb in service for verb in ("FIND", "MOVE", "QUERY")):
        return False
    if any(word in service for word in ("HANGING", "PRODUCT", "SUBSTANCE")):
        return False
    if row["role"] == "SCU":
        return ("FIND", "0000") in facts.understood  # the commands send any key
    if "MOVE" in service:
        return row["tag"] in _RETRIEVED or any(tag == row["tag"] for _, tag in facts.keys)
    level = row["level"].partition(" ")[0]
    if row["tag"] in ("(0008,0052)",):
        return True
    over = _LEVELS if level == "ALL" else _LEVELS[: _LEVELS.index(level) + 1] if level in _LEVELS else ()
    found = facts.keys if _return_only(asked) else facts.matched
    paths = _paths(row["tag"], facts) if over else []
    return any((each, path) in found for each in over for path in paths)


def _worklist_key(row: Row, facts: Facts) -> bool:
    """A key of the worklist; one of which nothing is made stands in no table."""
    if row["role"] == "SCU":
        return (_WORKLIST, "0000") in facts.understood
    if row["tag"] == "(0008,0005)":
        return True  # in the table of what is returned without being asked for
    paths = _paths(row["tag"], facts)
    known = any(level == _WORKLIST for level, path in facts.keys if path in paths)
    unused = "neither" in row["matching_types"] or "return key no" in row["note"]
    return known or unused


_RETRIEVED = frozenset({"(0008,0052)", "(0010,0020)", "(0020,000D)", "(0020,000E)", "(0008,0018)"})


def _return_only(asked: str) -> bool:
    return asked.startswith(("return only", "NONE", "not supported", "universal (return", "sequence: return"))


def _paths(tag: str, facts: Facts) -> list[str]:
    """Our keys for the tag alone, or at the end of a sequence's items."""
    wanted = tag.replace(">", " ")
    return [path for _, path in facts.keys if path == wanted or path.endswith(f" {wanted}")]


def _status(row: Row, facts: Facts) -> bool:
    name, code = row["service"], code_of(row)
    if "A-ASSOCIATE-RJ" in name:
        return ("sent" not in row["role"]) or code in facts.rejections
    if "A-ABORT" in name or "communication failure" in name:
        return True  # every activity has a table of what happens then (C-TPL-4.2.x.3.y.3)
    service = _WORKLIST if row.get("ae") == "MWL_CLIENT" else service_of(name)
    if row.get("ae") == "MPPS" and name.startswith("Response status handler"):
        service = "MPPS"
    return any(each == service and covers(ours, code) for each, ours in _spoken(row, facts))


def _spoken(row: Row, facts: Facts) -> frozenset[tuple[str, str]]:
    """The statuses of our tables that a row may be among. In storage commitment the report goes the other way."""
    reported = "N-EVENT-REPORT" in row["service"]
    ours = row["role"].startswith("SCU") if not reported else "response" not in row["service"]
    return facts.understood if ours else facts.answered


def code_of(row: Row) -> str:
    """The code of a row, or what stands for it in words."""
    code = (row.get("code_hex") or row.get("code_hex_or_http") or "").strip()
    return code or row["status_meaning"]


def service_of(name: str) -> str:
    """The DIMSE service that a `*_status_codes.csv` speaks of, '' for another."""
    if any(word in name for word in ("Hanging", "Substance", "Print")):
        return ""
    if "C-FIND" in name and any(word in name for word in ("MWL", "Worklist")):
        return _WORKLIST
    for word, service in (
        ("C-ECHO", "ECHO"), ("C-STORE", "STORE"), ("C-FIND", "FIND"), ("C-MOVE", "MOVE"), ("C-GET", "GET"),
        ("Storage Commitment N-ACTION", "ACTION"), ("Storage Commitment N-EVENT-REPORT", "EVENT"), ("MPPS", "MPPS"),
        ("BSCN", "NOTIFICATION"), ("IAN", "NOTIFICATION"),
    ):  # fmt: skip
        if word in name:
            return service
    return ""


def covers(ours: str, theirs: str) -> bool:
    """Whether a code or range of our tables covers that of a source (`A7xx`, `A700-A7FF`, `0000`, words for any)."""
    wanted = _range(theirs)
    if ours == "*":
        return wanted is None and ("any" in theirs or "other" in theirs or theirs in ("*", "xxxx"))
    low = _range(ours)
    return low is not None and wanted is not None and low[0] <= wanted[1] and wanted[0] <= low[1]


def _range(text: str) -> tuple[int, int] | None:
    if re.fullmatch(r"[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}", text):
        return int(text[:4], 16), int(text[5:], 16)
    if re.fullmatch(r"[0-9A-Fa-f]{4}", text):
        return int(text, 16), int(text, 16)
    if re.fullmatch(r"[0-9A-Fa-f]{1,3}x{1,3}", text):
        return int(text.replace("x", "0"), 16), int(text.replace("x", "F"), 16)
    return None


_CONTAINED: dict[str, Callable[[Row, Facts], bool]] = {
    "sop_classes": _class,
    "transfer_syntaxes": _syntax,
    "presentation_contexts": _contexts,
    "query_keys": _key,
    "status_codes": _status,
}


# --- the listed differences


class Difference(NamedTuple):
    """A line of the page: which rows differ, what will settle that, and why."""

    table: str
    wanted: tuple[tuple[str, tuple[str, ...]], ...]
    """Columns, and the patterns of which their values fit one."""
    settled_by: str
    reason: str

    def covers(self, row: Row) -> bool:
        """Whether the line speaks of a row."""
        return all(any(fnmatchcase(row[column], each) for each in patterns) for column, patterns in self.wanted)


@cache
def differences(path: Path = DIFFERENCES) -> tuple[Difference, ...]:
    """The lines of docs/conformance-differences.md. ValueError for one that can't be read."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            table, wanted, settled_by, reason = (cell.strip() for cell in line.strip().strip("|").split("|"))
            columns = (part.strip().partition("=") for part in wanted.strip("`").split(";"))
            patterns = tuple((name, tuple(value.split(" or "))) for name, _, value in columns)
            found.append(Difference(table.strip("`"), patterns, settled_by, reason))
    return tuple(found)
