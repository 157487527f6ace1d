"""`isocenter move` and `isocenter get`."""

import json
import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from isocenter.cli.ending import Exit, say
from isocenter.cli.finding import query
from isocenter.cli.identifiers import Asked
from isocenter.cli.peering import Target
from isocenter.cli.progress import bar
from isocenter.declarations.offers import PROPOSED_SYNTAXES
from isocenter.declarations.sop_classes import classes_of
from isocenter.declarations.transfer_syntaxes import NON_STORAGE, all_syntaxes
from isocenter.dicom import dataset, part10, uids
from isocenter.dimse import Association, ClientAssociation, Command, Context, Progress, ProposedContext, commands
from isocenter.errors import IsocenterError, Reason, Refused

_CLASSES_IN_STUDY = 0x00080062
_MOST_CONTEXTS = 127  # one of the 128 is the retrieval's own
_RELATIONAL = b"\1"


def move(target: Target, asked: Asked, destination: str, *, as_json: bool) -> Exit:
    """C-MOVE: show the counts, then how it ended."""
    proposed = ProposedContext(asked.move_class, PROPOSED_SYNTAXES, extended=_RELATIONAL)
    with target.connect([proposed]) as association:
        identifier = _identifier(asked, association.context_for(asked.move_class))
        last = _follow(association.move(asked.move_class, identifier, destination), "moving")
    return _ended(target, last, as_json=as_json)


def get(target: Target, asked: Asked, folder: Path, *, as_json: bool) -> Exit:
    """C-GET into files `<SOP Instance UID>.dcm` of `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    contexts = [
        ProposedContext(asked.get_class, PROPOSED_SYNTAXES, extended=_RELATIONAL),
        *storage_contexts(_classes(target, asked)),
    ]
    with target.connect(contexts) as association:
        identifier = _identifier(asked, association.context_for(asked.get_class))

        def receive(_: Association, context: Context, command: Command) -> FileSink:
            return FileSink(folder, context, commands.text(command, commands.AFFECTED_SOP_INSTANCE), target)

        last = _follow(association.get(asked.get_class, identifier, receive), "getting")
    return _ended(target, last, as_json=as_json)


def _identifier(asked: Asked, context: Context) -> bytes:
    return dataset.encode(asked.identifier(), context.transfer_syntax)


def _follow(responses: Iterator[Progress], label: str) -> Progress:
    last: Progress | None = None
    with bar(label) as advance:
        for last in responses:
            done = (last.completed or 0) + (last.failed or 0) + (last.warning or 0)
            advance(done, done + (last.remaining or 0))
    if last is None:
        raise Refused(Reason.UNABLE_TO_PROCESS, "the peer gave no answer")
    return last


def _ended(target: Target, last: Progress, *, as_json: bool) -> Exit:
    counts = {"completed": last.completed or 0, "failed": last.failed or 0, "warning": last.warning or 0}
    if as_json:
        typer.echo(json.dumps({"status": f"{last.status:04X}", **counts, "comment": last.comment}))
    else:
        typer.echo(", ".join(f"{n} {name}" for name, n in counts.items()))
    if last.status == commands.SUCCESS:
        return Exit.OK
    say(f"error: {target} ended with status {last.status:04X} {last.comment}".rstrip())
    return Exit.SOME_FAILED


def _classes(target: Target, asked: Asked) -> list[str]:
    """The SOP classes that the objects will be of: those the peer names for the studies, else all there are."""
    wanted = Asked("study", "study", asked.keys)
    found: list[str] = []
    try:
        with target.connect(
            [ProposedContext(wanted.find_class, PROPOSED_SYNTAXES, extended=bytes((1, 1, 0)))]
        ) as association:
            found = _named_classes(association, wanted)
    except IsocenterError:
        pass  # who can't be asked may still send: then every class is offered
    return found or [entry.uid for entry in classes_of("storage") if not entry.retired]


def _named_classes(association: ClientAssociation, asked: Asked) -> list[str]:
    keys = (*((path, value) for path, value in asked.keys if value), ((_CLASSES_IN_STUDY,), ""))
    answers, _, _ = query(association, Asked("study", asked.model, keys))
    return list(dict.fromkeys(uid for answer in answers for uid in dataset.strings_of(answer, _CLASSES_IN_STUDY)))


def storage_contexts(classes: Sequence[str]) -> list[ProposedContext]:
    """Contexts to receive `classes` on: for each one with the native syntaxes, then, while there is room, one for each
    compressed syntax by itself, so that the peer can send objects as they are."""
    compressed = [syntax for syntax in all_syntaxes() if syntax not in NON_STORAGE]
    pairs: list[tuple[str, tuple[str, ...]]] = [(uid, NON_STORAGE[:2]) for uid in classes]
    pairs += [(uid, (syntax,)) for syntax in compressed for uid in classes]
    return [ProposedContext(uid, syntaxes, scu=False, scp=True) for uid, syntaxes in pairs[:_MOST_CONTEXTS]]


class FileSink:
    """Writes one object as a Part 10 file, which has its name only when it is whole."""

    def __init__(self, folder: Path, context: Context, sop_instance: str, target: Target) -> None:
        # a UID from outside becomes part of a path only if it is one
        name = sop_instance if uids.is_regular(sop_instance) else uuid.uuid4().hex
        self._path = folder / f"{name}.dcm"
        self._draft = folder / f".{uuid.uuid4().hex}.part"
        self._file = self._draft.open("xb")
        title = target.peer.title
        self._file.write(part10.outgoing_header(context.abstract, sop_instance, context.transfer_syntax, title))

    def write(self, views: Sequence[memoryview]) -> None:
        """The next bytes."""
        self._file.writelines(views)

    def close(self) -> None:
        """The object is whole."""
        self._file.close()
        os.replace(self._draft, self._path)

    def abandon(self) -> None:
        """It will never be."""
        self._file.close()
        self._draft.unlink(missing_ok=True)
