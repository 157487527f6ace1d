"""Explicit deletion: journal record, then index; the store's copies go later, by the removal job (docs/design.md 4)."""

import time
from collections.abc import Callable, Sequence

from isocenter import telemetry
from isocenter.archive.non_patient import locate
from isocenter.archive.retrieval.instances import Access, Selection, totals
from isocenter.database import Database
from isocenter.errors import Reason, Retriable
from isocenter.index.journal import deletion_record
from isocenter.index.records import Deletion
from isocenter.index.writer import Writer
from isocenter.store.api import Store

log = telemetry.logger("archive.deletion")

GRACE = 24 * 3600 * 1_000_000
"""Microseconds that the store keeps what was deleted."""
_DEADLINE = 60.0


def _now() -> int:
    return time.time_ns() // 1000


class Deletions:
    """Takes studies, series and instances out of the archive."""

    def __init__(
        self,
        database: Database,
        store: Store,
        writer: Writer,
        *,
        grace: int = GRACE,
        clock: Callable[[], int] = _now,
    ) -> None:
        self._database, self._store, self._writer = database, store, writer
        self._grace, self._clock = grace, clock

    def delete(self, study_uid: str, series_uid: str = "", sop_uid: str = "", access: Access = None) -> int:
        """Delete what is named, all versions included; returns how many stored objects that were, 0 for none there.

        Durable on return. Raises Retriable.
        """
        if not self._there(study_uid, series_uid, sop_uid, access):
            return 0
        now = self._clock()
        what = Deletion(study_uid, series_uid, sop_uid, at=now, received_until=now, not_before=now + self._grace)
        return self._delete(what)

    def delete_non_patient(self, classes: Sequence[str], sop_uid: str) -> int:
        """The same for an instance of `classes` that belongs to no patient."""
        if not locate(self._database, classes, [sop_uid]):
            return 0
        now = self._clock()
        return self._delete(Deletion("", "", sop_uid, at=now, received_until=now, not_before=now + self._grace))

    def delete_rejected(self, study_uid: str, series_uid: str, sop_uids: tuple[str, ...], title: int = 0) -> int:
        """Delete instances of a series that nobody sees any more, those alone that notes of `title` still hide where
        one is given; how many. Durable on return. Raises Retriable."""
        now = self._clock()
        kept = now + self._grace
        return self._delete(Deletion(study_uid, series_uid, "", now, now, kept, sop_uids, title))

    def _delete(self, what: Deletion) -> int:
        self._store.append_journal(deletion_record(what))
        try:
            outcome = self._writer.submit(what).result(_DEADLINE)
        except TimeoutError as late:
            raise Retriable(Reason.OUT_OF_RESOURCES, "the index does not answer") from late
        telemetry.count("isocenter_deleted_total", outcome.objects)
        log.info(
            "archive.deleted", study=what.study_uid, series=what.series_uid, instance=what.sop_uid,
            objects=outcome.objects,
        )  # fmt: skip
        return outcome.objects

    def _there(self, study_uid: str, series_uid: str, sop_uid: str, access: Access) -> bool:
        selection = Selection(
            study_uids=(study_uid,),
            series_uids=(series_uid,) if series_uid else (),
            sop_uids=(sop_uid,) if sop_uid else (),
            access=access,
        )
        return totals(self._database, selection).instances > 0
