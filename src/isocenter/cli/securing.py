"""The options of commands that call a peer: TLS and the user's identity.

`@with_security` gives a command these options in place of its parameter `security`.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isocenter.cli.gathering import Command, gathered
from isocenter.errors import ConfigurationError

if TYPE_CHECKING:
    from isocenter.config import Peer, Tls
    from isocenter.dimse import UserIdentity

_NAME, _PASSCODE, _JWT = 1, 2, 5


@dataclass(frozen=True)
class Security:
    """What the options say; what they leave out is as the settings have it."""

    tls: Annotated[bool, typer.Option("--tls", help="Over TLS.")] = False
    cert: Annotated[Path | None, typer.Option(help="Our certificate: PEM, or PKCS #12.", metavar="FILE")] = None
    cert_key: Annotated[Path | None, typer.Option(help="Its private key in PEM.", metavar="FILE")] = None
    ca: Annotated[Path | None, typer.Option(help="Certificates to trust in PEM.", metavar="FILE")] = None
    tls_name: Annotated[str, typer.Option(help="Whom the peer's certificate must be for.", metavar="NAME")] = ""
    user: Annotated[str, typer.Option(help="The user name to send.", metavar="NAME")] = ""
    passcode: Annotated[str, typer.Option(help="The user's passcode; - reads it.", metavar="TEXT")] = ""
    jwt: Annotated[str, typer.Option(help="A JSON Web Token to send; - reads it.", metavar="TOKEN")] = ""

    def peer(self, peer: "Peer") -> "Peer":
        """The peer as it is to be called."""
        from msgspec.structs import replace

        if not (self.tls or self.cert or self.ca or self.tls_name):
            return peer
        return replace(peer, tls=True, tls_name=self.tls_name or peer.tls_name)

    def settings(self, tls: "Tls") -> "Tls":
        """The settings of TLS with what is given here over them."""
        from msgspec.structs import replace

        if self.cert is not None:
            tls = replace(tls, certificate=self.cert, key=self.cert_key)
        return replace(tls, trusted=(self.ca,)) if self.ca is not None else tls

    def identity(self) -> "UserIdentity | None":
        """What to send, with a response wanted."""
        from isocenter.dimse import UserIdentity

        if self.jwt:
            if self.user:
                raise ConfigurationError("--jwt stands alone: it names the user itself")
            return UserIdentity(_JWT, _given(self.jwt), response_wanted=True)
        if not self.user:
            return None
        kind = _PASSCODE if self.passcode else _NAME
        return UserIdentity(kind, self.user.encode(), _given(self.passcode), response_wanted=True)


NONE = Security()


def _given(text: str) -> bytes:
    return (sys.stdin.readline().rstrip("\r\n") if text == "-" else text).encode()


def with_security(command: Command) -> Command:
    """The command with the options in place of `security`."""
    return gathered(command, "security", Security)
