"""Which rule compresses a stored object (`[[compress]]`): the rules of the settings, made ready once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from isocenter.config.compression import CompressionRule
from isocenter.config.settings import Settings
from isocenter.dicom.convert import native_syntaxes
from isocenter.dicom.uids import EXPLICIT_LE, uid_of
from isocenter.errors import ConfigurationError
from isocenter.imaging.codecs import codec
from isocenter.imaging.recode import Lossy
from isocenter.rules import conditions
from isocenter.rules.conditions import Holds
from isocenter.rules.patterns import Test, wildcard
from isocenter.rules.view import CHARACTER_SET, View

_NATIVE: Final = frozenset(native_syntaxes)


class Way(NamedTuple):
    """How an object is compressed."""

    target: str
    """Transfer Syntax UID."""
    lossy: Lossy | None = None
    """None: nothing is lost."""
    least: float = 0.0
    """Of a lossy copy: decibels below which it is not kept."""
    delete: bool = False
    """Of a lossy copy: what it was made of is deleted."""
    larger: bool = False
    """It may get larger."""


class Facts(NamedTuple):
    """What the index knows of an object."""

    sop_class: str
    modality: str
    syntax: str
    calling: str


class Opened(NamedTuple):
    """What only the object knows."""

    called: str
    view: View


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One rule, ready. `way` None: what it fits stays as it is."""

    name: str
    way: Way | None
    stored: frozenset[str]
    classes: frozenset[str]
    modalities: frozenset[str]
    calling: Test
    called: Test
    opens: bool
    """Whether the object has to be looked at."""
    holds: tuple[Holds, ...]
    tags: frozenset[int]
    settled: float
    age: float

    def may_fit(self, facts: Facts) -> bool:
        """Whether an object fits as far as the index tells."""
        return (
            facts.syntax in self.stored
            and (not self.classes or facts.sop_class in self.classes)
            and (not self.modalities or facts.modality in self.modalities)
            and self.calling(facts.calling)
        )

    def fits(self, opened: Opened) -> bool:
        """The rest of it."""
        return self.called(opened.called) and all(holds(opened.view) for holds in self.holds)


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """All of them, in their order."""

    rules: tuple[Rule, ...]

    def __bool__(self) -> bool:
        return bool(self.rules)

    @property
    def stored(self) -> frozenset[str]:
        """The transfer syntaxes that any of them compresses."""
        return frozenset().union(*(rule.stored for rule in self.rules if rule.way is not None))

    @property
    def soonest(self) -> float:
        """Seconds after an arrival before any of them applies."""
        return min((max(rule.settled, rule.age) for rule in self.rules), default=0.0)

    @property
    def tags(self) -> frozenset[int]:
        """The elements that any of them looks at."""
        return frozenset([CHARACTER_SET]).union(*(rule.tags for rule in self.rules))

    def first(self, facts: Facts, opened: Callable[[], Opened]) -> Rule | None:
        """The rule that decides; the object is opened only where that is needed."""
        seen: Opened | None = None
        for rule in self.rules:
            if not rule.may_fit(facts):
                continue
            if not rule.opens:
                return rule
            seen = seen or opened()
            if rule.fits(seen):
                return rule
        return None


def compiled(settings: Settings) -> Rules:
    """The rules of `settings`. Raises ConfigurationError naming the rule, the key and what is wrong."""
    numbered = enumerate(settings.compress)
    return Rules(tuple(_rule(written, f"compress[{number}].") for number, written in numbered))


def rules_to(to: str) -> Rules:
    """One rule: all that is uncompressed goes to a transfer syntax that loses nothing. Raises ConfigurationError."""
    return Rules((_rule(CompressionRule(name=f"to {to}", to=to), "--"),))


def _rule(written: CompressionRule, where: str) -> Rule:
    holds, tags = [], set[int]()
    for i, condition in enumerate(written.where):
        try:
            path, hold = conditions.compiled(condition)
        except ValueError as error:
            raise ConfigurationError(f"{where}where[{i}]: {error}") from error
        holds.append(hold)
        tags.add(path.top)
    return Rule(
        name=written.name or where.rstrip("."),
        way=_way(written, where),
        stored=frozenset(_uid(text, f"{where}stored", "a transfer syntax") for text in written.stored) or _NATIVE,
        classes=frozenset(_uid(text, f"{where}classes", "a SOP class") for text in written.classes),
        modalities=frozenset(written.modalities),
        calling=_any_of(written.calling),
        called=_any_of(written.called),
        opens=bool(holds or written.called),
        holds=tuple(holds),
        tags=frozenset(tags),
        settled=written.settled,
        age=written.age,
    )


def _way(written: CompressionRule, where: str) -> Way | None:
    """How a rule has its objects compressed; None: not at all. Raises ConfigurationError."""
    if not written.to:
        return None
    to, lossy = written.to, written.lossy
    target = _uid(to, f"{where}to", "a transfer syntax")
    form = codec(target)
    if form is None or form.writes is None or (form.writes.coder == "native" and target != EXPLICIT_LE):
        raise ConfigurationError(f"{where}to: objects are not compressed into {to}")
    if target == EXPLICIT_LE and not written.stored:
        raise ConfigurationError(f"{where}stored: name the transfer syntaxes that are to be decompressed")
    if form.writes.lossy and lossy is None:
        raise ConfigurationError(f"{where}to: {to} loses information; say how much with a table `lossy`")
    larger = written.larger or target == EXPLICIT_LE
    if lossy is None or not form.writes.lossy:
        return Way(target, larger=larger)
    how = Lossy(lossy.quality, lossy.near, lossy.psnr, lossy.step)
    return Way(target, how, float(lossy.least), lossy.original == "delete", larger)


def _uid(text: str, where: str, kind: str) -> str:
    uid = text if text[:1].isdigit() else uid_of(text)
    if uid is None:
        raise ConfigurationError(f"{where}: {text!r} is neither a UID nor the keyword of {kind}")
    return uid


def _any_of(texts: Sequence[str]) -> Test:
    tests = [wildcard(text) for text in texts]
    return lambda value: not tests or any(test(value) for test in tests)
