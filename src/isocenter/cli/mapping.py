"""`isocenter hl7 mapping`: the mappings of orders to worklist attributes looked at, checked, and tried on messages."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import typer
from msgspec.structs import replace

from isocenter.cli import messaging
from isocenter.cli.ending import Exit, say
from isocenter.cli.opening import opened
from isocenter.config import Settings
from isocenter.config.hl7 import Feed
from isocenter.dicom.dictionary import keyword_of
from isocenter.dicom.json_reading import text_of
from isocenter.hl7.errors import Location, MessageError
from isocenter.workflow.messages import feeds
from isocenter.workflow.orders.handler import EVENTS, Filed
from isocenter.workflow.orders.holding import Order
from isocenter.workflow.orders.mapping import Row, load
from isocenter.workflow.orders.numbers import Numbers
from isocenter.workflow.orders.planning import Book, Nothing, Planner, read
from isocenter.workflow.worklist.entries import Worklist, now

_HERE: Final = "127.0.0.1"
_INDENT: Final = "  "


def show(name: str) -> Exit:
    """Print a mapping as the file that it could be."""
    for row in load(name).rows:
        typer.echo(
            "\t".join((row.name, " ; ".join(source.written for source in row.sources), _conversion(row), row.note))
        )
    return Exit.OK


def _conversion(row: Row) -> str:
    argument = f":{row.argument}" if row.argument else ""
    return f"{row.conversion}{'?' if row.lenient else ''}{argument}"


def check(name: str | None, exams: Path | None, settings: Settings) -> Exit:
    """Read a mapping, or those of all feeds. Raises ConfigurationError where one is wrong."""
    chosen = [_feed(settings.hl7.feeds[0] if settings.hl7.feeds else Feed(), name, exams)] if name or exams else []
    for feed in chosen or settings.hl7.feeds or (Feed(),):
        rules = read(feed)
        table = f", {len(rules.exams)} exams" if feed.exams else ""
        typer.echo(f"{feed.mapping}: {len(rules.mapping.rows)} attributes{table}")
    return Exit.OK


def _feed(feed: Feed, name: str | None, exams: Path | None) -> Feed:
    return replace(feed, mapping=name or feed.mapping, exams=str(exams) if exams else feed.exams)


def attempt(
    paths: Sequence[Path], name: str | None, exams: Path | None, settings: Settings, *, known: bool, as_json: bool
) -> Exit:
    """Print what messages would make of the worklist; nothing is written."""
    failed = False
    told: list[dict[str, Any]] = []
    for label, data in messaging.messages_in(paths, ""):
        try:
            feed, message = feeds.read(data, settings.hl7, _HERE)
            feed = _feed(feed, name, exams)
            if f"{message.header.message}^{message.header.event}" not in EVENTS:
                say(f"{label}: {message.header.message}^{message.header.event} is no message of orders")
                failed = True
                continue
            read(feed)
            with _book(settings, known=known) as book:
                orders = Planner(feed, now).planned(book, message)
        except MessageError as wrong:
            say(f"{label}: {_words(wrong)}")
            failed = True
            continue
        told += [_plain(label, order) for order in orders]
        if not as_json:
            for order in orders:
                _print(label, order)
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False))
    return Exit.SOME_FAILED if failed else Exit.OK


@contextmanager
def _book(settings: Settings, *, known: bool) -> Iterator[Book]:
    if not known:
        yield Nothing()
        return
    with opened(settings) as index, index.reading() as connection:
        yield Filed(connection, Worklist(index), Numbers(now))


def _plain(label: str, order: Order) -> dict[str, Any]:
    return {
        "message": label,
        "order": order.key,
        "steps": [{"state": item.state, "removed": item.gone, "attributes": item.model} for item in order.items],
        "warnings": [_words(each) for each in order.warnings],
    }


def _print(label: str, order: Order) -> None:
    typer.echo(f"{label}: order {order.key}")
    for warning in order.warnings:
        typer.echo(f"{_INDENT}warning: {_words(warning)}")
    for item in order.items:
        typer.echo(f"{_INDENT}{'removed' if item.gone else item.state}")
        for line in _lines(item.model):
            typer.echo(f"{_INDENT}{_INDENT}{line}")


def _lines(model: Mapping[str, Any]) -> Iterator[str]:
    for tag, attribute in sorted(model.items()):
        name = keyword_of(int(tag, 16)) or tag
        if attribute["vr"] != "SQ":
            yield f"{name}: {text_of(attribute)}"
            continue
        for item in attribute.get("Value", ()):
            yield name
            yield from (f"{_INDENT}{line}" for line in _lines(item))


def _words(wrong: MessageError) -> str:
    place = _place(wrong.location)
    return f"{place}: {wrong.comment}" if place else wrong.comment


def _place(location: Location | None) -> str:
    if location is None:
        return ""
    sequence = f"[{location.sequence}]" if location.sequence > 1 else ""
    field = f"-{location.field}" if location.field else ""
    return f"{location.segment}{sequence}{field}"
