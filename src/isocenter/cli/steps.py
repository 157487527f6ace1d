"""`isocenter mpps`: the performed procedure steps that were reported here, beside a running server or without one."""

import json
from typing import Any, NamedTuple

import typer

from isocenter.cli import acting
from isocenter.cli.ending import Exit, say
from isocenter.cli.installed import Installation
from isocenter.cli.opening import known, opened
from isocenter.errors import ConfigurationError
from isocenter.workflow.steps.deliveries import Deliveries, Delivery
from isocenter.workflow.steps.exceptions import StepExceptions
from isocenter.workflow.steps.overview import detailed, sent, shown, when
from isocenter.workflow.steps.steps import Step, Steps
from isocenter.workflow.worklist.rows import Entry


class Wanted(NamedTuple):
    """Which steps; '' for any."""

    state: str = ""
    matching: str = ""
    station: str = ""
    study_uid: str = ""


def list_all(wanted: Wanted, limit: int, here: Installation, *, as_json: bool) -> Exit:
    """`mpps list`."""
    with opened(here.settings()) as index:
        found = Steps(index).listed(**wanted._asdict(), limit=limit)
    if as_json:
        typer.echo(json.dumps([shown(each) for each in found]))
        return Exit.OK
    for each in found:
        typer.echo(_line(each))
    say(f"{len(found)} listed")
    return Exit.OK


def show(number: int, here: Installation, *, as_json: bool) -> Exit:
    """`mpps show`."""
    with opened(here.settings()) as index:
        facts = detailed(index, number)
        sent_ones = Deliveries(index).listed(step=number)
    if as_json:
        typer.echo(json.dumps(facts))
        return Exit.OK
    for name, value in facts.items():
        if name not in ("attributes", "deliveries", "faults", "missing", "performed"):
            typer.echo(f"{name.replace('_', ' ')}: {_written(value)}")
    typer.echo(f"missing: {len(facts['missing'])}")
    for cause, name in facts["faults"]:
        typer.echo(f"fault: {cause} {name}")
    for one in sent_ones:
        typer.echo(f"delivery: {_delivery_line(one)}")
    for name, value in facts["performed"].items():
        for line in _lines(value):
            typer.echo(f"{name.replace('_', ' ')}: {line}")
    typer.echo(json.dumps(facts["attributes"], ensure_ascii=False, indent=2))
    return Exit.OK


def exceptions(limit: int, here: Installation, *, as_json: bool) -> Exit:
    """`mpps exceptions`."""
    with opened(here.settings()) as index:
        waiting = StepExceptions(Steps(index))
        found = waiting.listed(limit=limit)
        with index.reading() as connection:
            meant = [waiting.candidates(connection, each) for each in found]
    if as_json:
        pairs = zip(found, meant, strict=True)
        typer.echo(json.dumps([{**shown(step), "candidates": [_entry(each) for each in few]} for step, few in pairs]))
        return Exit.OK
    for step, few in zip(found, meant, strict=True):
        typer.echo(f"{_line(step)}: {step.comment}")
        for each in few:
            typer.echo(f"    entry {each.id}  step {each.step_id}  study {each.study_uid}  {each.state}")
    say(f"{len(found)} wait for a decision")
    return Exit.OK


def resolve(number: int, entries: tuple[int, ...], here: Installation, *, accept: bool, as_json: bool) -> Exit:
    """`mpps resolve`."""
    if accept == bool(entries):
        raise ConfigurationError("give either --entry or --accept")
    settings, actor = here.settings(), f"cli:{acting.user()}"
    roster = known(settings).settings
    with opened(settings) as index:
        steps = Steps(index)
        waiting = StepExceptions(steps)
        with index.writing() as connection:
            step = steps.get(connection, number)
            ae = roster.ae(step.ae) if step is not None else None
            wanted = ae.mpps.at(step.station) if ae is not None and step is not None else None
            if accept:
                done = waiting.accept(connection, number, actor=actor)
            else:
                done = waiting.resolve(connection, number, entries, actor=actor, wanted=wanted)
    typer.echo(json.dumps(shown(done)) if as_json else _line(done))
    return Exit.OK


def deliveries(state: str, peer: str, limit: int, here: Installation, *, as_json: bool) -> Exit:
    """`mpps deliveries`."""
    with opened(here.settings()) as index:
        found = Deliveries(index).listed(state=state, peer=peer, limit=limit)
    if as_json:
        typer.echo(json.dumps([sent(one) for one in found]))
        return Exit.OK
    for one in found:
        typer.echo(_delivery_line(one))
    say(f"{len(found)} listed")
    return Exit.OK


def restart(numbers: tuple[int, ...], here: Installation) -> Exit:
    """`mpps restart`."""
    with opened(here.settings()) as index:
        say(f"{Deliveries(index).restart(numbers)} are tried again")
    return Exit.OK


def discard(numbers: tuple[int, ...], here: Installation) -> Exit:
    """`mpps discard`."""
    with opened(here.settings()) as index:
        done = Deliveries(index).discard(numbers)
    say(f"{done} discarded")
    return Exit.OK if done == len(set(numbers)) else Exit.SOME_FAILED


# --- telling


def _entry(each: Entry) -> dict[str, Any]:
    return {name: getattr(each, name) for name in ("id", "step_id", "study_uid", "identity", "state")}


def _line(step: Step) -> str:
    return "  ".join(
        (str(step.id), when(step.created_at), step.state, step.matching, step.station or "-", step.sop_uid)
    )


def _delivery_line(one: Delivery) -> str:
    said = one.operation if not one.event else f"event {one.event}"
    status = f" {one.status:04X}" if one.status else ""
    comment = f": {one.comment}" if one.comment else ""
    tries = f"{one.attempts} tries" if one.attempts != 1 else "1 try"
    what = f"{one.id}  {when(one.created_at)}  {said} of {one.sop_uid} to {one.peer}"
    return f"{what}  {one.state}{status}, {tries}{comment}"


def _lines(value: Any) -> list[str]:
    """What was performed, a line for each."""
    if isinstance(value, dict):
        return [f"{name} {one}" for name, one in value.items()]
    return [_said(each) for each in value]


def _said(value: Any) -> str:
    """Codes as `value^scheme^meaning`."""
    if not isinstance(value, dict):
        return str(value)
    if "scheme" in value:
        return "^".join((value["value"], value["scheme"], value["meaning"]))
    return ", ".join(f"{name.replace('_', ' ')} {_said(each)}" for name, each in value.items() if each not in ("", {}))


def _written(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return str(value) if value not in ("", None) else "-"
