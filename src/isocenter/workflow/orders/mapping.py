"""Which attribute of a worklist item is filled from where: presets, and a site's own rows over one of them.

A mapping is text, tab separated, a line an attribute: its path, its sources in their order (`sources`), the conversion
(`conversions`), a note. `#` begins a comment. In a site's own file a line takes the place of the preset's line for the
same attribute, one without sources takes the attribute out; `@over x-ris` names the preset (rad-4 if none is named) and
`@value sex D O` puts a code into a table of values.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple

from isocenter.errors import ConfigurationError
from isocenter.rules import paths
from isocenter.workflow.orders import exams, identifiers, sources
from isocenter.workflow.orders.conversions import ARGUMENTS, CONVERSIONS, makes
from isocenter.workflow.orders.sources import Kind, Source
from isocenter.workflow.orders.values import Values, standard

PRESETS: Final = ("rad-4", "x-ris")
"""The mappings that come with the program."""
STEPS: Final = 0x00400100
_LARGEST: Final = 1 << 20
_IDENTITY: Final = ("PatientID", "IssuerOfPatientID")
_TABLES: Final = frozenset({"table", "listed"})


class Row(NamedTuple):
    """How one attribute is filled."""

    path: paths.Path
    sources: tuple[Source, ...]
    conversion: str
    argument: str = ""
    lenient: bool = False
    """What can't be understood is left out, and told of."""
    note: str = ""
    name: str = ""
    """The path as text."""
    keyword: str = ""
    """The attribute's keyword."""
    generated: str = ""
    """What is made where no source has a value: the last source's name; '' for none."""
    fields: frozenset[tuple[str, int]] = frozenset()
    """Those that it is filled from: segment and number."""
    exam: bool = False
    """It may have a value from the table of exams."""
    made: bool = False
    """It may have one without either."""


@dataclass(frozen=True, eq=False)
class OrderMapping:
    """All rows, in the order in which they are filled, and the tables of values."""

    rows: tuple[Row, ...]
    values: Values

    @cached_property
    def by_name(self) -> Mapping[str, Row]:
        """The rows by the paths that they fill."""
        return {row.name: row for row in self.rows}

    @cached_property
    def identity(self) -> "OrderMapping":
        """The rows that say whose order it is."""
        return self.only(_IDENTITY)

    def only(self, names: Iterable[str]) -> "OrderMapping":
        """Those of the rows that fill these attributes."""
        return OrderMapping(tuple(self.by_name[name] for name in names if name in self.by_name), self.values)


class _Text(NamedTuple):
    over: str
    rows: Mapping[str, Row | None]
    values: tuple[tuple[str, str, str], ...]


@cache
def preset(name: str) -> OrderMapping:
    """The mapping that comes with the program under this name."""
    text = files("isocenter.workflow.orders").joinpath(f"data/{name}.tsv").read_text("utf-8")
    read = _read(text, name)
    return OrderMapping(tuple(row for row in read.rows.values() if row is not None), standard())


def load(name: str) -> OrderMapping:
    """A preset, or the mapping in the file of that name. Raises ConfigurationError."""
    if name in PRESETS:
        return preset(name)
    path = Path(name).expanduser()
    try:
        if path.stat().st_size > _LARGEST:
            raise ConfigurationError(f"{path}: larger than {_LARGEST >> 10} KiB")
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        known = ", ".join(PRESETS)
        raise ConfigurationError(f"{name!r} is no mapping: neither {known} nor a file that can be read") from fault
    return parse(text, str(path))


def parse(text: str, origin: str) -> OrderMapping:
    """A site's own mapping. Raises ConfigurationError that names `origin` and the line."""
    own = _read(text, origin)
    under = preset(own.over or PRESETS[0])
    rows: dict[str, Row | None] = {row.name: row for row in under.rows}
    rows.update(own.rows)
    mapping = OrderMapping(tuple(row for row in rows.values() if row), under.values.with_rows(own.values))
    _check_tables(mapping, origin)
    return mapping


def _read(text: str, origin: str) -> _Text:
    over, rows, values = "", dict[str, Row | None](), list[tuple[str, str, str]]()
    for number, line in _lines(text):
        where = f"{origin}: line {number}"
        try:
            if line.startswith("@over"):
                over = _over(line)
            elif line.startswith("@value"):
                values.append(_value(line))
            else:
                path, row = _row(line)
                if path in rows:
                    raise ValueError(f"{path} is filled by a line above already")
                rows[path] = row
        except ValueError as wrong:
            raise ConfigurationError(f"{where}: {wrong}") from wrong
    return _Text(over, rows, tuple(values))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield number, line


def _over(line: str) -> str:
    name = line.removeprefix("@over").strip()
    if name not in PRESETS:
        raise ValueError(f"{name!r} is no preset; there are {', '.join(PRESETS)}")
    return name


def _value(line: str) -> tuple[str, str, str]:
    table, code, value = (*line.split(None, 3)[1:], "", "", "")[:3]
    if not table or not code:
        raise ValueError("a value is written as @value TABLE CODE VALUE")
    return table, code, value.strip()


def _row(line: str) -> tuple[str, Row | None]:
    attribute, written, conversion, note = (*(part.strip() for part in line.split("\t")), "", "", "")[:4]
    path = paths.parse(attribute)
    if any(step.item > 0 for step in path.steps):
        raise ValueError("only the first item of a sequence is filled")
    asked = sources.parse_all(written)
    if not asked:
        return str(path), None
    name, _, argument = conversion.partition(":")
    lenient, name = name.endswith("?"), name.removesuffix("?") or "text"
    _check_conversion(name, argument)
    kind = makes(name, argument)
    if (kind or path.vr in ("SQ", "PN")) and kind != path.vr:
        raise ValueError(f"{conversion} makes nothing that {path} can hold (VR {path.vr})")
    for source in asked:
        _check_source(source, asked)
    last = asked[-1]
    generated = last.name if last.kind is Kind.GENERATED else ""
    keyword = str(path).rpartition(".")[2]
    fields = frozenset((source.name, source.field) for source in asked if source.kind is Kind.FIELD)
    exam = any(source.kind is Kind.EXAM for source in asked)
    made = any(source.kind not in (Kind.FIELD, Kind.EXAM) for source in asked)
    row = Row(path, asked, name, argument, lenient, note, str(path), keyword, generated, fields, exam, made)
    return row.name, row


def _check_conversion(name: str, argument: str) -> None:
    if name not in CONVERSIONS:
        raise ValueError(f"{name!r} is no conversion; there are {', '.join(CONVERSIONS)}")
    known = ARGUMENTS.get(name, ("",))
    if name not in _TABLES and argument not in known:
        raise ValueError(f"{name}:{argument} is no conversion")


def _check_source(source: Source, among: Iterable[Source]) -> None:
    if source.kind is Kind.EXAM and source.name not in exams.NAMES:
        raise ValueError(f"exam.{source.name} is no column of the table of exams")
    if source.kind is Kind.GENERATED:
        if source.name not in identifiers.KINDS:
            raise ValueError(f"generated.{source.name}: there are {', '.join(identifiers.KINDS)}")
        if source is not tuple(among)[-1]:
            raise ValueError("what is generated comes last")
    if source.kind is Kind.COPY:
        paths.parse(source.name)


def _check_tables(mapping: OrderMapping, origin: str) -> None:
    for row in mapping.rows:
        if row.conversion in _TABLES and row.argument not in mapping.values.names:
            raise ConfigurationError(f"{origin}: {row.path}: there is no table of values {row.argument!r}")
