"""`isocenter worklist`: asking another worklist, and the own one's entries made, listed, cancelled and taken out.

The own worklist is in the index's database, so that these work beside a running server and without one.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

import typer

from isocenter.cli.editing import changes_of
from isocenter.cli.ending import Exit, say
from isocenter.cli.identifiers import tag_path
from isocenter.cli.installed import Installation
from isocenter.cli.opening import opened
from isocenter.cli.peering import Target
from isocenter.declarations.offers import PROPOSED_SYNTAXES
from isocenter.declarations.query_keys import Path as Tags
from isocenter.dicom.dictionary import keyword_of
from isocenter.dicom.uids import MODALITY_WORKLIST_FIND
from isocenter.dimse import ProposedContext
from isocenter.errors import ConfigurationError
from isocenter.index.matching_values import values_at
from isocenter.workflow.worklist.asking import ask, identifier
from isocenter.workflow.worklist.attributes import Model
from isocenter.workflow.worklist.entries import Worklist
from isocenter.workflow.worklist.making import in_step, keys_named, make, model_of
from isocenter.workflow.worklist.searching import Query, search
from isocenter.workflow.worklist.states import OVER, State, state_named

_SHOWN: Final = (
    *("ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime", "Modality", "ScheduledStationAETitle"),
    *("PatientName", "PatientID", "AccessionNumber", "ScheduledProcedureStepDescription"),
    *("ScheduledProcedureStepStatus", "ScheduledProcedureStepID"),
)
_SOURCE: Final = "command line"
Named = Sequence[tuple[Tags, str]]


@contextmanager
def _own(here: Installation) -> Iterator[Worklist]:
    """The own worklist."""
    with opened(here.settings()) as index:
        yield Worklist(index)


def named(given: Iterable[tuple[str, str]], words: Sequence[str]) -> list[tuple[Tags, str]]:
    """Keys by their options and as `-k KEYWORD=VALUE`; a step's may be named without its sequence."""
    pairs = [(keyword, value) for keyword, value in given if value]
    pairs += [(name, value) for name, _, value in (word.partition("=") for word in words)]
    return [(in_step(tag_path(name)), value) for name, value in pairs]


def query(target: Target, keys: Named, *, limit: int, as_json: bool) -> Exit:
    """`worklist query`: one association for one query."""
    asked = identifier(keys)
    with target.connect([ProposedContext(MODALITY_WORKLIST_FIND, PROPOSED_SYNTAXES)]) as association:
        answers = ask(association, asked, limit=limit, character_set=target.peer.character_set)
    if answers.unsupported:
        say("the worklist does not support all of the keys")
    if answers.dropped:
        say(f"{answers.dropped} answers that contradict a key were left out")
    _print(answers.items, as_json=as_json)
    if answers.complete:
        return Exit.OK
    say(f"error: the query failed: {target} {'' if answers.lost else 'answered with '}{answers.failure}")
    return Exit.SOME_FAILED


def create(here: Installation, keys: Named, file: Path | None, *, as_json: bool) -> Exit:
    """`worklist create`: of options, or of a file of DICOM JSON."""
    models = _read(file) if file is not None else [_model(keys)]
    with _own(here) as worklist, worklist.database.writing() as connection:
        made = make(worklist, connection, models, _SOURCE)
    _print([entry.model for entry in made], as_json=as_json)
    return Exit.OK


def list_all(here: Installation, keys: Named, state: str, limit: int, *, as_json: bool) -> Exit:
    """`worklist list`."""
    if state and state != "all" and state_named(state) is None:
        raise ConfigurationError(f"--state: {state!r} is none of {', '.join(State)}, all")
    wanted = [*keys, *named([("ScheduledProcedureStepStatus", state.upper())] if state not in ("", "all") else [], ())]
    asked = Query(keys=keys_named(wanted), hidden=frozenset() if state == "all" else OVER)
    with _own(here) as worklist:
        rows = chain.from_iterable(search(worklist.database, asked))
        found = [json.loads(row.attributes) for row in (islice(rows, limit) if limit else rows)]
    _print(found, as_json=as_json)
    return Exit.OK


def cancel(here: Installation, keys: Named, *, everything: bool, gone: bool) -> Exit:
    """`worklist cancel` and `worklist remove`: the entries that match; more than one only with `everything`."""
    if not any(value.strip("*") for _, value in keys):
        raise ConfigurationError("name the entries by a key")
    asked = Query(keys=keys_named(keys), hidden=frozenset() if gone else OVER)
    with _own(here) as worklist:
        found = [entry for page in worklist.matching(asked) for entry in page]
        if not found:
            say("error: no entry matches")
            return Exit.SOME_FAILED
        if len(found) > 1 and not everything:
            say(f"error: {len(found)} entries match; --all for all of them")
            return Exit.SOME_FAILED
        ids = [entry.id for entry in found]
        with worklist.database.writing() as connection:
            if gone:
                worklist.remove(connection, ids)
            else:
                worklist.set_state(connection, ids, State.CANCELLED)
    say(f"{len(found)} {'taken out' if gone else 'cancelled'}")
    return Exit.OK


def _model(keys: Named) -> Model:
    """The entry that options describe; it is scheduled for now where they say no time."""
    now = datetime.now()
    moments = (("ScheduledProcedureStepStartDate", f"{now:%Y%m%d}"), ("ScheduledProcedureStepStartTime", f"{now:%H%M}"))
    given = {path for path, _ in keys}
    more = [(path, value) for path, value in named(moments, ()) if path not in given]
    return model_of([(path, _attribute(path[-1], value)) for path, value in (*keys, *more)])


def _attribute(tag: int, value: str) -> dict[str, Any]:
    found: dict[str, Any] = changes_of([f"{tag:08X}={value}"], ())[f"{tag:08X}"]
    return found


def _read(file: Path) -> list[Model]:
    try:
        found = json.loads(sys.stdin.read() if str(file) == "-" else file.read_text("utf-8"))
    except OSError as fault:
        raise ConfigurationError(f"{file}: {fault.strerror}") from fault
    except ValueError as fault:
        raise ConfigurationError(f"{file}: no JSON") from fault
    models = found if isinstance(found, list) else [found]
    if not all(isinstance(model, dict) for model in models):
        raise ConfigurationError(f"{file}: an entry is an object of the DICOM JSON model")
    return models


def _print(items: Sequence[Model], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(list(items), ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    paths = [path for path, _ in named([(keyword, "-") for keyword in _SHOWN], ())]
    for path in paths:
        table.add_column(keyword_of(path[-1]), overflow="fold")
    for item in items:
        table.add_row(*("\\".join(values_at(item, path)).replace("[", r"\[") for path in paths))
    console = Console()
    if not console.is_terminal:
        console.width = 400
    console.print(table)
    say(f"{len(items)} found")
