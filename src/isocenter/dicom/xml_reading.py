"""Native DICOM Model documents (PS3.19 A.1) as DICOM JSON objects, the opposite of `xml_model`.

Read with expat alone. A document type declaration is refused before anything in it is looked at, so that there are
neither entities to expand nor files to fetch; depth is bounded.
"""

from collections.abc import Mapping
from typing import Any, Final
from xml.parsers import expat

from isocenter.dicom.dictionary import tag_of
from isocenter.dicom.elements import DEPTH_LIMIT
from isocenter.dicom.person_name import COMPONENTS, GROUPS
from isocenter.errors import Reason, Refused

_NESTED: Final = 2 * DEPTH_LIMIT + 8
"""Open elements of a document whose sequences are as deep as they may be."""
_TEXTS: Final = frozenset(["Value", "InlineBinary", *COMPONENTS])
_HEX: Final = frozenset("0123456789abcdefABCDEF")


def read(document: bytes) -> dict[str, Any]:
    """The DICOM JSON object that `document` says. Numbers stay text. Raises Refused(BAD_REQUEST)."""
    parser = expat.ParserCreate(namespace_separator=" ")
    reading = _Reading()
    parser.buffer_text = True
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.text
    parser.StartDoctypeDeclHandler = _no_type
    try:
        parser.Parse(document, True)
    except (expat.ExpatError, ValueError, LookupError) as fault:  # the latter two: an encoding that expat doesn't know
        raise _bad("the XML is not well formed") from fault
    if reading.model is None:
        raise _bad("the document is no NativeDicomModel")
    return reading.model


def _no_type(*_: object) -> None:
    raise _bad("a document type declaration is not taken")


def _bad(comment: str) -> Refused:
    return Refused(Reason.BAD_REQUEST, comment)


class _Reading:
    """What is open. `model` is there once the document element has ended."""

    def __init__(self) -> None:
        self.model: dict[str, Any] | None = None
        self._names: list[str] = []
        self._holders: list[dict[str, Any]] = []
        """Data sets that are open."""
        self._attributes: list[tuple[dict[str, str], dict[str, Any]]] = []
        """Attributes that are open: what their start tag says, and the member."""
        self._name: dict[str, dict[str, str]] = {}
        """Component groups of the open person name."""
        self._texts: list[str] | None = None

    def start(self, name: str, said: dict[str, str]) -> None:
        """A start tag."""
        local = name.rpartition(" ")[2]
        if len(self._names) > _NESTED or (not self._names and local != "NativeDicomModel"):
            raise _bad("the document is no NativeDicomModel, or is nested too deep")
        self._names.append(local)
        if local in ("NativeDicomModel", "Item"):
            self._holders.append({})
        elif local == "DicomAttribute":
            self._attributes.append((said, {"vr": said.get("vr", "")}))
        elif local == "PersonName":
            self._name = {}
        elif local in GROUPS:
            self._name[local] = {}
        elif local == "BulkData" and self._attributes:
            self._attributes[-1][1]["BulkDataURI"] = said.get("uri") or said.get("uuid") or ""
        elif local in _TEXTS:
            self._texts = []

    def text(self, data: str) -> None:
        """Character data."""
        if self._texts is not None:
            self._texts.append(data)

    def end(self, name: str) -> None:
        """An end tag."""
        local = name.rpartition(" ")[2]
        self._names.pop()
        above = self._names[-1] if self._names else ""
        text = "".join(self._texts) if self._texts is not None else ""
        if local in _TEXTS:
            self._texts = None
        if local == "NativeDicomModel" and not above:
            self.model = self._holders.pop()
        elif local == "DicomAttribute" and self._attributes:
            _put(self._holders[-1], *self._attributes.pop())
        elif local in COMPONENTS and above in GROUPS:
            self._name[above][local] = text
        elif self._attributes:
            self._content(local, text)

    def _content(self, local: str, text: str) -> None:
        member = self._attributes[-1][1]
        if local == "Item" and self._holders[1:]:
            member.setdefault("Value", []).append(self._holders.pop())
        elif local == "Value":
            member.setdefault("Value", []).append(text)
        elif local == "InlineBinary":
            member["InlineBinary"] = "".join(text.split())
        elif local == "PersonName":
            member.setdefault("Value", []).append(_name_of(self._name))


def _name_of(groups: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    return {
        group: "^".join(parts.get(component, "") for component in COMPONENTS).rstrip("^")
        for group, parts in groups.items()
    }


def _put(holder: dict[str, Any], said: Mapping[str, str], member: dict[str, Any]) -> None:
    tag = said.get("tag", "").upper()
    if not tag and "keyword" in said:
        known = tag_of(said["keyword"])
        tag = f"{known:08X}" if known is not None else ""
    if len(tag) != 8 or not set(tag) <= _HEX:
        raise _bad("an attribute without a tag")
    creator = said.get("privateCreator", "")
    holder[_in_block(holder, tag, creator) if creator else tag] = member


def _in_block(holder: dict[str, Any], tag: str, creator: str) -> str:
    """`tag` in the block that its creator has reserved in this data set, or in one that is reserved for it now."""
    group = tag[:4]
    for block in range(0x10, 0x100):
        reserved = holder.setdefault(f"{group}00{block:02X}", {"vr": "LO", "Value": [creator]})
        if reserved.get("Value") == [creator]:
            return f"{group}{block:02X}{tag[6:]}"
    raise _bad("private blocks are all taken")
