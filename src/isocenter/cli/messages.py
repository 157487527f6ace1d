"""`isocenter hl7 list|show|replay` and `isocenter hl7 queue`: the messages that are kept, and those to be sent.

They work on the index's database, so with a running server and with a stopped one.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import typer
from sqlalchemy import ColumnElement

from isocenter.cli import jobs
from isocenter.cli.ending import Exit, say
from isocenter.cli.opening import opened
from isocenter.config import Settings
from isocenter.errors import ConfigurationError
from isocenter.hl7.errors import MessageError
from isocenter.hl7.message import parsed
from isocenter.jobs.queue import Queue
from isocenter.workflow.messages import outbox
from isocenter.workflow.messages.keeping import Kept, Messages, State, between
from isocenter.workflow.messages.outbox import Outbox, Queued
from isocenter.workflow.messages.replaying import ask
from isocenter.workflow.messages.tables import hl7_message

_ALL: Final = 1_000_000
_PAGE: Final = 500


@dataclass(frozen=True)
class Chosen:
    """Which of the messages that are kept."""

    state: str = ""
    flagged: bool = False
    feed: str = ""
    since: str = ""
    until: str = ""

    def conditions(self) -> list[ColumnElement[bool]]:
        """What holds for them. Raises ConfigurationError."""
        found = between(_at("--since", self.since), _at("--until", self.until))
        if self.state:
            if self.state not in tuple(State):
                raise ConfigurationError(f"--state: {self.state!r} is none of {', '.join(State)}")
            found.append(hl7_message.c.state == self.state)
        if self.flagged:
            found.append(hl7_message.c.flag != "")
        if self.feed:
            found.append(hl7_message.c.feed == self.feed)
        return found


def _at(option: str, text: str) -> int | None:
    """Microseconds UTC of a date or time in ISO 8601; without a zone it is this machine's."""
    if not text:
        return None
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1e6)
    except ValueError as error:
        raise ConfigurationError(f"{option}: {text!r} is no time such as 2024-01-31T15:30") from error


def list_all(chosen: Chosen, limit: int, settings: Settings, *, as_json: bool) -> Exit:
    """`hl7 list`: the newest first."""
    with opened(settings) as index:
        found = Messages(index).listed(*chosen.conditions(), limit=limit)
    if as_json:
        typer.echo(json.dumps([each._asdict() for each in found]))
        return Exit.OK
    for each in found:
        typer.echo(_line(each))
    return Exit.OK


def _line(kept: Kept) -> str:
    words = [str(kept.id), _time(kept.received_at), kept.feed, kept.kind, kept.control_id, kept.state, kept.flag]
    said = "  ".join(word for word in words if word)
    return f"{said}: {kept.error}" if kept.error else said


def _time(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at / 1e6))


def show(number: int, settings: Settings, *, as_json: bool) -> Exit:
    """`hl7 show`: what is known of a message, the message, and how it was answered."""
    with opened(settings) as index:
        messages = Messages(index)
        listed = messages.listed(hl7_message.c.id == number)
        content = messages.content(number)
    if not listed or content is None:
        raise ConfigurationError(f"there is no message {number}")
    facts: dict[str, Any] = listed[0]._asdict()
    message, answer = map(_text, content)
    if as_json:
        typer.echo(json.dumps({**facts, "content": message, "answer": answer}))
        return Exit.OK
    typer.echo(_line(listed[0]))
    for text in (message, answer):
        typer.echo("")
        typer.echo(text.replace("\r", "\n").rstrip("\n"))
    return Exit.OK


def _text(data: bytes) -> str:
    """A message as it is meant, as far as it says in which character set."""
    try:
        return parsed(data).written()
    except MessageError:
        return data.decode("utf-8", "replace")


def replay(
    numbers: Sequence[int], chosen: Chosen, wait: float, settings: Settings, *, as_json: bool, everything: bool
) -> Exit:
    """`hl7 replay`: has the server process messages again, in the order in which they came."""
    conditions = chosen.conditions()
    if not numbers and not conditions and not everything:
        raise ConfigurationError("which messages? Give their numbers, or --refused, --since, --feed; or --all")
    if numbers:
        conditions.append(hl7_message.c.id.in_(numbers))
    with opened(settings) as index:
        ids = [each.id for each in Messages(index).listed(*conditions, limit=_ALL)]
        if missing := sorted(set(numbers) - set(ids)):
            raise ConfigurationError(f"there is no message {missing[0]} among those chosen")
        if not ids:
            say("there are no such messages")
            return Exit.OK
        number = ask(index, ids)
        states = jobs.awaited(Queue(index), [number], wait)
        found = _those(Messages(index), ids)
    if as_json:
        typer.echo(json.dumps({"job": number, "messages": [each._asdict() for each in found]}))
    else:
        jobs.tell(states, as_json=False)
        for each in found if wait else ():
            typer.echo(_line(each))
    return Exit.SOME_FAILED if wait and any(each.state != State.PROCESSED for each in found) else Exit.OK


def _those(messages: Messages, ids: list[int]) -> list[Kept]:
    wanted = sorted(ids)
    pages = (wanted[start : start + _PAGE] for start in range(0, len(wanted), _PAGE))
    return [each for page in pages for each in reversed(messages.listed(hl7_message.c.id.in_(page), limit=_PAGE))]


# --- messages to be sent


def queue(destination: str, state: str, limit: int, settings: Settings, *, as_json: bool) -> Exit:
    """`hl7 queue`: the oldest first."""
    if state not in ("", *outbox.State):
        raise ConfigurationError(f"--state: {state!r} is none of {', '.join(outbox.State)}")
    with opened(settings) as index:
        found = Outbox(index, settings.hl7).listed(destination=destination, state=state, limit=limit)
    if as_json:
        typer.echo(json.dumps([each._asdict() for each in found]))
        return Exit.OK
    for each in found:
        typer.echo(_queued(each))
    return Exit.OK


def _queued(each: Queued) -> str:
    words = [each.id, _time(each.created_at), each.destination, each.kind, each.control_id, each.state]
    said = "  ".join(map(str, words)) + (f"  after {each.attempts} tries" if each.attempts > 1 else "")
    return f"{said}: {each.error}" if each.error else said


def queue_show(number: int, settings: Settings) -> Exit:
    """`hl7 queue show`: the message as it leaves."""
    with opened(settings) as index:
        content = Outbox(index, settings.hl7).content(number)
    if content is None:
        raise ConfigurationError(f"there is no message {number} to be sent")
    typer.echo(_text(content).replace("\r", "\n").rstrip("\n"))
    return Exit.OK


def retry(numbers: Sequence[int], settings: Settings) -> Exit:
    """`hl7 queue retry`: has messages sent that were put aside, or without waiting for the next try."""
    with opened(settings) as index:
        box = Outbox(index, settings.hl7)
        wanted = numbers or [each.id for each in box.listed(state=outbox.State.DEAD, limit=_ALL)]
        return _told(wanted, [number for number in wanted if not box.retry(number)], "sent already, or not there")


def discard(numbers: Sequence[int], settings: Settings) -> Exit:
    """`hl7 queue discard`: these are never sent."""
    with opened(settings) as index:
        box = Outbox(index, settings.hl7)
        return _told(numbers, [number for number in numbers if not box.discard(number)], "sent already, or not there")


def _told(wanted: Sequence[int], failed: Sequence[int], why: str) -> Exit:
    for number in failed:
        say(f"{number}: {why}")
    typer.echo(f"{len(wanted) - len(failed)} of {len(wanted)} messages")
    return Exit.SOME_FAILED if failed else Exit.OK
