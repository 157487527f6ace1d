"""Tickets for event channels: a browser can't set a header on a WebSocket, and what stands in a URL is written into
logs. Whoever may ask gets a ticket for one subscriber, which opens one channel within seconds.

Kept is its digest alone; it is in the database, since the channel may be opened at another process or node.
"""

import hashlib
import secrets
from collections.abc import Callable
from typing import Final

from sqlalchemy import delete, insert

from isocenter.database import Database
from isocenter.jobs.queue import now
from isocenter.workflow.workitems.tables import workitem_ticket

LIFETIME: Final = 30
"""Seconds within which a ticket must be used."""
_BYTES: Final = 32


class Tickets:
    """The tickets of one database. `clock` gives microseconds UTC."""

    def __init__(self, database: Database, clock: Callable[[], int] = now) -> None:
        self._database, self._clock = database, clock

    def issue(self, aet: str) -> str:
        """A ticket for the event channel of `aet`: characters that a URL and an HTTP token may have."""
        ticket, at = secrets.token_urlsafe(_BYTES), self._clock()
        with self._database.writing() as connection:
            connection.execute(delete(workitem_ticket).where(workitem_ticket.c.expires_at <= at))
            values = {"digest": _digest(ticket), "aet": aet, "expires_at": at + LIFETIME * 1_000_000}
            connection.execute(insert(workitem_ticket).values(**values))
        return ticket

    def redeem(self, aet: str, ticket: str) -> bool:
        """Whether the ticket opens the channel of `aet`; it does so once."""
        mine = (workitem_ticket.c.digest == _digest(ticket)) & (workitem_ticket.c.aet == aet)
        with self._database.writing() as connection:
            using = delete(workitem_ticket).where(mine, workitem_ticket.c.expires_at > self._clock())
            return connection.execute(using).rowcount == 1


def _digest(ticket: str) -> str:
    """It has 256 random bits, so that there is nothing to guess."""
    return hashlib.sha256(ticket.encode()).hexdigest()
