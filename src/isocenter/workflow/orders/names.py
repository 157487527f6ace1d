"""Names of people: XPN, XCN and NDL as person names of DICOM (PS3.5 6.2.1; HL7 2.8 2.A.88, 2.A.89, 2.A.47)."""

from collections.abc import Sequence
from typing import Final

from isocenter.dicom.person_name import GROUPS
from isocenter.hl7.message import Repetition
from isocenter.workflow.orders.sources import is_null

Name = dict[str, str]
"""A value of VR PN in the DICOM JSON model."""

_GROUP_OF: Final = {"": GROUPS[0], "A": GROUPS[0], "I": GROUPS[1], "P": GROUPS[2]}
"""Name representation code, HL7 table 0465."""
_PREFERRED: Final = ("L", "", "D", "B", "A", "U", "C", "M")
"""Name types (HL7 table 0200), the best first: legal, unsaid, display."""
_DELIMITERS: Final = str.maketrans("^=\\", "   ")


def name_of(repetitions: Sequence[Repetition]) -> list[Name]:
    """An XPN: the repetitions of one person's name in several scripts are the groups of one value."""
    return _best(repetitions, 0, 6, 7)


def person_of(repetitions: Sequence[Repetition]) -> list[Name]:
    """An XCN, or a CN as before HL7 2.3: like an XPN behind the person's identifier. One without a name is none:
    an identifier is not what people are called by."""
    return _best(repetitions, 1, 9, 14)


def people_of(repetitions: Sequence[Repetition]) -> list[Name]:
    """Several people, each as an XCN."""
    return [name for each in repetitions for name in person_of([each])]


def names_of(repetitions: Sequence[Repetition]) -> list[Name]:
    """Several names, each as an XPN."""
    return [name for each in repetitions for name in name_of([each])]


def performer_of(repetitions: Sequence[Repetition]) -> list[Name]:
    """An NDL: the person's parts are the subcomponents of its first component. Senders that write an XCN here are
    understood."""
    persons = [_promoted(each) for each in repetitions]
    return person_of(persons)


def _promoted(repetition: Repetition) -> Repetition:
    first = repetition[0] if repetition else ()
    return tuple((part,) for part in first) if len(first) > 1 else repetition


def _best(repetitions: Sequence[Repetition], at: int, type_at: int, representation_at: int) -> list[Name]:
    chosen: dict[str, tuple[int, str]] = {}
    for repetition in repetitions:
        group = _GROUP_OF.get(_part(repetition, representation_at).upper())
        text = "" if group is None or is_null(repetition) else _group(repetition, at)
        if group is None or not text:
            continue
        rank = _rank(_part(repetition, type_at).upper())
        if group not in chosen or rank < chosen[group][0]:
            chosen[group] = (rank, text)
    return [{group: chosen[group][1] for group in GROUPS if group in chosen}] if chosen else []


def _rank(kind: str) -> int:
    return _PREFERRED.index(kind) if kind in _PREFERRED else len(_PREFERRED)


def _group(repetition: Repetition, at: int) -> str:
    """family^given^middle^prefix^suffix; a degree stands behind the suffix."""
    family, given, second, suffix, prefix, degree = (_part(repetition, at + n) for n in range(6))
    # FN: the surname as a whole, else its prefix and the rest (HL7 2.8 2.A.30)
    family = family or " ".join(part for n in (1, 2) if (part := _part(repetition, at, n)))
    endings = " ".join(part for part in (suffix, degree) if part)
    return "^".join((family, given, second, prefix, endings)).rstrip("^")


def _part(repetition: Repetition, index: int, sub: int = 0) -> str:
    if index >= len(repetition) or sub >= len(repetition[index]):
        return ""
    text = repetition[index][sub].translate(_DELIMITERS).strip()
    return "" if text == '""' else " ".join(text.split())
