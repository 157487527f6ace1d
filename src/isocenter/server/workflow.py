"""Who knows what HL7 messages mean, wired: the handlers by message type and event."""

from isocenter.config import Settings
from isocenter.server import registering
from isocenter.server.archive import Archive
from isocenter.workflow.messages.handling import Handler, Handlers
from isocenter.workflow.orders import handler as orders
from isocenter.workflow.worklist.entries import Worklist


def handlers(archive: Archive, settings: Settings) -> Handlers:
    """The handlers of this installation, for the processes that carry messages out."""
    found: dict[str, Handler] = {}
    found |= registering.handlers(archive, settings)
    found |= orders.handlers(Worklist(archive.database))
    return found
