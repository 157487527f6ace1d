"""Rules and views for the tests of the rules."""

import hashlib
from collections.abc import Mapping
from typing import Any

from isocenter.config import build
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, Element, decode, encode, text
from isocenter.dicom.dictionary import tag_of, vr_of
from isocenter.dicom.elements import encoding_of
from isocenter.dicom.overlay import overlaid
from isocenter.dicom.scan import scan
from isocenter.rules import Coercion, Ends, Outcome, View, compiled

AT = 1_700_000_000_000_000
ENDS = Ends("CT1", "ISOCENTER", "10.1.2.3", "CT1")
ORIGINALS = 0x04000561


def tag(keyword: str) -> int:
    found = tag_of(keyword)
    assert found is not None, keyword
    return found


def data_set(**values: str | tuple[DataSet, ...]) -> DataSet:
    """Elements by keyword; text in UTF-8."""
    found: DataSet = {0x00080005: text("CS", "ISO_IR 192")}
    for keyword, value in values.items():
        at = tag(keyword)
        is_text = isinstance(value, str)
        found[at] = text(vr_of(at), value, "ISO_IR 192") if is_text else Element("SQ", value)  # type: ignore[arg-type]
    return found


def coercion(*rules: Mapping[str, Any], ends: Ends = ENDS, when: str = "receive", **options: Any) -> Coercion | None:
    """What is for an association, of rules as a settings file has them."""
    made = compiled(build({"rule": [{"when": when, **rule} for rule in rules]}))
    return made.receiving(ends, **options) if when == "receive" else made.sending(ends)


def applied(
    content: DataSet, *rules: Mapping[str, Any], syntax: str = uids.EXPLICIT_LE, sop_class: str = "1.2", **options: Any
) -> tuple[Outcome, DataSet]:
    """What rules make of an object, and the object after them."""
    for_it = coercion(*rules, **options)
    assert for_it is not None
    data = encode(content, syntax)
    found = scan(data, syntax, for_it.tags)
    view = View(found.elements, for_it.tags, encoding_of(syntax), fetch=lambda tags: scan(data, syntax, tags).elements)
    outcome = for_it.apply(view, sop_class, AT)
    made = b"".join(overlaid(lambda at, n: data[at : at + n], len(data), syntax, outcome.changes))
    return outcome, decode(made, syntax)


def after(content: DataSet, *actions: Mapping[str, Any], **options: Any) -> DataSet:
    """The object after the actions of one rule that applies, without Original Attributes."""
    rule = {"do": list(actions), "keep_originals": False}
    return applied(content, rule, **options)[1]


def holds(content: DataSet, *conditions: Mapping[str, Any], **rule: Any) -> bool:
    """Whether a rule with these conditions applies."""
    mark = {"set": "InstitutionName", "value": hashlib.sha256(repr(conditions).encode()).hexdigest()}
    outcome, _ = applied(content, {"where": list(conditions), "do": [mark], **rule})
    return bool(outcome.rules)


def texts(content: DataSet, keyword: str) -> str | None:
    element = content.get(tag(keyword))
    if element is None:
        return None
    assert isinstance(element.value, bytes)
    return element.value.decode("utf-8").rstrip(" \0")
