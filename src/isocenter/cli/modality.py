"""`isocenter modality`: a modality that performs what a worklist has, against any system (`acquire.modality`)."""

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import typer

from isocenter.acquire.mapping import Model, attribute
from isocenter.acquire.modality import Connect, Device, Failed, Modality, Peers, Step, query
from isocenter.acquire.phantoms import Image
from isocenter.cli.asking import Asking
from isocenter.cli.ending import Exit, say
from isocenter.cli.peering import Target
from isocenter.cli.progress import steps_told
from isocenter.cli.worklisting import Named, named
from isocenter.declarations.transfer_syntaxes import NON_STORAGE
from isocenter.dicom.uids import STORAGE_COMMITMENT_PUSH, VERIFICATION
from isocenter.dimse import Acceptor, ClientAssociation, Context, Offer, ProposedContext, Service, TitlePolicy, commands
from isocenter.dimse.commands import Command
from isocenter.errors import ConfigurationError, IsocenterError
from isocenter.services.verification import VerificationService

_LOOK: Final = 0.2
"""Seconds between looks for a report that may come over another association."""


class Partners(NamedTuple):
    """Whom the modality works with; None: not at all."""

    worklist: Target | None
    steps: Target | None
    storage: Target
    commitment: Target | None


class Choice(NamedTuple):
    """Which of the worklist's items are performed."""

    keys: Named
    limit: int = 100
    every: bool = False
    """All of them, one after the other; else the first."""
    together: bool = False
    """All of them as one step (the group case)."""
    unscheduled: Model | None = None
    """The patient of a step that nobody scheduled; the worklist is not asked."""


class Way(NamedTuple):
    """How reports of storage commitment come, and how the outcome is told."""

    wait: float
    port: int | None = None
    """Associations for the reports are accepted here; 0: any free port."""
    keep: Path | None = None
    """The images are written into this folder too."""
    as_json: bool = False


def run(device: Device, partners: Partners, choice: Choice, way: Way) -> Exit:
    """Query, choose, perform."""
    asking = _Commitment(way.wait, elsewhere=_LOOK if way.port is not None else 0.0) if partners.commitment else None
    with _listening(device, way, asking), steps_told() as told_of:
        peers = _peers(partners, asking)
        work = _chosen(peers, choice)
        if not work:
            say("error: the worklist has nothing that fits")
            return Exit.SOME_FAILED
        modality = Modality(device, peers, asking, told=told_of)
        done, failure = _performed(modality, work, choice.unscheduled, asking)
    _tell(done, failure, way)
    complete = not failure and all(each.committed is not False for each in done)
    complete = complete and all(each.step.uid or partners.steps is None for each in done)
    return Exit.OK if complete else Exit.SOME_FAILED


class Outcome(NamedTuple):
    """A step, and what came of the request for commitment: None where none was asked for."""

    step: Step
    committed: bool | None
    problem: str = ""


def _performed(
    modality: Modality, work: Sequence[Sequence[Mapping[str, Any]]], patient: Model | None, asking: "_Commitment | None"
) -> tuple[list[Outcome], str]:
    """What was performed, and why it did not go on."""
    done: list[Outcome] = []
    for items in work:
        try:
            step = modality.perform(items, patient)
        except (Failed, IsocenterError) as failure:
            return done, failure.comment
        done.append(Outcome(step, None if asking is None else asking.complete, asking.problem if asking else ""))
    return done, ""


def _chosen(peers: Peers, choice: Choice) -> list[list[Mapping[str, Any]]]:
    """The items of each step."""
    if choice.unscheduled is not None:
        return [[]]
    if peers.worklist is None:
        raise ConfigurationError("without a worklist only unscheduled steps can be performed (--unscheduled)")
    answers = query(peers, choice.keys, choice.limit)
    if answers.dropped:
        say(f"{answers.dropped} answers that contradict a key were left out")
    items: list[Mapping[str, Any]] = list(answers.items)
    if choice.together:
        return [items] if items else []
    return [[item] for item in (items if choice.every else items[:1])]


def of_today() -> Named:
    """What is asked for where nothing is said: what is scheduled today (X-MOD-41)."""
    return named([("ScheduledProcedureStepStartDate", time.strftime("%Y%m%d"))], ())


def reason_of(text: str) -> tuple[str, str, str] | None:
    """A code, written `CODE^SCHEME^MEANING`; None for ''."""
    if not text:
        return None
    parts = text.split("^")
    if len(parts) != 3 or not all(parts):
        raise ConfigurationError("--discontinue: a code is written CODE^SCHEME^MEANING, such as 110513^DCM^...")
    return parts[0], parts[1], parts[2]


def patient_of(keys: Named) -> Model:
    """The patient of an unscheduled step, as its options describe it."""
    from isocenter.dicom.dictionary import keyword_of

    found: Model = {}
    for path, value in keys:
        if len(path) == 1:
            found |= attribute(keyword_of(path[0]), value)
    return found


# --- the peers


def _peers(partners: Partners, asking: "_Commitment | None") -> Peers:
    storage = partners.storage
    apart = partners.commitment is not None and partners.commitment.peer != storage.peer
    return Peers(
        _connect(partners.worklist),
        _connect(partners.steps),
        _connecting(storage, asking),
        _connecting(partners.commitment, asking) if apart and partners.commitment is not None else None,
    )


def _connect(target: Target | None) -> Connect | None:
    return None if target is None else _connecting(target, None)


def _connecting(target: Target, asking: "_Commitment | None") -> Connect:
    def connect(contexts: list[ProposedContext]) -> AbstractContextManager[ClientAssociation]:
        return target.connect(contexts, services=asking.services if asking else None)

    return connect


class _Commitment(Asking):
    """Requests for commitment, one for each step."""

    def ask(self, association: ClientAssociation, instances: Sequence[Image]) -> None:  # type: ignore[override]
        """See `acquire.modality.Committing`."""
        self.said, self.problem = None, ""
        super().ask(association, instances)

    @property
    def complete(self) -> bool:
        """All of the last request is committed."""
        return self.said is not None and not self.uncommitted


@contextmanager
def _listening(device: Device, way: Way, asking: "_Commitment | None") -> Iterator[None]:
    """Accept the archive's associations for its reports (X-MOD-32, X-MOD-37): commitment and verification alone."""
    if way.port is None or asking is None:
        yield
        return
    offers = {
        VERIFICATION: Offer(NON_STORAGE),
        STORAGE_COMMITMENT_PUSH: Offer(NON_STORAGE, scu=False, scp=True),
    }
    echo = VerificationService()

    def services(context: Context, command: Command) -> Service | None:
        if commands.number(command, commands.COMMAND_FIELD) == commands.C_ECHO_RQ:
            return echo
        return asking.services(context, command)

    acceptor = Acceptor(TitlePolicy(offers.get, frozenset({device.station})), services)
    with _bound(way.port) as listener:
        say(f"reports are taken as {device.station} at port {listener.getsockname()[1]}")
        thread = threading.Thread(target=acceptor.serve, args=(listener,), name="reports", daemon=True)
        thread.start()
        try:
            yield
        finally:
            acceptor.stop()
            thread.join(5.0)


def _bound(port: int) -> socket.socket:
    try:
        return socket.create_server(("", port))
    except OSError as fault:
        raise ConfigurationError(f"--listen: port {port} can't be had") from fault


# --- what is told


def _tell(done: Sequence[Outcome], failure: str, way: Way) -> None:
    if way.keep is not None:
        for outcome in done:
            _keep(outcome.step, way.keep)
    if way.as_json:
        typer.echo(json.dumps({"steps": [_facts(each) for each in done], "error": failure}))
    else:
        for each in done:
            typer.echo(_line(each))
    for each in done:
        for warning in dict.fromkeys(each.step.warnings):
            say(f"warning: {warning}")
        if each.problem:
            say(each.problem)
    if failure:
        say(f"error: {failure}")


def _facts(outcome: Outcome) -> dict[str, Any]:
    step = outcome.step
    return {
        "mpps": step.uid,
        "status": step.status,
        "study_uid": step.study_uid,
        "series_uid": step.series_uid,
        "accession": step.accession,
        "scheduled": list(step.scheduled),
        "instances": [image.sop_uid for image in step.images],
        "stored": step.stored,
        "committed": outcome.committed,
        "warnings": list(step.warnings),
    }


def _line(outcome: Outcome) -> str:
    step = outcome.step
    what = " ".join(step.scheduled) or "unscheduled"
    commitment = {None: "", True: ", committed", False: ", not committed"}[outcome.committed]
    return (
        f"{time.strftime('%H:%M:%S')}  {what}  {step.status}  {step.stored} images stored{commitment}  {step.study_uid}"
    )


def _keep(step: Step, folder: Path) -> None:
    from isocenter.dicom import part10
    from isocenter.dicom.uids import EXPLICIT_LE

    folder.mkdir(parents=True, exist_ok=True)
    for image in step.images:
        head = part10.outgoing_header(image.sop_class, image.sop_uid, EXPLICIT_LE)
        (folder / f"{image.sop_uid}.dcm").write_bytes(head + image.data)
