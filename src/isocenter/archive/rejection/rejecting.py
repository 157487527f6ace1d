"""Rejecting what the archive holds with a note of its own, and removing what has been rejected long enough."""

import json
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import func, insert, select

from isocenter import telemetry
from isocenter.archive.deletion import Deletions
from isocenter.archive.edits.making import Who
from isocenter.archive.ingest import Ingest, Origin
from isocenter.archive.rejection.late import hide_late
from isocenter.archive.rejection.notes import Named, Note, Subject, note
from isocenter.archive.rejection.rejected import by_number
from isocenter.config.rejections import Rejections
from isocenter.database import Database
from isocenter.declarations.rejections import KEY_OBJECT_SELECTION, MODIFIERS, QUALITY, Title
from isocenter.dicom.uids import EXPLICIT_LE
from isocenter.errors import Reason, Refused
from isocenter.index.tables import audit, instance, rejection, series, study
from isocenter.jobs.runner import Again, Handler, Running

log = telemetry.logger("archive.rejecting")

KIND = "rejected-removal"
INTERVAL = 60.0
"""Seconds between looks for rejected objects whose time is over."""
PAGE = 1000


class Rejected(NamedTuple):
    """What a note came to; `note_uid` is '' in a dry run."""

    note_uid: str
    instances: int


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class Rejecting:
    """Makes notes. `title`: the AE that they are stored as received by."""

    def __init__(
        self, database: Database, ingest: Ingest, title: str, *, clock: Callable[[], int] = now, dry_run: bool = False
    ) -> None:
        self._database, self._ingest, self._title = database, ingest, title
        self._clock, self._dry_run = clock, dry_run

    def reject(
        self,
        title: Title,
        study_uid: str,
        series_uid: str,
        sop_uid: str,
        who: Who,
        *,
        modifier: str = "",
    ) -> Rejected:
        """Reject what is in force of a study, a series or an instance ('' for what is not named).

        Durable on return. Raises Refused(NOT_FOUND), Refused(BAD_REQUEST), Retriable."""
        if modifier and (title is not QUALITY or modifier not in MODIFIERS):
            raise Refused(Reason.BAD_REQUEST, "no such modifier for this title")
        subject, named = self._named(study_uid, series_uid, sop_uid)
        if not named:
            raise Refused(Reason.NOT_FOUND, "there is nothing in force to be rejected")
        if self._dry_run:
            return Rejected("", len(named))
        made = note(title, subject, named, self._clock(), modifier=modifier, comment=who.reason)
        self._store(made)
        self._note(title, made, study_uid, series_uid, sop_uid, who, len(named))
        log.info("archive.rejected", title=title.name, note=made.sop_uid, objects=len(named))
        return Rejected(made.sop_uid, len(named))

    def _named(self, study_uid: str, series_uid: str, sop_uid: str) -> tuple[Subject, list[Named]]:
        subject = select(*(study.c[name] for name in Subject._fields)).where(study.c.study_uid == study_uid)
        query = (
            select(
                study.c.study_uid,
                series.c.series_uid,
                instance.c.sop_uid,
                instance.c.sop_class,
                instance.c.rows.is_not(None),
            )
            .join(series, series.c.id == instance.c.series)
            .join(study, study.c.id == instance.c.study)
            .where(study.c.study_uid == study_uid, instance.c.rejected == 0)
        )
        if series_uid:
            query = query.where(series.c.series_uid == series_uid)
        if sop_uid:
            query = query.where(instance.c.sop_uid == sop_uid)
        with self._database.reading() as connection:
            row = connection.execute(subject).first()
            named = [Named._make((*names, bool(image))) for *names, image in connection.execute(query)]
        if row is None:
            raise Refused(Reason.NOT_FOUND, "there is no such study")
        return Subject(*row), named

    def _store(self, made: Note) -> None:
        origin = Origin(self._title, self._title, "")
        reception = self._ingest.receive(origin, KEY_OBJECT_SELECTION, made.sop_uid, EXPLICIT_LE)
        reception.write([made.data])
        reception.finish()

    def _note(
        self, title: Title, made: Note, study_uid: str, series_uid: str, sop_uid: str, who: Who, objects: int
    ) -> None:
        detail = {"title": title.code, "note": made.sop_uid, "study_uid": study_uid, "series_uid": series_uid}
        told = {**detail, "sop_uid": sop_uid, "objects": objects, "reason": who.reason}
        row = {"event": "reject", "actor": who.actor, "detail": json.dumps(told, ensure_ascii=False)}
        with self._database.writing() as connection:
            connection.execute(insert(audit).values(**row, at=self._clock()))


class _Due(NamedTuple):
    study_uid: str
    series_uid: str
    sop_uid: str


def handler(
    database: Database, deletions: Deletions, rejections: Rejections, clock: Callable[[], int] = now
) -> Handler:
    """The handler of jobs of kind `rejected-removal`; enqueue one, with a unique key, at each start."""

    def carry_out(running: Running) -> Again:
        if late := hide_late(database, clock()):
            log.info("rejected.late", objects=late)
        for number, settings in by_number(rejections).items():
            if settings.remove_after is None:
                continue
            until = clock() - int(settings.remove_after * 1e6)
            while not running.cancelled() and remove(database, deletions, number, until) == PAGE:
                pass
        return Again(INTERVAL)

    return carry_out


def remove(database: Database, deletions: Deletions, title: int, until: int) -> int:
    """Delete a page of what notes of `title` rejected until then; how many instances there were."""
    due = list(_due(database, title, until))
    for (study_uid, series_uid), group in groupby(sorted(due), key=lambda one: (one.study_uid, one.series_uid)):
        deletions.delete_rejected(study_uid, series_uid, tuple(one.sop_uid for one in group), title)
    return len(due)


def _due(database: Database, title: int, until: int) -> Iterator[_Due]:
    same = (rejection.c.sop_uid == instance.c.sop_uid) & (rejection.c.series_uid == series.c.series_uid)
    query = (
        select(study.c.study_uid, series.c.series_uid, instance.c.sop_uid)
        .join(series, series.c.id == instance.c.series)
        .join(study, study.c.id == instance.c.study)
        .join(rejection, same)
        .where(instance.c.rejected == title, rejection.c.title == title, rejection.c.revoked == 0)
        .group_by(study.c.study_uid, series.c.series_uid, instance.c.sop_uid)
        .having(func.max(rejection.c.at) <= until)
        .limit(PAGE)
    )
    with database.reading() as connection:
        yield from [_Due(*row) for row in connection.execute(query)]
