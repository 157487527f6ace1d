"""`isocenter jobs`: the durable queue, looked at and steered.

It works on the index's database, so with a running server and with a stopped one.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import typer

from isocenter.cli.ending import Exit, say
from isocenter.cli.opening import opened
from isocenter.config import Settings
from isocenter.errors import ConfigurationError
from isocenter.exchange import pushing
from isocenter.exchange.pushing import Push, Standing
from isocenter.jobs.queue import Queue, State

STATES = ("waiting", "running", "done", "failed", "cancelled")
_LOOK = 0.2
"""Seconds between looks at jobs that are waited for."""


def list_all(state: str, kind: str, limit: int, settings: Settings, *, as_json: bool) -> Exit:
    """`jobs list`: the newest first."""
    if state not in ("", *STATES):
        raise ConfigurationError(f"--state: {state!r} is none of {', '.join(STATES)}")
    with opened(settings) as index:
        tell(Queue(index).states(state=state, kind=kind, limit=limit), as_json=as_json)
    return Exit.OK


def show(number: int, settings: Settings, *, as_json: bool) -> Exit:
    """`jobs show`."""
    with opened(settings) as index:
        queue = Queue(index)
        state, payload = _state(queue, number), queue.payload(number)
    if as_json:
        typer.echo(json.dumps({**state._asdict(), "payload": payload}))
        return Exit.OK
    typer.echo(line(state))
    for key, value in payload.items():
        if key != "studies":
            typer.echo(f"  {key} = {json.dumps(value)}")
    if state.kind == pushing.KIND:
        _tell_sending(Push.of(payload), state)
    return Exit.OK


def cancel(number: int, settings: Settings, *, as_json: bool) -> Exit:
    """`jobs cancel`."""
    with opened(settings) as index:
        queue = Queue(index)
        _state(queue, number)
        done = queue.cancel(number)
        tell([_state(queue, number)], as_json=as_json)
    if not done:
        say("it had ended already")
    return Exit.OK if done else Exit.SOME_FAILED


def restart(number: int, settings: Settings, *, as_json: bool) -> Exit:
    """`jobs restart`."""
    with opened(settings) as index:
        queue = Queue(index)
        sends = _state(queue, number).kind == pushing.KIND
        done = pushing.restart(queue, number) if sends else queue.restart(number)
        tell([_state(queue, number)], as_json=as_json)
    if not done:
        say("it runs, or another one for the same work waits")
    return Exit.OK if done else Exit.SOME_FAILED


def awaited(queue: Queue, numbers: Sequence[int], seconds: float) -> list[State]:
    """What became of jobs, once all have ended or `seconds` have passed."""
    until = time.monotonic() + seconds
    while True:
        states = [state for number in numbers if (state := queue.state(number)) is not None]
        if all(state.state not in ("waiting", "running") for state in states) or time.monotonic() >= until:
            return states
        time.sleep(_LOOK)


def tell(states: Iterable[State], *, as_json: bool) -> None:
    """A line each, or a JSON list."""
    if as_json:
        typer.echo(json.dumps([state._asdict() for state in states]))
        return
    for state in states:
        typer.echo(line(state))


def line(state: State) -> str:
    """One job; times are UTC."""
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(state.created_at / 1e6))
    words: list[Any] = [state.id, at, state.kind, state.state, state.progress]
    said = "  ".join(str(word) for word in words if word != "")
    return f"{said}: {state.error}" if state.error else said


def _tell_sending(wanted: Push, state: State) -> None:
    """Which instances, by study, and each that was not sent."""
    for study, n in Counter(entry.study_uid for entry in wanted.entries).items():
        typer.echo(f"  study {study}: {n} instances")
    standing = Standing.of(state.progress, len(wanted.entries))
    for word, places in (("failed", standing.failed), ("skipped", standing.skipped)):
        for place in places:
            typer.echo(f"  {word} {wanted.entries[place].sop_uid}")


def _state(queue: Queue, number: int) -> State:
    state = queue.state(number)
    if state is None:
        raise ConfigurationError(f"there is no job {number}")
    return state
