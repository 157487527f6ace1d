"""Who has to wait for whom, where several nodes process messages in one PostgreSQL database.

Within a process one commit is made after the other (`processing`). Two nodes know nothing of each other's: who commits
messages takes the turns of their feeds, and of the patients, visits and orders that they name, and gives them back with
the end of its transaction. So a feed stays in order, and an order and an update of its patient that come to two nodes
see each other. SQLite has one transaction at a time anyway.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final

from sqlalchemy import Connection, text

from isocenter.database.prepared import Prepared
from isocenter.hl7.message import Message

# in the order of the list: two that take the same ones can't wait for each other
_TAKE: Final = Prepared(text("SELECT pg_advisory_xact_lock(each) FROM unnest(CAST(:keys AS bigint[])) AS each"))

_NAMING: Final = {
    "PID": (2, 3, 4, 18),
    "MRG": (1, 2, 3, 4, 5, 6),
    "PV1": (19, 50),
    "ORC": (2, 3, 4, 8),
    "OBR": (2, 3, 18),
    "SCH": (1, 2),
}
"""Fields with numbers of patients, accounts, visits, orders and appointments, whatever a mapping makes of them."""


def take(connection: Connection, feeds: Iterable[str], messages: Iterable[Message]) -> None:
    """Wait for the turns of these feeds and of what these messages name; have them until the transaction ends."""
    if connection.dialect.name == "postgresql":
        numbers = {number for message in messages for number in _numbers(message)}
        _take(connection, [*(("hl7-feed", feed) for feed in feeds), *(("hl7-number", number) for number in numbers)])


def take_patient(connection: Connection, patient_id: str) -> None:
    """The same for one patient more, whom a message turned out to mean."""
    if connection.dialect.name == "postgresql":
        _take(connection, [("hl7-number", patient_id)])


def _take(connection: Connection, what: Iterable[tuple[str, str]]) -> None:
    _TAKE.rows(connection, keys=sorted({_key(f"{kind}\n{name}") for kind, name in what}))


def _numbers(message: Message) -> Iterator[str]:
    """As they are written: what is wrong with a message is found where it is answered."""
    d = message.delimiters
    for segment in message.segments:
        for field in _NAMING.get(segment.name, ()):
            for repetition in _split(segment.raw(field), d.repetition):
                number = _split(_split(repetition, d.component)[0], d.subcomponent)[0].strip()
                if number:
                    yield number


def _split(written: str, at: str) -> list[str]:
    return written.split(at) if at else [written]


def _key(name: str) -> int:
    """The number of a lock, among all that are taken in the database."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
