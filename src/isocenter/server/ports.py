"""The listening sockets: bound once by the supervisor, inherited by every worker."""

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from isocenter.config import Settings
from isocenter.errors import ConfigurationError

BACKLOG = 512
PORTS_FILE = "ports.json"


@dataclass(frozen=True)
class Listeners:
    """The two sockets. Bound early, so that a port in use is told at once; listening only when workers are there."""

    dicom: socket.socket
    http: socket.socket
    dicom_port: int
    """The port that was bound, also where 0 was asked for."""
    http_port: int

    def listen(self) -> None:
        """Let clients in; those who come before a worker accepts wait in the queue."""
        self.dicom.listen(BACKLOG)
        self.http.listen(BACKLOG)

    def close(self) -> None:
        """Close both in this process."""
        self.dicom.close()
        self.http.close()


def bind(settings: Settings) -> Listeners:
    """Both sockets, bound to the configured address."""
    dicom = _bind(settings.host, settings.dicom_port, "dicom_port")
    try:
        http = _bind(settings.host, settings.http_port, "http_port")
    except ConfigurationError:
        dicom.close()
        raise
    return Listeners(dicom, http, int(dicom.getsockname()[1]), int(http.getsockname()[1]))


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
    }
    draft = folder / f"{PORTS_FILE}.new"
    draft.write_text(json.dumps(facts))
    draft.replace(folder / PORTS_FILE)
