"""`isocenter send`."""

import json
import os
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from isocenter.cli import files
from isocenter.cli.ending import Exit, say
from isocenter.cli.files import DicomFile
from isocenter.cli.peering import Target
from isocenter.cli.progress import Advance, bar
from isocenter.dimse import ProposedContext
from isocenter.errors import IsocenterError, Retriable
from isocenter.exchange.contexts import LIMIT, Proposal, proposals
from isocenter.exchange.ruling import ruled
from isocenter.exchange.sending import Opened, Sendable, send
from isocenter.exchange.wording import worded

if TYPE_CHECKING:
    from isocenter.cli.asking import Asking

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_OUT_OF_RESOURCES = range(0xA700, 0xA800)


@dataclass
class Tally:
    """What became of everything."""

    total: int = 0
    sent: int = 0
    warned: int = 0
    skipped: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    seconds: float = 0.0
    size: int = 0
    asked: "list[Asking]" = field(default_factory=list)
    """Requests for commitment, one an association."""

    @property
    def settled(self) -> int:
        """Files that need no further try."""
        return self.sent + len(self.failed)


def run(
    target: Target,
    paths: Sequence[Path],
    *,
    retries: int,
    associations: int,
    as_json: bool,
    commit: float | None = None,
) -> Exit:
    """Send, try again what failed for lack of something, and tell. `commit`: ask for commitment on each association and
    wait so many seconds for the report (X-MOD-30, X-MOD-31)."""
    tally = Tally()
    waiting = _read_all(paths, tally)
    tally.total = len(waiting)
    started = time.perf_counter()
    with bar("sending") as advance:
        pause = _FIRST_PAUSE
        for attempt in range(retries + 1):
            waiting = _Round(target, tally, advance, last=attempt == retries, commit=commit).send_all(
                waiting, associations
            )
            if not waiting:
                break
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
    tally.seconds = time.perf_counter() - started
    _tell(tally, as_json=as_json)
    return Exit.SOME_FAILED if tally.failed or _uncommitted(tally) else Exit.OK


def _read_all(paths: Sequence[Path], tally: Tally) -> list[DicomFile]:
    found = []
    for path in files.walk(paths):
        try:
            read = files.read(path)
        except OSError as error:
            tally.failed[path] = error.strerror or type(error).__name__
            continue
        if read is None:
            tally.skipped.append(path)
        else:
            found.append(read)
    return found


class _Round:
    """One try for a list of files, over one or more associations at once. In the last one nothing is left over."""

    def __init__(
        self, target: Target, tally: Tally, advance: Advance, *, last: bool, commit: float | None = None
    ) -> None:
        self._target, self._tally, self._advance, self._last = target, tally, advance, last
        self._commit = commit
        self._lock = threading.Lock()
        self._left: list[DicomFile] = []
        self._error: IsocenterError | None = None

    def send_all(self, waiting: Sequence[DicomFile], associations: int) -> list[DicomFile]:
        """What to try again. Raises what kept every file from being sent, in the last round or if it is for good."""
        for group in proposals({(file.sop_class, file.syntax) for file in waiting}):
            classes = {proposal.sop_class for proposal in group}
            mine = [file for file in waiting if file.sop_class in classes]
            shares = [mine[i::associations] for i in range(min(associations, len(mine)))]
            _side_by_side([partial(self._send, share, group) for share in shares])
        if self._error is not None and not self._tally.sent:
            raise self._error
        return self._left

    def _send(self, share: list[DicomFile], group: list[Proposal]) -> None:
        pending = {id(file): file for file in share}
        stored: list[DicomFile] = []
        asking = _asking(self._commit)
        contexts = [ProposedContext(proposal.sop_class, proposal.syntaxes) for proposal in group]
        if asking is not None and len(contexts) < LIMIT:
            contexts.append(asking.context)
        try:
            with self._target.connect(contexts, services=asking.services if asking else None) as association:
                opened = worded(ruled(_open, self._target.coercion), self._target.peer, "")
                for result in send(association, iter(share), opened):
                    file = result.item
                    assert isinstance(file, DicomFile)
                    del pending[id(file)]
                    self._note(file, result.status, result.comment, failed=result.failed, warned=result.warned)
                    if not result.failed:
                        stored.append(file)
                if asking is not None and stored:
                    self._tally.asked.append(asking)
                    asking.ask(association, stored)
        except IsocenterError as error:
            if asking is not None and asking in self._tally.asked:
                asking.problem = asking.problem or error.comment
            self._broken(list(pending.values()), error)

    def _note(self, file: DicomFile, status: int, comment: str, *, failed: bool, warned: bool) -> None:
        with self._lock:
            if failed and status in _OUT_OF_RESOURCES and not self._last:
                self._left.append(file)
            elif failed:
                self._tally.failed[file.path] = f"{status:04X} {comment}".rstrip()
            else:
                self._tally.sent += 1
                self._tally.size += file.size
                self._tally.warned += warned
            self._advance(self._tally.settled, self._tally.total)

    def _broken(self, pending: list[DicomFile], error: IsocenterError) -> None:
        """The association ended, or never was: its files wait for the next round, if there is one."""
        with self._lock:
            if isinstance(error, Retriable) and not self._last:
                self._left += pending
            else:
                self._error = error
                self._tally.failed |= {file.path: error.comment for file in pending}


def _side_by_side(work: Sequence[Callable[[], None]]) -> None:
    if len(work) == 1:
        work[0]()
        return
    faults: queue.SimpleQueue[BaseException] = queue.SimpleQueue()

    def guarded(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as fault:
            faults.put(fault)

    threads = [threading.Thread(target=guarded, args=(one,), daemon=True) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not faults.empty():
        raise faults.get()


def _open(item: Sendable, stack: ExitStack) -> Opened:
    assert isinstance(item, DicomFile)
    descriptor = os.open(item.path, os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, descriptor)
    return Opened(descriptor, item.offset, item.size)


def _tell(tally: Tally, *, as_json: bool) -> None:
    if as_json:
        summary = {
            "sent": tally.sent,
            "warnings": tally.warned,
            "failed": {str(path): reason for path, reason in tally.failed.items()},
            "skipped": [str(path) for path in tally.skipped],
            "bytes": tally.size,
            "seconds": round(tally.seconds, 3),
            **({"committed": _committed(tally), "uncommitted": _uncommitted(tally)} if tally.asked else {}),
        }
        typer.echo(json.dumps(summary))
        return
    for line in _failures(tally):
        say(line)
    for sop_uid, why in _uncommitted(tally).items():
        say(f"{sop_uid}: {why}")
    for problem in dict.fromkeys(asking.problem for asking in tally.asked if asking.problem):
        say(problem)
    rate = tally.sent / tally.seconds if tally.seconds else 0.0
    typer.echo(
        f"{tally.sent} sent, {len(tally.failed)} failed, {len(tally.skipped)} skipped (no DICOM objects); "
        f"{tally.size / 1e6:.1f} MB, {rate:.0f} objects/s"
    )
    if tally.asked:
        typer.echo(f"{_committed(tally)} committed")


def _asking(commit: float | None) -> "Asking | None":
    if commit is None:
        return None
    from isocenter.cli.asking import Asking  # it brings the database along

    return Asking(commit)


def _committed(tally: Tally) -> int:
    """How much of what was sent the peer has committed to."""
    return sum(len(asking.instances) - len(asking.uncommitted) for asking in tally.asked)


def _uncommitted(tally: Tally) -> dict[str, str]:
    """What was sent and is not committed, with what is known of it."""
    return {sop_uid: why for asking in tally.asked for sop_uid, why in asking.uncommitted.items()}


def _failures(tally: Tally) -> Iterator[str]:
    """The first few, then how many for which reason."""
    listed = list(tally.failed.items())
    for path, reason in listed[:10]:
        yield f"failed: {path}: {reason}"
    for reason, n in Counter(reason for _, reason in listed[10:]).most_common():
        yield f"failed: {n} more: {reason}"
