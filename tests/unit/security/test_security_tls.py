"""SSL contexts from the settings: files in every form, and what is wrong with them in the setting's own name."""

import ssl
from pathlib import Path

import pytest

from certificates import Authority, Issued
from isocenter.config import HostedAE, Peer, Settings, Tls, User
from isocenter.declarations.tls_profiles import OPENSSL_NAMES, PROFILES, ProfileName
from isocenter.errors import ConfigurationError
from isocenter.security.checks import check_security
from isocenter.security.tls import Callers, client_context, plain_fingerprint, server_context


@pytest.fixture(name="ca", scope="module")
def fixture_ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(name="own", scope="module")
def fixture_own(ca: Authority) -> Issued:
    return ca.issue("own")


def names(context: ssl.SSLContext, *, tls_1_3: bool) -> list[str]:
    return [suite["name"] for suite in context.get_ciphers() if (suite["protocol"] == "TLSv1.3") is tls_1_3]


@pytest.mark.req("M-SEC-01", "M-SEC-02", "M-SEC-03", "P-SEC-02", "P-SEC-04")
@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_confines_versions_and_suites(profile: ProfileName, ca: Authority, own: Issued) -> None:
    tls = Tls(profile=profile, certificate=own.together, trusted=(ca.certificate,))
    for context in (server_context(tls), client_context(tls, check_name=True)):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert names(context, tls_1_3=False) == [OPENSSL_NAMES[suite] for suite in PROFILES[profile].suites]
        assert {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"} <= set(names(context, tls_1_3=True))


@pytest.mark.req("M-SEC-03")
def test_the_older_profile_has_the_suites_of_its_source() -> None:
    assert {
        "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    } <= set(PROFILES["non-downgrading"].suites)


@pytest.mark.req("M-SEC-04", "P-SEC-05")
def test_our_own_certificate_in_every_form(ca: Authority, own: Issued) -> None:
    trusted = (ca.certificate,)
    for tls in (
        Tls(certificate=own.together, trusted=trusted),
        Tls(certificate=own.certificate, key=own.key, trusted=trusted),
        Tls(certificate=own.certificate, key=own.encrypted("word"), passphrase="word", trusted=trusted),
        Tls(certificate=own.pkcs12("word"), passphrase="word", trusted=trusted),
        Tls(
            certificate=own.pkcs12("word"), passphrase="word", trusted=(own.pkcs12("word"),), trusted_passphrase="word"
        ),
        Tls(certificate=own.together, trusted=trusted, revoked=(ca.revoking(),)),
        Tls(certificate=own.together, trusted=trusted, revoked=(ca.revoking(der=True),), revocation="chain"),
    ):
        assert server_context(tls).verify_mode == ssl.CERT_REQUIRED


def test_what_is_wrong_is_told(ca: Authority, own: Issued, tmp_path: Path) -> None:
    other, trusted = ca.issue("other"), (ca.certificate,)
    text = tmp_path / "text"
    text.write_text("nothing of use")
    cases = {
        "need a certificate": Tls(),
        "cannot read": Tls(certificate=tmp_path / "none"),
        "tls.key: cannot read": Tls(certificate=own.certificate, key=tmp_path / "none"),
        "not that of the certificate": Tls(certificate=own.certificate, key=other.key),
        "tls.key: .*another passphrase": Tls(certificate=own.certificate, key=own.encrypted("word"), passphrase="no"),
        "tls.certificate: .*PKCS #12": Tls(certificate=own.pkcs12("word"), passphrase="no"),
        "no certificate with its key": Tls(certificate=text),
        "no authority is trusted": Tls(certificate=own.together),
        "tls.trusted: .*holds no": Tls(certificate=own.together, trusted=(text,)),
        "tls.revoked: .*no revocation list": Tls(certificate=own.together, trusted=trusted, revoked=(text,)),
        "tls.revoked: .*holds no revocation": Tls(certificate=own.together, trusted=trusted, revoked=(ca.certificate,)),
    }
    for message, tls in cases.items():
        with pytest.raises(ConfigurationError, match=message):
            server_context(tls)


def test_the_key_of_a_pkcs12_file_leaves_no_trace(
    ca: Authority, own: Issued, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    server_context(Tls(certificate=own.pkcs12("word"), passphrase="word", trusted=(ca.certificate,)))
    assert not list(tmp_path.iterdir())


def test_whom_to_call_how(ca: Authority) -> None:
    callers = Callers(Tls(trusted=(ca.certificate,)))
    plain = Peer(title="A", host="a.example")
    assert callers.secure(plain) is None
    named = callers.secure(Peer(title="A", host="a.example", tls=True))
    assert named is not None
    assert (named.name, named.fingerprint, named.context.check_hostname) == ("a.example", "", True)
    other = callers.secure(Peer(title="A", host="a.example", tls=True, tls_name="b.example"))
    assert other is not None
    assert other.name == "b.example"
    assert other.context is named.context
    pinned = callers.secure(Peer(title="A", host="a.example", tls=True, tls_fingerprint="AB:CD"))
    assert pinned is not None
    assert (pinned.name, pinned.fingerprint, pinned.context.check_hostname) == ("", "abcd", False)
    lax = Callers(Tls(trusted=(ca.certificate,), check_names=False)).secure(Peer(title="A", host="a", tls=True))
    assert lax is not None
    assert lax.name == ""
    assert plain_fingerprint("AB:cd 01") == "abcd01"


def test_the_settings_are_checked_with_their_files(ca: Authority, own: Issued) -> None:
    good = Tls(ports=(0,), certificate=own.together, trusted=(ca.certificate,))
    check_security(Settings(tls=good, aes=(HostedAE(tls_only=True),)))
    cases = {
        "tls.certificate": Settings(tls=Tls(ports=(0,))),
        "tls.trusted": Settings(peers=(Peer(title="A", tls=True),)),
        "ae.tls_only": Settings(aes=(HostedAE(tls_only=True),)),
        "ae.identity": Settings(aes=(HostedAE(identity="required"),)),
        "user.name": Settings(users=(User(name="a"), User(name="a"))),
        "user.passcode": Settings(users=(User(name="a", passcode="secret"),)),
        "peer.tls_fingerprint": Settings(peers=(Peer(title="A", tls_fingerprint="abc"),)),
    }
    for message, settings in cases.items():
        with pytest.raises(ConfigurationError, match=message):
            check_security(settings)
