"""The query keys of the archive: at which level each lies, where the index keeps it, how it matches, if it is returned.

One source for the header scan (which elements to read), the index (where their values go), the matcher (query -> SQL),
C-FIND, QIDO-RS and the conformance statement. PS3.4 C.6; M-FIND-07, M-FIND-08, I-FIND-04, I-FIND-06, I-QIDO-05.

Where a value lies (`Key.place`):

- COLUMN: `index.tables.<level's table>.<Key.column>`; with `Key.fold` also `<fold>_fold` (person names of a patient and
  a referring physician have `<fold>_ideographic_fold` and `<fold>_phonetic_fold` beside it).
- ATTRIBUTE: rows of `index.tables.attribute` for matching, and the DICOM JSON object in the level's `attributes` column
  for return. A row is (level, path, item, value, fold): one for each value of a multi-valued element, one for each
  non-empty component group of a person name (`value` is the complete name, `fold` that of the group); equal rows once.
  `item` is 0 outside sequences, else 1 + the index of the outermost item. Sequences have no row of their own.
- COMPUTED: counts, distinct values below, and what the service itself knows (RetrieveURL and the like).
"""

from enum import Enum, Flag, StrEnum, auto
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from isocenter.dicom import dictionary

Path = tuple[int, ...]
"""Tags from the data set down to the element: (0x00400275, 0x00400009)."""


class Level(StrEnum):
    """Query/Retrieve Level (0008,0052), PS3.4 C.6."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"

    @property
    def code(self) -> str:
        """The level's letter in `index.tables.attribute`."""
        return _CODES[self]

    @property
    def table(self) -> str:
        """The level's table in `index.tables`."""
        return "instance" if self is Level.IMAGE else self.value.lower()

    @property
    def above(self) -> tuple["Level", ...]:
        """The levels over this one, nearest first."""
        order = tuple(Level)
        return order[: order.index(self)][::-1]


_CODES = {Level.PATIENT: "P", Level.STUDY: "S", Level.SERIES: "E", Level.IMAGE: "I"}


class Place(Enum):
    """Where the index keeps a key's value."""

    COLUMN = "column"
    ATTRIBUTE = "attribute"
    COMPUTED = "computed"


class Match(Flag):
    """The kinds of matching of PS3.4 C.2.2.2 that a key takes part in; universal matching goes without saying."""

    NONE = 0
    SINGLE = auto()
    LIST = auto()
    WILDCARD = auto()
    RANGE = auto()
    SEQUENCE = auto()


class Key(NamedTuple):
    """One query key at one level."""

    level: Level
    path: Path
    vr: str
    place: Place
    column: str
    """The column of the level's table; '' unless `place` is COLUMN."""
    fold: str
    """The stem of its fold columns, or ''."""
    matching: Match
    returned: bool
    unique: bool
    """The unique key of its level."""
    folded: bool
    """Matches without regard to case and marks, unless the AE is set to heed them."""

    @property
    def keyword(self) -> str:
        """Keywords of the path joined by dots; hexadecimal where the dictionary has none."""
        return ".".join(dictionary.keyword_of(tag) or f"{tag:08X}" for tag in self.path)

    @property
    def dotted(self) -> str:
        """The path as `index.tables.attribute` and QIDO-RS write it: `00400275.00400009`."""
        return dotted(self.path)


_WILD = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_RANGED = frozenset({"DA", "TM", "DT"})
_FOLDED = frozenset({"LO", "LT", "PN", "ST", "UC", "UT"})


def matching_of(vr: str) -> Match:
    """The kinds of matching that PS3.4 C.2.2.2 defines for a value representation."""
    if vr == "SQ":
        return Match.SEQUENCE
    if vr == "UI":
        return Match.SINGLE | Match.LIST
    if vr in _RANGED:
        return Match.SINGLE | Match.RANGE
    return Match.SINGLE | Match.WILDCARD if vr in _WILD else Match.SINGLE


def dotted(path: Path) -> str:
    """`path` in hexadecimal, joined by dots."""
    return ".".join(f"{tag:08X}" for tag in path)


def resolve(name: str) -> Path | None:
    """The path that a keyword, a tag or several of them joined by dots stand for: `PatientName`, `00100010`,
    `00400275.00400009`, `RequestAttributesSequence.ScheduledProcedureStepID`; None where a part is neither."""
    path = tuple(_tag(part) for part in name.strip().split("."))
    return None if None in path else tuple(tag for tag in path if tag is not None)


def _tag(name: str) -> int | None:
    if not name:
        return None
    if len(name) == 8:
        try:
            return int(name, 16)
        except ValueError:
            pass  # a keyword of eight letters
    return dictionary.tag_of(name)


@cache
def keys() -> tuple[Key, ...]:
    """Every key of the archive, in the order of data/query_keys.tsv."""
    lines = files("isocenter.declarations").joinpath("data/query_keys.tsv").read_text("ascii").splitlines()
    return tuple(key for line in lines for key in _keys_of(line.split("\t")))


@cache
def keys_at(level: Level) -> dict[Path, Key]:
    """The keys that lie at `level` itself."""
    return {key.path: key for key in keys() if key.level is level}


@cache
def keys_for(level: Level, more: tuple[Key, ...] = ()) -> dict[Path, Key]:
    """The keys that a query at `level` may name: its own and those of the levels above, the nearest winning. `more`:
    what an installation indexes besides (`configured_keys`)."""
    found: dict[Path, Key] = {}
    for each in (level, *level.above):
        for path, key in keys_at(each).items():
            found.setdefault(path, key)
        for key in more:
            if key.level is each:
                found.setdefault(key.path, key)
    return found


def key(level: Level, path: Path, more: tuple[Key, ...] = ()) -> Key | None:
    """The key that `path` stands for in a query at `level`, or None if it is not supported there."""
    return keys_for(level, more).get(path)


@cache
def unique_key(level: Level) -> Key:
    """The unique key of `level` (PS3.4 C.6.1.1)."""
    return next(key for key in keys_at(level).values() if key.unique)


def _keys_of(fields: list[str]) -> list[Key]:
    letters, name, where, *flags = fields
    place, _, column = where.partition(":")
    marks = flags[0].split() if flags else []
    levels = tuple(Level) if letters == "*" else tuple(lv for lv in Level if lv.code == letters)
    return [_key(level, name, Place(place), column, marks) for level in levels]


def _key(level: Level, name: str, place: Place, column: str, marks: list[str]) -> Key:
    named, _, vr = name.partition(":")
    path = resolve(named)
    if path is None:
        raise ValueError(f"query_keys.tsv: {name} is no element")
    vr = vr or dictionary.vr_of(path[-1])
    fold = next((mark.removeprefix("fold:") for mark in marks if mark.startswith("fold:")), "")
    return Key(
        level=level,
        path=path,
        vr=vr,
        place=place,
        column=column,
        fold=fold,
        matching=Match.NONE if "return-only" in marks else matching_of(vr),
        returned="match-only" not in marks,
        unique="unique" in marks,
        folded=bool(fold) or (place is Place.ATTRIBUTE and vr in _FOLDED and "exact" not in marks),
    )
