"""The settings of TLS and of user identities."""

from pathlib import Path
from typing import Literal

from isocenter.config.kinds import Frozen, Port, Positive, Seconds, Secret, Title, Whole
from isocenter.declarations.tls_profiles import ProfileName


class Tls(Frozen, frozen=True, kw_only=True):
    """TLS of DICOM associations: our own certificate, whom we trust, and how. The files are read at the start and again
    by a reload; those in PKCS #12 are told by their content."""

    ports: tuple[Port, ...] = ()
    """Ports where associations come over TLS, beside `dicom_port` without (2762 is registered for it). One that an AE
    has among its own `ports` is that AE's."""
    profile: ProfileName = "bcp195"
    """The profile of PS3.15: `bcp195` (B.12), `bcp195-modified` (B.13), or for older peers `non-downgrading` (B.10,
    retired) or `aes` (B.3, retired). TLS 1.2 and 1.3 only, under each of them."""
    certificate: Path | None = None
    """Our certificate and its chain: PEM, or PKCS #12 with the key in it."""
    key: Path | None = None
    """Its private key in PEM; none: it lies in the file of the certificate."""
    passphrase: Secret = ""
    """Of the private key or the PKCS #12 file."""
    trusted: tuple[Path, ...] = ()
    """Certificates of the authorities, or of single peers, that a peer's certificate must lead to: PEM or PKCS #12."""
    trusted_passphrase: Secret = ""
    """Of those in PKCS #12."""
    revoked: tuple[Path, ...] = ()
    """Certificate revocation lists, PEM or DER. Where one is given, there must be one of each authority in question."""
    revocation: Literal["leaf", "chain"] = "leaf"
    """With revocation lists: whether the peer's certificate alone is looked up, or the authorities between as well."""
    client_certificate: Literal["require", "request", "none"] = "require"
    """Whether callers must show a certificate, may show one (which then must be good), or are not asked."""
    check_names: bool = True
    """A peer that we call must show a certificate for its `tls_name`, or else for its host."""


class User(Frozen, frozen=True, kw_only=True):
    """Somebody who may open associations with a user name, or with a user name and a passcode."""

    name: str
    """The user name."""
    passcode: Secret = ""
    """The passcode's hash, as `isocenter user hash` makes it; empty: the name alone, where `identity.names` lets it."""
    titles: tuple[Title, ...] = ()
    """Calling AE titles that the user may come with; none listed: any."""


class Jwt(Frozen, frozen=True, kw_only=True):
    """What makes a JSON Web Token good. No key: tokens are not configured."""

    keys: tuple[Path, ...] = ()
    """Public keys of the issuer: PEM, or JSON (a JWK or a JWK set)."""
    secret: Secret = ""
    """The key shared with the issuer, for the HS algorithms; at least 32 characters."""
    algorithms: tuple[str, ...] = ()
    """Those accepted, such as `RS256`; none listed: RS256, PS256, ES256, ES384 with `keys`, HS256 with `secret`."""
    issuer: str = ""
    """What `iss` must be; empty: anything."""
    audience: str = ""
    """What `aud` must be or hold; empty: anything."""
    user: str = "sub"
    """The claim that holds the user's name."""
    leeway: Whole = 30
    """Seconds by which the clocks may differ."""


class Identity(Frozen, frozen=True, kw_only=True):
    """How user identities are verified (PS3.7 D.3.3.7). Kinds without a way here are passed over."""

    names: bool = False
    """A user name alone is believed, where a `[[user]]` without a passcode has it."""
    jwt: Jwt = Jwt()
    kerberos: tuple[str, ...] = ()
    """The program that verifies a Kerberos service ticket, with its arguments (docs/tls.md); none: not configured."""
    saml: tuple[str, ...] = ()
    """The program that verifies a SAML assertion, with its arguments; none: not configured."""
    timeout: Seconds = 10.0
    """How long such a program may take."""
    at_once: Positive = 2
    """Identities that one process verifies at once; others wait."""
