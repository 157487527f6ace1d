"""The rules that are for one association, applied to one object after another."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from isocenter import telemetry
from isocenter.dicom.overlay import Changes
from isocenter.dicom.uids import is_regular
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.rules import paths
from isocenter.rules.actions import IDENTITY, Act
from isocenter.rules.conditions import Holds
from isocenter.rules.originals import ORIGINAL_ATTRIBUTES, Modifier, record
from isocenter.rules.values import texts_of
from isocenter.rules.view import View

log = telemetry.logger("rules")

Hook: TypeAlias = Callable[[View], None]
MODALITY: Final = 0x00080060
_MODALITY: Final = paths.parse("Modality")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, made ready. The conditions on titles and addresses have been asked already."""

    name: str
    classes: frozenset[str]
    modalities: frozenset[str]
    conditions: tuple[Holds, ...]
    acts: tuple[Act, ...]
    tags: frozenset[int]
    reason: str
    keep: bool
    tell: bool | None
    hides: bool = False
    """It is there to keep something from being seen; then no rule's originals go along."""


class Outcome(NamedTuple):
    """What rules make of an object."""

    changes: Changes
    rules: tuple[str, ...] = ()
    """Those that changed something."""
    coerced: bool = False
    """Values were changed or added."""
    discarded: bool = False
    """Elements were removed."""
    tell: bool = False
    """The sender is to be told."""


NOTHING: Final = Outcome({})


class Memory:
    """What was made of the object before. Those of a series mostly have the same values where the rules look."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: tuple[Hashable, Outcome] = (None, NOTHING)

    def recall(self, seen: Hashable) -> Outcome | None:
        """The outcome, if the rules have `seen` the same before."""
        before, outcome = self._known
        return outcome if before == seen else None

    def keep(self, seen: Hashable, outcome: Outcome) -> None:
        """Remember it, in the place of what was known."""
        self._known = (seen, outcome)


@dataclass(frozen=True, slots=True, eq=False)
class Coercion:
    """What happens to the objects of one association. `tags`: elements of the top level that it looks at."""

    rules: tuple[Rule, ...]
    tags: frozenset[int]
    tell: bool = False
    hook: Hook | None = None
    drop_invalid: bool = False
    system: str = ""
    """Modifying System (0400,0563): the AE."""
    source: str = ""
    """Source of Previous Values (0400,0564): the other side."""
    facts: Mapping[str, str] | None = None
    account: bool = True
    """What a hook changes is recorded in Original Attributes; not as objects leave, where it may hide something."""
    memory: Memory = field(default_factory=Memory)

    @property
    def repeatable(self) -> bool:
        """Whether objects that have the same elements of `tags` fare the same, within one second."""
        return self.hook is None and not self.drop_invalid

    def apply(self, view: View, sop_class: str, at: int, invalid: tuple[int, ...] = ()) -> Outcome:
        """What becomes of an object of this class, at this time (microseconds since 1970, UTC); `invalid` elements go.

        Raises Refused where a hook fails, an action can't be done, or what identifies the object is no UID any more.
        """
        by = Modifier(self.system, self.source, at)
        for tag in invalid:
            view.changes[tag] = None
        names: list[str] = []
        kept: dict[str, set[int]] = {}
        told = bool(invalid)
        for rule in self._matching(view, sop_class):
            told |= self._applied(rule, view, kept, names)
        if self.hook is not None:
            told |= self._hooked(view, kept, names)
        changed = view.overlay()
        if not changed:
            return NOTHING
        _check_identity(view, changed)
        if any(rule.hides for rule in self.rules if rule.name in names):
            kept.clear()
        _record(view, kept, invalid, by, changed)
        coerced = any(element is not None for element in changed.values())
        discarded = any(element is None for element in changed.values())
        return Outcome(view.overlay(), tuple(names), coerced, discarded, told)

    def _matching(self, view: View, sop_class: str) -> list[Rule]:
        return [
            rule
            for rule in self.rules
            if (not rule.classes or sop_class in rule.classes)
            and (not rule.modalities or not rule.modalities.isdisjoint(view.texts(_MODALITY)))
        ]

    def _hooked(self, view: View, kept: dict[str, set[int]], names: list[str]) -> bool:
        assert self.hook is not None
        try:
            self.hook(view)
        except IsocenterError:
            raise
        except (Exception, SystemExit) as fault:
            log.error("hook.failed", exc_info=True, calling=self.source)
            raise Refused(Reason.UNABLE_TO_PROCESS, "a hook of this archive failed") from fault
        if self.account:
            kept["COERCE"] = set(view.changes)
        names.append("hook")
        return self.tell and bool(view.changes)

    def _applied(self, rule: Rule, view: View, kept: dict[str, set[int]], names: list[str]) -> bool:
        """Apply one rule if its conditions hold; whether the sender is to be told of what it did."""
        if not all(holds(view) for holds in rule.conditions):
            return False
        before = dict(view.changes)
        try:
            for act in rule.acts:
                act(view)
        except ValueError as fault:
            log.error("rule.failed", rule=rule.name, calling=self.source)
            raise Refused(Reason.UNABLE_TO_PROCESS, "a rule of this archive could not be applied") from fault
        touched = {tag for tag, element in view.changes.items() if tag not in before or before[tag] != element}
        if not touched:
            return False
        names.append(rule.name)
        if rule.keep:
            kept.setdefault(rule.reason, set()).update(touched)
        return self.tell if rule.tell is None else rule.tell


def _check_identity(view: View, changed: Changes) -> None:
    """A pattern or a copy may have made something else of a UID. One that was none before is the sender's affair."""
    for tag in IDENTITY & changed.keys():
        element, before = changed[tag], view.original(tag)
        made = texts_of(element, b"") if element is not None else ()
        if len(made) == 1 and is_regular(made[0]):
            continue
        if before is None or all(map(is_regular, texts_of(before, b""))):
            log.error("rule.no-uid", tag=f"{tag:08X}")
            raise Refused(Reason.UNABLE_TO_PROCESS, "a rule of this archive made an invalid UID")


def _record(view: View, kept: dict[str, set[int]], invalid: tuple[int, ...], by: Modifier, changed: Changes) -> None:
    """Original Attributes, an item for each reason. What a rule did with the sequence itself is not recorded there."""
    bad = set(invalid) & changed.keys()
    for reason in sorted(kept):
        tags = (kept[reason] & changed.keys()) - bad - {ORIGINAL_ATTRIBUTES}
        if tags:
            record(view, tags, reason, by)
    if bad:
        record(view, (), "COERCE", by, bad)
