"""The peer that a command talks to."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from isocenter.cli.securing import NONE, Security
from isocenter.config import Peer, Settings, title_problem
from isocenter.dimse import ClientAssociation, ProposedContext, Secure, ServiceMap, UserIdentity, connect
from isocenter.dimse import Settings as NetworkSettings
from isocenter.errors import ConfigurationError
from isocenter.exchange.peers import association_settings
from isocenter.exchange.turns import Turns
from isocenter.rules import Coercion, Ends, compiled
from isocenter.security.tls import Callers

_WRITTEN_OUT = re.compile(r"(?P<title>[^@]+)@(?P<host>\[[^\]]+\]|[^:\[\]]+)(?::(?P<port>\d{1,5}))?")
_DEFAULT_PORT = 11112


@dataclass(frozen=True)
class Target:
    """Whom to call, and as whom."""

    peer: Peer
    calling: str
    network: NetworkSettings
    turns: Turns | None = None
    """Where the peer is one of this installation's: its places, shared with the running server."""
    patience: float = 0.0
    """Seconds to wait for one of them."""
    secure: Secure | None = None
    """How TLS is used; None: not at all."""
    identity: UserIdentity | None = None
    """Who calls."""
    coercion: Coercion | None = None
    """What rules on sending do to objects for this peer."""

    def __str__(self) -> str:
        return f"{self.peer.title} at {self.peer.host} port {self.peer.port}"

    @contextmanager
    def connect(
        self, contexts: list[ProposedContext], *, services: ServiceMap | None = None
    ) -> Iterator[ClientAssociation]:
        """An association with the peer, released at the end of the block, aborted by an exception. `services` performs
        what the peer invokes."""
        with (
            self.turns.taken(self.peer, self.patience) if self.turns else nullcontext(),
            connect(
                (self.peer.host, self.peer.port),
                calling=self.calling,
                called=self.peer.title,
                contexts=contexts,
                settings=self.network,
                services=services,
                ssl=self.secure,
                user_identity=self.identity,
            ) as association,
        ):
            yield association


def named(name: str, settings: Settings, calling: str, security: Security = NONE) -> Target:
    """The peer that `name` means: written out, or a title in the settings or the database, or this installation's own
    AE."""
    written = _written_out(name)
    peer = security.peer(written or _known(name, settings, over_tls=security.tls))
    for title in (peer.title, calling):
        if problem := title_problem(title):
            raise ConfigurationError(f"the AE title {title!r} {problem}")
    # a peer that is written out is nobody's here, and this command leaves no folder behind for it
    turns = Turns(settings.run_folder) if written is None and settings.run_folder.is_dir() else None
    network = association_settings(settings.limits, peer)
    secure = Callers(security.settings(settings.tls)).secure(peer)
    caller = peer.called_as or calling
    coercion = compiled(settings).sending(Ends(caller, peer.title, peer.host, peer.title if written is None else ""))
    return Target(peer, caller, network, turns, settings.limits.turn, secure, security.identity(), coercion)


def _written_out(name: str) -> Peer | None:
    match = _WRITTEN_OUT.fullmatch(name)
    if match is None:
        return None
    port = int(match["port"] or _DEFAULT_PORT)
    if not 0 < port < 65536:
        raise ConfigurationError(f"{port} is no port")
    return Peer(title=match["title"], host=match["host"].strip("[]"), port=port)


def _known(name: str, settings: Settings, *, over_tls: bool) -> Peer:
    """The peer or the own AE of this title: first by the settings, which need no database to be read."""
    found = _titled(name, settings, over_tls=over_tls)
    if found is None and (settings.store_root / "archive.json").exists():
        from isocenter.cli.opening import known

        found = _titled(name, known(settings).settings, over_tls=over_tls)
    if found is None:
        raise ConfigurationError(f"{name!r} is neither TITLE@HOST:PORT nor the title of a peer that is known here")
    return found


def _titled(name: str, settings: Settings, *, over_tls: bool) -> Peer | None:
    found = next((peer for peer in settings.peers_titled(name) if peer.host), None)
    if found is None and settings.ae(name) is not None:
        return Peer(title=name, host=_reachable(settings.host), port=_own_port(settings, name, over_tls=over_tls))
    return found


def _own_port(settings: Settings, title: str, *, over_tls: bool) -> int:
    """Where the running server listens for the AE, as it wrote it down; else where it would."""
    try:
        told = json.loads((settings.run_folder / "ports.json").read_text())
        general = told["tls_ports"][0] if over_tls and told.get("tls_ports") else told["dicom_port"]
        return int((told.get("ae_ports", {}).get(title) or [general])[0])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        ae = settings.ae(title)
        return ae.ports[0] if ae is not None and ae.ports else settings.dicom_port


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  it is compared, not bound
