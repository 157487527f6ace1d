"""The character repertoires of Specific Character Set (0008,0005): terms, codecs and escape sequences as data.

PS3.3 C.12.1.1.2 gives the terms, PS3.5 6.1.2.5 the code extensions; misspelt terms are those met in the field.
"""

import re
from typing import NamedTuple

ESC = b"\x1b"


class Repertoire(NamedTuple):
    """One code element that an escape sequence designates."""

    codec: str
    """Python's codec, with the code element alone in its slot."""
    slot: int
    """0 where it is invoked in G0 (bytes below 80H), 1 for G1."""
    escape: bytes
    double: bool = False
    """Two bytes a character in G0, where delimiters are not to be looked for."""


ASCII = Repertoire("ascii", 0, b"\x1b(B")
ROMAJI = Repertoire("ascii", 0, b"\x1b(J")
KATAKANA = Repertoire("shift_jis", 1, b"\x1b)I")
JIS_X_0208 = Repertoire("iso2022_jp", 0, b"\x1b$B", double=True)
JIS_X_0212 = Repertoire("iso2022_jp_2", 0, b"\x1b$(D", double=True)
KS_X_1001 = Repertoire("euc_kr", 1, b"\x1b$)C")
GB_2312 = Repertoire("gb2312", 1, b"\x1b$)A")

_LATIN = {
    100: Repertoire("latin_1", 1, b"\x1b-A"),
    101: Repertoire("iso8859_2", 1, b"\x1b-B"),
    109: Repertoire("iso8859_3", 1, b"\x1b-C"),
    110: Repertoire("iso8859_4", 1, b"\x1b-D"),
    126: Repertoire("iso8859_7", 1, b"\x1b-F"),
    127: Repertoire("iso8859_6", 1, b"\x1b-G"),
    138: Repertoire("iso8859_8", 1, b"\x1b-H"),
    144: Repertoire("iso8859_5", 1, b"\x1b-L"),
    148: Repertoire("iso8859_9", 1, b"\x1b-M"),
    166: Repertoire("iso8859_11", 1, b"\x1b-T"),
    203: Repertoire("iso8859_15", 1, b"\x1b-b"),
}

BY_NUMBER: dict[int, tuple[Repertoire, ...]] = {
    6: (ASCII,),
    13: (ROMAJI, KATAKANA),
    58: (GB_2312,),
    87: (JIS_X_0208,),
    149: (KS_X_1001,),
    159: (JIS_X_0212,),
    **{number: (repertoire,) for number, repertoire in _LATIN.items()},
}
"""The code elements of each ISO registration number that DICOM knows."""

STAND_ALONE = {"ISO_IR 192": "utf_8", "GB18030": "gb18030", "GBK": "gbk"}
"""Terms that stand alone and take no code extensions (PS3.3 C.12.1.1.2)."""

ONLY_EXTENDED = frozenset({58, 87, 149, 159})
"""Multi-byte sets without a single-value term of their own."""

TERMS: tuple[str, ...] = (
    *(f"ISO_IR {n}" for n in BY_NUMBER if n not in ONLY_EXTENDED),
    *(f"ISO 2022 IR {n}" for n in BY_NUMBER),
    *STAND_ALONE,
)
"""Every term that is understood, in its right spelling."""

BY_ESCAPE: dict[bytes, Repertoire] = {
    **{r.escape: r for group in BY_NUMBER.values() for r in group},
    b"\x1b$@": Repertoire("iso2022_jp", 0, b"\x1b$@", double=True),
    b"\x1b$(B": JIS_X_0208,
    b"\x1b$A": Repertoire("gb2312", 0, b"\x1b$A", double=True),
    b"\x1b$(C": Repertoire("euc_kr", 0, b"\x1b$(C", double=True),
}
"""Designations by escape sequence: those of PS3.3, then relatives written by old software."""

ESCAPE_SEQUENCES = re.compile(b"|".join(re.escape(e) for e in sorted(BY_ESCAPE, key=len, reverse=True)))

LENIENT = {"gb2312": "gbk", "gbk": "gb18030", "euc_kr": "cp949", "shift_jis": "cp932"}
"""What data that claims the first often really is."""

_ISO_8859 = {1: 100, 2: 101, 3: 109, 4: 110, 5: 144, 6: 127, 7: 126, 8: 138, 9: 148, 11: 166, 15: 203}
_NAMED = {
    "": "ISO_IR 6",
    "ASCII": "ISO_IR 6",
    "USASCII": "ISO_IR 6",
    "UTF8": "ISO_IR 192",
    "UNICODE": "ISO_IR 192",
    "GBK": "GBK",
    "ISO2022GBK": "GBK",
    "GB18030": "GB18030",
    "ISO2022GB18030": "GB18030",
    "GB2312": "ISO 2022 IR 58",
    "SJIS": "ISO_IR 13",
    "SHIFTJIS": "ISO_IR 13",
    "WINDOWS31J": "ISO_IR 13",
    "EUCKR": "ISO 2022 IR 149",
    **{f"LATIN{n}": f"ISO_IR {number}" for n, number in {1: 100, 2: 101, 3: 109, 4: 110, 5: 148, 9: 203}.items()},
    "CP1252": "ISO_IR 100",
    "WINDOWS1252": "ISO_IR 100",
    "CYRILLIC": "ISO_IR 144",
    "ARABIC": "ISO_IR 127",
    "GREEK": "ISO_IR 126",
    "HEBREW": "ISO_IR 138",
    "THAI": "ISO_IR 166",
    "TIS620": "ISO_IR 166",
    "ISOIR14": "ISO_IR 13",  # the Roman half of JIS X 0201
    "JISX0201": "ISO_IR 13",
    "JISX0208": "ISO 2022 IR 87",
    "JISX0212": "ISO 2022 IR 159",
    "ISO2022JP": "ISO 2022 IR 87",
    "KSC5601": "ISO 2022 IR 149",
    "KSX1001": "ISO 2022 IR 149",
}
"""Names that stand for a term where only letters and digits count (`_SEPARATORS` are left out)."""
_SEPARATORS = re.compile(r"[\s_.\-:/]+")
_NUMBERED = re.compile(r"(?:ISO)?(2022)?(?:IR)?(\d{1,3})")
_PARTS = re.compile(r"(?:ISO)?8859(\d{1,2})")


def canonical_term(term: str) -> str | None:
    """The right spelling of a term as written, None where it names nothing known (`ISO-IR-100` is `ISO_IR 100`)."""
    squeezed = _SEPARATORS.sub("", term.strip(" \0").upper())
    if squeezed in _NAMED:
        return _NAMED[squeezed]
    part = _PARTS.fullmatch(squeezed)
    if part:
        return _spelled(_ISO_8859.get(int(part[1]), 0), extended=False)
    numbered = _NUMBERED.fullmatch(squeezed)
    return _spelled(int(numbered[2]), extended=bool(numbered[1])) if numbered else None


def _spelled(number: int, *, extended: bool) -> str | None:
    if number == 192:
        return "ISO_IR 192"
    if number not in BY_NUMBER:
        return None
    return f"ISO 2022 IR {number}" if extended or number in ONLY_EXTENDED else f"ISO_IR {number}"
