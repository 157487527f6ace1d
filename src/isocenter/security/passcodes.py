"""Passcodes of users: kept as Argon2 hashes only."""

from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MARK: Final = "$argon2"
"""What a hash begins with."""
_TIME, _MEMORY, _LANES = 2, 19 << 10, 1
"""Rounds, KiB and lanes of new hashes: about 20 ms and 19 MiB each time one is verified."""


def hashed(passcode: str) -> str:
    """The hash to configure for a passcode."""
    return _hasher().hash(passcode)


def is_right(passcode: bytes, stored: str) -> bool:
    """Whether a passcode is the one of a hash. Without a hash it is not, and takes as long."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return _hasher().verify(stored or _nobodys(), passcode) and bool(stored)
    except (VerificationError, InvalidHashError):
        return False


def _hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=_TIME, memory_cost=_MEMORY, parallelism=_LANES)


@cache
def _nobodys() -> str:
    import secrets

    return hashed(secrets.token_urlsafe(16))
