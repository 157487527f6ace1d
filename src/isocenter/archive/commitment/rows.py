"""Rows of storage commitment as both roles write and read them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from isocenter.archive.commitment.data import Named, Reference, Result
from isocenter.database import Database
from isocenter.declarations.commitment import Failure
from isocenter.index.tables import commitment, commitment_instance

_PRUNED = 200
"""Transactions that are forgotten in one database transaction."""


class Transaction(NamedTuple):
    """A row of `commitment`; times in microseconds UTC."""

    id: int
    role: str
    state: str
    ae: str
    peer: str
    address: str
    way: str
    transaction_uid: str
    digest: str
    comment: str
    status: int | None
    attempts: int
    due_at: int
    created_at: int
    changed_at: int


class Instance(NamedTuple):
    """What is known of one instance of a transaction."""

    sop_class: str
    sop_uid: str
    failure: int | None
    """Failure Reason (0008,1197), 0 for committed, None where nothing was said yet."""
    retrieve_aet: str
    study_uid: str = ""
    series_uid: str = ""

    @property
    def reference(self) -> Reference:
        """What was asked for."""
        return Reference(self.sop_class, self.sop_uid)


COLUMNS = [commitment.c[name] for name in Transaction._fields]


def add(connection: Connection, references: Iterable[Reference | Named], **values: object) -> int:
    """A new transaction with its instances; its id."""
    found = connection.execute(insert(commitment).values(**values).returning(commitment.c.id)).scalar_one()
    rows = [{"commitment": found, **each._asdict()} for each in references]
    connection.execute(insert(commitment_instance), rows)
    return int(found)


def get(connection: Connection, number: int) -> Transaction | None:
    """The transaction of this id."""
    row = connection.execute(select(*COLUMNS).where(commitment.c.id == number)).one_or_none()
    return Transaction(*row) if row else None


def of_transaction(connection: Connection, transaction_uid: str, roles: Sequence[str]) -> list[Transaction]:
    """The transactions of this UID, oldest first."""
    query = select(*COLUMNS).where(commitment.c.transaction_uid == transaction_uid, commitment.c.role.in_(roles))
    return [Transaction(*row) for row in connection.execute(query.order_by(commitment.c.id))]


def instances(connection: Connection, number: int) -> list[Instance]:
    """The instances of a transaction, in the order in which they were named."""
    columns = [commitment_instance.c[name] for name in Instance._fields]
    query = select(*columns).where(commitment_instance.c.commitment == number).order_by(commitment_instance.c.id)
    return [Instance(*row) for row in connection.execute(query)]


def note(connection: Connection, number: int, results: Sequence[Result]) -> None:
    """What is said of instances of a transaction."""
    mine = commitment_instance.c.commitment == number
    by_word: dict[tuple[int, str], list[str]] = {}
    for each in results:
        by_word.setdefault((each.failure, each.retrieve_aet), []).append(each.sop_uid)
    for (failure, retrieve_aet), sop_uids in by_word.items():
        for start in range(0, len(sop_uids), _PRUNED):
            these = commitment_instance.c.sop_uid.in_(sop_uids[start : start + _PRUNED])
            values = {"failure": int(failure), "retrieve_aet": retrieve_aet}
            connection.execute(update(commitment_instance).where(mine, these).values(**values))


def latest(database: Database, *, role: str = "", state: str = "", limit: int = 100) -> list[Transaction]:
    """The newest transactions."""
    query = select(*COLUMNS).order_by(commitment.c.id.desc()).limit(limit)
    if role:
        query = query.where(commitment.c.role == role)
    if state:
        query = query.where(commitment.c.state == state)
    with database.reading() as connection:
        return [Transaction(*row) for row in connection.execute(query)]


def prune(database: Database, states: Sequence[str], before: int) -> int:
    """Forget transactions of `states` that changed last before `before`; how many."""
    old = select(commitment.c.id).where(commitment.c.state.in_(states), commitment.c.changed_at < before)
    with database.reading() as connection:
        numbers = list(connection.execute(old.limit(_PRUNED)).scalars())
    if numbers:
        with database.writing() as connection:
            connection.execute(delete(commitment_instance).where(commitment_instance.c.commitment.in_(numbers)))
            connection.execute(delete(commitment).where(commitment.c.id.in_(numbers)))
    return len(numbers)


def failed(results: Iterable[Result | Instance]) -> int:
    """How many are not committed."""
    return sum(each.failure != Failure.NONE for each in results)
