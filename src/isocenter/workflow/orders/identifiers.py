"""Identifiers of our own, where an order brings none: made of what the order is, so that the same order has the same
ones again, even after it was forgotten (X-RIS-11)."""

import base64
import hashlib
from typing import Final

from isocenter.dicom.uids import derived_uid

KINDS: Final = ("order", "procedure", "step", "study", "now")
"""What a mapping may have generated: numbers for an order, a requested procedure, a step; a study's UID; and the time
at which the order first came."""
_CROCKFORD: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789ABCDEFGHJKMNPQRSTVWXYZ")
_LETTERS: Final = {"order": "A", "procedure": "P", "step": "S"}
_LENGTH: Final = 12


def number(kind: str, *names: str) -> str:
    """A number of 13 characters that no two orders share (60 bits), without letters that look alike; fits VR SH."""
    digest = hashlib.sha256("\n".join((kind, *names)).encode("utf-8", "replace")).digest()
    return _LETTERS[kind] + base64.b32encode(digest).translate(_CROCKFORD)[:_LENGTH].decode("ascii")


def is_ours(text: str) -> bool:
    """Whether a step's number has the form of those that are made here."""
    return len(text) == _LENGTH + 1 and text[0] == "S" and set(text[1:]) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def study_uid(*names: str) -> str:
    """The Study Instance UID of a requested procedure."""
    return derived_uid("requested procedure", *names)
