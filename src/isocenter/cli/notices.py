"""`isocenter notices`: notifications looked at and steered.

It works on the index's database, so with a running server and with a stopped one.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import typer

from isocenter.cli.ending import Exit, say
from isocenter.cli.opening import opened
from isocenter.config import Settings
from isocenter.errors import ConfigurationError
from isocenter.workflow.notices.outgoing import STATES, Notice, Outgoing
from isocenter.workflow.notices.plan import HOOK
from isocenter.workflow.notices.received import Kept, Received
from isocenter.workflow.notices.telling import KINDS


class Wanted(NamedTuple):
    """Which are listed; '' for any."""

    state: str
    kind: str
    study: str
    limit: int


def list_all(wanted: Wanted, settings: Settings, *, as_json: bool) -> Exit:
    """`notices list`: the newest first."""
    for option, value, known in (("--state", wanted.state, STATES), ("--kind", wanted.kind, (*KINDS, HOOK))):
        if value not in ("", *known):
            raise ConfigurationError(f"{option}: {value!r} is none of {', '.join(known)}")
    with opened(settings) as index:
        found = Outgoing(index).latest(state=wanted.state, kind=wanted.kind, study_uid=wanted.study, limit=wanted.limit)
    _tell(found, _line, as_json=as_json)
    return Exit.OK


def retry(numbers: Sequence[int], settings: Settings, *, failed: bool = False) -> Exit:
    """`notices retry`: those of these numbers, or all that have `failed`."""
    if bool(numbers) is failed:
        raise ConfigurationError("notices retry: name numbers, or --failed for all that have failed")
    with opened(settings) as index:
        outgoing = Outgoing(index)
        if not failed:
            return _each(numbers, outgoing.retry, "there is none of this number")
        count = 0
        while found := outgoing.latest(state="failed"):
            count += sum(outgoing.retry(one.id) for one in found)
    say(f"{count} will be told again")
    return Exit.OK


def discard(numbers: Iterable[int], settings: Settings) -> Exit:
    """`notices discard`."""
    with opened(settings) as index:
        return _each(numbers, Outgoing(index).discard, "it neither waits nor has it failed")


def list_received(study: str, limit: int, settings: Settings, *, as_json: bool) -> Exit:
    """`notices received`: the newest first."""
    with opened(settings) as index:
        found = Received(index).latest(study_uid=study, limit=limit)
    _tell(found, _heard, as_json=as_json)
    return Exit.OK


def show_received(number: int, settings: Settings) -> Exit:
    """`notices received NUMBER`."""
    with opened(settings) as index:
        content = Received(index).content(number)
    if not content:
        typer.echo(f"{number}: there is none of this number", err=True)
        return Exit.SOME_FAILED
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
    return Exit.OK


def _each(numbers: Iterable[int], do: Callable[[int], bool], otherwise: str) -> Exit:
    left = [number for number in numbers if not do(number)]
    for number in left:
        typer.echo(f"{number}: {otherwise}", err=True)
    return Exit.SOME_FAILED if left else Exit.OK


def _tell(found: Iterable[Any], line: Callable[[Any], str], *, as_json: bool) -> None:
    """A line each, or a JSON list."""
    if as_json:
        typer.echo(json.dumps([one._asdict() for one in found], ensure_ascii=False))
        return
    for one in found:
        typer.echo(line(one))


def _line(one: Notice) -> str:
    status = "" if one.status is None else str(one.status) if one.kind == HOOK else f"{one.status:04X}"
    words = (one.id, _when(one.created_at), one.state, one.kind, one.destination, one.event, one.study_uid, status)
    said = "  ".join(str(word) for word in words if word != "")
    if not one.comment:
        return said
    waits = one.state == "waiting"
    tries = one.attempts if waits else one.attempts + 1
    tried = f"{said}: {one.comment}, tried {tries} time{'s' * (tries != 1)}"
    return f"{tried}, again at {_when(one.due_at)}" if waits else tried


def _heard(one: Kept) -> str:
    words = (one.id, _when(one.received_at), one.kind, one.calling, one.study_uid, f"{one.instances} instances")
    return "  ".join(map(str, words))


def _when(at: int) -> str:
    """UTC."""
    return f"{datetime.fromtimestamp(at / 1e6, UTC):%Y-%m-%d %H:%M:%S}"
