"""User identities of association requests (PS3.7 D.3.3.7, PS3.15 B.4 to B.7).

    1 user name               believed where `identity.names` says so and a `[[user]]` without a passcode has it
    2 user name and passcode  the `[[user]]` tables, Argon2 hashes
    3 Kerberos, 4 SAML        a program that is configured: the token on its standard input; it ends with 0 and prints
                              the user's name, and from the second line on what is to be answered
    5 JSON Web Token          `[identity.jwt]`

A kind that is not configured is passed over without a response item, unless the AE demands an identity. What is wrong
is rejected for good by the service user, without a reason (1/1/1): it tells nobody which part of it was wrong.
"""

import os
import subprocess
import threading
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from isocenter import telemetry
from isocenter.config.security import Identity, User
from isocenter.dimse import UserIdentity
from isocenter.errors import ConfigurationError, IsocenterError, Reason, Refused
from isocenter.security import passcodes
from isocenter.security.tokens import Tokens

log = telemetry.logger("security.identity")

NAME, PASSCODE, KERBEROS, SAML, JWT = 1, 2, 3, 4, 5
_CALLED: Final[Mapping[int, str]] = {
    NAME: "name", PASSCODE: "passcode", KERBEROS: "kerberos", SAML: "saml", JWT: "jwt"
}  # fmt: skip
_LONGEST_NAME = 128
_KEPT: Final = ("PATH", "HOME", "LANG", "KRB5_CONFIG", "KRB5_KTNAME")

Demand = Literal["none", "optional", "required"]


class Caller(NamedTuple):
    """Who asks for an association: calling and called title, IP address."""

    calling: str
    called: str
    address: str


class Verified(NamedTuple):
    """An identity that was verified, or none that was asked for."""

    user: str = ""
    response: bytes | None = None
    """The server response of the acceptance; None: no such item."""


NOBODY: Final = Verified()


class Identities:
    """Verifies the identities of one installation."""

    def __init__(self, identity: Identity, users: tuple[User, ...]) -> None:
        self._identity = identity
        self._users = {user.name: user for user in users}
        self._tokens = Tokens(identity.jwt)
        self._turn = threading.BoundedSemaphore(identity.at_once)
        self._ways = _ways(identity, users)

    def decide(self, demand: Demand, given: UserIdentity | None, caller: Caller) -> Verified | None:
        """Who the user is, for an AE with this `demand`; None where the association is to be rejected."""
        if demand == "none" or (demand == "optional" and given is None):
            return NOBODY
        try:
            if given is None:
                raise Refused(Reason.NOT_AUTHORIZED, "no identity")
            if self._ways.get(given.kind):
                return self._verified(given, caller)
            if demand == "optional":
                return NOBODY
            raise Refused(Reason.NOT_AUTHORIZED, "no identity of a kind that is configured")
        except IsocenterError as error:
            kind = _CALLED.get(given.kind, str(given.kind)) if given else ""
            log.warning(
                "identity.refused", calling=caller.calling, called=caller.called, address=caller.address,
                kind=kind, why=error.comment,
            )  # fmt: skip
            telemetry.count("isocenter_identities_refused_total", kind=kind)
            return None

    def _verified(self, given: UserIdentity, caller: Caller) -> Verified:
        with self._turn:
            user, response = self._user(given, caller)
        known = self._users.get(user)
        if known is not None and known.titles and caller.calling not in known.titles:
            raise Refused(Reason.NOT_AUTHORIZED, "the user may not come with this calling title")
        return Verified(user, response if given.response_wanted else None)

    def _user(self, given: UserIdentity, caller: Caller) -> tuple[str, bytes]:
        if given.kind == JWT:
            return self._tokens.user(given.primary), b""
        if given.kind in (KERBEROS, SAML):
            return self._by_program(given, caller)
        name = given.primary.decode("utf-8", "replace")
        user = self._users.get(name)
        if given.kind == NAME:
            good = user is not None and not user.passcode
        else:
            good = passcodes.is_right(given.secondary, user.passcode if user else "")
        if not good:
            raise Refused(Reason.NOT_AUTHORIZED, "unknown user or wrong passcode")
        return name, b""

    def _by_program(self, given: UserIdentity, caller: Caller) -> tuple[str, bytes]:
        command = self._identity.kerberos if given.kind == KERBEROS else self._identity.saml
        told = {f"ISOCENTER_{name.upper()}": value for name, value in caller._asdict().items()}
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        try:
            done = subprocess.run(  # noqa: S603  the command is the administrator's; the token comes by standard input
                command,
                input=given.primary,
                capture_output=True,
                timeout=self._identity.timeout or None,
                check=False,
                env={**kept, **told},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Refused(Reason.NOT_AUTHORIZED, f"the verifying program: {type(error).__name__}") from error
        name, _, response = done.stdout.partition(b"\n")
        user = name.decode("utf-8", "replace").strip()
        if done.returncode or not user:
            raise Refused(Reason.NOT_AUTHORIZED, f"the verifying program ended with {done.returncode}")
        return user[:_LONGEST_NAME], response


def check(identity: Identity, users: tuple[User, ...]) -> None:
    """Refuse what can't work. ConfigurationError names the setting."""
    seen: set[str] = set()
    for user in users:
        if not user.name or user.name in seen:
            raise ConfigurationError(f"user.name: {user.name!r} is empty or given twice")
        seen.add(user.name)
        if user.passcode and not user.passcode.startswith(passcodes.MARK):
            raise ConfigurationError(f"user.passcode of {user.name!r} must be a hash (isocenter user hash)")
    if 0 < len(identity.jwt.secret) < 32:
        raise ConfigurationError("identity.jwt.secret: at least 32 characters")
    if identity.jwt.keys:
        _ = Tokens(identity.jwt).keys


def is_configured(identity: Identity, users: tuple[User, ...]) -> bool:
    """Whether any kind of identity could be verified."""
    return any(_ways(identity, users).values())


def _ways(identity: Identity, users: tuple[User, ...]) -> dict[int, bool]:
    return {
        NAME: identity.names,
        PASSCODE: any(user.passcode for user in users),
        KERBEROS: bool(identity.kerberos),
        SAML: bool(identity.saml),
        JWT: bool(identity.jwt.keys or identity.jwt.secret),
    }
