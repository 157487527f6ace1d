"""Who is told of what, by the settings: made ready once."""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from isocenter.config import Settings
from isocenter.config.hl7 import Sends
from isocenter.config.notices import HookEvent, Notice, Occasion, WebHook
from isocenter.workflow.completeness import TIMER
from isocenter.workflow.notices.outgoing import Destination

HOOK: Final = "hook"
"""The kind of what goes to web hooks."""
_QUIET: Final = "quiet"
_PROMPT: Final = 3.0
"""Seconds from an arrival until a study is looked at that may be known to be whole."""


class Tries(NamedTuple):
    """How often somebody is told: further tries, and the seconds before the first."""

    retries: int
    retry_delay: float


class Plan:
    """Who is told of what."""

    def __init__(self, settings: Settings) -> None:
        self._notices, self.hooks = settings.notice, settings.web_hooks
        self.rule = settings.completeness
        self._sends = frozenset(what for each in settings.hl7.destinations for what in each.sends)

    @property
    def looks(self) -> bool:
        """Whether anybody wants to know when studies are complete."""
        return (
            self.rule.always
            or self.sends("study-available")
            or any("complete" in each.occasions for each in self._notices)
            or any("complete" in each.events for each in self.hooks)
        )

    @property
    def active(self) -> bool:
        """Whether there is anything to do. If not, notifications cost nothing."""
        return bool(self.looks or self._notices or self.hooks or self._sends)

    def sends(self, what: Sends) -> bool:
        """Whether an HL7 destination is told of this."""
        return what in self._sends

    def timers(self) -> dict[str, float]:
        """The timers that an arrival starts anew, with their seconds."""
        found = {_timer(each.quiet): each.quiet for each in self._notices if _QUIET in each.occasions}
        prompt = self.rule.steps or self.rule.counts or self.rule.request
        soon = min(self.rule.quiet, _PROMPT) if prompt else self.rule.quiet
        return {**({TIMER: soon} if self.looks else {}), **found}

    def told(self, occasion: Occasion) -> list[Destination]:
        """Who gets a notice on an occasion other than `quiet`."""
        return list(self._destinations(lambda each: occasion in each.occasions))

    def told_when(self, timer: str) -> list[Destination]:
        """Who gets a notice when a timer has run out."""
        return list(self._destinations(lambda each: _QUIET in each.occasions and _timer(each.quiet) == timer))

    def hooked(self, event: HookEvent) -> list[Destination]:
        """Which web hooks are told of an event."""
        return [Destination(HOOK, "", each.title) for each in self.hooks if event in each.events]

    def hook(self, title: str) -> WebHook | None:
        """The web hook of this title."""
        return next((each for each in self.hooks if each.title == title), None)

    def tries(self, destination: Destination) -> Tries:
        """How often a destination is told; of one that nothing names any more once."""
        if destination.kind == HOOK:
            hook = self.hook(destination.destination)
            return Tries(hook.retries, hook.retry_delay) if hook is not None else Tries(0, 0.0)
        for each in self._notices:
            if destination in _of(each):
                return Tries(each.retries, each.retry_delay)
        return Tries(0, 0.0)

    def _destinations(self, fits: Callable[[Notice], bool]) -> Iterator[Destination]:
        yield from dict.fromkeys(one for each in self._notices if fits(each) for one in _of(each))


def _of(each: Notice) -> list[Destination]:
    return [Destination(each.kind, each.ae, title) for title in each.to]


def _timer(seconds: float) -> str:
    return f"{_QUIET} {seconds:g}"
