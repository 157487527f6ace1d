"""XPaths over the metadata of an instance: the work, in a process of its own, since lxml is heavy and an XPath may take
any time.

Run as a program (`python -m isocenter.archive.xpaths.work`) it answers requests from standard input on standard output
until that ends or nothing has come for `IDLE` seconds.
"""

import json
import re
import resource
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from isocenter.dicom.native_model import NAMESPACE, xml_of
from isocenter.workers.serving import serve

if TYPE_CHECKING:
    from lxml.etree import _Element

IDLE: Final = 60.0
PATIENCE: Final = 10.0
"""Seconds for the XPaths of one instance."""
STARTING: Final = 10.0
"""Seconds more for an answer, since the process may have to start first."""
_MEMORY: Final = 1 << 30
"""Bytes of address space beyond what the program starts with."""
_LEFT_OUT: Final = frozenset({"OB", "OW", "UN", "UT", "OD", "OF", "OL", "OV"})
"""Value representations that are not returned (I-WS-04), and their like."""
_SPACE: Final = f' xmlns="{NAMESPACE}"'.encode()
_TAG: Final = re.compile(rb"<[\w.\-]+")


class Expression(NamedTuple):
    """An XPath with the prefixes that are bound where it stands."""

    text: str
    prefixes: tuple[tuple[str, str], ...] = ()


class Selecting(NamedTuple):
    """The DICOM JSON object of an instance, and what is to be selected from its Native DICOM Model."""

    model: bytes
    expressions: tuple[Expression, ...]


class Selected(NamedTuple):
    """XML of what each expression selects, in their order, b'' for nothing; or what is wrong with one."""

    results: tuple[bytes, ...]
    wrong: str = ""


def selected(asked: Selecting) -> Selected:
    """What the expressions select."""
    from lxml import etree

    model = json.loads(asked.model)
    _leave_out(model)
    document = xml_of(json.dumps(model).encode())
    if not asked.expressions:
        return Selected((document.partition(b"?>")[2].strip(),))
    try:
        plain = etree.fromstring(document.replace(_SPACE, b"", 1), _parser())
        spaced = etree.fromstring(document, _parser())
        return Selected(tuple(_selection(plain, spaced, each) for each in asked.expressions))
    except etree.XPathError as wrong:
        return Selected((), f"an XPath can't be evaluated ({type(wrong).__name__})")
    except (etree.LxmlError, ValueError, MemoryError):
        return Selected((), "an XPath can't be evaluated")


def _parser() -> Any:
    from lxml import etree

    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True)


def _selection(plain: "_Element", spaced: "_Element", expression: Expression) -> bytes:
    """Expressions that name the model's namespace are for the document as it is; most leave it out, as the examples
    of PS3.19 do, and are for the document without."""
    from lxml import etree

    prefixes = dict(expression.prefixes)
    named = any(
        uri == NAMESPACE and re.search(rf"(?<![\w.\-]){re.escape(prefix)}:", expression.text)
        for prefix, uri in prefixes.items()
    )
    if expression.text == "/":  # lxml has no object for the document itself
        return _written(plain)
    evaluate = etree.XPath(expression.text, namespaces=prefixes, regexp=False, smart_strings=False)
    found = evaluate((spaced if named else plain).getroottree())
    if not isinstance(found, list):
        return _text(found)
    return b"\n".join(_written(each) for each in found)


def _written(found: Any) -> bytes:
    from lxml import etree

    if not isinstance(found, etree._Element):
        return _text(found[1] if isinstance(found, tuple) else found)
    text: bytes = etree.tostring(found, encoding="utf-8", with_tail=False)
    start = _TAG.match(text)
    if start is None or f'xmlns="{NAMESPACE}"'.encode() in text[: text.find(b">")]:
        return text
    return text[: start.end()] + _SPACE + text[start.end() :]


def _text(value: object) -> bytes:
    from xml.sax.saxutils import escape

    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, float):
        return (f"{value:.0f}" if value.is_integer() else repr(value)).encode()
    return escape(str(value)).encode("utf-8", "replace")


def _leave_out(data_set: dict[str, Any]) -> None:
    for tag in [tag for tag, member in data_set.items() if member.get("vr") in _LEFT_OUT]:
        del data_set[tag]
    for member in data_set.values():
        if member.get("vr") == "SQ":
            for item in member.get("Value", ()):
                if isinstance(item, dict):
                    _leave_out(item)


def _answer(body: bytearray) -> list[bytes]:
    return [msgspec.msgpack.encode(selected(msgspec.msgpack.decode(body, type=Selecting)))]


def main() -> None:
    """Answer until idle."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        held = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + _MEMORY, resource.RLIM_INFINITY))
    serve(_answer, IDLE, PATIENCE + STARTING)


if __name__ == "__main__":
    main()
