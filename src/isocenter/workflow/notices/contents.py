"""What the index says of a study, for those who are told of it."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from sqlalchemy import Connection, select

from isocenter.index.tables import instance, series, study

_BINDS = 500


class Item(NamedTuple):
    """One instance in force."""

    sop_class: str
    sop_uid: str
    availability: str
    """Instance Availability (0008,0056)."""


class SeriesContent(NamedTuple):
    """One series with its instances in the order in which they came."""

    series_uid: str
    items: tuple[Item, ...]


class StudyContent(NamedTuple):
    """One study. Text as the index has it: names with their component groups."""

    study_uid: str
    study_id: str
    accession: str
    patient_id: str
    issuer: str
    patient_name: str
    birth_date: str
    series: tuple[SeriesContent, ...] = ()

    @property
    def sop_uids(self) -> frozenset[str]:
        """Of all instances."""
        return frozenset(item.sop_uid for each in self.series for item in each.items)

    def only(self, wanted: Collection[str]) -> "StudyContent":
        """The same with those instances alone; series without any are left out."""
        kept = (
            SeriesContent(each.series_uid, tuple(item for item in each.items if item.sop_uid in wanted))
            for each in self.series
        )
        return self._replace(series=tuple(each for each in kept if each.items))


def content_of(connection: Connection, study_uid: str) -> StudyContent | None:
    """A study with its instances in force, or None where it is not in the index any more."""
    head = described(connection, study_uid)
    if head is None:
        return None
    query = (
        select(series.c.series_uid, instance.c.sop_class, instance.c.sop_uid, instance.c.availability)
        .select_from(instance.join(series, instance.c.series == series.c.id).join(study, series.c.study == study.c.id))
        .where(study.c.study_uid == study_uid, instance.c.rejected == 0)
        .order_by(series.c.id, instance.c.id)
    )
    found: dict[str, list[Item]] = {}
    for series_uid, sop_class, sop_uid, availability in connection.execute(query):
        found.setdefault(series_uid, []).append(Item(sop_class, sop_uid, availability or "ONLINE"))
    return head._replace(series=tuple(SeriesContent(uid, tuple(items)) for uid, items in found.items()))


def described(connection: Connection, study_uid: str) -> StudyContent | None:
    """The study without its series."""
    names = ("study_uid", "study_id", "accession", "patient_id", "issuer", "patient_name", "birth_date")
    row = connection.execute(select(*(study.c[name] for name in names)).where(study.c.study_uid == study_uid)).first()
    return StudyContent(*row) if row is not None else None


def studies_of(connection: Connection, sop_uids: Iterable[str]) -> dict[str, list[str]]:
    """Where instances in force belong: SOP Instance UIDs by Study Instance UID."""
    wanted, found = list(dict.fromkeys(sop_uids)), dict[str, list[str]]()
    for start in range(0, len(wanted), _BINDS):
        query = (
            select(study.c.study_uid, instance.c.sop_uid)
            .join(study, instance.c.study == study.c.id)
            .where(instance.c.sop_uid.in_(wanted[start : start + _BINDS]), instance.c.rejected == 0)
            .order_by(instance.c.id)
        )
        for study_uid, sop_uid in connection.execute(query):
            found.setdefault(study_uid, []).append(sop_uid)
    return found
