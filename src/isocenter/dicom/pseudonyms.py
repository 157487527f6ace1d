"""Values in the place of identifying ones: the same original always gives the same pseudonym under one secret, and
without the secret nobody can tell which original it was.

HMAC-SHA256 over the kind and the value; a UID under 2.25 is made of 122 bits of it (PS3.5 B.2).
"""

import datetime
import hashlib
import hmac
import uuid
from collections.abc import Callable
from typing import Final

from isocenter.dicom.uids import registry

_MOST_DAYS: Final = 3652
"""How far dates are moved at most, in days: ten years."""
_WITH_TIME: Final = 8
"""Characters of the date in a DT value."""


class Pseudonyms:
    """Replacements under one secret."""

    def __init__(self, secret: bytes) -> None:
        if not secret:
            raise ValueError("pseudonyms need a secret")
        self._secret = secret

    def uid(self, original: bytes) -> bytes:
        """One UID in the place of another; one that the standard registers stays."""
        text = original.decode("latin-1")
        if text in registry():
            return original
        return b"2.25.%d" % uuid.UUID(bytes=self._keyed(b"uid", original)[:16], version=5).int

    def patient(self, identity: bytes) -> bytes:
        """A Patient ID of 16 characters."""
        return self._keyed(b"patient", identity)[:8].hex().upper().encode("ascii")

    def days(self, identity: bytes) -> int:
        """By how many days the dates of a patient are moved back, at least one."""
        return 1 + int.from_bytes(self._keyed(b"days", identity)[:4], "big") % _MOST_DAYS

    def tag(self) -> str:
        """Something that tells one secret from another."""
        return self._keyed(b"tag", b"")[:8].hex()

    def _keyed(self, kind: bytes, value: bytes) -> bytes:
        return hmac.new(self._secret, kind + b"\0" + value, hashlib.sha256).digest()


def moved(vr: str, value: bytes, days: int) -> bytes | None:
    """Dates (DA, DT) moved back by whole days, times (TM) as they are; None where one can't be read."""
    if vr == "TM":
        return value
    parts = [part.strip(b" \0") for part in value.split(b"\\")]
    found = [_moved(part, days) if part else part for part in parts]
    return b"\\".join(part for part in found if part is not None) if None not in found else None


def _moved(value: bytes, days: int) -> bytes | None:
    text = value.decode("latin-1").replace(".", "") if b"." in value[:8] else value.decode("latin-1")
    try:
        day = datetime.date(int(text[:4]), int(text[4:6] or "1"), int(text[6:8] or "1"))
        back = day - datetime.timedelta(days=days)
    except (ValueError, OverflowError):  # no date that could be moved: it goes
        return None
    return (f"{back:%Y%m%d}"[: len(text[:_WITH_TIME])] + text[_WITH_TIME:]).encode("latin-1")


Replace = Callable[[bytes], bytes]


def each_value(value: bytes, replace: Replace) -> bytes:
    """The values of an element, each replaced; empty ones stay."""
    parts = [part.strip(b" \0") for part in value.split(b"\\")]
    return b"\\".join(replace(part) if part else part for part in parts)
