"""What rules made of one object, made again of the next whose header has the same form (`dicom.forms`).

The rules have seen the same values then, within the same second, so they would change the same bytes: only the places
move, by what the values between them are longer or shorter.
"""

from bisect import bisect_right
from collections.abc import Hashable, Mapping
from typing import Final, NamedTuple

from isocenter.dicom.forms import Forms, Met
from isocenter.dicom.jumping import RawElement
from isocenter.dicom.overlay import Edit
from isocenter.dicom.scan import Alike, Sample, Scan
from isocenter.rules import Coercion, Outcome

_MOST: Final = 64
"""Objects whose fate is remembered: of as many series, patients or seconds, some of which may come in turn."""


class Recurring:
    """What is known of the objects that came over one association before. For several threads at once."""

    __slots__ = ("_known", "forms")

    def __init__(self) -> None:
        self.forms = Forms()
        self._known: dict[Hashable, Repeatable] = {}

    def before(self, seen: Hashable) -> "Repeatable | None":
        """What rules made of one of which they saw the same."""
        return self._known.get(seen)

    def keep(self, repeatable: "Repeatable") -> None:
        """Remember that, for a while."""
        if len(self._known) >= _MOST:
            self._known = {}
        self._known[repeatable.seen] = repeatable


class Repeatable(NamedTuple):
    """What became of an object."""

    seen: Hashable
    """What the rules saw of it (`seen_of`)."""
    outcome: Outcome
    edits: tuple[Edit, ...]
    places: tuple[int, ...]
    """For each edit, how many varying values end before it."""
    ends: tuple[int, ...]
    """Where the varying values ended."""
    sample: Sample
    """The scan of the object as it was kept."""
    changed: frozenset[int]
    """Tags whose values are not the sender's."""

    def edited(self, head: bytes, met: Met) -> bytes:
        """The beginning of the next object as it is to be kept."""
        parts: list[bytes] = []
        at = 0
        for (start, end, put), place in zip(self.edits, self.places, strict=True):
            moved = met.ends[place - 1] - self.ends[place - 1] if place else 0
            parts += (head[at : start + moved], put)
            at = end + moved
        parts.append(head[at:])
        return b"".join(parts)

    def scanned(self, met: Met) -> Scan:
        """What a scan of it finds."""
        before = self.sample.scan
        values: Mapping[int, RawElement] = met.values
        if not self.changed.isdisjoint(values):
            values = {tag: element for tag, element in values.items() if tag not in self.changed}
        assert before.pixel is not None
        moved = met.ends[-1] - self.ends[-1] if met.ends else 0
        return before._replace(
            elements={**before.elements, **values},
            pixel=before.pixel._replace(offset=before.pixel.offset + moved),
            end=before.end + moved,
            alike=Alike(self.sample, values),
        )


def seen_of(coercion: Coercion, met: Met, sop_class: str, assumed: str, at: int) -> Hashable:
    """All that rules may see of an object at a time (microseconds since 1970, UTC)."""
    values = [pair for pair in met.values.items() if pair[0] in coercion.tags]
    return coercion, met.form, sop_class, assumed, at // 1_000_000, tuple(values)


def repeatable(seen: Hashable, met: Met, outcome: Outcome, edits: tuple[Edit, ...], kept: Scan) -> Repeatable:
    """For the next object of that form of which the rules see the same."""
    places = tuple(bisect_right(met.ends, edit.start) for edit in edits)
    return Repeatable(seen, outcome, edits, places, met.ends, Sample(kept), frozenset(outcome.changes))
