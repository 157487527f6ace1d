"""The listening sockets: bound once by the supervisor, inherited by every worker."""

import contextlib
import json
import os
import socket
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Final

from isocenter import telemetry
from isocenter.config import Settings
from isocenter.errors import ConfigurationError

log = telemetry.logger("server.ports")

BACKLOG = 512
PORTS_FILE = "ports.json"


@dataclass(frozen=True)
class OwnPorts:
    """Which AEs answer at ports of their own, by port."""

    titles: Mapping[int, frozenset[str]] = field(default_factory=dict)
    general: frozenset[int] = frozenset()
    """Those of `titles` where the AEs without a port of their own answer too."""

    def answers(self, title: str, port: int) -> bool:
        """Whether the AE of this title answers at `port`: at its own, or if it has none at every general one."""
        if title in self.titles.get(port, ()):
            return True
        if port in self.titles and port not in self.general:
            return False
        return not any(title in titles for titles in self.titles.values())


NO_OWN_PORTS: Final = OwnPorts()


@dataclass(frozen=True)
class OwnListener:
    """A socket for AEs with a port of their own."""

    socket: socket.socket
    asked: int
    """The port of the settings; 0 took any free one."""
    port: int
    titles: frozenset[str]


@dataclass(frozen=True)
class TlsListener:
    """A general socket where associations come over TLS."""

    socket: socket.socket
    asked: int
    """The port of the settings; 0 took any free one."""
    port: int


@dataclass(frozen=True)
class Listeners:
    """The sockets. Bound early, so that a port in use is told at once; listening only when workers are there."""

    dicom: socket.socket
    http: socket.socket
    dicom_port: int
    """The port that was bound, also where 0 was asked for."""
    http_port: int
    own: tuple[OwnListener, ...] = ()
    also_general: frozenset[str] = frozenset()
    """AEs that name the general port as one of their own."""
    tls: tuple[TlsListener, ...] = ()
    own_over_tls: frozenset[int] = frozenset()
    """Ports among `own` where TLS is spoken."""
    hl7: socket.socket | None = None
    """Where HL7 messages are taken."""
    hl7_tls: socket.socket | None = None
    """Where they are taken over TLS."""

    @property
    def all_dicom(self) -> tuple[socket.socket, ...]:
        """Where associations are accepted."""
        return (self.dicom, *(each.socket for each in self.own), *(each.socket for each in self.tls))

    @property
    def secure(self) -> tuple[socket.socket, ...]:
        """Those of `all_dicom` where TLS is spoken."""
        own = (each.socket for each in self.own if each.asked in self.own_over_tls)
        return (*own, *(each.socket for each in self.tls))

    @property
    def own_ports(self) -> OwnPorts:
        """Which AE answers where."""
        titles = {each.port: each.titles for each in self.own}
        if self.also_general:
            titles[self.dicom_port] = self.also_general
        return OwnPorts(titles, frozenset({self.dicom_port}))

    @property
    def all_hl7(self) -> tuple[socket.socket, ...]:
        """Where HL7 messages are taken."""
        return tuple(each for each in (self.hl7, self.hl7_tls) if each is not None)

    @property
    def hl7_ports(self) -> dict[str, int]:
        """`hl7_port` and `hl7_tls_port`, as far as there are any."""
        named = (("hl7_port", self.hl7), ("hl7_tls_port", self.hl7_tls))
        return {name: int(each.getsockname()[1]) for name, each in named if each is not None}

    def listen(self) -> None:
        """Let clients in; those who come before a worker accepts wait in the queue."""
        for listener in (*self.all_dicom, *self.all_hl7, self.http):
            listener.listen(BACKLOG)

    def close_dicom(self) -> None:
        """Close the DICOM sockets in this process."""
        for listener in self.all_dicom:
            listener.close()

    def close_hl7(self) -> None:
        """Close the HL7 sockets in this process."""
        for listener in self.all_hl7:
            listener.close()

    def close(self) -> None:
        """Close all of them in this process."""
        self.close_dicom()
        self.close_hl7()
        self.http.close()


def bind(settings: Settings) -> Listeners:
    """The general sockets, bound to the configured address. Those of single AEs: `with_own`."""
    wanted = {"dicom_port": settings.dicom_port, "http_port": settings.http_port, **_hl7_ports(settings)}
    bound: dict[str, socket.socket] = {}
    try:
        for name, port in wanted.items():
            bound[name] = _bind(settings.host, port, name)
    except ConfigurationError:
        for sock in bound.values():
            sock.close()
        raise
    dicom, http = bound["dicom_port"], bound["http_port"]
    return Listeners(
        *(dicom, http, int(dicom.getsockname()[1]), int(http.getsockname()[1])),
        hl7=bound.get("hl7.port"),
        hl7_tls=bound.get("hl7.tls_port"),
    )


def _hl7_ports(settings: Settings) -> dict[str, int]:
    asked = {"hl7.port": settings.hl7.port, "hl7.tls_port": settings.hl7.tls_port} if settings.hl7_listens else {}
    return {name: port for name, port in asked.items() if port is not None}


def with_own(settings: Settings, listeners: Listeners, stored: Collection[str] = ()) -> Listeners:
    """The sockets that the AEs of `settings` want: those of `listeners` that are there already, others bound.

    Raises ConfigurationError, and leaves everything as it was, where a port can't be had; but one that only AEs of
    `stored` want is left out then, and told: they can't be mended where the server doesn't start.
    """
    have = {_place(each.asked, each.titles): each for each in listeners.own}
    wanted = _wanted(settings, listeners, stored)
    bound: list[OwnListener] = []
    fresh: list[socket.socket] = []
    try:
        for place, titles in wanted.items():
            asked = place[0]
            if known := have.get(place):
                sock = known.socket
            elif free := _bind_own(settings.host, asked, titles, stored):
                sock = free
                fresh.append(sock)
            else:
                continue
            bound.append(OwnListener(sock, asked, int(sock.getsockname()[1]), frozenset(titles)))
    except ConfigurationError:
        for sock in fresh:
            sock.close()
        raise
    general = frozenset(ae.title for ae in settings.aes if ae.ports and listeners.dicom_port in ae.ports)
    return replace(listeners, own=tuple(bound), also_general=general)


def with_tls(settings: Settings, listeners: Listeners) -> Listeners:
    """The TLS sockets of `settings`: those of `listeners` that are there already, others bound. Ports that an AE has
    as its own are `with_own`'s. Raises ConfigurationError, and leaves everything as it was."""
    own = {port for ae in settings.aes for port in ae.ports if port}
    have = dict(zip(_numbered(each.asked for each in listeners.tls), listeners.tls, strict=True))
    bound: list[TlsListener] = []
    fresh: list[socket.socket] = []
    try:
        for place in _numbered(port for port in settings.tls.ports if port not in own):
            if (known := have.get(place)) is None:
                sock = _bind(settings.host, place[0], "tls.ports")
                fresh.append(sock)
                known = TlsListener(sock, place[0], int(sock.getsockname()[1]))
            bound.append(known)
    except ConfigurationError:
        for sock in fresh:
            sock.close()
        raise
    return replace(listeners, tls=tuple(bound), own_over_tls=frozenset(settings.tls.ports) & own)


def _numbered(ports: Iterable[int]) -> list[tuple[int, int]]:
    """Each port, and which one it is of several that may be any (0)."""
    seen: dict[int, int] = {}
    found: list[tuple[int, int]] = []
    for port in ports:
        number = seen[port] = seen.get(port, -1) + 1
        if not port or not number:
            found.append((port, number))
    return found


def _place(asked: int, titles: Iterable[str]) -> tuple[int, str]:
    """What a listener is known by: its port; where any will do, the AE that it is for."""
    return asked, "" if asked else min(titles)


def _bind_own(host: str, port: int, titles: Collection[str], stored: Collection[str]) -> socket.socket | None:
    """A socket for these AEs; None where it can't be had and all of them are `stored`. Raises ConfigurationError."""
    try:
        return _bind(host, port, f"ae.ports of {', '.join(sorted(titles))}")
    except ConfigurationError as error:
        if not all(title in stored for title in titles):
            raise
        log.error("port.left_out", port=port, comment=error.comment)
        return None


def _wanted(settings: Settings, listeners: Listeners, stored: Collection[str]) -> dict[tuple[int, str], set[str]]:
    found: dict[tuple[int, str], set[str]] = {}
    for ae in settings.aes:
        for port in ae.ports:
            if port and port == listeners.http_port:
                comment = f"ae.ports: {port} of {ae.title} is the HTTP port"
                if ae.title not in stored:
                    raise ConfigurationError(comment)
                log.error("port.left_out", port=port, comment=comment)
            elif not port or port != listeners.dicom_port:
                found.setdefault(_place(port, (ae.title,)), set()).add(ae.title)
    return found


def drop(before: Listeners, now: Listeners) -> None:
    """End the listening on sockets that are no longer wanted, in all processes that share them."""
    kept = {id(sock) for sock in now.all_dicom}
    for sock in before.all_dicom:
        if id(sock) not in kept:
            with contextlib.suppress(OSError):  # nobody may be connected
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


def _bind(host: str, port: int, setting: str) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ConfigurationError(f"host: {host!r} is no address of this machine") from error
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6 and host == "::":
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"{setting}: cannot listen on {host} port {port}: {error.strerror}") from error
    return listener


def write_ports(folder: Path, settings: Settings, listeners: Listeners) -> None:
    """Tell other programs of this machine where the server listens: `ports.json` in the run folder, written whole."""
    facts = {
        "pid": os.getpid(),
        "host": settings.host,
        "dicom_port": listeners.dicom_port,
        "http_port": listeners.http_port,
        "ae_ports": ae_ports(listeners),
        "tls_ports": [each.port for each in listeners.tls],
        **listeners.hl7_ports,
    }
    draft = folder / f"{PORTS_FILE}.new"
    draft.write_text(json.dumps(facts))
    draft.replace(folder / PORTS_FILE)


def ae_ports(listeners: Listeners) -> dict[str, list[int]]:
    """The ports of each AE that has some of its own."""
    titles = listeners.own_ports.titles
    return {title: [port for port in titles if title in titles[port]] for title in sorted({*chain(*titles.values())})}
