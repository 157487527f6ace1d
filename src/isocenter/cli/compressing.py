"""`isocenter compress`: what the rules of compression are for, and their jobs, planned, started, watched and cancelled.

It works on the index's database: the running server does the work, or the one that is started next.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import typer
from sqlalchemy import func, select

from isocenter.cli import jobs
from isocenter.cli.ending import Exit, say
from isocenter.cli.opening import opened
from isocenter.config import Settings
from isocenter.database import Database
from isocenter.dicom.uids import name_of
from isocenter.errors import ConfigurationError
from isocenter.index.tables import compression, compression_left, removal
from isocenter.jobs.queue import Queue, State
from isocenter.lifecycle.choosing import Rules, compiled, rules_to
from isocenter.lifecycle.studies import Studies
from isocenter.lifecycle.working import KIND, enqueue
from isocenter.server import places

_OPEN = ("waiting", "running")
_MOST = 1_000_000


class Order(NamedTuple):
    """What is to be compressed: some studies, or all; to one transfer syntax, or by the rules of the settings."""

    studies: tuple[str, ...] = ()
    to: str = ""
    wait: float = 0.0

    def rules(self, settings: Settings) -> Rules:
        """By which. Raises ConfigurationError where there are none."""
        rules = rules_to(self.to) if self.to else compiled(settings)
        if not rules:
            raise ConfigurationError("compress: the settings have no rules; name a transfer syntax with --to")
        return rules


class _Group(NamedTuple):
    """What goes one way."""

    rule: str
    stored: str
    target: str


def plan(order: Order, settings: Settings, *, as_json: bool) -> Exit:
    """`compress plan`: nothing is decoded nor changed."""
    rules = order.rules(settings)
    counts: Counter[_Group] = Counter()
    sizes: Counter[_Group] = Counter()
    with opened(settings) as index, closing(places.open_store(settings)) as store:
        studies = Studies(index, store, rules, at_once=True)
        found = order.studies or studies.uids()
        for uid in found:
            for one in studies.planned(uid):
                group = _Group(one.rule.name, one.subject.syntax, one.way.target)
                counts[group] += 1
                sizes[group] += one.subject.size
    rows = [{**group._asdict(), "objects": n, "bytes": sizes[group]} for group, n in counts.items()]
    if as_json:
        typer.echo(json.dumps(rows))
        return Exit.OK
    for row in rows:
        said = f"{row['rule']}: {row['objects']} objects, {_size(row['bytes'])}"
        typer.echo(f"{said}, {name_of(str(row['stored']))} -> {name_of(str(row['target']))}")
    if not rows:
        typer.echo("nothing to compress")
    return Exit.OK


def run(order: Order, settings: Settings, *, as_json: bool) -> Exit:
    """`compress run`: a job for each study that has something to be compressed, due now."""
    rules = order.rules(settings)
    with opened(settings) as index, closing(places.open_store(settings)) as store:
        queue, studies = Queue(index), Studies(index, store, rules, at_once=True)
        found = order.studies or studies.uids()
        wanted = [uid for uid in found if next(studies.planned(uid), None) is not None]
        numbers = [enqueue(queue, uid, to=order.to, at_once=True) for uid in wanted]
        states = jobs.awaited(queue, numbers, order.wait)
        _tell(states, as_json=as_json)
    if not numbers:
        say("nothing to compress")
    if any(state.state in _OPEN for state in states):
        say("not done yet; `isocenter compress status` tells later")
    return Exit.SOME_FAILED if any(state.state not in ("done", *_OPEN) for state in states) else Exit.OK


def status(settings: Settings, *, as_json: bool) -> Exit:
    """`compress status`: what is compressed, what was left and why, and what the jobs do."""
    with opened(settings) as index:
        facts = {**_sums(index), "left": _left(index), "jobs": _jobs(Queue(index))}
    if as_json:
        typer.echo(json.dumps(facts))
        return Exit.OK
    saved = facts["bytes_before"] - facts["bytes_after"]
    share = f" ({100 * saved / facts['bytes_before']:.0f} %)" if facts["bytes_before"] else ""
    typer.echo(f"compressed: {facts['compressed']} objects, {_size(saved)} saved{share}")
    typer.echo(f"originals still kept: {facts['kept']}, {_size(facts['bytes_kept'])}")
    typer.echo(f"left as they are: {_counted(facts['left'])}")
    typer.echo(f"jobs: {_counted(facts['jobs'])}")
    return Exit.OK


def cancel(studies: Sequence[str], settings: Settings, *, as_json: bool) -> Exit:
    """`compress cancel`: jobs of some studies, or all. What is done stays; an object is finished or not begun."""
    with opened(settings) as index:
        queue = Queue(index)
        states = [state for name in _OPEN for state in queue.states(state=name, kind=KIND, limit=_MOST)]
        ours = [one.id for one in states if not studies or queue.payload(one.id).get("study") in studies]
        cancelled = [number for number in ours if queue.cancel(number)]
        _tell([state for number in cancelled if (state := queue.state(number))], as_json=as_json)
    if not cancelled:
        say("there is no such job")
    return Exit.OK if cancelled else Exit.SOME_FAILED


def _tell(states: Sequence[State], *, as_json: bool) -> None:
    """As JSON one by one; else how many, and those that failed."""
    if as_json:
        jobs.tell(states, as_json=True)
        return
    jobs.tell([state for state in states if state.state == "failed"], as_json=False)
    if states:
        typer.echo(f"studies: {_counted(Counter(state.state for state in states))}")


def _sums(index: Database) -> dict[str, Any]:
    c = compression.c
    first = select(func.min(c.id).label("id")).group_by(c.store_key).subquery()
    total = select(func.count(), func.coalesce(func.sum(c.original_size), 0), func.coalesce(func.sum(c.size), 0))
    kept = select(func.count(), func.coalesce(func.sum(c.original_size), 0)).join(
        removal, removal.c.store_key == c.original_key
    )
    with index.reading() as connection:
        count, before, after = connection.execute(total.where(c.id.in_(select(first.c.id)))).one()
        there, held = connection.execute(kept.where(removal.c.removed_at.is_(None))).one()
    return {
        "compressed": count,
        "bytes_before": int(before),
        "bytes_after": int(after),
        "kept": there,
        "bytes_kept": int(held),
    }


def _left(index: Database) -> dict[str, int]:
    query = select(compression_left.c.reason, func.count()).group_by(compression_left.c.reason)
    with index.reading() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}


def _jobs(queue: Queue) -> dict[str, int]:
    return dict(Counter(state.state for state in queue.states(kind=KIND, limit=_MOST)))


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in sorted(counts.items())) or "none"


def _size(length: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(length) < 1000:
            return f"{length:.0f} {unit}" if unit == "bytes" else f"{length:.1f} {unit}"
        length /= 1000
    return f"{length:.1f} TB"
