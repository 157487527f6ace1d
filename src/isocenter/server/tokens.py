"""The admin token: made at the first start, told once, kept only as a digest.

The token has 256 random bits, so a plain SHA-256 is as good as a slow hash: there is nothing to guess.
"""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

FILE_NAME = "admin-token.sha256"


def make(data: Path) -> str | None:
    """A new token if this installation has none yet, else None."""
    return None if (data / FILE_NAME).exists() else renew(data)


def renew(data: Path) -> str:
    """A new token in place of any earlier one; the only time that it is told."""
    token = secrets.token_urlsafe(32)
    draft = data / f"{FILE_NAME}.new"
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(digest(token) + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(data / FILE_NAME)
    return token


def digest(token: str) -> str:
    """How a token is kept."""
    return hashlib.sha256(token.encode()).hexdigest()


class Gate:
    """Says whether a token is the right one: the configured one, or the one whose digest lies in the data folder."""

    def __init__(self, data: Path, configured: str = "") -> None:
        self._path = data / FILE_NAME
        self._configured = digest(configured) if configured else ""

    def admits(self, token: str) -> bool:
        """Compare in constant time. The digest is read each time: a renewed token works at once."""
        kept = self._configured or self._kept()
        return bool(kept) and hmac.compare_digest(kept, digest(token))

    def _kept(self) -> str:
        try:
            return self._path.read_text().strip()
        except OSError:
            return ""
