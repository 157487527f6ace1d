"""Tables of values: what a code of HL7 is in DICOM. Data: `data/values.tsv`, and rows of a site's own mapping."""

from collections.abc import Iterable
from functools import cache
from importlib.resources import files


class Values:
    """Tables by name; codes are looked up whatever their case."""

    def __init__(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """`rows`: table, code, value; later rows replace earlier ones."""
        self._tables: dict[str, dict[str, str]] = {}
        for table, code, value in rows:
            self._tables.setdefault(table, {})[code.upper()] = value

    @property
    def names(self) -> frozenset[str]:
        """The tables there are."""
        return frozenset(self._tables)

    def listed(self, table: str, code: str) -> str:
        """The value of a code; '' for one that the table doesn't hold."""
        return self._tables.get(table, {}).get(code.strip().upper(), "")

    def translated(self, table: str, code: str) -> str:
        """The value of a code; the code itself where the table doesn't hold it."""
        return self._tables.get(table, {}).get(code.strip().upper(), code)

    def with_rows(self, rows: Iterable[tuple[str, str, str]]) -> "Values":
        """These tables, and rows on top."""
        mine = [(name, code, value) for name, table in self._tables.items() for code, value in table.items()]
        return Values([*mine, *rows])


@cache
def standard() -> Values:
    """The tables that come with the program."""
    text = files("isocenter.workflow.orders").joinpath("data/values.tsv").read_text("utf-8")
    rows = (line.split("\t") for line in text.splitlines() if line and not line.startswith("#"))
    return Values((row[0], row[1], row[2]) for row in rows)
