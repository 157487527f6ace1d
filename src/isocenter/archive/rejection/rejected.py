"""Rejected objects: who sees them, what becomes of one that is sent again, and the notes that reject them."""

from collections.abc import Mapping
from functools import lru_cache

from isocenter.archive.retrieval.instances import View
from isocenter.config.rejections import Rejection, Rejections
from isocenter.config.settings import HostedAE
from isocenter.declarations.rejections import BY_NAME, IN_FORCE, NOTE, TITLES


def view_of(ae: HostedAE) -> View:
    """Which objects an AE shows: those in force, rejected ones too, or these alone."""
    if ae.rejected == "hide" and ae.rejection_notes == "hide":
        return IN_FORCE
    return _view(ae.rejected, ae.rejected_titles, ae.rejection_notes)


@lru_cache(maxsize=64)
def _view(rejected: str, titles: tuple[str, ...], notes: str) -> View:
    shown = frozenset(BY_NAME[name].number for name in titles or BY_NAME)
    view = {"hide": IN_FORCE, "show": IN_FORCE | shown, "only": shown}[rejected]
    return view | {NOTE} if notes == "show" else view


def by_number(rejections: Rejections) -> Mapping[int, Rejection]:
    """The settings of each title, by its number."""
    return {title.number: getattr(rejections, title.name) for title in TITLES}
