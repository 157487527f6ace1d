"""The peer that a command talks to."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from isocenter.cli.configuring import settings_of
from isocenter.config import Peer, Settings, title_problem
from isocenter.dimse import ClientAssociation, ProposedContext, connect
from isocenter.dimse import Settings as NetworkSettings
from isocenter.errors import ConfigurationError
from isocenter.exchange.peers import association_settings

_WRITTEN_OUT = re.compile(r"(?P<title>[^@]+)@(?P<host>\[[^\]]+\]|[^:\[\]]+)(?::(?P<port>\d{1,5}))?")
_DEFAULT_PORT = 11112


@dataclass(frozen=True)
class Target:
    """Whom to call, and as whom."""

    peer: Peer
    calling: str
    network: NetworkSettings

    def __str__(self) -> str:
        return f"{self.peer.title} at {self.peer.host} port {self.peer.port}"

    @contextmanager
    def connect(self, contexts: list[ProposedContext]) -> Iterator[ClientAssociation]:
        """An association with the peer, released at the end of the block, aborted by an exception."""
        association = connect(
            (self.peer.host, self.peer.port),
            calling=self.calling,
            called=self.peer.title,
            contexts=contexts,
            settings=self.network,
        )
        with association:
            yield association


def named(name: str, file: Path | None, data: Path | None, calling: str) -> Target:
    """The peer that `name` means: written out, or a title in the settings, or this installation's own AE."""
    settings = settings_of(file, data)
    peer = _written_out(name) or _known(name, settings)
    for title in (peer.title, calling):
        if problem := title_problem(title):
            raise ConfigurationError(f"the AE title {title!r} {problem}")
    return Target(peer, peer.called_as or calling, association_settings(settings.limits, peer))


def _written_out(name: str) -> Peer | None:
    match = _WRITTEN_OUT.fullmatch(name)
    if match is None:
        return None
    port = int(match["port"] or _DEFAULT_PORT)
    if not 0 < port < 65536:
        raise ConfigurationError(f"{port} is no port")
    return Peer(title=match["title"], host=match["host"].strip("[]"), port=port)


def _known(name: str, settings: Settings) -> Peer:
    found = next((peer for peer in settings.peers_titled(name) if peer.host), None)
    if found is not None:
        return found
    if settings.ae(name) is not None:
        return Peer(title=name, host=_reachable(settings.host), port=_own_port(settings))
    raise ConfigurationError(f"{name!r} is neither TITLE@HOST:PORT nor the title of a peer in the settings")


def _own_port(settings: Settings) -> int:
    """Where the running server listens, as it wrote it down; else where it would."""
    try:
        return int(json.loads((settings.run_folder / "ports.json").read_text())["dicom_port"])
    except (OSError, ValueError, KeyError, TypeError):
        return settings.dicom_port


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  it is compared, not bound
