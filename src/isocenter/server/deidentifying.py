"""The de-identification profile of an installation: as it is configured, with a secret that is made when it is first
needed."""

import os
import secrets
from pathlib import Path
from typing import Final

from isocenter.config import Settings
from isocenter.dicom.deidentify import Profile
from isocenter.dicom.deidentify_table import Option

FILE_NAME: Final = "deidentification.key"
_BYTES: Final = 32


def profile(settings: Settings) -> Profile:
    """What `config.deidentification` comes to. Makes the secret where there is none yet."""
    chosen = settings.deidentification
    keep = {Option(name) for name in chosen.keep}
    if chosen.dates == "keep":
        keep.add(Option.DATES)
    secret = chosen.secret.encode() or _kept(settings.data / FILE_NAME)
    return Profile(secret, frozenset(keep), "shift" if chosen.dates == "shift" else "remove")


def _kept(path: Path) -> bytes:
    """The secret in the file; of several processes that find none one makes it, and all use that one."""
    while True:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            _make(path)


def _make(path: Path) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:  # another process was first; its key is the one
            return
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        draft.unlink()
