"""SSL contexts of DICOM associations, by the profiles of PS3.15 Annex B (`declarations.tls_profiles`).

Both sides verify by the same authorities. A context is made once for a process; changed files count after a reload.
"""

import ssl
import threading
from functools import cached_property
from importlib import resources
from typing import Final

from isocenter.config.security import Tls
from isocenter.config.settings import Peer
from isocenter.declarations.tls_profiles import PROFILES
from isocenter.dimse import Secure
from isocenter.errors import ConfigurationError
from isocenter.security.credentials import load_own, load_revoked, load_trusted

_CLIENT_CERTIFICATE: Final = {
    "require": ssl.CERT_REQUIRED,
    "request": ssl.CERT_OPTIONAL,
    "none": ssl.CERT_NONE,
}
_REVOCATION: Final = {"leaf": ssl.VERIFY_CRL_CHECK_LEAF, "chain": ssl.VERIFY_CRL_CHECK_CHAIN}


def server_context(tls: Tls) -> ssl.SSLContext:
    """For associations that come in. ConfigurationError where a file is missing or wrong."""
    if tls.certificate is None:
        raise ConfigurationError("tls.certificate: TLS ports need a certificate and its key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _confine(context, tls)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_TICKET
    context.num_tickets = 0  # associations are long and each worker has a context of its own: none would be used
    if PROFILES[tls.profile].ephemeral_dh:
        with resources.as_file(resources.files(__package__) / "ffdhe3072.pem") as group:
            context.load_dh_params(str(group))
    _identify(context, tls)
    context.verify_mode = _CLIENT_CERTIFICATE[tls.client_certificate]
    if context.verify_mode != ssl.CERT_NONE:
        _trust(context, tls, "tls.trusted: callers are asked for a certificate, but no authority is trusted")
    return context


def client_context(tls: Tls, *, check_name: bool) -> ssl.SSLContext:
    """For associations that we open, with our certificate if we have one. The peer's must lead to a trusted one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _confine(context, tls)
    context.check_hostname = check_name
    if tls.certificate is not None:
        _identify(context, tls)
    _trust(context, tls, "tls.trusted: a peer is called over TLS, but no authority is trusted")
    return context


def _confine(context: ssl.SSLContext, tls: Tls) -> None:
    """Versions and cipher suites of the profile; no compression, no renegotiation (RFC 9325 3.3, 3.5)."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(PROFILES[tls.profile].openssl)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def _identify(context: ssl.SSLContext, tls: Tls) -> None:
    assert tls.certificate is not None
    load_own(context, tls.certificate, tls.key, tls.passphrase)


def _trust(context: ssl.SSLContext, tls: Tls, problem: str) -> None:
    if not tls.trusted:
        raise ConfigurationError(problem)
    for path in tls.trusted:
        load_trusted(context, path, tls.trusted_passphrase)
    # a peer's own certificate, or that of an authority below the root, may be what is trusted
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    for path in tls.revoked:
        load_revoked(context, path)
        context.verify_flags |= _REVOCATION[tls.revocation]


class Callers:
    """How each peer is called: with TLS or without. Contexts are made when the first peer wants one."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._lock = threading.Lock()

    def secure(self, peer: Peer) -> Secure | None:
        """What `dimse.connect` needs to call `peer`; None without TLS. Raises ConfigurationError."""
        if not peer.tls:
            return None
        fingerprint = plain_fingerprint(peer.tls_fingerprint)
        with self._lock:
            if fingerprint or not self._tls.check_names:
                return Secure(self._any_name, "", fingerprint)
            return Secure(self._named, peer.tls_name or peer.host)

    @cached_property
    def _named(self) -> ssl.SSLContext:
        return client_context(self._tls, check_name=True)

    @cached_property
    def _any_name(self) -> ssl.SSLContext:
        return client_context(self._tls, check_name=False)


def plain_fingerprint(text: str) -> str:
    """A SHA-256 fingerprint as `dimse` writes it: lower case, without colons."""
    return text.replace(":", "").replace(" ", "").lower()


def check(tls: Tls, peers: tuple[Peer, ...] = ()) -> None:
    """Read every file that will be needed, so that a fault is told before anything changes. ConfigurationError."""
    if tls.ports:
        server_context(tls)
    if any(peer.tls for peer in peers):
        client_context(tls, check_name=tls.check_names)
