"""The unified worklist, wired: for the processes that accept associations, for the web, for the jobs."""

from collections.abc import Callable, Mapping

from isocenter.config import Settings
from isocenter.database import Database
from isocenter.exchange.peers import Peers
from isocenter.jobs.runner import Handler
from isocenter.registry.roster import Directory
from isocenter.workflow.workitems import delivering, keying
from isocenter.workflow.workitems.entries import Notify, Terms, Workitems
from isocenter.workflow.workitems.events import KIND, Kept
from isocenter.workflow.workitems.parting import Parting


def worklist(database: Database, settings: Settings) -> Workitems:
    """The worklist of an installation."""
    said = settings.workitem
    return Workitems(database, Terms(said.missing, said.label, said.locks))


def handlers(database: Database, settings: Settings, directory: Directory, peers: Peers) -> Mapping[str, Handler]:
    """The handlers of the jobs that tell subscribers."""
    tries = delivering.Tries(settings.workitem.retries, settings.workitem.retry_delay)
    return {KIND: delivering.Deliverer(worklist(database, settings), peers, directory, tries).handle}


def upkeep(database: Database, settings: Settings) -> Handler:
    """The handler of `delivering.UPKEEP`."""
    said = settings.workitem
    return delivering.upkeep(worklist(database, settings), keep=said.keep, events=said.events)


def findable(database: Database, *, salvaged: bool) -> None:
    """Make what workitems are found by, where it is not there."""
    keying.renew(database, anyway=salvaged)


def restarted(database: Database, settings: Settings, kept: Kept) -> None:
    """Let the subscribers know that the server begins again."""
    with database.writing() as connection:
        worklist(database, settings).restarted(connection, _notify(settings), kept)


def parting(database: Database, settings: Settings, wake: Callable[[], None]) -> Parting:
    """Let them know that it ends; `wake` has the jobs of `handlers` looked for."""
    return Parting(worklist(database, settings), _notify(settings), farewell(settings), wake)


def farewell(settings: Settings) -> float:
    """Seconds that a stop waits for subscribers to hear of it."""
    return min(settings.workitem.farewell, settings.processes.drain)


def _notify(settings: Settings) -> Notify:
    ours = settings.aes[0].title
    return tuple((title, ours) for title in settings.workitem.notify)
