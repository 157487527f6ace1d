"""The settings of TLS and identities, checked with all the files that they name: before a start, a reload, on
`config check`."""

from isocenter.config import HostedAE, Settings
from isocenter.errors import ConfigurationError
from isocenter.security import identity, tls


def check_security(settings: Settings) -> None:
    """ConfigurationError where something is missing or wrong, or nobody could come in."""
    tls.check(settings.tls, settings.peers)
    if settings.hl7_listens and settings.hl7.tls_port is not None:
        tls.server_context(settings.tls)
    if any(destination.tls for destination in settings.hl7.destinations):
        tls.client_context(settings.tls, check_name=settings.tls.check_names)
    identity.check(settings.identity, settings.users)
    for ae in settings.aes:
        _check_ae(settings, ae)
    for peer in settings.peers:
        if peer.tls_fingerprint and not _is_digest(tls.plain_fingerprint(peer.tls_fingerprint)):
            raise ConfigurationError(f"peer.tls_fingerprint of {peer.title}: not a SHA-256 in hexadecimal")


def _check_ae(settings: Settings, ae: HostedAE) -> None:
    if ae.tls_only and not settings.tls.ports:
        raise ConfigurationError(f"ae.tls_only of {ae.title}: there are no tls.ports")
    if ae.identity == "required" and not identity.is_configured(settings.identity, settings.users):
        raise ConfigurationError(f"ae.identity of {ae.title}: required, but no [[user]] or [identity] could verify any")


def _is_digest(text: str) -> bool:
    return len(text) == 64 and all(c in "0123456789abcdef" for c in text)
