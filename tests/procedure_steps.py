"""Performed procedure steps for tests: messages by keyword path, a modality that reports them to an archive of this
process, a peer that takes what is passed on, and the archive's deliveries carried out by hand with their own clock.

    peer = Ris(); with taking(peer): with archives.running(..., ae=HostedAE(mpps=...), peers=[peer.peer]) as archive:
        with Modality(archive) as modality: modality.create(uid, begun())
        Delivering(archive).all(); peer.received
"""

import csv
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any, NamedTuple, Self

from archives import CT, NETWORK, PATIENCE, Running, series_uid, study_uid
from isocenter import dimse
from isocenter.config import HostedAE, Peer, Settings, build
from isocenter.declarations.transfer_syntaxes import NON_STORAGE
from isocenter.dicom import dataset, uids
from isocenter.dicom.dataset import DataSet, Element
from isocenter.dicom.dictionary import tag_of, vr_of
from isocenter.dicom.json_reading import element_of
from isocenter.dicom.uids import MODALITY_PERFORMED_PROCEDURE_STEP as MPPS
from isocenter.dicom.uids import MODALITY_PERFORMED_PROCEDURE_STEP_NOTIFICATION as NOTIFICATION
from isocenter.dicom.uids import MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE as RETRIEVE
from isocenter.dimse import ProposedContext, Response, commands
from isocenter.exchange.peers import Peers
from isocenter.jobs import Queue, Runner
from isocenter.registry.roster import Fixed
from isocenter.workflow.steps.deliveries import KIND, Deliveries
from isocenter.workflow.steps.delivering import Deliverer
from material import REQUIREMENTS

STUDY, SERIES, IMAGE = study_uid(), series_uid(), CT
UTF_8 = "ISO_IR 192"

_CREATED = {
    "ScheduledStepAttributesSequence>StudyInstanceUID": STUDY,
    "ScheduledStepAttributesSequence>ReferencedStudySequence": "",
    "ScheduledStepAttributesSequence>AccessionNumber": "",
    "ScheduledStepAttributesSequence>RequestedProcedureID": "",
    "ScheduledStepAttributesSequence>RequestedProcedureDescription": "",
    "ScheduledStepAttributesSequence>ScheduledProcedureStepID": "",
    "ScheduledStepAttributesSequence>ScheduledProcedureStepDescription": "",
    "ScheduledStepAttributesSequence>ScheduledProtocolCodeSequence": "",
    "PatientName": "Doe^Jane",
    "PatientID": "P1",
    "PatientBirthDate": "19700101",
    "PatientSex": "F",
    "ReferencedPatientSequence": "",
    "PerformedProcedureStepID": "PPS1",
    "PerformedStationAETitle": "CT1",
    "PerformedStationName": "",
    "PerformedLocation": "",
    "PerformedProcedureStepStartDate": "20240131",
    "PerformedProcedureStepStartTime": "101500",
    "PerformedProcedureStepStatus": "IN PROGRESS",
    "PerformedProcedureStepDescription": "Thorax",
    "PerformedProcedureTypeDescription": "",
    "ProcedureCodeSequence": "",
    "PerformedProcedureStepEndDate": "",
    "PerformedProcedureStepEndTime": "",
    "Modality": "CT",
    "StudyID": "",
    "PerformedProtocolCodeSequence": "",
    "PerformedSeriesSequence": "",
}
"""A whole N-CREATE: all of type 1 and 2 in Table F.7.2-1."""
_ENDED = {
    "PerformedProcedureStepStatus": "COMPLETED",
    "PerformedProcedureStepEndDate": "20240131",
    "PerformedProcedureStepEndTime": "102500",
    "PerformedSeriesSequence>PerformingPhysicianName": "",
    "PerformedSeriesSequence>ProtocolName": "Thorax",
    "PerformedSeriesSequence>OperatorsName": "Op^Erator",
    "PerformedSeriesSequence>SeriesInstanceUID": SERIES,
    "PerformedSeriesSequence>SeriesDescription": "",
    "PerformedSeriesSequence>RetrieveAETitle": "",
    "PerformedSeriesSequence>ReferencedImageSequence>ReferencedSOPClassUID": IMAGE,
    "PerformedSeriesSequence>ReferencedImageSequence>ReferencedSOPInstanceUID": f"{SERIES}.1",
    "PerformedSeriesSequence>ReferencedNonImageCompositeSOPInstanceSequence": "",
}


def message(values: Mapping[str, str | int | None]) -> DataSet:
    """A data set of values by path: keywords with `>` between. None leaves an attribute out."""
    made: DataSet = {}
    for path, value in values.items():
        if value is not None:
            _put(made, [tag(keyword) for keyword in path.split(">")], value)
    return made


def tag(keyword: str) -> int:
    """Its tag."""
    found = tag_of(keyword)
    assert found is not None, keyword
    return found


def _put(holder: DataSet, path: list[int], value: str | int) -> None:
    head, *rest = path
    if rest:
        items = dataset.items_of(holder, head)
        first: DataSet = dict(items[0]) if items else {}
        _put(first, rest, value)
        holder[head] = dataset.sequence(first, *items[1:])
        return
    vr = vr_of(head)
    if vr == "SQ":
        holder[head] = dataset.sequence()
    elif isinstance(value, int):
        holder[head] = element_of({"vr": vr, "Value": [value]})
    else:
        holder[head] = dataset.text(vr, value, UTF_8)


def begun(**values: str | int | None) -> DataSet:
    """A whole N-CREATE; `values` by keyword replace, add or (None) take out; `_` stands for `>`."""
    return message({**_CREATED, **_paths(values)})


def ended(state: str = "COMPLETED", **values: str | int | None) -> DataSet:
    """A whole N-SET that ends a step."""
    return message({**_ENDED, "PerformedProcedureStepStatus": state, **_paths(values)})


def _paths(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("__", ">"): value for name, value in values.items()}


ITEM = "ScheduledStepAttributesSequence"


def of_order(accession: str = "", step_id: str = "", procedure: str = "", study: str = STUDY) -> dict[str, Any]:
    """What `begun` takes for a step that was scheduled."""
    return {
        f"{ITEM}__AccessionNumber": accession,
        f"{ITEM}__ScheduledProcedureStepID": step_id,
        f"{ITEM}__RequestedProcedureID": procedure,
        f"{ITEM}__StudyInstanceUID": study,
    }


def ae_of(preset: str = "default", **values: Any) -> HostedAE:
    """An AE of a preset that anyone may call."""
    return build({"ae": [{"title": "ISOCENTER", "preset": preset, "policy": "open", **values}]}).aes[0]


@cache
def rows(table: str) -> list[dict[str, str]]:
    """The rows of a CSV of the catalogue."""
    with (REQUIREMENTS / f"{table}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# --- a modality


class Modality:
    """Reports steps over one association."""

    def __init__(self, archive: Running, *, title: str = "CT1", syntax: str = uids.EXPLICIT_LE) -> None:
        contexts = [ProposedContext(uid, (syntax,)) for uid in (MPPS, RETRIEVE)]
        self.association = archive.connect(*contexts, calling=title)
        self._syntax = syntax

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.association.release()

    def create(self, uid: str, data: DataSet | bytes | None) -> Response:
        """N-CREATE."""
        return self.association.n_create(MPPS, uid, self._encoded(data))

    def set(self, uid: str, data: DataSet | bytes) -> Response:
        """N-SET."""
        return self.association.n_set(MPPS, uid, self._encoded(data) or b"")

    def get(self, uid: str, *keywords: str) -> tuple[Response, DataSet]:
        """N-GET; the answer decoded."""
        response = self.association.n_get(RETRIEVE, uid, [tag(keyword) for keyword in keywords] or None)
        return response, dataset.decode(response.data, self._syntax) if response.data else {}

    def _encoded(self, data: DataSet | bytes | None) -> bytes | None:
        return dataset.encode(data, self._syntax) if isinstance(data, dict) else data


def report(archive: Running, uid: str, *messages: DataSet, title: str = "CT1") -> list[int]:
    """N-CREATE, then N-SETs; the statuses."""
    with Modality(archive, title=title) as modality:
        first, *others = messages
        return [modality.create(uid, first).status, *(modality.set(uid, each).status for each in others)]


def text_at(found: DataSet, path: str) -> str | None:
    """The value at a path as text, None where it is absent; of a sequence '' or its number of items."""
    *above, last = [tag(keyword) for keyword in path.split(">")]
    holder: DataSet | None = found
    for each in above:
        holder = next(iter(dataset.items_of(holder or {}, each)), None)
    element: Element | None = (holder or {}).get(last)
    if element is None:
        return None
    if isinstance(element.value, tuple):
        return str(len(element.value)) if element.value else ""
    number = dataset.int_of(holder or {}, last) if element.vr in ("US", "UL") else None
    return str(number) if number is not None else element.value.decode("utf-8").strip(" \0")


# --- a peer that is told


class Taken(NamedTuple):
    """One message as it came."""

    operation: str
    sop_uid: str
    syntax: str
    data: bytes | None
    event: int = 0


class Ris:
    """Takes what is passed on, and answers `statuses` in turn; the last stays. `drop`: it aborts instead of answering,
    so many times, having taken the message."""

    def __init__(
        self,
        title: str = "RIS",
        *,
        statuses: Sequence[int] = (0,),
        syntaxes: tuple[str, ...] = NON_STORAGE,
        drop: int = 0,
        error_id: int = 0,
    ) -> None:
        self.title, self.port, self.statuses, self.drop = title, 0, list(statuses), drop
        self.received: list[Taken] = []
        self.requests: list[dimse.AssociateRequest] = []
        self._syntaxes, self._error_id = syntaxes, error_id

    @property
    def peer(self) -> Peer:
        """How the archive knows it."""
        return Peer(title=self.title, host="127.0.0.1", port=self.port)

    @property
    def told(self) -> list[str]:
        """What came: operation or event, in order."""
        return [each.operation if not each.event else f"event {each.event}" for each in self.received]

    def negotiate(self, request: dimse.AssociateRequest, address: str, port: int, session: Any = None) -> Any:
        """See `dimse.Policy`."""
        self.requests.append(request)
        offers = {MPPS: dimse.Offer(self._syntaxes), NOTIFICATION: dimse.Offer(NON_STORAGE, scu=False, scp=True)}
        return dimse.TitlePolicy(offers.get, frozenset({self.title})).negotiate(request, address, port)

    def sink(self, association: Any, context: Any, command: dimse.Command) -> dimse.Sink:
        """See `dimse.Service`."""
        return dimse.BufferSink(1 << 24)

    def perform(self, association: Any, context: Any, command: dimse.Command, sink: dimse.Sink | None) -> None:
        """See `dimse.Service`."""
        field = commands.number(command, commands.COMMAND_FIELD)
        names = {commands.N_CREATE_RQ: "create", commands.N_SET_RQ: "set", commands.N_EVENT_REPORT_RQ: "event"}
        uid = commands.text(command, commands.AFFECTED_SOP_INSTANCE)
        uid = uid or commands.text(command, commands.REQUESTED_SOP_INSTANCE)
        data = sink.value() if isinstance(sink, dimse.BufferSink) else None
        event = commands.number(command, commands.EVENT_TYPE)
        self.received.append(Taken(names[field], uid, context.transfer_syntax, data, event))
        if self.drop:
            self.drop -= 1
            association.abort()
            return
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        response = commands.response(command, status)
        if self._error_id and status:
            response[commands.ERROR_ID] = self._error_id
        association.respond(context.id, response)


@contextmanager
def taking(*servers: Ris) -> Iterator[None]:
    """Peers on ports of their own."""
    with ExitStack() as stack:
        for one in servers:
            acceptor = dimse.Acceptor(one, lambda _context, _command, one=one: one, NETWORK)
            listener = stack.enter_context(socket.create_server(("127.0.0.1", one.port)))
            one.port = listener.getsockname()[1]
            thread = threading.Thread(target=acceptor.serve, args=(listener,))
            thread.start()
            stack.callback(thread.join, PATIENCE)
            stack.callback(acceptor.stop)
        yield


class Delivering:
    """The deliveries of an archive, carried out when a test says so; `later` moves its clock."""

    def __init__(self, archive: Running, *, settings: Settings | None = None) -> None:
        self.ahead = 0
        directory = Fixed(settings or archive.settings)
        peers = Peers(settings or archive.settings, directory)
        self.rows = Deliveries(archive.database, self.clock)
        self.queue = Queue(archive.database, self.clock)
        self._runner = Runner(self.queue, {KIND: Deliverer(self.rows, peers, directory).handle})

    def clock(self) -> int:
        """The present, as the work sees it."""
        return time.time_ns() // 1000 + self.ahead

    def later(self, seconds: float) -> Self:
        """Let time pass."""
        self.ahead += int(seconds * 1e6)
        return self

    def all(self) -> list[str]:
        """Carry out what is due; the states of all deliveries afterwards, oldest first."""
        while self._runner.run_once():
            pass
        return [each.state for each in reversed(self.rows.listed())]
