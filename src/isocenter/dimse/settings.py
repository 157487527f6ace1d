"""What an association has to know beside its peer. Plain parameters: the configuration is read elsewhere."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits and time-outs of associations, in bytes and seconds. A time-out of 0 never ends."""

    max_pdu: int = 1 << 18
    """The maximum length that we announce. Fragments are taken as they arrive, so that it costs no memory; some peers
    allocate as much. Measured with 0.5 MB objects: 128 KiB, 256 KiB and 1 MiB make no difference."""
    max_pdu_sent: int = 1 << 18
    """The longest PDU we send, whatever longer the peer would take."""
    window: tuple[int, int] = (1, 1)
    """Operations at once (invoked, performed) by us, as far as the peer agrees; 0: any number. Where it is (1, 1)
    nothing is proposed. Several that we perform overlap where their service can do that (see `overlapping`)."""
    artim: float = 30.0
    """From the connection to the association request, and from the last PDU to the close (PS3.8 9.1.5)."""
    dimse: float = 60.0
    """For the rest of a begun message."""
    response: float = 600.0
    """For the response to a request of ours, or the next of several."""
    idle: float = 1800.0
    """Between messages."""
    send: float = 60.0
    """While the peer takes nothing of what we send."""
    connect: float = 10.0
    """For the connection to a peer."""
    command_limit: int = 1 << 16
    """Longest command set."""
    response_limit: int = 1 << 24
    """Longest data set of a response."""
    deferred_limit: int = 4 << 20
    """Bytes kept of further requests that a peer sends while one is performed."""
    max_connections: int = 512
    """Of an acceptor: connections at once, those that haven't asked for an association included."""


DEFAULTS: Final = Settings()


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """A presentation context to propose. `scu`, `scp`: the roles that we'd take; others than the default are
    negotiated. `extended`: service class application information (PS3.7 D.3.3.5)."""

    abstract: str
    syntaxes: tuple[str, ...]
    scu: bool = True
    scp: bool = False
    extended: bytes = b""
