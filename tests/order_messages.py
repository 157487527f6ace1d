"""Order and appointment messages for tests, made of segments whose fields are named by number."""

from collections.abc import Iterable, Mapping
from typing import Any

from isocenter.config.hl7 import Feed
from isocenter.dicom import dictionary
from isocenter.dicom.json_reading import text_of
from isocenter.hl7.message import Message, parsed

FEED = Feed(name="ris", application="RIS", facility="HOSP", time_zone="Europe/Berlin")
_STEPS = "00400100"
_IDS = iter(range(1, 1 << 30))


def segment(name: str, fields: Mapping[int, str]) -> str:
    """A segment with these fields."""
    return "|".join([name, *(fields.get(number, "") for number in range(1, max(fields, default=0) + 1))])


def written(*segments: str, kind: str = "ORM^O01", version: str = "2.5.1", control_id: str = "") -> str:
    """A message of these segments behind an MSH."""
    control = control_id or f"M{next(_IDS)}"
    header = f"MSH|^~\\&|RIS|HOSP|ISOCENTER|RAD|20240102101112||{kind}|{control}|P|{version}||||||UNICODE UTF-8"
    return "\r".join([header, *segments, ""])


def message(*segments: str, kind: str = "ORM^O01") -> Message:
    """It, read."""
    return parsed(written(*segments, kind=kind).encode())


PID = segment("PID", {3: "4711^^^HOSP^MR", 5: "Doe^Jane", 7: "19700131", 8: "F"})


def orc(control: str = "NW", placer: str = "P1^HIS", filler: str = "F1^RIS", more: Mapping[int, str] = {}) -> str:
    """An ORC."""
    return segment("ORC", {1: control, 2: placer, 3: filler, **more})


def obr(exam: str = "CTH^CT head^L", more: Mapping[int, str] = {}) -> str:
    """An OBR."""
    return segment("OBR", {1: "1", 4: exam, **more})


def order(control: str = "NW", exam: str = "CTH^CT head^L", more: Mapping[int, str] = {}) -> Message:
    """An order of one exam."""
    return message(PID, orc(control), obr(exam, more))


def value(model: Mapping[str, Any], path: str) -> str:
    """The text at a path of keywords, in the first item of each sequence, or in the step where it stands there; names
    with their groups, codes as `value^meaning^scheme`."""
    keywords = path.split(".")
    item: Mapping[str, Any] = model
    step = (item.get(_STEPS) or {}).get("Value", [{}])[0]
    if _tag(keywords[0]) in step:
        item = step
    for keyword in keywords[:-1]:
        items = item.get(_tag(keyword), {}).get("Value", ())
        if not items:
            return ""
        item = items[0]
    attribute = item.get(_tag(keywords[-1]))
    if attribute is not None and attribute["vr"] == "SQ":
        return "~".join(_item(each) for each in attribute.get("Value", ()))
    return text_of(attribute)


def _item(item: Mapping[str, Any]) -> str:
    code = [text_of(item.get(tag)) for tag in ("00080100", "00080104", "00080102")]
    return "^".join(code) if any(code) else "^".join(text_of(each) for _, each in sorted(item.items()))


def _tag(keyword: str) -> str:
    tag = dictionary.tag_of(keyword)
    assert tag is not None, keyword
    return f"{tag:08X}"


def values(model: Mapping[str, Any], paths: Iterable[str]) -> dict[str, str]:
    """Several of them."""
    return {path: value(model, path) for path in paths}
