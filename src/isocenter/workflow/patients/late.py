"""Objects that come under a number which was merged away before, or are of an order that has moved to another patient:
they follow the merge, or the move.

The archive itself remembers the numbers of patients it has merged (`index.moving`). Of a patient who had no objects at
the time of the merge it knows nothing; the register does. So this follows the change feed, has the archive merge a
patient who turns up then, and move a study that names a moved order. The edit bears the actor and the reason of the
message, and is taken back with it.
"""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from sqlalchemy import Connection, func, select

from isocenter import telemetry
from isocenter.archive.edits.making import Who
from isocenter.database import Database, changes
from isocenter.errors import Refused
from isocenter.index.tables import consumer, patient, study
from isocenter.jobs.runner import Again, Running
from isocenter.workflow.patients import archived, moved, registered
from isocenter.workflow.patients.archived import Archived, Filed, edits_by, filed, moved_by
from isocenter.workflow.patients.attributes import of_patient
from isocenter.workflow.patients.changing import REASSIGNED
from isocenter.workflow.patients.events import Does
from isocenter.workflow.patients.moved import Move
from isocenter.workflow.patients.tables import patient_event, registered_patient

log = telemetry.logger("patients.late")

KIND: Final = "patients-follow"
INTERVAL: Final = 5.0
"""Seconds between looks at the change feed."""
_NEWS: Final = frozenset({"stored", "restored"})
_MOST: Final = 500
_RECENT: Final = 100_000
"""Events among which those are that a change tells of."""
_c = patient_event.c
_MERGED: Final = (_c.kind == Does.MERGE) & (_c.undone_at == 0)


class Followed(NamedTuple):
    """A merge that holds, to one who is another patient once something is taken back."""

    who: Who
    edits: list[str]
    """By which late objects followed it."""
    to: Mapping[str, str]
    """By each number that it merged away, whose they are then."""


def astray(connection: Connection, instead: Mapping[str, str], undone: Who, since: int) -> list[Followed]:
    """Where objects that have come since then are another's, once what `undone` did is none and those in `instead` are
    merged into these ('' for nobody): they went to the end of a chain of merges, past the patients in between; or they
    came under a number that had been taken back, and is merged away again."""
    found: dict[Who, Followed] = {}
    family = (each for one in instead for each in (one, *registered.merged_into(connection, one)))
    for number in dict.fromkeys(family):
        who = _who(connection, number)
        if who != undone and registered.current(connection, number, instead) != registered.current(connection, number):
            same = select(_c.prior).where(_MERGED, _c.actor == who.actor, _c.reason == who.reason)
            to = {each: registered.current(connection, each, instead) for each in connection.execute(same).scalars()}
            found[who] = Followed(who, edits_by(connection, who.actor, who.reason, since), to)
    return [each for each in found.values() if each.to]


class Strayed(NamedTuple):
    """Studies that have followed a move, and may be another's once something is taken back."""

    edits: list[str]
    """By which they followed it."""
    studies: list[str]


def strayed(connection: Connection, instead: Mapping[str, str], without: Collection[int], since: int) -> list[Strayed]:
    """Of each other move with one of the patients concerned, what has followed it since then; see `astray`."""
    family = {each for one in instead for each in (one, *registered.merged_into(connection, one))}
    numbers = {each for one in family for each in registered.path(connection, one)}
    found = {move.id: move.who for move in moved.around(connection, numbers) if move.id not in without}
    return [Strayed(edits_by(connection, *who, since), moved_by(connection, *who, since)) for who in found.values()]


class Late:
    """Has late objects follow merges and moves."""

    def __init__(self, database: Database, archive: Archived) -> None:
        self._database, self._archive = database, archive

    def handle(self, running: Running) -> Again:
        """A handler of `jobs.Runner`; one job, with a unique key."""
        self._begin()
        while not running.cancelled() and self.step():
            pass
        return Again(INTERVAL)

    def step(self) -> bool:
        """Look at the next changes; False if that was all. What fails in between is looked at again."""
        with self._database.reading() as connection:
            found = changes.read(connection, changes.position(connection, KIND), _MOST)
            if not found:
                return False
            studies = {one.study_uid for one in found if one.kind in _NEWS and one.study_uid}
            events = _events(connection, {one.at for one in found if one.kind == REASSIGNED})
            merged = {*(_merged(connection, studies) if studies else ()), *(one.prior for one in events.merges)}
        for identity in sorted(merged):
            self._follow(identity)
        with self._database.reading() as connection:
            ordered = _ordered(connection, filed(connection, studies)) if studies else []
            named = {uid for one in events.moves for uid in archived.of_orders(connection, one.prior, one.orders)}
        self.place({*ordered, *named})
        with self._database.writing() as connection:
            changes.acknowledge(connection, KIND, found[-1].position)
        return len(found) == _MOST

    def _begin(self) -> None:
        """The first time it begins with what comes: nobody was merged before."""
        with self._database.writing() as connection:
            if connection.execute(consumer.select().where(consumer.c.name == KIND)).first() is None:
                changes.acknowledge(connection, KIND, changes.end(connection))

    def _follow(self, identity: str) -> None:
        with self._database.reading() as connection:
            target, who = registered.current(connection, identity), _who(connection, identity)
        if target != identity:
            self.follow(identity, target, who)

    def follow(self, identity: str, target: str, who: Who) -> None:
        """Have the archive merge a patient, if there are objects of him, into `target`."""
        with self._database.reading() as connection:
            person = registered.of(connection, target)
        try:
            self._archive.merge(identity, target, of_patient(person.model) if person else {}, who)
        except Refused as refused:
            log.warning("late.not-merged", reason=refused.reason)
        else:
            log.info("late.merged")

    def place(
        self,
        study_uids: Iterable[str],
        instead: Mapping[str, str] = MappingProxyType({}),
        without: Collection[int] = (),
    ) -> None:
        """Have the archive give those of these studies that are of orders which have moved to whom they moved; see
        `moved.whose`. What somebody gave to a third patient stays there."""
        with self._database.reading() as connection:
            for_whom = [
                (one, moved.whose(connection, one.origin, one.orders, instead, without))
                for one in filed(connection, study_uids)
                if one.identity in registered.path(connection, one.origin, instead)
            ]
        for one, found in for_whom:
            if found.move is not None and found.identity != one.identity:
                self._move(one, found.identity, found.move.who)

    def _move(self, one: Filed, target: str, who: Who) -> None:
        with self._database.reading() as connection:
            person = registered.of(connection, target)
        try:
            self._archive.move([one.study_uid], one.identity, target, of_patient(person.model) if person else {}, who)
        except Refused as refused:
            log.warning("late.not-moved", study=one.study_uid, reason=refused.reason)
        else:
            log.info("late.moved", study=one.study_uid)


def _ordered(connection: Connection, studies: Iterable[Filed]) -> list[str]:
    """Those of these studies whose patient, by one of his numbers, has had orders that moved."""
    listed = list(studies)
    numbers = {each for one in listed for each in (one.origin, one.identity)}
    c = registered_patient.c
    paths = {one: [one] for one in numbers}
    away = connection.execute(select(c.identity).where(c.identity.in_(sorted(numbers)), c.merged_into != ""))
    paths |= {one: registered.path(connection, one) for one in away.scalars()}
    priors = {move.prior for move in moved.moves(connection, {each for path in paths.values() for each in path})}
    return [one.study_uid for one in listed if not priors.isdisjoint([*paths[one.origin], *paths[one.identity]])]


class _Events(NamedTuple):
    """Merges and moves that have just been noted: objects may have come since their archived studies were edited."""

    merges: list[Move]
    moves: list[Move]


def _events(connection: Connection, times: Collection[int]) -> _Events:
    """Those of these times, among the latest."""
    if not times:
        return _Events([], [])
    newest = select(func.max(_c.id)).scalar_subquery()
    recent = (_c.id > newest - _RECENT) & _c.at.in_(sorted(times)) & (_c.undone_at == 0)
    found = [
        (kind, moved.move_of(row)) for kind, *row in connection.execute(select(_c.kind, *moved.COLUMNS).where(recent))
    ]
    return _Events(*([one for kind, one in found if kind == does] for does in (Does.MERGE, Does.MOVE)))


def _merged(connection: Connection, studies: Iterable[str]) -> list[str]:
    """The patients of these studies whose numbers were merged away."""
    joined = study.join(patient, patient.c.id == study.c.patient)
    joined = joined.join(registered_patient, registered_patient.c.identity == patient.c.identity)
    query = select(patient.c.identity).select_from(joined).distinct()
    wanted = query.where(study.c.study_uid.in_(list(studies)), registered_patient.c.merged_into != "")
    return list(connection.execute(wanted).scalars())


def _who(connection: Connection, identity: str) -> Who:
    """Who merged the number away, and why."""
    query = select(_c.actor, _c.reason).where(_c.prior == identity, _MERGED)
    row = connection.execute(query.order_by(_c.id.desc())).first()
    return Who(row[0], row[1]) if row is not None else Who("hl7", "the number was merged away")
