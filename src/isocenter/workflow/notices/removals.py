"""What of studies is not to be had any more, or again: instances that were deleted or rejected, and such as came back
(Instance Availability UNAVAILABLE and ONLINE, PS3.3 C.4.23.1.1).

Of an instance that was deleted the index knows nothing, so that what is to be told of it is found out as soon as the
change feed tells of it, from the object that the store keeps for a while.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select

from isocenter import telemetry
from isocenter.database import Database
from isocenter.database.changes import Change
from isocenter.declarations.rejections import NOTE
from isocenter.dicom import part10
from isocenter.dicom.elements import MalformedDataSet
from isocenter.dicom.headers import NeedMore
from isocenter.errors import Refused
from isocenter.index.tables import instance, series, study
from isocenter.store.api import Store, StoredObject
from isocenter.workflow.notices.contents import Item, SeriesContent, StudyContent, content_of, described

log = telemetry.logger("workflow.notices")

UNAVAILABLE: Final = "UNAVAILABLE"
_BINDS: Final = 500
_HEADS: Final = (1 << 12, 1 << 20)
"""Bytes of an object that are read: more than its meta information has, mostly or always."""

ClassesOf = Callable[[Iterable[str]], Mapping[str, str]]
"""SOP Class UIDs of stored objects by store key; what can't be read is left out."""


class Gone(NamedTuple):
    """An instance that is not to be had any more."""

    series_uid: str
    sop_class: str
    sop_uid: str


def classes_in(store: Store) -> ClassesOf:
    """Those that the store's objects name in their own meta information."""

    def classes(keys: Iterable[str]) -> dict[str, str]:
        found = {}
        for key in keys:
            try:
                with store.open(key) as stored:
                    found[key] = _sop_class(stored)
            except (Refused, MalformedDataSet, OSError) as fault:
                log.warning("notice.class-unknown", key=key, fault=type(fault).__name__)
        return found

    return classes


def _sop_class(stored: StoredObject) -> str:
    try:
        return part10.read_header(stored.pread(_HEADS[0], 0), whole=False).sop_class
    except (NeedMore, MalformedDataSet):  # it goes on behind that
        return part10.read_header(stored.pread(_HEADS[1], 0)).sop_class


def none_known(keys: Iterable[str]) -> dict[str, str]:
    """`ClassesOf` where there is no store."""
    return {}


def gone(database: Database, found: Sequence[Change], classes: ClassesOf) -> dict[str, list[Gone]]:
    """What changes took away, by Study Instance UID; what is there again, or in another version, is left out."""
    rejected = _named(found, "rejected")
    deleted = {(one.study_uid, one.sop_uid): one for one in found if one.kind == "deleted" and one.study_uid}
    with database.reading() as connection:
        there = {(uid, row[0].sop_uid): row for uid, row in _held(connection, {**deleted, **rejected})}
    told = {key: row[0] for key, row in there.items() if row[1] not in (0, NOTE)}
    away = {key: one for key, one in deleted.items() if key not in there}
    known = classes([one.store_key for one in away.values()]) if away else {}
    for key, one in away.items():
        if known.get(one.store_key):
            told[key] = Gone(one.series_uid, known[one.store_key], one.sop_uid)
    by_study: dict[str, list[Gone]] = {}
    for (study_uid, _), each in told.items():
        by_study.setdefault(study_uid, []).append(each)
    return by_study


def restored(found: Iterable[Change]) -> dict[str, list[str]]:
    """The instances that came back, by Study Instance UID."""
    by_study: dict[str, list[str]] = {}
    for study_uid, sop_uid in _named(found, "restored"):
        by_study.setdefault(study_uid, []).append(sop_uid)
    return by_study


def unavailable(connection: Connection, study_uid: str, told: Sequence[Sequence[str]]) -> StudyContent:
    """What is to be said of instances that went, each as `Gone` has it: those that are there again are left out."""
    here = content_of(connection, study_uid)
    held = here.sop_uids if here is not None else frozenset()
    by_series: dict[str, list[Item]] = {}
    for one in map(Gone._make, told):
        if one.sop_uid not in held:
            by_series.setdefault(one.series_uid, []).append(Item(one.sop_class, one.sop_uid, UNAVAILABLE))
    head = described(connection, study_uid) or StudyContent(study_uid, "", "", "", "", "", "")
    return head._replace(series=tuple(SeriesContent(uid, tuple(items)) for uid, items in by_series.items()))


def _named(found: Iterable[Change], kind: str) -> dict[tuple[str, str], Change]:
    """Changes of one kind, by study and instance."""
    return {(one.study_uid, one.sop_uid): one for one in found if one.kind == kind and one.study_uid and one.sop_uid}


def _held(connection: Connection, named: Mapping[tuple[str, str], Any]) -> Iterator[tuple[str, tuple[Gone, int]]]:
    """What the index has of these, in force or rejected: by study, with the title that rejects it."""
    sop_uids = list(dict.fromkeys(sop_uid for _, sop_uid in named))
    query = (
        select(study.c.study_uid, series.c.series_uid, instance.c.sop_class, instance.c.sop_uid, instance.c.rejected)
        .select_from(instance.join(series, instance.c.series == series.c.id).join(study, series.c.study == study.c.id))
        .order_by(instance.c.id)
    )
    for start in range(0, len(sop_uids), _BINDS):
        page = query.where(instance.c.sop_uid.in_(sop_uids[start : start + _BINDS]))
        for study_uid, *one, rejected in connection.execute(page):
            if (study_uid, one[2]) in named:
                yield study_uid, (Gone(*one), int(rejected))
