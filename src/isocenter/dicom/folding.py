"""Folding: the form of text in which case, accents and letter variants do not matter, for matching.

It is part of the index: a change of what fold() returns is a new FOLD_VERSION and a rebuild.
"""

import re
import unicodedata
from typing import Final

FOLD_VERSION: Final = 1
FOLD_LENGTH: Final = 256
"""Characters kept; longer values are rechecked against the whole."""

_LETTERS = str.maketrans(
    {
        "Ø": "o", "ø": "o", "Ł": "l", "ł": "l", "Đ": "d", "đ": "d", "Ð": "d", "ð": "d", "Þ": "th", "þ": "th",
        "Æ": "ae", "æ": "ae", "Œ": "oe", "œ": "oe", "ß": "ss", "ẞ": "ss", "\u0131": "i", "Ħ": "h", "ħ": "h",
        "Ŋ": "n", "ŋ": "n", "ĸ": "k", "Ŧ": "t", "ŧ": "t", "Ɖ": "d", "ɖ": "d", "Ɓ": "b", "ɓ": "b", "Ɗ": "d", "ɗ": "d",
        "Ƙ": "k", "ƙ": "k", "Ƒ": "f", "ƒ": "f", "Ɲ": "n", "ɲ": "n", "Ɔ": "o", "ɔ": "o", "Ɛ": "e", "ɛ": "e",
        "Ə": "e", "ə": "e", "Ǝ": "e", "ǝ": "e", "Ɨ": "i", "ɨ": "i", "Ʉ": "u", "ʉ": "u", "Ɵ": "o", "ɵ": "o",
        "Ƶ": "z", "ƶ": "z", "Ƀ": "b", "ƀ": "b", "Ǥ": "g", "ǥ": "g", "Ɍ": "r", "ɍ": "r", "Ɏ": "y", "ɏ": "y",
        "Ⱥ": "a", "ⱥ": "a", "Ȼ": "c", "ȼ": "c", "Ɇ": "e", "ɇ": "e", "Ɉ": "j", "ɉ": "j", "Ⱦ": "t", "ⱦ": "t",
        "\N{MODIFIER LETTER TURNED COMMA}": "'", "\N{MODIFIER LETTER APOSTROPHE}": "'",
        "\N{LEFT SINGLE QUOTATION MARK}": "'", "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{HYPHEN}": "-", "\N{NON-BREAKING HYPHEN}": "-", "\N{EN DASH}": "-", "\N{EM DASH}": "-",
    }
)  # fmt: skip
"""Letters that do not decompose, and marks that are typed in several ways."""

# Accents of the Latin, Greek and Cyrillic scripts, points of Hebrew and Arabic, the Arabic stretch. Signs that make
# another letter or syllable (Thai and Indic vowels, Japanese voicing) stay.
_MARKS = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
    "\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed]+"
)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]+")


def fold(text: str) -> str:
    """`text` folded, trimmed and cut to 256 characters. Folding twice changes nothing; `*` and `?` stay themselves."""
    return fold_pattern(text)[:FOLD_LENGTH].rstrip()


def fold_pattern(text: str) -> str:
    """As fold(), but not cut: for the pattern of a wildcard match."""
    if text.isascii():
        folded = text.lower()
        return (folded.replace("\0", "") if "\0" in folded else folded).strip()
    return _settled(_UNSTORABLE.sub("", text)).strip()


def _settled(text: str) -> str:
    """Folding steps until nothing changes: case folding may yield what decomposes again."""
    folded = _step(text)
    while folded != text:
        text, folded = folded, _step(folded)
    return folded


def _step(text: str) -> str:
    bare = _MARKS.sub("", unicodedata.normalize("NFKD", text)).translate(_LETTERS).casefold()
    return unicodedata.normalize("NFC", bare)
