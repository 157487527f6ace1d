"""The Native DICOM Model (PS3.19 A.1) of data sets that are at hand as DICOM JSON objects: query rows, STOW answers."""

import json
import re
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from isocenter.dicom.dictionary import keyword_of

NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xml_of(dicom_json: bytes) -> bytes:
    """One DICOM JSON object as a document. Characters that XML can't hold become U+FFFD."""
    out = ['<?xml version="1.0" encoding="UTF-8"?>\n', f'<NativeDicomModel xmlns="{NAMESPACE}" xml:space="preserve">']
    _members(json.loads(dicom_json), out)
    out.append("</NativeDicomModel>\n")
    return "".join(out).encode("utf-8", "replace")


def _members(data_set: dict[str, Any], out: list[str]) -> None:
    for tag, member in data_set.items():
        keyword = keyword_of(int(tag, 16))
        named = f" keyword={quoteattr(keyword)}" if keyword else ""
        out.append(f'<DicomAttribute tag="{tag}" vr="{member["vr"]}"{named}>')
        for number, value in enumerate(member.get("Value", ()), 1):
            _value(member["vr"], number, value, out)
        if "InlineBinary" in member:
            out.append(f"<InlineBinary>{escape(member['InlineBinary'])}</InlineBinary>")
        if "BulkDataURI" in member:
            out.append(f"<BulkData uri={quoteattr(member['BulkDataURI'])}/>")
        out.append("</DicomAttribute>")


def _value(vr: str, number: int, value: Any, out: list[str]) -> None:
    if value is None:
        return
    if vr == "SQ":
        out.append(f'<Item number="{number}">')
        _members(value, out)
        out.append("</Item>")
    elif vr == "PN":
        out.append(f'<PersonName number="{number}">')
        for group, text in value.items():
            out.append(f"<{group}>{_name(text)}</{group}>")
        out.append("</PersonName>")
    else:
        text = value if isinstance(value, str) else json.dumps(value)
        out.append(f'<Value number="{number}">{_text(text)}</Value>')


def _name(text: str) -> str:
    parts = zip(_COMPONENTS, text.split("^"), strict=False)
    return "".join(f"<{name}>{_text(part)}</{name}>" for name, part in parts if part)


def _text(text: str) -> str:
    return escape(_FORBIDDEN.sub("\ufffd", text))
