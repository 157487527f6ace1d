"""The turn of a feed, where several processes process messages of it in one PostgreSQL database.

Within a process a feed's messages queue up (`processing`). Two nodes that share a database know nothing of each other's
queues: who commits takes the turns of the feeds that it commits messages of, and gives them back with the end of its
transaction. SQLite has one transaction at a time anyway.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, text

from isocenter.database.prepared import Prepared

# in the order of the list: two nodes that take the same ones can't wait for each other
_TAKE: Final = Prepared(text("SELECT pg_advisory_xact_lock(each) FROM unnest(CAST(:keys AS bigint[])) AS each"))


def take(connection: Connection, feeds: Iterable[str]) -> None:
    """Wait for the turns of these feeds, and have them until the transaction ends."""
    if connection.dialect.name == "postgresql":
        _TAKE.rows(connection, keys=sorted({_key(feed) for feed in feeds}))


def _key(feed: str) -> int:
    """The number of a feed's lock, among all that are taken in the database."""
    digest = hashlib.blake2b(f"hl7-feed\n{feed}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
