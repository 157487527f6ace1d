"""`isocenter find`."""

from collections.abc import Generator
from contextlib import closing
from typing import cast

import typer

from isocenter.cli.ending import Exit, say
from isocenter.cli.identifiers import RETURNED, Asked, columns, heading, shown
from isocenter.cli.peering import Target
from isocenter.dicom import dataset, json_model
from isocenter.dicom.dataset import DataSet
from isocenter.dicom.uids import EXPLICIT_LE, IMPLICIT_LE
from isocenter.dimse import ClientAssociation, ProposedContext, Response, commands

_RELATIONAL = bytes((1, 1, 0))


def run(target: Target, asked: Asked, *, limit: int, as_json: bool) -> Exit:
    """Ask, and print the answers as they come (JSON) or as a table."""
    proposed = ProposedContext(asked.find_class, (EXPLICIT_LE, IMPLICIT_LE), extended=_RELATIONAL)
    with target.connect([proposed]) as association:
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
