"""The TLS Secure Transport Connection Profiles of PS3.15 Annex B: versions and cipher suites, as data.

Suites by their IANA names, in order of preference, with OpenSSL's name beside. Those of TLS 1.3 are the library's own
(RFC 8446 B.4) and hold for every profile.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

ProfileName = Literal["bcp195", "bcp195-modified", "non-downgrading", "aes"]

TLS_1_3_SUITES: Final = (
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_GCM_SHA256",
)

OPENSSL_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
        "TLS_ECDHE_ECDSA_WITH_AES_128_CCM": "ECDHE-ECDSA-AES128-CCM",
        "TLS_ECDHE_ECDSA_WITH_AES_256_CCM": "ECDHE-ECDSA-AES256-CCM",
        "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8": "ECDHE-ECDSA-AES128-CCM8",
        "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8": "ECDHE-ECDSA-AES256-CCM8",
        "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256": "DHE-RSA-AES128-GCM-SHA256",
        "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384": "DHE-RSA-AES256-GCM-SHA384",
        "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
        "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    }
)


@dataclass(frozen=True, slots=True)
class TlsProfile:
    """One profile. No version below TLS 1.2 is spoken under any of them."""

    title: str
    section: str
    """Of PS3.15."""
    suites: tuple[str, ...]
    """Of TLS 1.2, by IANA name."""
    retired: bool = False

    @property
    def openssl(self) -> str:
        """The suites as OpenSSL wants them."""
        return ":".join(OPENSSL_NAMES[suite] for suite in self.suites)

    @property
    def ephemeral_dh(self) -> bool:
        """Whether a suite needs finite-field Diffie-Hellman parameters."""
        return any(suite.startswith("TLS_DHE_") for suite in self.suites)


_RECOMMENDED: Final = (
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
)
"""RFC 9325 4.2."""

PROFILES: Final[Mapping[ProfileName, TlsProfile]] = MappingProxyType(
    {
        "bcp195": TlsProfile("BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile", "B.12", _RECOMMENDED),
        "bcp195-modified": TlsProfile(
            "Modified BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile",
            "B.13",
            (
                "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
                "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
                "TLS_ECDHE_ECDSA_WITH_AES_256_CCM",
                "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8",
                "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
                "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
                "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
                "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
                "TLS_ECDHE_ECDSA_WITH_AES_128_CCM",
                "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8",
            ),
        ),
        "non-downgrading": TlsProfile(
            "Non-Downgrading BCP 195 TLS Secure Transport Connection Profile",
            "B.10",
            (
                *_RECOMMENDED,
                "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
                "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
            ),
            retired=True,
        ),
        "aes": TlsProfile(
            "AES TLS Secure Transport Connection Profile",
            "B.3",
            (*_RECOMMENDED, "TLS_RSA_WITH_AES_256_CBC_SHA", "TLS_RSA_WITH_AES_128_CBC_SHA"),
            retired=True,
        ),
    }
)
"""What the setting `tls.profile` may name."""
