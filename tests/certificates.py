"""Certificates for tests: an authority that issues and revokes, in the forms that programs want.

authority = Authority(folder, "ours")
server = authority.issue("server", names=("127.0.0.1", "localhost"))
server.certificate, server.key, server.together, server.pkcs12("word")
authority.certificate, authority.revoking(server)
"""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = datetime.timedelta(days=1)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _key(kind: str) -> Any:
    return ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, 2048)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _subject_names(names: tuple[str, ...]) -> x509.SubjectAlternativeName:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return x509.SubjectAlternativeName(found)


@dataclass(frozen=True)
class Issued:
    """A certificate with its key, and the files they lie in."""

    folder: Path
    name: str
    x509: x509.Certificate
    private: Any
    authority: x509.Certificate

    @property
    def certificate(self) -> Path:
        """PEM."""
        return self.folder / f"{self.name}.crt"

    @property
    def key(self) -> Path:
        """PEM, not encrypted."""
        return self.folder / f"{self.name}.key"

    @property
    def together(self) -> Path:
        """Both in one PEM file."""
        path = self.folder / f"{self.name}.pem"
        path.write_bytes(self.certificate.read_bytes() + self.key.read_bytes())
        return path

    @property
    def fingerprint(self) -> str:
        """SHA-256 as openssl writes it."""
        return self.x509.fingerprint(hashes.SHA256()).hex(":").upper()

    def encrypted(self, passphrase: str) -> Path:
        """The key in PEM, encrypted."""
        path = self.folder / f"{self.name}.encrypted.key"
        path.write_bytes(_pem(self.private, serialization.BestAvailableEncryption(passphrase.encode())))
        return path

    def pkcs12(self, passphrase: str) -> Path:
        """Key, certificate and authority in PKCS #12."""
        path = self.folder / f"{self.name}.p12"
        lock = serialization.BestAvailableEncryption(passphrase.encode())
        data = pkcs12.serialize_key_and_certificates(
            self.name.encode(), self.private, self.x509, [self.authority], lock
        )
        path.write_bytes(data)
        return path


def _pem(key: Any, lock: Any) -> bytes:
    data: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    return data


class Authority:
    """Signs certificates, and lists those that it takes back."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder, self._name, self._key = folder, name, _key("ec")
        folder.mkdir(parents=True, exist_ok=True)
        builder = self._builder(name, self._key.public_key(), _now() + 30 * _DAY)
        usage = x509.KeyUsage(
            digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        self._x509 = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = folder / f"{name}.ca.pem"
        self.certificate.write_bytes(self._x509.public_bytes(serialization.Encoding.PEM))

    def _builder(self, common: str, public: Any, end: datetime.datetime) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(_name(common))
            .issuer_name(_name(self._name))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(_now(), end) - _DAY)
            .not_valid_after(end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )

    def issue(
        self,
        name: str,
        *,
        names: tuple[str, ...] = ("127.0.0.1", "localhost"),
        kind: str = "ec",
        server: bool = True,
        client: bool = True,
        expired: bool = False,
    ) -> Issued:
        """A certificate for these names and purposes. `kind` of its key: ec or rsa."""
        key = _key(kind)
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH] * server + [ExtendedKeyUsageOID.CLIENT_AUTH] * client
        builder = self._builder(name, key.public_key(), _now() - _DAY if expired else _now() + 30 * _DAY)
        certificate = (
            builder.add_extension(_subject_names(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        issued = Issued(self._folder, name, certificate, key, self._x509)
        issued.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        issued.key.write_bytes(_pem(key, serialization.NoEncryption()))
        return issued

    def revoking(self, *issued: Issued, der: bool = False) -> Path:
        """The list of what is taken back."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(_name(self._name))
        builder = builder.last_update(_now() - _DAY).next_update(_now() + 30 * _DAY)
        for each in issued:
            revoked = x509.RevokedCertificateBuilder().serial_number(each.x509.serial_number)
            builder = builder.add_revoked_certificate(revoked.revocation_date(_now() - _DAY).build())
        encoding = serialization.Encoding.DER if der else serialization.Encoding.PEM
        path = self._folder / f"{self._name}.crl{'.der' if der else ''}"
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(encoding))
        return path
