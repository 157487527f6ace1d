"""The character sets that are understood, in words (PS3.3 C.12.1.1.2)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from isocenter.dicom.charset import TERMS

_BY_NUMBER: Final[Mapping[int, str]] = MappingProxyType(
    {
        6: "Default repertoire",
        13: "Japanese: romaji and katakana (JIS X 0201)",
        58: "Simplified Chinese (GB 2312)",
        87: "Japanese: kanji (JIS X 0208)",
        100: "Latin alphabet No. 1",
        101: "Latin alphabet No. 2",
        109: "Latin alphabet No. 3",
        110: "Latin alphabet No. 4",
        126: "Greek",
        127: "Arabic",
        138: "Hebrew",
        144: "Cyrillic",
        148: "Latin alphabet No. 5",
        149: "Korean (KS X 1001)",
        159: "Japanese: supplementary kanji (JIS X 0212)",
        166: "Thai",
        192: "Unicode in UTF-8",
        203: "Latin alphabet No. 9",
    }
)
_ALONE: Final[Mapping[str, str]] = MappingProxyType(
    {"GBK": "Chinese (GBK)", "GB18030": "Chinese (GB18030), all of Unicode"}
)


def names() -> dict[str, str]:
    """Every defined term with its description; with code extensions as well as without."""
    return {term: _ALONE[term] if term in _ALONE else _numbered(term) for term in TERMS}


def _numbered(term: str) -> str:
    name = _BY_NUMBER[int(term.rpartition(" ")[2])]
    return f"{name}, with code extensions" if term.startswith("ISO 2022") else name
