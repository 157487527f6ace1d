"""Sending of what is stored, wired as a job of the process that works in the background."""

from collections.abc import Mapping

from isocenter.config import Settings
from isocenter.exchange.departing import Departures
from isocenter.exchange.peers import Peers
from isocenter.exchange.pushing import KIND, Pusher
from isocenter.imaging.engine import engine_of
from isocenter.jobs.runner import Handler
from isocenter.registry.roster import Directory
from isocenter.rules import compiled
from isocenter.server.archive import Archive
from isocenter.services.retrieving import opener


def handlers(archive: Archive, settings: Settings, directory: Directory, peers: Peers) -> Mapping[str, Handler]:
    """The handler of `exchange.pushing.KIND`."""
    departures = Departures(archive.database, compiled(settings), peers.character_set_of, engine_of(settings.imaging))
    return {KIND: Pusher(archive.database, peers, directory, opener(archive.store), departures).handle}
