"""The storage rows of the catalogue: which SOP classes in which transfer syntaxes, by source, AE and role.

A pair is (SOP Class UID, Transfer Syntax UID). Rows of other services are told apart by the service that the registry
of SOP classes gives their UID, and belong to the work on that service.
"""

import csv
from collections.abc import Callable, Iterator
from functools import cache
from typing import Literal, NamedTuple

from isocenter.declarations import sop_classes
from material import REQUIREMENTS

Role = Literal["scu", "scp"]
Pair = tuple[str, str]
Row = dict[str, str]

OTHER_SERVICES = frozenset(
    ["verification", "query", "retrieve", "worklist", "procedure_step", "storage_commitment", "print", "notification",
     "machine_verification", "substance", "media"]
)  # fmt: skip
"""Categories of classes that no object is stored under."""
SOURCES = ("iconnect", "intellibridge", "marie", "sendtopacs", "ps32")


class Table(NamedTuple):
    """What one AE of a source stores, in one role."""

    source: str
    ae: str
    role: Role

    @property
    def name(self) -> str:
        """For the test's id."""
        return f"{self.source}-{self.ae}-{self.role}".replace(" ", "_")


def rows(name: str) -> list[Row]:
    """The rows of a CSV file of the catalogue."""
    return list(csv.DictReader((REQUIREMENTS / f"{name}.csv").read_text("utf-8").splitlines()))


def is_storage_row(row: Row) -> bool:
    """Whether it names a class that is stored, or negotiated as if it were (M-STORE-14)."""
    known = sop_classes.registry().get(row["uid"])
    if known is None or "Print" in row["service"] or "BSCN" in row["service"]:
        return False
    return row["service"] != "Media Storage" and (known.category == sop_classes.STORAGE or known.stored_by_some)


@cache
def tables() -> dict[Table, frozenset[Pair]]:
    """The pairs of every table of the catalogue that has any."""
    found: dict[Table, set[Pair]] = {}
    for table, pair in (*_by_class(), *_of_examples()):
        found.setdefault(table, set()).add(pair)
    return {table: frozenset(pairs) for table, pairs in found.items()}


def pairs(source: str = "", role: str = "") -> frozenset[Pair]:
    """The pairs of all tables, or of one source or role."""
    chosen = (p for t, p in tables().items() if source in ("", t.source) and role in ("", t.role))
    return frozenset().union(*chosen)


def storable(pair: Pair) -> bool:
    """Whether objects of the class exist, other than of a class that is only negotiated."""
    return sop_classes.is_storage(pair[0])


def _by_class() -> Iterator[tuple[Table, Pair]]:
    for source in SOURCES[:-1]:
        syntaxes = rows(f"{source}_transfer_syntaxes")
        for row in filter(is_storage_row, rows(f"{source}_sop_classes")):
            for role in ("scu", "scp"):
                if row[role] == "yes":
                    for syntax in _syntaxes(syntaxes, row, role):
                        yield Table(source, row["ae"], role), (row["uid"], syntax)


def _syntaxes(table: list[Row], row: Row, role: str) -> list[str]:
    """The syntaxes of a class: those of its own context, else those of the AE's storage contexts."""
    wanted = f"{role.upper()} {'proposed' if role == 'scu' else 'accepted'}"
    ours: Callable[[Row], bool] = lambda r: r["ae"] == row["ae"] and wanted in r["context"]  # noqa: E731
    own = [r["uid"] for r in table if ours(r) and r["context"].endswith(f"for {row['uid']}")]
    return own or [r["uid"] for r in table if ours(r) and r["context"].startswith("Storage S")]


def _of_examples() -> Iterator[tuple[Table, Pair]]:
    classes = [row for row in rows("ps32_sop_classes") if is_storage_row(row)]
    for context in rows("ps32_presentation_contexts"):
        role: Role = "scu" if context["direction"] == "proposed" else "scp"
        uids = [context["abstract_syntax_uid"]]
        if uids == ["see ps32_sop_classes.csv"]:
            uids = [r["uid"] for r in classes if (r["annex"], r["ae"]) == (context["annex"], context["ae"])]
        for uid in filter(sop_classes.is_storage, uids):
            for syntax in context["transfer_syntax_uids"].split():
                yield Table("ps32", f"{context['annex']} {context['ae']}", role), (uid, syntax)
