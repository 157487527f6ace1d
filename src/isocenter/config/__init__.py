"""What an installation is set to: `load` reads it, `Settings` holds it."""

from isocenter.config.loading import Loaded, build, check, load, load_with_origins, may_call_from, title_problem
from isocenter.config.settings import (
    PERMISSIONS,
    HostedAE,
    Http,
    Limits,
    Peer,
    Processes,
    ResponseLimits,
    Settings,
    is_loopback,
)
from isocenter.config.showing import masked, show

__all__ = [
    "PERMISSIONS",
    "HostedAE",
    "Http",
    "Limits",
    "Loaded",
    "Peer",
    "Processes",
    "ResponseLimits",
    "Settings",
    "build",
    "check",
    "is_loopback",
    "load",
    "load_with_origins",
    "masked",
    "may_call_from",
    "show",
    "title_problem",
]
