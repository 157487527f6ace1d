"""`isocenter find`."""

from collections.abc import Generator
from contextlib import closing
from typing import cast

import typer

from isocenter.cli.ending import Exit, say
from isocenter.cli.identifiers import LEVELS, RETURNED, Asked, columns, heading, shown, tag_path
from isocenter.cli.peering import Target
from isocenter.declarations.offers import PROPOSED_SYNTAXES
from isocenter.dicom import dataset, json_model
from isocenter.dicom.dataset import DataSet
from isocenter.dicom.uids import EXPLICIT_LE
from isocenter.dimse import ClientAssociation, ProposedContext, Response, commands

_RELATIONAL = bytes((1, 1, 0))


def run(target: Target, asked: Asked, *, limit: int, as_json: bool, tree: bool = False) -> Exit:
    """Ask, and print the answers as they come (JSON) or as a table. With `tree`, for each answer all that lies below
    it, level by level over the same association (X-VIEW-23)."""
    proposed = ProposedContext(asked.find_class, PROPOSED_SYNTAXES, extended=b"" if tree else _RELATIONAL)
    with target.connect([proposed]) as association:
        if tree:
            answers, status, comment = whole_tree(association, asked, limit=limit)
        else:
            answers, status, comment = query(association, asked, limit=limit)
    if as_json:
        typer.echo(f"[{','.join(as_dicom_json(answer) for answer in answers)}]")
    else:
        _print(asked, answers)
    if status in (commands.SUCCESS, commands.CANCELLED):
        return Exit.OK
    say(f"error: {target} answered with status {status:04X} {comment}".rstrip())
    return Exit.SOME_FAILED


def query(association: ClientAssociation, asked: Asked, *, limit: int = 0) -> tuple[list[DataSet], int, str]:
    """The matches, the final status and its comment. With a limit, the rest is cancelled."""
    context = association.context_for(asked.find_class)
    identifier = dataset.encode(asked.identifier(returned=RETURNED[asked.level]), context.transfer_syntax)
    answers: list[DataSet] = []
    found = cast("Generator[Response, None, None]", association.find(asked.find_class, identifier))
    with closing(found) as responses:
        for response in responses:
            if not commands.is_pending(response.status):
                return answers, response.status, response.comment
            answers.append(dataset.decode(response.data or b"", context.transfer_syntax))
            if limit and len(answers) >= limit:
                break
    return answers, commands.CANCELLED, ""


def whole_tree(association: ClientAssociation, asked: Asked, *, limit: int = 0) -> tuple[list[DataSet], int, str]:
    """The matches, each followed by what lies below it; the first final status that is no success, and its comment. A
    query that fails ends alone: the others go on (X-VIEW-25)."""
    answers, status, comment = query(association, asked, limit=limit)
    levels = _LEVELS[asked.model]
    if asked.level == levels[-1]:
        return answers, status, comment
    below = levels[levels.index(asked.level) + 1]
    found: list[DataSet] = []
    for answer in answers:
        found.append(answer)
        under = Asked(below, asked.model, _fixed(asked, answer, below))
        inner, ended, told = whole_tree(association, under)
        found += inner
        if status == commands.SUCCESS and ended != commands.SUCCESS:
            status, comment = ended, told
    return found, status, comment


def _fixed(asked: Asked, answer: DataSet, below: str) -> tuple[tuple[tuple[int, ...], str], ...]:
    """The unique keys of the levels above `below`: of the answer, or as they were asked for."""
    given = dict(asked.keys)
    levels = _LEVELS[asked.model]
    paths = [tag_path(_UNIQUE[level]) for level in levels[: levels.index(below)]]
    values = [(path, dataset.string_of(answer, path[0]) or given.get(path, "")) for path in paths]
    return tuple((path, value) for path, value in values if value)


_LEVELS = {"patient": LEVELS, "study": LEVELS[1:], "patient-study-only": LEVELS[:2]}
_UNIQUE = {"patient": "PatientID", "study": "StudyInstanceUID", "series": "SeriesInstanceUID"}


def as_dicom_json(answer: DataSet) -> str:
    """One answer in the DICOM JSON model."""
    encoded = dataset.encode(answer, EXPLICIT_LE)
    return json_model.write(encoded, EXPLICIT_LE, bulk_uri=None).decode()


def _print(asked: Asked, answers: list[DataSet]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    paths = columns(asked)
    for path in paths:
        table.add_column(heading(path), overflow="fold")
    for answer in answers:
        table.add_row(*(shown(answer, path).replace("[", r"\[") for path in paths))
    console = Console()
    if not console.is_terminal:
        console.width = 400
    console.print(table)
    say(f"{len(answers)} found")
