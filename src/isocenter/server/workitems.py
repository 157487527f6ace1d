"""The unified worklist, wired: for the processes that accept associations, for the web, for the jobs."""

from collections.abc import Mapping

from isocenter.config import Settings
from isocenter.database import Database
from isocenter.exchange.peers import Peers
from isocenter.jobs.runner import Handler
from isocenter.registry.roster import Directory
from isocenter.workflow.workitems import delivering
from isocenter.workflow.workitems.entries import Terms, Workitems
from isocenter.workflow.workitems.events import KIND


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


def restarted(database: Database, settings: Settings) -> None:
    """Let the subscribers know that the server begins again."""
    ours = settings.aes[0].title
    with database.writing() as connection:
        told = tuple((title, ours) for title in settings.workitem.notify)
        worklist(database, settings).restarted(connection, told)
