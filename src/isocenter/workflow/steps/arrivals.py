"""Steps and stored objects: which instances of a step the archive has, which step a series belongs to."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from sqlalchemy import Connection, select

from isocenter.index.tables import instance
from isocenter.workflow.steps.steps import Step

_PAGE: Final = 500


class Arrival(NamedTuple):
    """What a step says it made, and what of that is not in the archive."""

    referenced: int
    """Instances that the step names."""
    missing: tuple[str, ...]
    """SOP Instance UIDs of those that have not arrived."""

    @property
    def complete(self) -> bool:
        """Whether all has arrived that the step names."""
        return not self.missing


def arrived(connection: Connection, steps: Iterable[Step]) -> Arrival:
    """What has arrived of steps, together. A rejected instance has arrived too."""
    named = list(dict.fromkeys(uid for step in steps for each in step.performed for uid in each.sop_uids))
    held = set(_held(connection, named))
    return Arrival(len(named), tuple(uid for uid in named if uid not in held))


def _held(connection: Connection, sop_uids: list[str]) -> Iterator[str]:
    for start in range(0, len(sop_uids), _PAGE):
        wanted = instance.c.sop_uid.in_(sop_uids[start : start + _PAGE])
        yield from connection.execute(select(instance.c.sop_uid).where(wanted)).scalars()
