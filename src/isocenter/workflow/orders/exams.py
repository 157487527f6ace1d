"""The table of exams: what one Universal Service ID stands for, as a site writes it down (P-MWL-08, X-RIS-10).

A CSV file with a heading. A line is one scheduled procedure step; lines with the same `exam` are the steps of that
exam, and those among them with the same `procedure` belong to one requested procedure. Columns may be left out.
"""

import csv
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Final, NamedTuple

from isocenter.errors import ConfigurationError
from isocenter.hl7.message import Repetition

COLUMNS: Final = {
    "exam": "the code, as OBR-4 or AIS-3 has it",
    "scheme": "its coding scheme; empty: any",
    "procedure": "code of the requested procedure; empty: the exam's own",
    "procedure_meaning": "its meaning",
    "procedure_scheme": "its coding scheme",
    "protocol": "code of the protocol",
    "protocol_meaning": "its meaning",
    "protocol_scheme": "its coding scheme",
    "modality": "Modality",
    "station_ae": "Scheduled Station AE Titles, separated by spaces",
    "station_name": "Scheduled Station Name",
    "location": "Scheduled Procedure Step Location: the room",
    "description": "Scheduled Procedure Step Description",
    "duration": "minutes that it takes",
    "premedication": "Pre-Medication",
    "contrast": "Requested Contrast Agent",
    "comments": "Comments on the Scheduled Procedure Step",
    "reason": "Reason for the Requested Procedure",
}
"""What each column holds."""
NAMES: Final = frozenset(COLUMNS) - {"exam", "scheme"}
"""What a mapping may ask for; those of a code come as a whole: code, meaning, scheme."""
_CODES: Final = frozenset({"procedure", "protocol"})
_LARGEST: Final = 16 << 20


class Step(NamedTuple):
    """One line of the table: a step, and which procedure and step of its exam it is, from 0."""

    values: Mapping[str, str]
    procedure: int = 0
    step: int = 0

    def repetitions(self, name: str) -> tuple[Repetition, ...]:
        """A column's value as a field would have it."""
        text = self.values.get(name, "")
        if not text:
            return ()
        if name in _CODES:
            meaning, scheme = (self.values.get(f"{name}_{part}", "") for part in ("meaning", "scheme"))
            return (((text,), (meaning,), (scheme,)),)
        if name == "station_ae":
            return tuple(((title,),) for title in text.split())
        return (((text,),),)


class Exams:
    """The steps of each exam."""

    def __init__(self, rows: Iterable[Mapping[str, str]] = ()) -> None:
        self._steps: dict[str, list[Step]] = {}
        for row in rows:
            self._add(row)

    def __len__(self) -> int:
        return len(self._steps)

    def _add(self, row: Mapping[str, str]) -> None:
        known = self._steps.setdefault(row["exam"], [])
        same_scheme = [each for each in known if each.values.get("scheme", "") == row.get("scheme", "")]
        numbers = {each.values.get("procedure", ""): each.procedure for each in same_scheme}
        number = numbers.setdefault(row.get("procedure", ""), len(numbers))
        known.append(Step(row, number, sum(each.procedure == number for each in same_scheme)))

    def steps(self, code: str, scheme: str = "") -> list[Step]:
        """The steps of an exam, in the table's order: of the lines for this coding scheme, else of those for any; none
        where the table doesn't hold it."""
        found = self._steps.get(code, ())
        schemed = [each for each in found if scheme and each.values.get("scheme") == scheme]
        return schemed or [each for each in found if not each.values.get("scheme")]


def read(path: Path) -> Exams:
    """The table in a file of UTF-8 (CSV, separated by commas or semicolons). Raises ConfigurationError."""
    try:
        if path.stat().st_size > _LARGEST:
            raise ConfigurationError(f"{path}: larger than {_LARGEST >> 20} MiB")
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigurationError(f"{path}: the table of exams can't be read: {fault}") from fault
    return parse(text, str(path))


def parse(text: str, origin: str) -> Exams:
    """The table in `text`. Raises ConfigurationError that names `origin` and the line."""
    heading = text.partition("\n")[0]
    separator = ";" if heading.count(";") > heading.count(",") else ","
    reader = csv.DictReader(StringIO(text), delimiter=separator, restkey="", restval="", strict=True)
    columns = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = columns
    for name in columns:
        if name not in COLUMNS:
            raise ConfigurationError(f"{origin}: {name!r} is no column; there are {', '.join(COLUMNS)}")
    if "exam" not in columns:
        raise ConfigurationError(f"{origin}: the heading has no column exam")
    return Exams(_rows(reader, origin))


def _rows(reader: "csv.DictReader[str]", origin: str) -> Iterable[Mapping[str, str]]:
    try:
        for row in reader:
            if row.get(""):
                raise ConfigurationError(f"{origin}: line {reader.line_num} has more values than the heading")
            values = {name: value.strip() for name, value in row.items() if name}
            if not any(values.values()):
                continue
            if not values["exam"]:
                raise ConfigurationError(f"{origin}: line {reader.line_num} names no exam")
            _check(values, f"{origin}: line {reader.line_num}")
            yield values
    except csv.Error as wrong:
        raise ConfigurationError(f"{origin}: line {reader.line_num}: {wrong}") from wrong


def _check(values: Mapping[str, str], where: str) -> None:
    duration = values.get("duration", "")
    if duration and not (duration.isdecimal() and 0 < int(duration) <= 10080):
        raise ConfigurationError(f"{where}: duration is a number of minutes")
    if any(len(title) > 16 for title in values.get("station_ae", "").split()):
        raise ConfigurationError(f"{where}: an AE title has at most 16 characters")
