"""What an installation is set to: `load` reads it, `Settings` holds it."""

from isocenter.config.entries import Entry, Kind, assigned, entry, from_preset, title_problem, unassigned
from isocenter.config.loading import Loaded, build, check, load, load_with_origins, may_call_from
from isocenter.config.security import Identity, Jwt, Tls, User
from isocenter.config.settings import (
    PERMISSIONS,
    Commitment,
    HostedAE,
    Http,
    Index,
    Lanes,
    Limits,
    Peer,
    Processes,
    ResponseLimits,
    Settings,
    SyntaxPriority,
    Window,
    is_loopback,
)
from isocenter.config.showing import masked, show

__all__ = [
    "PERMISSIONS",
    "Commitment",
    "Entry",
    "HostedAE",
    "Http",
    "Identity",
    "Index",
    "Jwt",
    "Kind",
    "Lanes",
    "Limits",
    "Loaded",
    "Peer",
    "Processes",
    "ResponseLimits",
    "Settings",
    "SyntaxPriority",
    "Tls",
    "User",
    "Window",
    "assigned",
    "build",
    "check",
    "entry",
    "from_preset",
    "is_loopback",
    "load",
    "load_with_origins",
    "masked",
    "may_call_from",
    "show",
    "title_problem",
    "unassigned",
]
