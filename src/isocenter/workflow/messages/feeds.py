"""Whose message it is: the feed that fits its header and where it comes from, and who may send at all."""

import ipaddress
import re
from typing import Final, NamedTuple

from msgspec.structs import replace

from isocenter.config.hl7 import Feed, Hl7
from isocenter.hl7.charset import codec_of
from isocenter.hl7.errors import MessageError
from isocenter.hl7.message import Header, Message, parsed

_HEADER: Final = re.compile(rb"MSH[^\r\n]*")
_LOOK: Final = 4096
_WIDE: Final = (b"\xff\xfe", b"\xfe\xff", b"M\0", b"\0M")


def read(data: bytes, settings: Hl7, address: str) -> tuple[Feed, Message]:
    """The feed of a message, and the message as that feed writes it. Raises MessageError."""
    feed = feed_of(settings, salvaged(data).header, address)
    if feed.character_set_forced and not data.startswith(_WIDE):
        data = _declaring(data, feed.character_set)
    return feed, parsed(data, feed.character_set)


def feed_of(settings: Hl7, header: Header, address: str) -> Feed:
    """The first feed that fits, or the defaults under the name of the sender."""
    application, facility = header.sending_application, header.sending_facility
    for feed in settings.feeds:
        named = feed.application in ("", application) and feed.facility in ("", facility)
        if named and (not feed.addresses or is_within(address, feed.addresses)):
            return feed if feed.name else replace(feed, name=_name(application, facility))
    return Feed(name=_name(application, facility))


def _name(application: str, facility: str) -> str:
    return f"{application}^{facility}"[:100]


def is_within(address: str, networks: tuple[str, ...]) -> bool:
    """Whether an address is among these, or in one of these networks."""
    own = _plain(address)
    return any(own in ipaddress.ip_network(network, strict=False) for network in networks)


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IPv4 address that comes in the clothes of IPv6, as that."""
    own = ipaddress.ip_address(address.partition("%")[0])
    return getattr(own, "ipv4_mapped", None) or own


class Doorkeeper(NamedTuple):
    """Who may send messages."""

    settings: Hl7
    open: bool
    """Anyone may: only programs of this machine can, or the settings say so."""

    def admits(self, address: str) -> bool:
        """Whether messages are taken from there without TLS."""
        return self.open or any(is_within(address, feed.addresses) for feed in self.settings.feeds if feed.addresses)


def salvaged(data: bytes) -> Message:
    """What can be made of a message's header, whatever is wrong with the rest: to answer it."""
    if data.startswith(_WIDE):
        return _readable(data) or NOBODY
    found = _HEADER.search(data, 0, _LOOK)
    header = found[0][:_LOOK].decode("ascii", "replace") if found else ""
    fields = header.split(header[3]) if len(header) > 8 else []
    if len(fields) > 17:
        fields[17] = ""
    return _readable((header[3].join(fields) if fields else header).encode("ascii", "replace")) or NOBODY


def _readable(data: bytes) -> Message | None:
    try:
        return parsed(data)
    except MessageError:
        return None


NOBODY: Final = parsed(b"MSH|^~\\&|||||||||P|2.5\r")
"""Who sent what can't be read."""


def _declaring(data: bytes, name: str) -> bytes:
    """The message with this character set in MSH-18."""
    found = _HEADER.search(data, 0, _LOOK)
    if found is None or len(found[0]) < 4 or codec_of(name) is None:
        return data
    header, separator = found[0], found[0][3:4]
    fields = header.split(separator)
    fields += [b""] * (18 - len(fields))
    fields[17] = name.encode("ascii", "replace")
    return data[: found.start()] + separator.join(fields) + data[found.end() :]
