"""Asking worklists for the item that a study belongs to: the own one, and those of peers by C-FIND (I-REC-01, -02,
I-TWF-06 to -08).

A peer is asked over an association of its own for each question, in Explicit VR Little Endian without extended
negotiation.
"""

import json
import threading
from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, closing
from itertools import islice
from typing import Any, Final, Protocol, cast

from isocenter import telemetry
from isocenter.config import HostedAE
from isocenter.config.offered import worklists_of
from isocenter.config.reconciling import OWN
from isocenter.database import Database
from isocenter.declarations.reconciling import COMPARED, RETURNED, RETURNED_OF_STEP, STEPS
from isocenter.dicom import dataset, json_model
from isocenter.dicom.dataset import DataSet, Element
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.elements import MalformedDataSet
from isocenter.dicom.json_reading import element_of
from isocenter.dicom.uids import EXPLICIT_LE, MODALITY_WORKLIST_FIND
from isocenter.dimse import ClientAssociation, ProposedContext, Response, commands
from isocenter.errors import IsocenterError, Reason, Refused, Retriable
from isocenter.exchange.peers import Peers
from isocenter.index.matching_items import Asked as Key
from isocenter.workflow.reconciling.matching import Asked, fits, single_steps
from isocenter.workflow.reconciling.models import Model
from isocenter.workflow.reconciling.rows import Candidate
from isocenter.workflow.worklist.entries import Worklist
from isocenter.workflow.worklist.searching import Query
from isocenter.workflow.worklist.searching import asked as asked_key

log = telemetry.logger("reconciling.worklists")

MOST: Final = 50
"""Items of one worklist that are looked at; with more the study is left to a person anyway."""
CONTEXT: Final = ProposedContext(MODALITY_WORKLIST_FIND, (EXPLICIT_LE,))
"""What is proposed to a worklist (I-REC-02, I-TWF-08)."""
_CHARACTER_SET: Final = 0x00080005


class Source(Protocol):
    """A worklist."""

    def items(self, asked: Asked) -> list[Candidate]:
        """What it has for a question, each item with one step; it may be more than was asked for.

        Raises Retriable where it can't be asked now, Refused where it says no."""
        ...


class OwnWorklist:
    """The worklist of this installation."""

    def __init__(self, worklist: Worklist) -> None:
        self._worklist = worklist

    def items(self, asked: Asked) -> list[Candidate]:
        """See `Source`. Steps that are over are nobody's."""
        pages = self._worklist.matching(Query(keys=tuple(_key(*pair) for pair in asked.keys.items())))
        found = (Candidate(OWN, entry.uid, entry.model) for page in pages for entry in page)
        return list(islice(found, MOST))


def _key(keyword: str, value: str) -> Key:
    compared = COMPARED[keyword]
    path = (int(STEPS, 16), int(compared.tag, 16)) if compared.step else (int(compared.tag, 16),)
    return asked_key(path, value)


class PeersWorklist:
    """The worklist of a peer."""

    def __init__(self, peers: Peers, title: str, ae: HostedAE, turns: AbstractContextManager[Any]) -> None:
        self._peers, self._title, self._ae, self._turns = peers, title, ae, turns

    def items(self, asked: Asked) -> list[Candidate]:
        """See `Source`."""
        peer = self._peers.destination(self._title, self._ae, "127.0.0.1")
        if peer is None:
            raise Refused(Reason.DESTINATION_UNKNOWN, "no address of the worklist is known")
        with self._turns, self._peers.connect(peer, self._ae.title, [CONTEXT]) as association:
            answers = _asked(association, asked)
        return [Candidate(self._title, "", step) for answer in answers for step in single_steps(answer)]


def _asked(association: ClientAssociation, asked: Asked) -> list[Model]:
    identifier = dataset.encode(identifier_of(asked), EXPLICIT_LE)
    found: list[Model] = []
    responses = cast("Generator[Response, None, None]", association.find(MODALITY_WORKLIST_FIND, identifier))
    with closing(responses):
        for response in responses:
            if not commands.is_pending(response.status):
                if response.status != commands.SUCCESS:
                    raise _failure(response.status)
                break
            found.append(_model(response.data or b""))
            if len(found) >= MOST:
                break
    return found


def _failure(status: int) -> Exception:
    """A700 may pass; the others say that the question is not to their liking (PS3.4 K.4.1.1.4)."""
    if status == 0xA700:
        return Retriable(Reason.OUT_OF_RESOURCES, "the worklist is out of resources")
    return Refused(Reason.UNABLE_TO_PROCESS, f"the worklist answered with status {status:04X}")


def _model(data: bytes) -> Model:
    try:
        model: Model = json.loads(json_model.write(data, EXPLICIT_LE, bulk_uri=None))
    except (MalformedDataSet, ValueError) as fault:
        raise Refused(Reason.CANNOT_UNDERSTAND, "an answer of the worklist can't be read") from fault
    return model


def identifier_of(asked: Asked) -> DataSet:
    """The identifier of a worklist query: what is asked for, and what is to be returned (PS3.4 K.6.1.2.2)."""
    top = {tag: _element(tag, "") for tag in RETURNED if tag != f"{_CHARACTER_SET:08X}"}
    step = {tag: _element(tag, "") for tag in RETURNED_OF_STEP}
    for keyword, value in asked.keys.items():
        compared = COMPARED[keyword]
        (step if compared.step else top)[compared.tag] = _element(compared.tag, value)
    found: DataSet = {int(tag, 16): element for tag, element in top.items()}
    found[int(STEPS, 16)] = Element("SQ", ({int(tag, 16): element for tag, element in step.items()},))
    if not all(value.isascii() for value in asked.keys.values()):
        found[_CHARACTER_SET] = Element("CS", b"ISO_IR 192")
    return dict(sorted(found.items()))


def _element(tag: str, value: str) -> Element:
    vr = vr_of(int(tag, 16))
    if vr == "SQ":
        return Element("SQ", ())
    return element_of({"vr": vr, "Value": [value] if value else []})


class Worklists:
    """The worklists that an AE's studies are looked for in; of peers no more than `at_once` (I-ASSOC-52)."""

    def __init__(self, database: Database, peers: Peers, at_once: int = 5) -> None:
        self._own, self._peers = Worklist(database), peers
        self._turns = threading.BoundedSemaphore(at_once)

    def candidates(self, ae: HostedAE, asked: Asked, modalities: Iterable[str] = ()) -> list[Candidate]:
        """The items that fit, of the first worklist that has any. Raises Retriable where none has, and one of them
        can't be asked now; Refused where one of them says no."""
        failure: IsocenterError | None = None
        wanted = tuple(modalities)
        for source in self._sources(ae):
            try:
                items = source.items(asked)
            except Refused as refusal:
                log.warning("worklist.refused", ae=ae.title, reason=refusal.reason, comment=refusal.comment)
                failure = failure or refusal
                continue
            except Retriable as unreached:
                failure = unreached
                continue
            if found := [one for one in items if fits(one.model, asked, wanted)]:
                return found
        if failure is not None:
            raise failure
        return []

    def search(self, ae: HostedAE, asked: Asked) -> list[Candidate]:
        """What all the worklists have for a person's question, in which `*` and `?` are wildcards (I-TWF-06).

        Raises Retriable or Refused where none of them answers."""
        found: list[Candidate] = []
        failures: list[IsocenterError] = []
        sources = list(self._sources(ae))
        for source in sources:
            try:
                found += source.items(asked)
            except IsocenterError as failure:
                log.warning("worklist.not_asked", ae=ae.title, reason=failure.reason, comment=failure.comment)
                failures.append(failure)
        if failures and len(failures) == len(sources):
            raise failures[0]
        return found

    def _sources(self, ae: HostedAE) -> Iterable[Source]:
        for title in worklists_of(ae):
            yield OwnWorklist(self._own) if title == OWN else PeersWorklist(self._peers, title, ae, self._turns)
