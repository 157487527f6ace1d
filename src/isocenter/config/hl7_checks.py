"""What is looked at in the settings of HL7 before they hold."""

import ipaddress
from collections.abc import Iterable
from zoneinfo import ZoneInfo

from isocenter.config.hl7 import Destination, Feed, Hl7
from isocenter.errors import ConfigurationError
from isocenter.hl7.charset import codec_of


def check(settings: Hl7) -> None:
    """Raise ConfigurationError for names that are given twice or that nothing has, zones, character sets, addresses."""
    _check_once("hl7.feed.name", (feed.name for feed in settings.feeds))
    _check_once("hl7.destination.name", (each.name for each in settings.destinations))
    for feed in settings.feeds:
        _check_feed(feed, settings)
    for destination in settings.destinations:
        _check_destination(destination)


def _check_once(key: str, names: Iterable[str]) -> None:
    given = [name for name in names if name]
    for name in given:
        if given.count(name) > 1:
            raise ConfigurationError(f"{key}: {name!r} is given twice")


def _check_feed(feed: Feed, settings: Hl7) -> None:
    _check_character_set("hl7.feed.character_set", feed.character_set)
    if feed.character_set_forced and not feed.character_set:
        raise ConfigurationError("hl7.feed.character_set_forced: there is no character_set to go by")
    for address in feed.addresses:
        try:
            ipaddress.ip_network(address, strict=False)
        except ValueError as error:
            raise ConfigurationError(f"hl7.feed.addresses: {address!r} is no address or network") from error
    if feed.time_zone:
        try:
            ZoneInfo(feed.time_zone)
        except (KeyError, ValueError, OSError) as error:  # unknown, no path of the database, a folder of it
            raise ConfigurationError(f"hl7.feed.time_zone: {feed.time_zone!r} is no time zone") from error
    if feed.answers and settings.destination(feed.answers) is None:
        raise ConfigurationError(f"hl7.feed.answers: there is no [[hl7.destination]] {feed.answers!r}")


def _check_destination(destination: Destination) -> None:
    if not destination.name or not destination.host:
        raise ConfigurationError("hl7.destination: it needs a name and a host")
    if not destination.port:
        raise ConfigurationError(f"hl7.destination.port: {destination.name} has none")
    _check_character_set("hl7.destination.character_set", destination.character_set)


def _check_character_set(key: str, name: str) -> None:
    if codec_of(name) is None:
        raise ConfigurationError(f"{key}: {name!r} is no character set of HL7 table 0211")
