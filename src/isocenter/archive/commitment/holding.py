"""Whether the archive commits to instances: in force in the index, and their objects whole in the store (PS3.4 J.1).

A look is `row`, `size` or `digest` deep: the index alone (X-QR-60), the object's presence and length, or every byte of
it against the digest recorded when it was received. What the index shows is durable already, since object and row are
synced before a sender is answered; where an installation leaves the syncs out, they are made up for here.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

from sqlalchemy import select

from isocenter import telemetry
from isocenter.archive.commitment.data import Reference, Result
from isocenter.database import Database
from isocenter.declarations.commitment import Failure
from isocenter.errors import IsocenterError, Reason
from isocenter.index.tables import instance, non_patient_instance
from isocenter.store.api import Store, StoredObject
from isocenter.store.verify import digest_of

log = telemetry.logger("archive.commitment")

Depth = Literal["row", "size", "digest"]
"""How deep to look."""
PAGE: Final = 500
"""Instances that one statement asks for (SQLite's older limit of binds is 999)."""


class _Row(NamedTuple):
    sop_uid: str
    sop_class: str
    store_key: str
    size: int
    offset: int
    digest: str


class Checker:
    """Looks after one archive. `synced` makes what was written last durable; None where everything is already."""

    def __init__(self, database: Database, store: Store, *, synced: Callable[[], None] | None = None) -> None:
        self._database, self._store, self._synced = database, store, synced

    @classmethod
    def of(cls, database: Database, store: Store, durability: str) -> "Checker":
        """For an installation's `durability`: with `process` nothing was synced, so all is before anything is said."""
        return cls(database, store, synced=None if durability == "power" else os.sync)

    def check(
        self, references: Iterable[Reference], depth: Depth, accepts: Callable[[str], bool] = lambda _: True
    ) -> Iterator[list[Result]]:
        """What is said of each reference, a page at a time in their order. `accepts`: whether a SOP class is one that
        is stored here at all (X-QR-65). Raises what the database raises."""
        for page in _pages(references):
            rows = self._rows([each.sop_uid for each in page])
            yield [self._said(each, rows.get(each.sop_uid, []), depth, accepts) for each in page]
        if self._synced is not None:
            self._synced()

    def _rows(self, sop_uids: Sequence[str]) -> dict[str, list[_Row]]:
        alone = select(*(non_patient_instance.c[name] for name in _Row._fields)).where(
            non_patient_instance.c.sop_uid.in_(sop_uids), non_patient_instance.c.verdict == ""
        )
        query = select(*(instance.c[name] for name in _Row._fields)).where(
            instance.c.sop_uid.in_(sop_uids), instance.c.rejected == 0
        )
        found: dict[str, list[_Row]] = {}
        with self._database.reading() as connection:
            for row in connection.execute(query.union_all(alone)):
                found.setdefault(row.sop_uid, []).append(_Row(*row))
        return found

    def _said(self, reference: Reference, rows: Sequence[_Row], depth: Depth, accepts: Callable[[str], bool]) -> Result:
        failure = self._failure(reference, rows, depth, accepts)
        return Result(*reference, failure)

    def _failure(
        self, reference: Reference, rows: Sequence[_Row], depth: Depth, accepts: Callable[[str], bool]
    ) -> Failure:
        if not rows:
            return Failure.NO_SUCH_OBJECT if accepts(reference.sop_class) else Failure.CLASS_NOT_SUPPORTED
        mine = [row for row in rows if row.sop_class == reference.sop_class]
        if not mine:
            return Failure.CLASS_INSTANCE_CONFLICT
        # one UID may lie in several studies: the promise is kept if one of them is whole
        found = [self._kept(row, depth) for row in mine]
        return Failure.NONE if Failure.NONE in found else found[0]

    def _kept(self, row: _Row, depth: Depth) -> Failure:
        if depth == "row":
            return Failure.NONE
        try:
            with self._store.open(row.store_key) as stored:
                whole = _whole(stored, row, depth)
        except IsocenterError as error:
            missing = error.reason is Reason.NOT_FOUND
            return self._unsound(row, Failure.NO_SUCH_OBJECT if missing else Failure.PROCESSING_FAILURE)
        except OSError:
            return self._unsound(row, Failure.PROCESSING_FAILURE)
        return Failure.NONE if whole else self._unsound(row, Failure.PROCESSING_FAILURE)

    def _unsound(self, row: _Row, failure: Failure) -> Failure:
        log.error("commitment.unsound", key=row.store_key, sop_uid=row.sop_uid, failure=f"{failure:04X}")
        telemetry.count("isocenter_commitment_unsound_total")
        return failure


def _whole(stored: StoredObject, row: _Row, depth: Depth) -> bool:
    if stored.size != row.offset + row.size:
        return False
    return depth == "size" or not row.digest or digest_of(stored, row.offset) == row.digest


def _pages(references: Iterable[Reference]) -> Iterator[list[Reference]]:
    page: list[Reference] = []
    for each in references:
        page.append(each)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page
