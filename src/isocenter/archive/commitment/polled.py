"""Requests for storage commitment whose result the asker comes back for (PS3.18 13): over HTTP nothing is sent to it.

    accepted -> reported

When the result is there to be fetched the change feed is told, as it is of a report that was delivered.

A request and the job that looks after it come about in one transaction. A short one is looked at while its asker waits,
and the job finds it done; of any other the asker hears that it is under way. What was asked for over DIMSE can be
fetched here too, by its transaction UID.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from sqlalchemy import and_, select, update

from isocenter import telemetry
from isocenter.archive.commitment import rows
from isocenter.archive.commitment.data import Named, Reference, Result, digest
from isocenter.archive.commitment.holding import Checker
from isocenter.archive.commitment.rows import Instance, Transaction
from isocenter.config import HostedAE
from isocenter.config.offered import accepts_storage
from isocenter.database import Database, changes
from isocenter.declarations.commitment import Failure
from isocenter.errors import Reason, Refused
from isocenter.index.tables import commitment, instance, series, study
from isocenter.jobs.queue import Queue, now
from isocenter.jobs.runner import Running

log = telemetry.logger("archive.commitment")

KIND: Final = "commitment-look"
"""The kind of the jobs that look after a request, one for each."""
AT_ONCE: Final = 2000
"""Instances that are looked at while the asker waits, unless every byte of them is to be read."""
_SPARE: Final = 60.0
"""Seconds until the job of a request that is looked at at once: it is for the case that this process ends before."""
_PAGE: Final = 500
ROLES: Final = ("scp", "web")
"""Roles of transactions that others asked for."""


class Polled:
    """The rows of one database. `clock` gives microseconds UTC."""

    def __init__(self, database: Database, checker: Checker, clock: Callable[[], int] = now) -> None:
        self._database, self._checker, self._clock = database, checker, clock
        self._queue = Queue(database, clock)

    def ask(self, ae: HostedAE, address: str, transaction_uid: str, named: Sequence[Named]) -> Transaction:
        """Keep a request, durably; where it comes again it is the same one, since its asker may have missed the answer.

        Raises Refused(DUPLICATE_SOP_INSTANCE) where the transaction UID was used for other instances."""
        same, at = digest(each.reference for each in named), self._clock()
        with self._database.writing() as connection:
            earlier = _first(rows.of_transaction(connection, transaction_uid, ROLES))
            if earlier is not None:
                if earlier.digest != same:
                    raise Refused(Reason.DUPLICATE_SOP_INSTANCE, "the transaction UID was used for other instances")
                return earlier
            number = rows.add(
                connection,
                named,
                role="web",
                state="accepted",
                ae=ae.title,
                address=address,
                transaction_uid=transaction_uid,
                digest=same,
                due_at=at,
                created_at=at,
                changed_at=at,
            )
            delay = _SPARE if self._at_once(ae, len(named)) else 0.0
            self._queue.add(connection, KIND, {"commitment": number}, unique_key=str(number), delay=delay)
            found = rows.get(connection, number)
        assert found is not None
        telemetry.count("isocenter_commitment_requests_total", status="web")
        log.info("commitment.accepted", transaction=transaction_uid, instances=len(named))
        return found

    def look(self, asked: Transaction, ae: HostedAE) -> None:
        """Look after the instances of a request and record what is found."""
        with self._database.reading() as connection:
            named = rows.instances(connection, asked.id)
        results: dict[Reference, Result] = {}
        misplaced = set(self._misplaced(named))
        references = [each.reference for each in named if each.reference not in misplaced]
        for page in self._checker.check(references, ae.commitment.check, partial(accepts_storage, ae)):
            results |= {Reference(*each[:2]): each for each in page}
        results |= {each: Result(*each, Failure.NO_SUCH_OBJECT) for each in misplaced}
        with self._database.writing() as connection:
            rows.note(connection, asked.id, list(results.values()))
            still = and_(commitment.c.id == asked.id, commitment.c.state == "accepted")
            at = self._clock()
            ending = update(commitment).where(still).values(state="reported", changed_at=at)
            if connection.execute(ending).rowcount:  # who comes second says nothing
                changes.append(connection, "committed", at, sop_uid=asked.transaction_uid)
        log.info("commitment.looked", transaction=asked.transaction_uid, instances=len(results))

    def get(self, transaction_uid: str) -> tuple[Transaction, list[Instance]] | None:
        """The latest request with a transaction UID for the instances that it was first used for, and what is known of
        them."""
        with self._database.reading() as connection:
            found = rows.of_transaction(connection, transaction_uid, ROLES)
            if not found:
                return None
            latest = [each for each in found if each.digest == found[0].digest][-1]
            return latest, rows.instances(connection, latest.id)

    def soon(self, asked: Transaction, ae: HostedAE, count: int) -> bool:
        """Whether a request is to be looked at while its asker waits."""
        return asked.role == "web" and asked.state == "accepted" and self._at_once(ae, count)

    def handle(self, running: Running, ae_titled: Callable[[str], HostedAE | None]) -> None:
        """Carry out a job of kind `KIND`."""
        payload: Mapping[str, int] = running.payload
        with self._database.reading() as connection:
            asked = rows.get(connection, payload["commitment"])
        if asked is not None and asked.state == "accepted":
            self.look(asked, ae_titled(asked.ae) or HostedAE(title=asked.ae))

    def _at_once(self, ae: HostedAE, count: int) -> bool:
        return count <= AT_ONCE and ae.commitment.check != "digest"

    def _misplaced(self, named: Sequence[Instance]) -> Iterator[Reference]:
        """The instances that are there, but not where the request says."""
        told = [each for each in named if each.study_uid]
        for at in range(0, len(told), _PAGE):
            page = told[at : at + _PAGE]
            places: dict[str, set[tuple[str, str]]] = {}
            query = (
                select(instance.c.sop_uid, study.c.study_uid, series.c.series_uid)
                .join(series, instance.c.series == series.c.id)
                .join(study, instance.c.study == study.c.id)
                .where(instance.c.sop_uid.in_([each.sop_uid for each in page]))
            )
            with self._database.reading() as connection:
                for sop_uid, study_uid, series_uid in connection.execute(query):
                    places.setdefault(sop_uid, set()).add((study_uid, series_uid))
            for each in page:
                if each.sop_uid in places and (each.study_uid, each.series_uid) not in places[each.sop_uid]:
                    yield each.reference


def _first(found: Sequence[Transaction]) -> Transaction | None:
    return found[0] if found else None
