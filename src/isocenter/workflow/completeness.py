"""When a study is complete: a rule over quiet time, procedure steps, expected counts and the end of a STOW-RS request.

    judge(rule, seen, at)      0: it is; else the microseconds until it may be

What is known to be whole is complete at once; what is known to lack something is waited for, though not forever; of
what nothing is known the quiet time decides. A study that gets more after that is complete again later.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, func, insert, select, update

from isocenter.config.notices import Completeness
from isocenter.database import changes
from isocenter.index.tables import instance, study
from isocenter.workflow.notices.availability import StepView
from isocenter.workflow.notices.tables import completeness

TIMER: Final = "complete"
KIND: Final = "complete"
"""The kind of its rows in the change feed."""

StepsOf = Callable[[Connection, str], Sequence[StepView]]
"""The performed procedure steps of a study."""
ExpectedOf = Callable[[Connection, str], frozenset[str]]
"""SOP Instance UIDs that others have said a study holds; empty where nobody did."""


class Seen(NamedTuple):
    """What is known of a study. Times in microseconds UTC."""

    last_at: int
    """When its newest object was received."""
    request_at: int = 0
    """When the last STOW-RS request that brought of it ended; 0: there was none."""
    steps: tuple[bool, ...] = ()
    """Of each procedure step: whether it has ended and all that it names is here. None where there is no step, or one
    of them leaves open what it made."""
    counted: bool | None = None
    """Whether all instances are here that it is said to have; None: nobody said."""


def judge(rule: Completeness, seen: Seen, at: int) -> int:
    """Microseconds until the study is complete, as it looks now; 0: it is."""
    known = [*(seen.steps if rule.steps else ()), *([seen.counted] if rule.counts and seen.counted is not None else [])]
    if known and all(known):
        return 0
    if known:
        return max(0, seen.last_at + int(max(rule.longest, rule.quiet) * 1e6) - at)
    if rule.request and seen.request_at >= seen.last_at:
        return 0
    return max(0, seen.last_at + int(rule.quiet * 1e6) - at)


class State(NamedTuple):
    """How complete a study is."""

    instances: int
    """In force when it was complete last."""
    received_at: int
    """Of the newest of them."""
    times: int
    """How often it was complete; 0: never yet."""
    complete_at: int
    request_at: int


def state_of(connection: Connection, study_uid: str) -> State | None:
    """How complete a study is; None for one that is not looked after."""
    columns = (completeness.c[name] for name in State._fields)
    row = connection.execute(select(*columns).where(completeness.c.study_uid == study_uid)).first()
    return State(*row) if row is not None else None


def nobody(connection: Connection, study_uid: str) -> frozenset[str]:
    """`ExpectedOf` where nobody tells."""
    return frozenset()


def no_steps(connection: Connection, study_uid: str) -> Sequence[StepView]:
    """`StepsOf` where there are none."""
    return ()


class Judge:
    """Looks at studies and says when they are complete."""

    def __init__(self, rule: Completeness, steps: StepsOf = no_steps, expected: ExpectedOf = nobody) -> None:
        self.rule, self._steps, self._expected = rule, steps, expected

    def look(self, connection: Connection, study_uid: str, at: int) -> tuple[int, State]:
        """Microseconds until a study is complete (0: it is), and what it would be then. A study that is not there, or
        got nothing since it was complete last, is left alone: State.times is then what it was."""
        before = state_of(connection, study_uid) or State(0, 0, 0, 0, 0)
        count, newest = _counted(connection, study_uid)
        if not count or (count <= before.instances and newest <= before.received_at):
            return 0, before
        wait = judge(self.rule, self._seen(connection, study_uid, count, newest, before.request_at), at)
        return wait, State(count, newest, before.times + 1, at, before.request_at)

    def _seen(self, connection: Connection, study_uid: str, count: int, newest: int, request_at: int) -> Seen:
        steps, counted = tuple[bool, ...](), None
        views = self._steps(connection, study_uid) if self.rule.steps else ()
        expected = self._expected(connection, study_uid) if self.rule.counts else frozenset()
        if views or expected:
            here = _here(connection, study_uid)
            vague = any(each.vague for each in views)
            steps = () if vague else tuple(each.ended and each.instances <= here for each in views)
            counted = expected <= here if expected else None
        return Seen(newest, request_at, steps, counted)


def settle(connection: Connection, study_uid: str, state: State) -> None:
    """It is complete: note it, and tell the change feed. Inside the transaction that takes its timer away."""
    values = state._asdict()
    changed = connection.execute(update(completeness).where(completeness.c.study_uid == study_uid).values(**values))
    if not changed.rowcount:
        connection.execute(insert(completeness).values(study_uid=study_uid, **values))
    changes.append(connection, KIND, state.complete_at, study_uid=study_uid)


def _counted(connection: Connection, study_uid: str) -> tuple[int, int]:
    """Instances in force, and when the newest was received."""
    query = select(func.count(), func.max(instance.c.received_at)).join(study, instance.c.study == study.c.id)
    count, newest = connection.execute(query.where(study.c.study_uid == study_uid, instance.c.rejected == 0)).one()
    return int(count), int(newest or 0)


def _here(connection: Connection, study_uid: str) -> frozenset[str]:
    query = select(instance.c.sop_uid).join(study, instance.c.study == study.c.id)
    return frozenset(connection.execute(query.where(study.c.study_uid == study_uid)).scalars())
