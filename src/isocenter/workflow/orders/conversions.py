"""How what stands in a field becomes the value of an attribute: the third column of a mapping.

A conversion gives values of the DICOM JSON model (PS3.18 F.2.2), or none. It raises Unfit where a field can't be
understood.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from isocenter.hl7.message import NULL, Repetition
from isocenter.workflow.messages import reading
from isocenter.workflow.messages.handling import Feed
from isocenter.workflow.orders import names
from isocenter.workflow.orders.fitting import Unfit
from isocenter.workflow.orders.sources import Found, is_null
from isocenter.workflow.orders.values import Values


class Context(NamedTuple):
    """What a conversion may want to know besides the field."""

    feed: Feed
    values: Values
    got: Callable[[str], str]
    """The text that an attribute, by its keyword, has got so far; '' for none."""


Conversion = Callable[[Sequence[Found], Context, str], list[Any]]
"""The last argument is what stands behind the colon: the table of `table:sex`."""

_NUMBER: Final = re.compile(r"\d{1,6}(?:[.,]\d{1,6})?")
_UNITS: Final = {
    "weight": {"": 1, "KG": 1, "G": 1e-3, "LB": 0.45359237, "LBS": 0.45359237, "[LB_AV]": 0.45359237},
    "size": {"": 1, "M": 1, "CM": 1e-2, "MM": 1e-3, "IN": 0.0254, "[IN_I]": 0.0254, "FT": 0.3048, "[FT_I]": 0.3048},
}
"""Of DICOM: kilogrammes and metres (PS3.3 C.7.2.2)."""
_LONGEST_CODE: Final = 16
_WEEK: Final = 7 * 24 * 60


def _repetitions(found: Iterable[Found]) -> list[Repetition]:
    return [each for one in found for each in one.repetitions if not is_null(each)]


def part(repetition: Repetition, number: int, sub: int = 1) -> str:
    """A component's text, stripped; '' where there is none or it deletes."""
    if number > len(repetition) or sub > len(repetition[number - 1]):
        return ""
    text = repetition[number - 1][sub - 1].strip()
    return "" if text == NULL else text


def _texts(found: Sequence[Found]) -> list[str]:
    return [text for each in _repetitions(found) if (text := part(each, 1))]


def _text(found: Sequence[Found], _: Context, __: str) -> list[Any]:
    """The first value."""
    return _texts(found)[:1]


def _all(found: Sequence[Found], _: Context, __: str) -> list[Any]:
    """Every value, each once."""
    return list(dict.fromkeys(_texts(found)))


def _lines(found: Sequence[Found], _: Context, __: str) -> list[Any]:
    """Every value, line by line."""
    lines = _texts(found)
    return ["\r\n".join(line.replace("\r\n", "\n").replace("\n", "\r\n") for line in lines)] if lines else []


def _date(found: Sequence[Found], context: Context, _: str) -> list[Any]:
    return [date] if (date := _moment(found, context).date) else []


def _any_date(found: Sequence[Found], context: Context, _: str) -> list[Any]:
    """A date in a field that may hold anything."""
    try:
        return _date(found, context, "")
    except Unfit:
        return []


def _time(found: Sequence[Found], context: Context, _: str) -> list[Any]:
    return [time] if (time := _moment(found, context).time) else []


def _moment(found: Sequence[Found], context: Context) -> reading.Moment:
    text = next(iter(_texts(found)), "")
    try:
        return reading.moment(text, context.feed)
    except ValueError as wrong:
        raise Unfit("this is no date and time") from wrong


def _ends(form: str) -> Conversion:
    """The end of what begins at the step's start and takes so many minutes."""

    def end(found: Sequence[Found], context: Context, _: str) -> list[Any]:
        text = next(iter(_texts(found)), "")
        date, time = context.got("ScheduledProcedureStepStartDate"), context.got("ScheduledProcedureStepStartTime")
        if not text or len(date) != 8 or len(time) < 4:
            return []
        if not text.isdecimal() or not 0 < int(text) <= _WEEK:
            raise Unfit("this is no duration in minutes")
        try:
            started = datetime.strptime(date + time[:4], "%Y%m%d%H%M")
        except ValueError as wrong:
            raise Unfit("the start is no date and time") from wrong
        return [(started + timedelta(minutes=int(text))).strftime(form)]

    return end


def _coded(repetition: Repetition, first: int) -> dict[str, Any] | None:
    """A triplet of a CE or CWE as a code (PS3.3 8.1): a code without a scheme is of a local one."""
    value, meaning, scheme = (part(repetition, first + n) for n in range(3))
    if not value:
        return None
    attribute, vr = ("00080100", "SH") if len(value) <= _LONGEST_CODE else ("00080119", "UC")
    return {
        attribute: {"vr": vr, "Value": [value.replace("\\", "/")]},
        "00080102": {"vr": "SH", "Value": [(scheme or "99LOCAL")[:16].replace("\\", "/")]},
        "00080104": {"vr": "LO", "Value": [(meaning or value)[:64].replace("\\", "/")]},
    }


def _code(found: Sequence[Found], _: Context, argument: str) -> list[Any]:
    """Codes, each by its first triplet that has one; with `second` by the other first, where the field says more
    narrowly what is meant (OBR-4 of RAD-4: the protocol). With `scheme` only those that name one: the rest is text."""
    order = (4, 1) if argument == "second" else (1, 4)
    repetitions = _repetitions(found)
    if argument == "scheme":
        repetitions = [each for each in repetitions if part(each, 3)]
    coded = (next((code for at in order if (code := _coded(each, at))), None) for each in repetitions)
    return [each for each in coded if each]


def _description(found: Sequence[Found], _: Context, argument: str) -> list[Any]:
    """The words of a CE or CWE, or what stands there instead of them."""
    order = (5, 2, 9, 4, 1) if argument == "second" else (2, 5, 9, 1, 4)
    described = (next((text for at in order if (text := part(each, at))), "") for each in _repetitions(found))
    return list(dict.fromkeys(text for text in described if text))[: None if argument == "all" else 1]


def _table(found: Sequence[Found], context: Context, argument: str) -> list[Any]:
    """By a table of values; what it doesn't hold stays, what it holds as nothing is left out."""
    translated = (context.values.translated(argument, text) for text in _texts(found))
    return [text for text in translated if text][:1]


def _listed(found: Sequence[Found], context: Context, argument: str) -> list[Any]:
    """By a table of values; only what it holds."""
    translated = (context.values.listed(argument, text) for text in _texts(found))
    return [text for text in translated if text][:1]


def _measured(found: Sequence[Found], _: Context, argument: str) -> list[Any]:
    """A number with its unit (OBX-6), in the unit of DICOM."""
    for one in found:
        texts = (text for each in one.repetitions for component in each for text in component)
        number = next((match[0] for text in texts if (match := _NUMBER.fullmatch(text.strip()))), "")
        if not number:
            continue
        value = float(number.replace(",", "."))
        unit = one.segment.value(6).strip().upper() if one.segment is not None else ""
        factor = _UNITS[argument].get(unit)
        if factor is None:
            raise Unfit("the unit is not known")
        if argument == "size" and not unit and value > 3:
            factor = 1e-2  # nobody is taller than three metres: these are centimetres
        return [float(f"{value * factor:.6g}")]
    return []


def _location(found: Sequence[Found], _: Context, __: str) -> list[Any]:
    """A PL: point of care, room and bed; where there are none its building or description."""
    for each in _repetitions(found):
        near = [text for number in (1, 2, 3) if (text := part(each, number))]
        words = near or [text for number in (9, 7, 8, 4) if (text := part(each, number))][:1]
        if words:
            return ["/".join(words)]
    return []


def _telephone(found: Sequence[Found], _: Context, __: str) -> list[Any]:
    """XTNs: the number as it was written, else its parts."""
    numbers = []
    for each in _repetitions(found):
        parts = " ".join(text for n in (5, 6, 7) if (text := part(each, n)))
        if text := part(each, 1) or part(each, 12) or parts or part(each, 4):
            numbers.append(text)
    return list(dict.fromkeys(numbers))


def _address(found: Sequence[Found], _: Context, __: str) -> list[Any]:
    """An XAD: street, further designation, city, state, postal code, country."""
    for each in _repetitions(found):
        words = [text for number in (1, 2, 3, 4, 5, 6) if (text := part(each, number))]
        if words:
            return [", ".join(words)]
    return []


def _authority(found: Sequence[Found], _: Context, argument: str) -> list[Any]:
    """Who assigned an identifier: the rest of an EI, with `cx` the fourth component of a CX (PS3.3 table 10-17)."""
    for each in _repetitions(found):
        if argument == "cx":
            namespace, universal, kind = (part(each, 4, n) for n in (1, 2, 3))
        else:
            namespace, universal, kind = (part(each, n) for n in (2, 3, 4))
        item: dict[str, Any] = {}
        if namespace:
            item["00400031"] = {"vr": "UT", "Value": [namespace]}
        if universal:
            item["00400032"] = {"vr": "UT", "Value": [universal]}
            item["00400033"] = {"vr": "CS", "Value": [kind.upper() or "ISO"]}
        if item:
            return [item]
    return []


def _patient_id(found: Sequence[Found], context: Context, argument: str) -> list[Any]:
    """What the feed takes for the Patient ID, or with an argument its issuer, or the other identifiers."""
    segment = next((each.segment for each in found if each.segment is not None), None)
    chosen = reading.patient_identifier(segment, context.feed) if segment else None
    if segment is None or chosen is None:
        return []
    if argument == "issuer":
        return [chosen.issuer] if chosen.issuer else []
    if argument == "universal":
        if not chosen.universal_id:
            return []
        kind = chosen.universal_id_type.upper() or "ISO"
        item = {"00400032": {"vr": "UT", "Value": [chosen.universal_id]}, "00400033": {"vr": "CS", "Value": [kind]}}
        return [item]
    if argument == "others":
        others = dict.fromkeys(each for each in reading.identifiers(segment, 3, context.feed) if each.id != chosen.id)
        return [_other(each) for each in others]
    return [chosen.id]


def _other(identifier: reading.Identifier) -> dict[str, Any]:
    item: dict[str, Any] = {"00100020": {"vr": "LO", "Value": [identifier.id[:64].replace("\\", "/")]}}
    if identifier.issuer:
        item["00100021"] = {"vr": "LO", "Value": [identifier.issuer[:64].replace("\\", "/")]}
    return item | {"00100022": {"vr": "CS", "Value": ["TEXT"]}}


def _of_names(read: Callable[[Sequence[Repetition]], list[names.Name]]) -> Conversion:
    return lambda found, _, __: list(read(_repetitions(found)))


CONVERSIONS: Final[Mapping[str, Conversion]] = {
    "text": _text,
    "all": _all,
    "lines": _lines,
    "date": _date,
    "any-date": _any_date,
    "time": _time,
    "end-date": _ends("%Y%m%d"),
    "end-time": _ends("%H%M"),
    "name": _of_names(names.name_of),
    "names": _of_names(names.names_of),
    "person": _of_names(names.person_of),
    "people": _of_names(names.people_of),
    "performer": _of_names(names.performer_of),
    "code": _code,
    "description": _description,
    "table": _table,
    "listed": _listed,
    "measure": _measured,
    "location": _location,
    "telephone": _telephone,
    "address": _address,
    "authority": _authority,
    "patient-id": _patient_id,
}
"""By name."""
ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "code": ("", "second", "scheme"),
    "description": ("", "second", "all"),
    "measure": ("weight", "size"),
    "authority": ("", "cx"),
    "patient-id": ("", "issuer", "universal", "others"),
}
"""What may stand behind the colon, where anything may; that of `table` and `listed` is a table of values."""


def makes(conversion: str, argument: str) -> str:
    """What a conversion makes: `SQ` items of a sequence, `PN` names, '' text or numbers."""
    if conversion in ("code", "authority") or argument in ("universal", "others"):
        return "SQ"
    return "PN" if conversion in ("name", "names", "person", "people", "performer") else ""
