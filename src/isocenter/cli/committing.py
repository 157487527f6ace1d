"""`isocenter commit`: asking another archive to commit to instances, and what became of all such requests."""

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import typer

from isocenter.archive.commitment import rows as commitment_rows
from isocenter.archive.commitment.asked import OPEN, Asked
from isocenter.archive.commitment.data import Reference
from isocenter.archive.commitment.rows import Transaction
from isocenter.archive.retrieval.instances import Selection, locate
from isocenter.cli import files, peering
from isocenter.cli.asking import Asking, in_a_line
from isocenter.cli.ending import Exit, say
from isocenter.cli.installed import Installation
from isocenter.cli.opening import known, opened
from isocenter.cli.securing import NONE, Security
from isocenter.config import Settings
from isocenter.database import Database
from isocenter.errors import ConfigurationError
from isocenter.exchange import committing

_LOOK = 0.2
"""Seconds between looks at the database."""


class Named(NamedTuple):
    """Which instances: files and folders, a list of UIDs, and what the index holds below some UIDs."""

    paths: tuple[Path, ...] = ()
    uids: Path | None = None
    studies: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()


class Way(NamedTuple):
    """How to ask: of which installation, as which AE of ours, how long to wait for the report; and how to answer."""

    here: Installation
    as_json: bool
    ae: str = ""
    wait: float = 0.0
    security: Security = NONE
    """Of a peer that is written out; others are called as the settings have it."""


def request(name: str, named: Named, way: Way) -> Exit:
    """`commit request`: by the running server for a peer that it knows, else at once and by this command."""
    if "@" in name:
        if named.studies or named.series or named.instances:
            raise ConfigurationError("--study, --series and --instance need a peer that is known here")
        return _directly(name, list(_of_files(named)), way)
    settings = way.here.settings()
    with opened(settings) as index:
        title, ae = _titles(settings, name, way.ae)
        references = [*_of_files(named), *_of_index(index, named)]
        _refuse_none(references)
        asked = Asked(index)
        numbers = committing.request(asked, ae, title, references)
        return _awaited(asked, numbers, way)


def again(number: int, way: Way) -> Exit:
    """`commit again`: ask anew for what was not committed."""
    with opened(way.here.settings()) as index:
        asked = Asked(index)
        if asked.get(number) is None:
            raise ConfigurationError(f"there is no request {number}")
        numbers = committing.again(asked, number)
        if not numbers:
            say("all of it is committed")
            return Exit.OK
        return _awaited(asked, numbers, way)


def list_all(role: str, state: str, limit: int, way: Way) -> Exit:
    """`commit list`."""
    with opened(way.here.settings()) as index:
        found = commitment_rows.latest(index, role=role, state=state, limit=limit)
    if way.as_json:
        typer.echo(json.dumps([_facts(each) for each in found]))
        return Exit.OK
    for each in found:
        typer.echo(_line(each))
    say(f"{len(found)} listed")
    return Exit.OK


def show(number: int, way: Way) -> Exit:
    """`commit show`: one request, instance by instance."""
    with opened(way.here.settings()) as index, index.reading() as connection:
        found = commitment_rows.get(connection, number)
        instances = commitment_rows.instances(connection, number)
    if found is None:
        raise ConfigurationError(f"there is no request {number}")
    if way.as_json:
        typer.echo(json.dumps({**_facts(found), "instances": [each._asdict() for each in instances]}))
    else:
        typer.echo(_line(found))
        for each in instances:
            typer.echo(f"  {each.sop_uid}  {in_a_line(each)}")
    return Exit.OK


# --- by the server


def _titles(settings: Settings, name: str, ae: str) -> tuple[str, str]:
    """The peer's title, and that of the AE of ours that asks."""
    held = known(settings).settings
    if not any(peer.host for peer in held.peers_titled(name)):
        raise ConfigurationError(f"{name!r} is neither TITLE@HOST:PORT nor a peer whose address is known here")
    if ae and held.ae(ae) is None:
        raise ConfigurationError(f"--ae: no AE {ae!r} is hosted here")
    return name, ae or held.aes[0].title


def _of_index(index: Database, named: Named) -> Iterator[Reference]:
    selections = [
        *(Selection(study_uids=(uid,)) for uid in named.studies),
        *(Selection(series_uids=(uid,)) for uid in named.series),
        *(Selection(sop_uids=(uid,)) for uid in (*named.instances, *_single(named.uids))),
    ]
    for selection in selections:
        found = [Reference(each.sop_class, each.sop_uid) for page in locate(index, selection) for each in page]
        if not found:
            wanted = selection.study_uids or selection.series_uids or selection.sop_uids
            say(f"warning: nothing here has the UID {wanted[0]}")
        yield from found


def _awaited(asked: Asked, numbers: tuple[int, ...], way: Way) -> Exit:
    """Wait for the reports, then say what they said."""
    until = time.monotonic() + way.wait
    while (found := _all(asked, numbers)) and any(each.state in OPEN for each in found) and time.monotonic() < until:
        time.sleep(_LOOK)
    if way.as_json:
        typer.echo(json.dumps([_facts(each) for each in found]))
    else:
        for each in found:
            typer.echo(_line(each))
    if any(each.state in OPEN for each in found):
        say("no report yet; `isocenter commit show` tells later")
    return Exit.SOME_FAILED if any(each.state not in ("committed", *OPEN) for each in found) else Exit.OK


def _all(asked: Asked, numbers: Iterable[int]) -> list[Transaction]:
    return [found for number in numbers if (found := asked.get(number)) is not None]


# --- by this command


def _directly(name: str, references: list[Reference], way: Way) -> Exit:
    _refuse_none(references)
    target = peering.named(name, way.here.settings(), way.ae, way.security)
    asking = Asking(way.wait)
    with target.connect([asking.context], services=asking.services) as association:
        asking.ask(association, references)
    if way.as_json:
        facts = {"transaction_uid": asking.transaction_uid, "instances": [each._asdict() for each in asking.instances]}
        typer.echo(json.dumps(facts))
    else:
        for each in asking.instances:
            typer.echo(f"{each.sop_uid}  {in_a_line(each)}")
    if asking.problem:
        say(asking.problem)
    return Exit.SOME_FAILED if commitment_rows.failed(asking.instances) else Exit.OK


# --- what is named, what is told


def _of_files(named: Named) -> Iterator[Reference]:
    for path in named.paths:
        if not path.exists():
            raise ConfigurationError(f"there is no {path}")
    for path in files.walk(named.paths):
        if (found := files.read(path)) is not None:
            yield Reference(found.sop_class, found.sop_uid)
    yield from (Reference(*words) for words in _pairs(named.uids))


def _pairs(file: Path | None) -> Iterator[list[str]]:
    return (line.split() for line in _lines(file) if len(line.split()) == 2)


def _single(file: Path | None) -> Iterator[str]:
    return (line for line in _lines(file) if len(line.split()) == 1)


def _lines(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        return [line.strip() for line in file.read_text("ascii").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"--uids: {file} can't be read") from error


def _refuse_none(references: list[Reference]) -> None:
    if not references:
        raise ConfigurationError("no instance is named: give files, --uids, --study, --series or --instance")


def _facts(found: Transaction) -> dict[str, Any]:
    return {name: value for name, value in found._asdict().items() if name != "digest"}


def _line(found: Transaction) -> str:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(found.created_at / 1e6))
    direction = "to" if found.role == "scu" else "from"
    comment = f": {found.comment}" if found.comment else ""
    peer = f"{found.address} over HTTP" if found.role == "web" else found.peer
    return f"{found.id}  {at}  {found.ae} {direction} {peer}  {found.state}{comment}"
