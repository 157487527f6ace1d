"""The Native DICOM Model (PS3.19 A.1): XML of a data set, written from its DICOM JSON object.

Both models hold the same values, so one reader of bytes serves both. Characters that XML 1.0 forbids are left out;
private elements carry their block's creator and, as PS3.19 has it, 00 in place of the block's number.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from xml.sax.saxutils import escape

from isocenter.dicom import json_model
from isocenter.dicom.dictionary import keyword_of
from isocenter.dicom.json_model import THRESHOLD
from isocenter.dicom.person_name import COMPONENTS, GROUPS, components

NAMESPACE: Final = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>'
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_QUOTES: Final = {'"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
_KEPT: Final = {"\r": "&#13;"}
"""A reader of XML would turn carriage returns into line feeds."""


def write(
    data: bytes,
    syntax: str,
    *,
    bulk_uri: str | None,
    threshold: int = THRESHOLD,
    text_threshold: int | None = None,
    skip: frozenset[int] = frozenset(),
    pixel: tuple[int, str] | None = None,
    default_charset: str = "",
) -> bytes:
    """The data set as a NativeDicomModel document in UTF-8; parameters and errors as those of json_model.write()."""
    written = json_model.write(
        data,
        syntax,
        bulk_uri=bulk_uri,
        threshold=threshold,
        text_threshold=text_threshold,
        skip=skip,
        pixel=pixel,
        default_charset=default_charset,
    )
    return of_json(written)


def of_json(written: bytes) -> bytes:
    """The document of a DICOM JSON object; numbers keep the digits that they have there."""
    return of_object(json.loads(written, parse_float=str, parse_int=str))


def of_object(members: Mapping[str, Any]) -> bytes:
    """The document of a DICOM JSON object that has been parsed."""
    body = "".join(_attributes(members))
    model = f'{_DECLARATION}<NativeDicomModel xmlns="{NAMESPACE}" xml:space="preserve">{body}</NativeDicomModel>'
    return model.encode("utf_8")


def _attributes(members: Mapping[str, Any]) -> Iterator[str]:
    for tag, element in members.items():
        opening = f"<DicomAttribute {_naming(tag, members)} vr={_quoted(element['vr'])}"
        content = "".join(_content(element))
        yield f"{opening}>{content}</DicomAttribute>" if content else f"{opening}/>"


def _naming(tag: str, members: Mapping[str, Any]) -> str:
    """Tag with keyword or private creator."""
    number = int(tag, 16)
    if number >> 16 & 1 and number & 0xFF00:
        creator = members.get(f"{tag[:4]}00{tag[4:6]}", {}).get("Value")
        if creator:
            return f'tag="{tag[:4]}00{tag[6:]}" privateCreator={_quoted(str(creator[0]))}'
        return f'tag="{tag}"'
    keyword = keyword_of(number)
    return f'tag="{tag}" keyword="{keyword}"' if keyword else f'tag="{tag}"'


def _content(element: Mapping[str, Any]) -> Iterator[str]:
    if "BulkDataURI" in element:
        yield f"<BulkData uri={_quoted(element['BulkDataURI'])}/>"
    elif "InlineBinary" in element:
        yield f"<InlineBinary>{element['InlineBinary']}</InlineBinary>"
    for number, value in enumerate(element.get("Value", ()), 1):
        if element["vr"] == "SQ":
            yield f'<Item number="{number}">{"".join(_attributes(value))}</Item>'
        elif element["vr"] == "PN":
            yield f'<PersonName number="{number}">{"".join(_groups(value or {}))}</PersonName>'
        else:
            yield f'<Value number="{number}">{_text("" if value is None else str(value))}</Value>'


def _groups(name: Mapping[str, str]) -> Iterator[str]:
    for group in GROUPS:
        parts = zip(COMPONENTS, components(name.get(group, "")), strict=True)
        inner = "".join(f"<{part}>{_text(text)}</{part}>" for part, text in parts if text)
        if inner:
            yield f"<{group}>{inner}</{group}>"


def _text(text: str) -> str:
    return escape(_FORBIDDEN.sub("", text), _KEPT)


def _quoted(text: str) -> str:
    return f'"{escape(_FORBIDDEN.sub("", text), _QUOTES)}"'
