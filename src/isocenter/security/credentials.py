"""Certificates, keys and revocation lists from files, in the forms that an SSL context takes.

PKCS #12 is told from PEM by its content. A private key out of it passes through a file that holds it encrypted, under a
passphrase of that moment, since OpenSSL is given keys by file only.
"""

import base64
import contextlib
import os
import secrets
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from isocenter.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates

_PEM = b"-----BEGIN "
_LONGEST = 16 << 20
_CRL = "X509 CRL"


def load_own(context: ssl.SSLContext, certificate: Path, key: Path | None, passphrase: str) -> None:
    """Give `context` our certificate with its chain and its key. ConfigurationError where that can't be done."""
    if _read(certificate, "tls.certificate").startswith(b"\x30"):
        _load_pkcs12(context, certificate, passphrase)
        return
    if key is not None:
        _read(key, "tls.key")
    _load_pem(context, certificate, key, passphrase)


def _load_pem(context: ssl.SSLContext, certificate: Path, key: Path | None, passphrase: str) -> None:
    try:
        # a function, since OpenSSL would ask at the terminal where it gets nothing
        context.load_cert_chain(certificate, key, lambda: passphrase)
    except (OSError, ValueError) as error:
        name = "tls.key" if key else "tls.certificate"
        raise ConfigurationError(f"{name}: {key or certificate}: {_problem(error)}") from error


def _problem(error: Exception) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    if reason == "KEY_VALUES_MISMATCH":
        return "the key is not that of the certificate"
    if reason == "PEM_LIB" or reason is None:
        return "no certificate with its key in PEM, or another passphrase"
    return reason.lower().replace("_", " ")


def _load_pkcs12(context: ssl.SSLContext, path: Path, passphrase: str) -> None:
    from cryptography.hazmat.primitives import serialization

    found = _pkcs12(path, passphrase, "tls.certificate")
    if found.key is None or found.cert is None:
        raise ConfigurationError(f"tls.certificate: {path} holds no certificate with its key")
    once = secrets.token_urlsafe(32)
    key = found.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(once.encode()),
    )
    chain = [found.cert, *found.additional_certs]
    certificates = b"".join(each.certificate.public_bytes(serialization.Encoding.PEM) for each in chain)
    with _file(key + certificates) as together:
        _load_pem(context, together, None, once)


def _pkcs12(path: Path, passphrase: str, setting: str) -> "PKCS12KeyAndCertificates":
    from cryptography.hazmat.primitives.serialization import pkcs12

    try:
        return pkcs12.load_pkcs12(_read(path, setting), passphrase.encode() or None)
    except ValueError as error:
        raise ConfigurationError(f"{setting}: {path} is no PKCS #12 file, or has another passphrase") from error


def load_trusted(context: ssl.SSLContext, path: Path, passphrase: str) -> None:
    """Give `context` the certificates in `path` to trust."""
    if _read(path, "tls.trusted").startswith(b"\x30"):
        from cryptography.hazmat.primitives import serialization

        found = _pkcs12(path, passphrase, "tls.trusted")
        all_of_it = [*([found.cert] if found.cert else []), *found.additional_certs]
        pem = b"".join(each.certificate.public_bytes(serialization.Encoding.PEM) for each in all_of_it)
    else:
        pem = _read(path, "tls.trusted")
    try:
        context.load_verify_locations(cadata=pem.decode("ascii", "replace"))
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(f"tls.trusted: {path} holds no certificate in PEM or PKCS #12") from error


def load_revoked(context: ssl.SSLContext, path: Path) -> None:
    """Give `context` a revocation list, or several in one PEM file."""
    data = _read(path, "tls.revoked")
    if not data.lstrip().startswith(_PEM):
        lines = base64.encodebytes(data).decode()
        data = f"-----BEGIN {_CRL}-----\n{lines}-----END {_CRL}-----\n".encode()
    before = context.cert_store_stats()["crl"]
    try:
        with _file(data) as pem:
            context.load_verify_locations(pem)
    except ssl.SSLError as error:
        raise ConfigurationError(f"tls.revoked: {path} holds no revocation list") from error
    if context.cert_store_stats()["crl"] == before:
        raise ConfigurationError(f"tls.revoked: {path} holds no revocation list")


def _read(path: Path, setting: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST)
    except OSError as error:
        raise ConfigurationError(f"{setting}: cannot read {path}: {error.strerror}") from error


@contextlib.contextmanager
def _file(data: bytes) -> Iterator[Path]:
    """A file of this user alone, while the block lasts."""
    descriptor, name = tempfile.mkstemp(suffix=".pem")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        yield Path(name)
    finally:
        os.unlink(name)
