"""`isocenter reconcile`: works on the database, beside a running server, whose jobs carry out what is decided, or
without one.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import typer

from isocenter.cli.doing import How
from isocenter.cli.editing import changes_of
from isocenter.cli.ending import Exit, say
from isocenter.cli.opening import opened
from isocenter.config import HostedAE
from isocenter.database import Database
from isocenter.errors import ConfigurationError
from isocenter.exchange.peers import Peers
from isocenter.exchange.turns import Turns
from isocenter.registry.roster import Directory, Fixed, merged
from isocenter.registry.stored import read
from isocenter.server.places import open_store
from isocenter.workflow.reconciling.deciding import Desk, Who
from isocenter.workflow.reconciling.matching import asked_by_hand
from isocenter.workflow.reconciling.overview import Overview, shown
from isocenter.workflow.reconciling.rows import Study
from isocenter.workflow.reconciling.states import UNDECIDED, State
from isocenter.workflow.reconciling.worklists import Worklists

_MOST = 10_000


@dataclass(frozen=True)
class _Room:
    """What a decision needs."""

    index: Database
    desk: Desk
    worklists: Worklists
    directory: Directory


def _ae(directory: Directory, title: str) -> HostedAE:
    return directory.now().settings.ae(title) or HostedAE(title=title, role="reconcile")


@contextmanager
def _room(how: How) -> Iterator[_Room]:
    settings = how.settings()
    with opened(settings) as index:
        with index.reading(snapshot=True) as connection:
            directory = Fixed(merged(settings, read(connection)).settings)
        store = open_store(settings)
        try:
            desk = Desk(index, store, lambda title: _ae(directory, title).reconciling)
            peers = Peers(directory.now().settings, directory, Turns(settings.run_folder))
            yield _Room(index, desk, Worklists(index, peers), directory)
        finally:
            store.close()


def _who(how: How) -> Who:
    return Who(how.by or f"cli:{how.user}", how.why)


def list_all(state: str, ae: str, how: How) -> Exit:
    """`reconcile list`."""
    with opened(how.settings()) as index:
        overview = Overview(index)
        found = overview.listed(states=_states(state), ae=ae, limit=_MOST)
        steps = overview.steps(limit=_MOST)
    if how.json:
        typer.echo(json.dumps({"studies": [one.told() for one in found], "steps": steps}))
        return Exit.OK
    for one in found:
        told = one.told()
        what = " ".join(filter(None, (told["state"], told["finding"])))
        who = f"{told['patient_id'] or '-'}  {told['patient_name'] or '-'}  {told['accession'] or '-'}"
        kinds = "/".join(told["modalities"]) or "-"
        typer.echo(f"{told['id']:6}  {told['ae']:16}  {what:18}  {who}  {kinds}  {told['study_date'] or '-'}"
                   f"  {one.objects} objects held")  # fmt: skip
    for step in steps:
        typer.echo(f"step {step['id']}  {step['source']}  {step['state']}  {step['patient_id'] or '-'}  "
                   f"{step['accession'] or '-'}  {step['modality'] or '-'}")  # fmt: skip
    say(f"{len(found)} studies, {len(steps)} procedure steps")
    return Exit.OK


def show(number: int, how: How) -> Exit:
    """`reconcile show`."""
    with opened(how.settings()) as index:
        found = Overview(index).detailed(number)
    return _tell(found, how)


def search(number: int, words: Sequence[str], how: How) -> Exit:
    """`reconcile search`."""
    keys = dict(_key(word) for word in words)
    with _room(how) as room:
        overview = Overview(room.index)
        study = overview.study(number)
        found = room.worklists.search(_ae(room.directory, study.ae), asked_by_hand(keys))
        room.desk.offer(number, found)
        return _tell(overview.detailed(number), how)


def choose(number: int, candidate: int, words: Sequence[str], how: How) -> Exit:
    """`reconcile choose`."""
    extra = changes_of(words, ())
    with _room(how) as room:
        return _decided(room.desk.choose(number, candidate - 1, _who(how), extra=extra), how)


def type_in(number: int, words: Sequence[str], how: How) -> Exit:
    """`reconcile type`."""
    changes = changes_of(words, ())
    with _room(how) as room:
        return _decided(room.desk.type_in(number, changes, _who(how)), how)


def decide(number: int, what: Literal["release", "reject", "reopen"], how: How) -> Exit:
    """`reconcile release`, `reconcile reject`, `reconcile reopen`."""
    with _room(how) as room:
        does = {"release": room.desk.release, "reject": room.desk.reject, "reopen": room.desk.reopen}
        return _decided(does[what](number, _who(how)), how)


def _key(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals:
        raise ConfigurationError(f"{word!r} is not KEYWORD=VALUE")
    return name, value


def _states(text: str) -> frozenset[State]:
    if not text:
        return UNDECIDED
    if text == "all":
        return frozenset(State)
    if text not in set(State):
        raise ConfigurationError(f"--state: {text!r} is none of all, {', '.join(State)}")
    return frozenset({State(text)})


def _decided(study: Study, how: How) -> Exit:
    if how.json:
        typer.echo(json.dumps(shown(study)))
    else:
        changed = len(study.decision.changes) if study.decision is not None else 0
        typer.echo(f"study {study.id} is {study.state}; {changed} attributes change")
    return Exit.OK


def _tell(found: dict[str, Any], how: How) -> Exit:
    if how.json:
        typer.echo(json.dumps(found))
        return Exit.OK
    typer.echo(f"study {found['id']} of {found['ae']}: {found['state']} {found['finding']}".rstrip())
    typer.echo(f"  {found['study_uid']}, {found['waiting']['objects']} objects held")
    candidates = len(found["candidates"])
    typer.echo(f"  {'':32}{'study':28}" + "".join(f"candidate {n + 1:<18}" for n in range(candidates)))
    for row in found["compared"]:
        values = (
            f"{'=' if same else ' '} {value:26}" for value, same in zip(row["candidates"], row["same"], strict=True)
        )
        typer.echo(f"  {row['attribute']:32}{row['study']:26}{''.join(values)}".rstrip())
    return Exit.OK
