"""What an installation is set to: `load` reads it, `Settings` holds it."""

from isocenter.config.entries import Entry, Kind, assigned, entry, title_problem, unassigned
from isocenter.config.loading import Loaded, build, check, load, load_with_origins, may_call_from
from isocenter.config.settings import (
    PERMISSIONS,
    HostedAE,
    Http,
    Lanes,
    Limits,
    Peer,
    Processes,
    ResponseLimits,
    Settings,
    Window,
    is_loopback,
)
from isocenter.config.showing import masked, show

__all__ = [
    "PERMISSIONS",
    "Entry",
    "HostedAE",
    "Http",
    "Kind",
    "Lanes",
    "Limits",
    "Loaded",
    "Peer",
    "Processes",
    "ResponseLimits",
    "Settings",
    "Window",
    "assigned",
    "build",
    "check",
    "entry",
    "is_loopback",
    "load",
    "load_with_origins",
    "masked",
    "may_call_from",
    "show",
    "title_problem",
    "unassigned",
]
