"""`isocenter workitem`: works on the index's database, beside a running server or without one."""

import json
from collections.abc import Sequence
from itertools import chain, islice

import typer

from isocenter.cli.ending import Exit, say
from isocenter.cli.opening import opened
from isocenter.config import Settings
from isocenter.database import Database
from isocenter.declarations.query_keys import Path, resolve
from isocenter.declarations.workitem import State
from isocenter.dicom.dictionary import keyword_of
from isocenter.dicom.json_reading import text_of
from isocenter.errors import ConfigurationError
from isocenter.server.workitems import worklist
from isocenter.workflow.workitems import matching, models
from isocenter.workflow.workitems.entries import Workitems
from isocenter.workflow.workitems.models import Model


def list_all(keys: Sequence[str], limit: int, settings: Settings, *, as_json: bool) -> Exit:
    """`workitem list`."""
    query = matching.Query(keys=tuple(map(_key, keys)))
    with opened(settings) as index:
        found = list(islice(chain.from_iterable(matching.search(index, query)), limit))
    if as_json:
        typer.echo(json.dumps([each.model for each in found], ensure_ascii=False))
        return Exit.OK
    for each in found:
        model = each.model
        start, label = models.value(model, "00404005"), models.value(model, "00741204")
        typer.echo(f"{each.uid}  {each.state:<11}  {models.value(model, '00741200'):<6}  {start}  {label}")
    say(f"{len(found)} shown")
    return Exit.OK


def show(uid: str, settings: Settings, *, as_json: bool) -> Exit:
    """`workitem show`."""
    with opened(settings) as index, index.reading() as connection:
        items = _worklist(index, settings)
        found = items.get(connection, uid)
        receivers = items.subscriptions.of(connection, found.id)
    if as_json:
        told = [receiver._asdict() for receiver in receivers]
        typer.echo(json.dumps({"workitem": found.model, "subscribers": told}, ensure_ascii=False))
        return Exit.OK
    _tell(found.model)
    for receiver in receivers:
        typer.echo(f"subscribed: {receiver.aet} ({receiver.way})")
    return Exit.OK


def cancel(uid: str, reason: str, settings: Settings) -> Exit:
    """`workitem cancel`."""
    information = {models.REASON: models.text_attribute("LT", reason)} if reason else {}
    with opened(settings) as index:
        items = _worklist(index, settings)
        with index.writing() as connection:
            items.request_cancel(connection, uid, settings.aes[0].title, information)
        with index.reading() as connection:
            state = items.get(connection, uid).state
    say("cancelled" if state is State.CANCELED else "its subscribers are asked to cancel it")
    return Exit.OK


def release(title: str, settings: Settings) -> Exit:
    """`workitem release`."""
    with opened(settings) as index, index.writing() as connection:
        count = _worklist(index, settings).subscriptions.release(connection, title)
    say(f"{count} deletion locks taken away")
    return Exit.OK


def _worklist(index: Database, settings: Settings) -> Workitems:
    return worklist(index, settings)


def _key(text: str) -> tuple[Path, str]:
    name, _, value = text.partition("=")
    path = resolve(name)
    if path is None or not matching.supported(path):
        raise ConfigurationError(f"--key: {name!r} is no attribute of a workitem")
    return path, value


def _tell(model: Model, indent: str = "") -> None:
    for tag, attribute in model.items():
        name = keyword_of(int(tag, 16)) or tag
        if attribute["vr"] != "SQ":
            typer.echo(f"{indent}{name}: {text_of(attribute)}".rstrip())
            continue
        typer.echo(f"{indent}{name}:")
        for item in models.items(model, tag):
            _tell(item, indent + "  ")
