"""All the rules of an installation, made ready once, and which of them are for an association."""

import importlib
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

from isocenter.config.coercion import Hooks
from isocenter.config.coercion import Rule as Written
from isocenter.config.settings import Settings
from isocenter.dicom.dataset import Element
from isocenter.dicom.uids import uid_of
from isocenter.errors import ConfigurationError
from isocenter.rules import actions, conditions
from isocenter.rules.coercion import MODALITY, Coercion, Hook, Rule
from isocenter.rules.originals import ORIGINAL_ATTRIBUTES
from isocenter.rules.patterns import Test, wildcard
from isocenter.rules.view import CHARACTER_SET, View

When = Literal["receive", "send"]
_ALWAYS: Final = frozenset([CHARACTER_SET, ORIGINAL_ATTRIBUTES])


class Ends(NamedTuple):
    """The two sides of an association: titles as negotiated, the other side's address, and its title as a registered
    peer ('' where it is none)."""

    calling: str
    called: str
    address: str = ""
    peer: str = ""


class _Candidate(NamedTuple):
    """A rule with its conditions on the association."""

    fits: Callable[[Ends], bool]
    rule: Rule


@dataclass(frozen=True, slots=True, eq=False)
class Ruleset:
    """Rules and hooks, by when they apply."""

    receive: tuple[_Candidate, ...]
    send: tuple[_Candidate, ...]
    receive_hook: Hook | None
    send_hook: Hook | None

    def receiving(
        self, ends: Ends, *, tell: bool = False, drop_invalid: bool = False, character_set: str = ""
    ) -> Coercion | None:
        """What happens to objects that come over an association; None: nothing, whatever they are. `character_set`: the
        one that they are in, whatever they say."""
        rules, hook = (*_forced(character_set), *_selected(self.receive, ends, self.receive_hook)), self.receive_hook
        if not rules and hook is None and not drop_invalid:
            return None
        return Coercion(rules, _tags(rules), tell, hook, drop_invalid, ends.called, ends.calling, ends._asdict())

    def sending(self, ends: Ends) -> Coercion | None:
        """What happens to objects that leave over an association; None: nothing, whatever they are."""
        rules, hook = _selected(self.send, ends, self.send_hook), self.send_hook
        if not rules and hook is None:
            return None
        return Coercion(rules, _tags(rules), hook=hook, system=ends.calling, facts=ends._asdict(), account=False)


def _tags(rules: tuple[Rule, ...]) -> frozenset[int]:
    return _ALWAYS.union(*(rule.tags for rule in rules))


def _selected(candidates: tuple[_Candidate, ...], ends: Ends, hook: Hook | None) -> tuple[Rule, ...]:
    return () if hook is not None else tuple(one.rule for one in candidates if one.fits(ends))


def _forced(character_set: str) -> tuple[Rule, ...]:
    """The rule that comes before all others where a peer's character set is forced, so that they read its texts
    rightly."""
    if not character_set:
        return ()
    element = Element("CS", character_set.encode("ascii", "replace"))

    def act(view: View) -> None:
        view.changes[CHARACTER_SET] = element

    tags, nothing = frozenset([CHARACTER_SET]), frozenset[str]()
    return (Rule("character_set_forced", nothing, nothing, (), (act,), tags, "CORRECT", keep=True, tell=None),)


def compiled(settings: Settings) -> Ruleset:
    """The rules of `settings`. Raises ConfigurationError naming the rule, the key and what is wrong."""
    made: dict[str, list[_Candidate]] = {"receive": [], "send": []}
    for number, written in enumerate(settings.rules):
        made[written.when].append(_candidate(written, number, settings.data))
    return Ruleset(
        tuple(made["receive"]),
        tuple(made["send"]),
        _hook(settings.hooks, "receive"),
        _hook(settings.hooks, "send"),
    )


def _candidate(written: Written, number: int, folder: Path) -> _Candidate:
    name = written.name or f"rule {number + 1}"
    where = f"rule[{number}]" + (f" ({written.name})" if written.name else "")
    looked_at, holds = _conditions(written, where)
    touched, acts = _acts(written, where, folder)
    hides = written.when == "send" and any(actions.hides(action) for action in written.do)
    keep = written.keep_originals if written.keep_originals is not None else not hides
    tags = looked_at | touched | ({MODALITY} if written.modalities else set())
    rule = Rule(
        name=name,
        classes=frozenset(_class_uid(text, where) for text in written.classes),
        modalities=frozenset(written.modalities),
        conditions=holds,
        acts=acts,
        tags=frozenset(tags),
        reason=written.reason,
        keep=keep,
        tell=written.tell_sender,
        hides=hides and written.keep_originals is not True,
    )
    return _Candidate(_fits(written, where), rule)


def _conditions(written: Written, where: str) -> tuple[set[int], tuple[conditions.Holds, ...]]:
    tags, found = set(), []
    for i, condition in enumerate(written.where):
        try:
            path, holds = conditions.compiled(condition)
        except ValueError as error:
            raise ConfigurationError(f"{where}.where[{i}]: {error}") from error
        tags.add(path.top)
        found.append(holds)
    return tags, tuple(found)


def _acts(written: Written, where: str, folder: Path) -> tuple[set[int], tuple[actions.Act, ...]]:
    if not written.do:
        raise ConfigurationError(f"{where}.do: a rule without an action does nothing")
    tags, found = set[int](), []
    for i, action in enumerate(written.do):
        try:
            act, touched = actions.compiled(action, folder)
        except ValueError as error:
            raise ConfigurationError(f"{where}.do[{i}]: {error}") from error
        tags |= touched
        found.append(act)
    return tags, tuple(found)


def _fits(written: Written, where: str) -> Callable[[Ends], bool]:
    calling, called, peers = (_any_of(texts) for texts in (written.calling, written.called, written.peers))
    try:
        networks = [ipaddress.ip_network(address, strict=False) for address in written.addresses]
    except ValueError as error:
        raise ConfigurationError(f"{where}.addresses: {error}") from error

    def fits(ends: Ends) -> bool:
        titles = calling(ends.calling) and called(ends.called) and peers(ends.peer)
        return titles and (not networks or any(_own(ends.address) in network for network in networks))

    return fits


def _own(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address of either family; one that is none lies in no network."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ipaddress.IPv6Address(0)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _any_of(texts: tuple[str, ...]) -> Test:
    tests = [wildcard(text) for text in texts]
    return lambda value: not tests or any(test(value) for test in tests)


def _class_uid(text: str, where: str) -> str:
    if text[:1].isdigit():
        return text
    uid = uid_of(text)
    if uid is None:
        raise ConfigurationError(f"{where}.classes: {text!r} is neither a UID nor the keyword of a SOP class")
    return uid


def _hook(hooks: Hooks, when: When) -> Hook | None:
    named: str = getattr(hooks, when)
    if not named:
        return None
    module, _, function = named.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:  # whatever another's module does as it is imported
        raise ConfigurationError(f"hooks.{when}: {named!r} can't be imported: {type(error).__name__}") from error
    if not callable(found):
        raise ConfigurationError(f"hooks.{when}: {named!r} is no function")
    hook: Hook = found
    return hook
