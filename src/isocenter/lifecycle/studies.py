"""Which objects of a study compression rules are for, and when they are due."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from sqlalchemy import Select, func, select

from isocenter import telemetry
from isocenter.database import Database
from isocenter.dicom import part10
from isocenter.dicom.elements import MalformedDataSet
from isocenter.dicom.scan import scan_file
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.index.tables import compression_left, instance, series, study
from isocenter.lifecycle.choosing import Facts, Opened, Rule, Rules, Way
from isocenter.lifecycle.compressing import Subject
from isocenter.rules.view import View
from isocenter.store.api import Store

log = telemetry.logger("lifecycle.studies")

PAGE: Final = 200
_SUBJECT: Final = (
    *(instance.c.store_key, study.c.study_uid, series.c.series_uid, instance.c.sop_uid, instance.c.sop_class),
    *(instance.c.syntax, instance.c.size, instance.c.offset, instance.c.received_at, instance.c.source_aet),
)
_IMAGES: Final = (instance.c.rejected == 0, instance.c.availability == "ONLINE", instance.c.rows.is_not(None))


class Planned(NamedTuple):
    """An object that a rule is for. `due`: when, in microseconds UTC."""

    subject: Subject
    rule: Rule
    way: Way
    due: int


class _Row(NamedTuple):
    id: int
    modality: str
    character_set: str
    subject: Subject


class Studies:
    """Asks the rules about what the index holds in force."""

    def __init__(self, database: Database, store: Store, rules: Rules, *, at_once: bool = False) -> None:
        """`at_once`: nothing is waited for."""
        self._database, self._store, self._rules = database, store, rules
        self._at_once = at_once

    def uids(self) -> list[str]:
        """The studies with objects that the rules may be for."""
        stored = sorted(self._rules.stored)
        query = (
            select(study.c.study_uid)
            .where(study.c.id.in_(select(instance.c.study).where(instance.c.syntax.in_(stored), *_IMAGES)))
            .order_by(study.c.id)
        )
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())

    def planned(self, study_uid: str) -> Iterator[Planned]:
        """The objects of a study that are to be compressed. What could not be before is left out."""
        quiet, left = self._quiet_since(study_uid), self._left(study_uid)
        for row in self._rows(study_uid):
            rule = self._rule(row)
            subject = row.subject
            if rule is None or rule.way is None or rule.way.target == subject.syntax:
                continue
            if (subject.store_key, rule.way.target) in left:
                continue
            due = max(quiet + rule.settled * 1e6, subject.received_at + rule.age * 1e6)
            yield Planned(subject, rule, rule.way, 0 if self._at_once else int(due))

    def _rule(self, row: _Row) -> Rule | None:
        subject = row.subject
        facts = Facts(subject.sop_class, row.modality, subject.syntax, subject.source_aet)
        try:
            return self._rules.first(facts, lambda: self._opened(row))
        except (IsocenterError, OSError) as fault:
            log.warning("object.unread", key=subject.store_key, fault=type(fault).__name__)
            return None

    def _rows(self, study_uid: str) -> Iterator[_Row]:
        """A page at a time, by a key that stays as it is when an object is compressed."""
        last, stored = 0, sorted(self._rules.stored)
        while True:
            query = _instances().where(study.c.study_uid == study_uid, instance.c.syntax.in_(stored))
            query = query.where(instance.c.id > last).order_by(instance.c.id).limit(PAGE)
            with self._database.reading() as connection:
                page = connection.execute(query).all()
            for number, modality, character_set, *rest in page:
                yield _Row(number, modality, character_set, Subject(*rest))
            if len(page) < PAGE:
                return
            last = page[-1][0]

    def _quiet_since(self, study_uid: str) -> int:
        newest = select(func.max(instance.c.received_at)).join(study, study.c.id == instance.c.study)
        with self._database.reading() as connection:
            return int(connection.execute(newest.where(study.c.study_uid == study_uid)).scalar() or 0)

    def _left(self, study_uid: str) -> set[tuple[str, str]]:
        left = compression_left.c
        query = select(left.store_key, left.target).where(left.study_uid == study_uid)
        with self._database.reading() as connection:
            return {(row[0], row[1]) for row in connection.execute(query)}

    def _opened(self, row: _Row) -> Opened:
        """What the rules look at in an object."""
        subject, tags = row.subject, self._rules.tags
        with self._store.open(subject.store_key) as stored:
            receipt = part10.read_receipt(part10.read_header(stored.pread(subject.offset, 0)))

            def read(n: int, at: int) -> bytes:
                return stored.pread(min(n, max(subject.size - at, 0)), subject.offset + at)

            try:
                found = scan_file(read, subject.size, subject.syntax, tags)
            except MalformedDataSet as fault:
                raise Refused(Reason.CANNOT_UNDERSTAND, "the data set can't be read") from fault
        view = View(found.elements, tags, found.encoding, assumed=row.character_set)
        return Opened(receipt.receiving_aet if receipt else "", view)


def _instances() -> Select[Any]:
    return (
        select(instance.c.id, series.c.modality, instance.c.character_set, *_SUBJECT)
        .join(series, series.c.id == instance.c.series)
        .join(study, study.c.id == instance.c.study)
        .where(*_IMAGES)
    )
