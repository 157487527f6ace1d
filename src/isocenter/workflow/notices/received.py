"""What others tell us: Basic Study Content and Instance Availability Notifications, kept as they came.

Whoever acts on them follows the change feed (kind `notified`): a prefetcher, the completeness rule, web hooks.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select

from isocenter import telemetry
from isocenter.database import Database, changes
from isocenter.declarations.notification import Answer
from isocenter.dicom import dataset, json_model
from isocenter.dicom.dataset import DataSet
from isocenter.dicom.elements import MalformedDataSet
from isocenter.dicom.uids import is_regular
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.workflow.notices.availability import AVAILABILITIES
from isocenter.workflow.notices.tables import notice_received

CHANGE = "notified"
"""The kind of its rows in the change feed."""


class Kind(StrEnum):
    """What was sent."""

    STUDY_CONTENT = "study-content"
    AVAILABILITY = "availability"


class Malformed(Refused):
    """A data set that breaks the rules of its service; `status` is the answer."""

    def __init__(self, status: Answer, comment: str) -> None:
        super().__init__(Reason.BAD_REQUEST, comment)
        self.status = status


class Reference(NamedTuple):
    """One instance that a notification names."""

    series_uid: str
    sop_class: str
    sop_uid: str
    availability: str
    """'' where it is not told."""
    retrieve: str
    """AE titles joined by backslashes; '' where it is not told."""


@dataclass(frozen=True, slots=True)
class Notified:
    """A notification as it was read. `content`: DICOM JSON."""

    kind: Kind
    sop_uid: str
    study_uid: str
    steps: tuple[str, ...]
    references: tuple[Reference, ...]
    content: str
    digest: str


class Kept(NamedTuple):
    """A notification as it is kept. `received_at` in microseconds UTC."""

    id: int
    kind: str
    sop_uid: str
    study_uid: str
    calling: str
    called: str
    address: str
    instances: int
    received_at: int


class Sender(NamedTuple):
    """Who sent it, whom to, from where."""

    calling: str
    called: str
    address: str


# --- reading


def read(kind: Kind, sop_uid: str, data: bytes | None, syntax: str) -> Notified:
    """A notification's data set (PS3.4 R.3.2.1; the retired Basic Study Descriptor). Raises Malformed."""
    if not is_regular(sop_uid):
        raise Malformed(Answer.INVALID_INSTANCE, "malformed SOP Instance UID")
    if not data:
        raise Malformed(Answer.MISSING_ATTRIBUTE, "no data set")
    try:
        found = dataset.decode(data, syntax)
        content = json_model.write(data, syntax, bulk_uri=None).decode()
    except (MalformedDataSet, IsocenterError, ValueError) as fault:
        raise Malformed(Answer.PROCESSING_FAILURE, "the data set can't be read") from fault
    return Notified(
        kind,
        sop_uid,
        _uid(found, 0x0020000D, "Study Instance UID"),
        tuple(_uid(item, 0x00081155, "Referenced SOP Instance UID") for item in dataset.items_of(found, 0x00081111)),
        tuple(_references(kind, found)),
        content,
        hashlib.sha256(data).hexdigest(),
    )


def _references(kind: Kind, found: DataSet) -> Iterator[Reference]:
    """The instances of all series. What an availability notification must say of each has to be there."""
    strict = kind is Kind.AVAILABILITY
    if 0x00081115 not in found:
        raise Malformed(Answer.MISSING_ATTRIBUTE, "no Referenced Series Sequence")
    if strict and not dataset.items_of(found, 0x00081115):
        raise Malformed(Answer.MISSING_VALUE, "empty Referenced Series Sequence")
    for series in dataset.items_of(found, 0x00081115):
        series_uid = _uid(series, 0x0020000E, "Series Instance UID")
        for item in dataset.items_of(series, 0x00081199 if strict else 0x00081140):
            retrieve = dataset.string_of(item, 0x00080054) or dataset.string_of(series, 0x00080054)
            yield Reference(
                series_uid,
                _uid(item, 0x00081150, "Referenced SOP Class UID"),
                _uid(item, 0x00081155, "Referenced SOP Instance UID"),
                _availability(item) if strict else "",
                _required(item, 0x00080054, "Retrieve AE Title") if strict else retrieve,
            )


def _availability(item: DataSet) -> str:
    value = _required(item, 0x00080056, "Instance Availability")
    if value not in AVAILABILITIES:
        raise Malformed(Answer.INVALID_VALUE, "no such Instance Availability")
    return value


def _required(holder: DataSet, tag: int, name: str) -> str:
    if tag not in holder:
        raise Malformed(Answer.MISSING_ATTRIBUTE, f"no {name}")
    value = dataset.string_of(holder, tag)
    if not value:
        raise Malformed(Answer.MISSING_VALUE, f"empty {name}")
    return value


def _uid(holder: DataSet, tag: int, name: str) -> str:
    value = _required(holder, tag, name)
    if not is_regular(value):
        raise Malformed(Answer.INVALID_VALUE, f"malformed {name}")
    return value


# --- keeping


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class Received:
    """What was received, in one database."""

    def __init__(self, database: Database, clock: Callable[[], int] = now) -> None:
        self._database, self._clock = database, clock

    def keep(self, said: Notified, sender: Sender) -> bool:
        """Keep a notification, durably; False where it is kept already. Raises Malformed where another with its SOP
        Instance UID is."""
        same = (notice_received.c.kind == said.kind) & (notice_received.c.sop_uid == said.sop_uid)
        at = self._clock()
        with self._database.writing() as connection:
            digest = connection.execute(select(notice_received.c.digest).where(same)).scalar()
            if digest == said.digest:
                return False
            if digest is not None:
                raise Malformed(Answer.DUPLICATE_INSTANCE, "another notification has this SOP Instance UID")
            connection.execute(
                insert(notice_received).values(
                    kind=said.kind, sop_uid=said.sop_uid, study_uid=said.study_uid, **sender._asdict(),
                    digest=said.digest, instances=len(said.references), content=said.content, received_at=at,
                )
            )  # fmt: skip
            changes.append(connection, CHANGE, at, study_uid=said.study_uid, sop_uid=said.sop_uid)
        telemetry.count("isocenter_notices_received_total", kind=said.kind)
        return True

    def latest(self, *, study_uid: str = "", limit: int = 100) -> list[Kept]:
        """The newest first."""
        query = select(*(notice_received.c[name] for name in Kept._fields)).order_by(notice_received.c.id.desc())
        if study_uid:
            query = query.where(notice_received.c.study_uid == study_uid)
        with self._database.reading() as connection:
            return [Kept(*row) for row in connection.execute(query.limit(limit))]

    def content(self, number: int) -> dict[str, Any]:
        """The data set of one, as DICOM JSON; empty where there is none."""
        query = select(notice_received.c.content).where(notice_received.c.id == number)
        with self._database.reading() as connection:
            found = connection.execute(query).scalar()
        return dict(json.loads(found)) if found else {}

    def prune(self, before: int) -> int:
        """Forget what was received before `before`; how many."""
        with self._database.writing() as connection:
            return connection.execute(delete(notice_received).where(notice_received.c.received_at < before)).rowcount


def elsewhere(connection: Connection, study_uid: str) -> dict[str, Reference]:
    """What others said of the instances of a study last, by SOP Instance UID: where they can be retrieved from."""
    query = select(notice_received.c.kind, notice_received.c.content).where(notice_received.c.study_uid == study_uid)
    found: dict[str, Reference] = {}
    for kind, content in connection.execute(query.order_by(notice_received.c.id)):
        for each in _of_json(kind, json.loads(content)):
            found[each.sop_uid] = each
    return found


def expected(connection: Connection, study_uid: str) -> frozenset[str]:
    """The instances that a study has as others said: what the completeness rule waits for. Those that are not
    available anywhere are left out."""
    told = elsewhere(connection, study_uid).values()
    return frozenset(each.sop_uid for each in told if each.availability != "UNAVAILABLE")


def _of_json(kind: str, content: dict[str, Any]) -> Iterator[Reference]:
    listed = "00081199" if kind == Kind.AVAILABILITY else "00081140"
    for series in _values(content, "00081115"):
        for item in _values(series, listed):
            retrieve = _values(item, "00080054") or _values(series, "00080054")
            yield Reference(
                _first(series, "0020000E"),
                _first(item, "00081150"),
                _first(item, "00081155"),
                _first(item, "00080056"),
                "\\".join(retrieve),
            )


def _values(holder: dict[str, Any], tag: str) -> list[Any]:
    found: list[Any] = holder.get(tag, {}).get("Value", [])
    return found


def _first(holder: dict[str, Any], tag: str) -> str:
    return str(next(iter(_values(holder, tag)), ""))
