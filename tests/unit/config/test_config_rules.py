"""What settings must not contradict, and how they are shown."""

import tomllib

import pytest

from isocenter import config
from isocenter.config import HostedAE, Peer, Settings
from isocenter.errors import ConfigurationError


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1"])
def test_loopback(host: str) -> None:
    settings = Settings(host=host)
    config.check(settings)
    assert settings.loopback
    assert settings.http_open


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "pacs.example.org"])
@pytest.mark.req("M-SEC-05", "I-SEC-03")
def test_beyond_loopback_the_dicom_port_wants_known_peers(host: str) -> None:
    with pytest.raises(ConfigurationError, match="know no peer"):
        config.check(Settings(host=host))
    settings = Settings(host=host, peers=(Peer(title="CT1", host="10.0.0.1"),))
    config.check(settings)
    assert settings.policy == "known-peers"
    assert not settings.http_open


def test_beyond_loopback_the_peers_may_all_be_in_the_database() -> None:
    settings = Settings(host="0.0.0.0", dicom_policy="known-peers")
    config.check(settings)
    assert settings.policy == "known-peers"
    assert not settings.http_open


@pytest.mark.req("I-SEC-01")
def test_beyond_loopback_open_must_be_said() -> None:
    settings = Settings(host="0.0.0.0", dicom_policy="open")
    config.check(settings)
    assert settings.policy == "open"
    assert not settings.http_open


def test_insecure_opens_everything() -> None:
    settings = Settings(host="0.0.0.0", insecure=True)
    config.check(settings)
    assert settings.policy == "open"
    assert settings.http_open


def test_http_is_not_left_open_beyond_loopback_by_itself() -> None:
    open_http = config.Http(open=True)
    with pytest.raises(ConfigurationError, match=r"http\.open"):
        config.check(Settings(host="0.0.0.0", dicom_policy="open", http=open_http))
    config.check(Settings(host="127.0.0.1", http=open_http))


@pytest.mark.parametrize("title", [" A", "A\\B", "A\n", "Ä", "A" * 17, ""])
def test_a_bad_title_is_named(title: str) -> None:
    with pytest.raises(ConfigurationError, match=r"ae\.title"):
        config.check(Settings(aes=(HostedAE(title=title),)))


@pytest.mark.req("M-ARCH-06")
def test_titles_are_given_once_and_may_hold_spaces() -> None:
    config.check(Settings(aes=(HostedAE(title="MARIE PACS"), HostedAE(title="DW"))))
    with pytest.raises(ConfigurationError, match="twice"):
        config.check(Settings(aes=(HostedAE(), HostedAE())))
    with pytest.raises(ConfigurationError, match="twice"):
        config.check(Settings(peers=(Peer(title="A"), Peer(title="A"))))
    with pytest.raises(ConfigurationError, match="at least one"):
        config.check(Settings(aes=()))


def test_addresses_are_checked() -> None:
    with pytest.raises(ConfigurationError, match=r"peer\.addresses"):
        config.check(Settings(peers=(Peer(title="A", addresses=("10.0.0.0/99",)),)))


def test_a_peer_may_call_from_its_networks() -> None:
    peer = Peer(title="A", addresses=("10.1.0.0/16", "fd00::1"))
    assert config.may_call_from(peer, "10.1.2.3")
    assert config.may_call_from(peer, "fd00::1")
    assert not config.may_call_from(peer, "10.2.0.1")


def test_what_is_shown_reads_back_the_same() -> None:
    settings = config.load(
        environment={
            "ISOCENTER_PEER": '[{"title": "A \\"quoted\\"", "host": "h", "syntaxes": ["1.2.840.10008.1.2"]}]',
            "ISOCENTER_LIMITS__ARTIM": "7",
        }
    )
    assert config.build(tomllib.loads(config.show(settings))) == settings


def test_secrets_are_masked_and_sources_named() -> None:
    environment = {"ISOCENTER_HTTP__TOKEN": "hush", "ISOCENTER_DATABASE": "postgresql://me:hush@db/archive"}
    loaded = config.load_with_origins(environment=environment)
    text = config.show(loaded.settings, loaded.origins)
    assert "hush" not in text
    assert 'database = "postgresql://me:********@db/archive"  # environment' in text
    assert "hush" not in repr(config.masked(loaded.settings))
