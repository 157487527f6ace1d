"""A whole archive in this process: store, index, ingest, services and an acceptor on a loopback port, wired as the
server wires them.

    with archives.running(tmp_path, sqlite_url, ae=HostedAE(duplicates="reject")) as archive:
        archive.send(made(1), made(2))
        archive.move("DEST", keys("STUDY", StudyInstanceUID=study_uid()))

Objects are made of plain values, so that a test may put anything into them.
"""

import atexit
import hashlib
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import select

from isocenter import database, dimse
from isocenter.archive.ingest import Ingest
from isocenter.config import HostedAE, Peer, Settings
from isocenter.config.coercion import Hooks, Rule
from isocenter.config.settings import Index, Limits
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, Element, decode, encode, text, uid, us
from isocenter.dicom.uids import transfer_syntax
from isocenter.dimse import ClientAssociation, Progress, ProposedContext
from isocenter.index import tables
from isocenter.index.behind import Behind
from isocenter.index.keys import wanted as indexed
from isocenter.index.writer import LocalWriter, Writer
from isocenter.server.archive import Archive as Wired
from isocenter.server.barrier import Barrier
from isocenter.server.board import Board
from isocenter.server.policy import ArchivePolicy, network_settings
from isocenter.server.services import service_map
from isocenter.store.api import Store
from isocenter.store.filesystem import FilesystemStore

ROOT = "1.2.826.0.1.3680043.10.999.7"
CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
SR = "1.2.840.10008.5.1.4.1.1.88.11"
PATIENCE = 30.0
NETWORK = dimse.Settings(connect=PATIENCE, response=PATIENCE, dimse=PATIENCE, artim=PATIENCE)


# --- objects


class Object(NamedTuple):
    """An instance as it goes over the wire."""

    sop_class: str
    sop_uid: str
    syntax: str
    data: bytes
    study: str
    series: str

    @property
    def digest(self) -> str:
        """SHA-256 of the data set."""
        return hashlib.sha256(self.data).hexdigest()


def study_uid(study: int = 1) -> str:
    """The Study Instance UID of study number `study`."""
    return f"{ROOT}.{study}"


def series_uid(study: int = 1, series: int = 1) -> str:
    """The Series Instance UID of a series."""
    return f"{ROOT}.{study}.{series}"


def sop_uid(number: int = 1, study: int = 1, series: int = 1) -> str:
    """The SOP Instance UID of an instance."""
    return f"{ROOT}.{study}.{series}.{number}"


def made(
    number: int = 1,
    *,
    study: int = 1,
    series: int = 1,
    sop_class: str = CT,
    syntax: str = uids.EXPLICIT_LE,
    pixels: bytes | None = None,
    without: Sequence[int] = (),
    **values: str,
) -> Object:
    """Instance `number` of a series. `values` by keyword replace or add texts and UIDs; `pixels` b'' for none."""
    from isocenter.dicom.dictionary import tag_of, vr_of

    wanted = {
        "SOPClassUID": sop_class, "SOPInstanceUID": sop_uid(number, study, series),
        "StudyInstanceUID": study_uid(study), "SeriesInstanceUID": series_uid(study, series),
        "PatientName": "Doe^Jane", "PatientID": f"P{study}", "StudyDate": "20240131", "Modality": "CT",
        "StudyDescription": "Thorax", "SeriesNumber": str(series), "InstanceNumber": str(number), **values,
    }  # fmt: skip
    data_set: DataSet = {}
    for keyword, value in wanted.items():
        tag = tag_of(keyword)
        assert tag is not None
        data_set[tag] = uid(value) if vr_of(tag) == "UI" else text(vr_of(tag), value)
    for tag in without:
        data_set.pop(tag, None)
    pixels = bytes((number + i) % 256 for i in range(64)) if pixels is None else pixels
    if pixels:
        data_set |= {0x00280010: us(1), 0x00280011: us(len(pixels) // 2 % 65536), 0x00280100: us(16)}
    data = _with_pixels(data_set, syntax, pixels)
    return Object(
        sop_class, wanted["SOPInstanceUID"], syntax, data, wanted["StudyInstanceUID"], wanted["SeriesInstanceUID"]
    )


def _with_pixels(data_set: DataSet, syntax: str, pixels: bytes) -> bytes:
    if not transfer_syntax(syntax).encapsulated:
        return encode({**data_set, 0x7FE00010: Element("OW", pixels)} if pixels else data_set, syntax)
    head = encode(data_set, uids.EXPLICIT_LE)
    fragments = [_item(0xE000, b""), _item(0xE000, pixels), _item(0xE0DD, b"")]
    return head + struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF) + b"".join(fragments)


def _item(element: int, value: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, element, len(value)) + value


# --- the archive


@dataclass
class Running:
    """An archive that serves on `port`, and what a test may look at behind it."""

    port: int
    store: Store
    database: database.Database
    ingest: Ingest
    settings: Settings
    acceptor: dimse.Acceptor

    def connect(
        self, *contexts: ProposedContext, calling: str = "TESTER", called: str = "", window: int = 1
    ) -> ClientAssociation:
        """An association with the archive."""
        called = called or self.settings.aes[0].title
        network = replace(NETWORK, window=(window, window))
        return dimse.connect(
            ("127.0.0.1", self.port), calling=calling, called=called, contexts=contexts, settings=network
        )

    def store_all(self, *objects: Object, calling: str = "TESTER", called: str = "") -> list[dimse.Response]:
        """C-STORE each; the responses."""
        kinds = dict.fromkeys((each.sop_class, each.syntax) for each in objects)
        contexts = [ProposedContext(sop_class, (syntax,)) for sop_class, syntax in kinds]
        with self.connect(*contexts, calling=calling, called=called) as association:
            return [answered(association, each) for each in objects]

    def send(self, *objects: Object, **titles: str) -> None:
        """C-STORE each; all must succeed."""
        assert [response.status for response in self.store_all(*objects, **titles)] == [0] * len(objects)

    def status(self, *objects: Object, **titles: str) -> int:
        """C-STORE each; the last one's status."""
        return self.store_all(*objects, **titles)[-1].status

    def move(
        self, destination: str, keys: DataSet, *, model: str = uids.STUDY_ROOT_MOVE, extended: bytes = b""
    ) -> list[Progress]:
        """C-MOVE; all responses."""
        context = ProposedContext(model, (uids.EXPLICIT_LE,), extended=extended)
        with self.connect(context) as association:
            return list(association.move(model, encode(keys, uids.EXPLICIT_LE), destination))

    def find(
        self, keys: DataSet, *, model: str = uids.STUDY_ROOT_FIND, extended: bytes = b""
    ) -> list[tuple[int, DataSet]]:
        """C-FIND; status and identifier of each response, {} for none."""
        with self.connect(ProposedContext(model, (uids.EXPLICIT_LE,), extended=extended)) as association:
            answers = list(association.find(model, encode(keys, uids.EXPLICIT_LE)))
        return [(each.status, decode(each.data, uids.EXPLICIT_LE) if each.data else {}) for each in answers]

    def rows(self, table: str) -> list[Any]:
        """All rows of a table of the index."""
        found = getattr(tables, table)
        with self.database.reading() as connection:
            return list(connection.execute(select(found).order_by(found.c.id)))

    def objects(self) -> list[str]:
        """The keys of the complete objects in the store."""
        return sorted(self.store.keys())

    def data_of(self, store_key: str) -> bytes:
        """The data set of an object in force or of a version."""
        row = next(
            row for row in [*self.rows("instance"), *self.rows("instance_version")] if row.store_key == store_key
        )
        with self.store.open(store_key) as stored:
            return stored.pread(row.size, row.offset)

    def set_aside(self) -> list[tuple[str, bytes]]:
        """Reason and data set of everything in the exceptions area."""
        found = []
        for entry in self.store.exceptions():
            with self.store.open_exception(entry.key) as stored:
                found.append((entry.reason, stored.pread(stored.size, entry.offset)))
        return found


def answered(association: ClientAssociation, each: Object) -> dimse.Response:
    """C-STORE one object; the whole response."""
    context = association.context_for(each.sop_class, each.syntax)
    command = dimse.commands.store_rq(each.sop_class, each.sop_uid)
    return association.invoke(context.id, command, each.data)


@contextmanager
def running(
    folder: Path,
    url: str,
    *,
    ae: HostedAE | None = None,
    peers: Sequence[Peer] = (),
    limits: Limits | None = None,
    store: Store | None = None,
    writer: Writer | None = None,
    attributes: tuple[str, ...] = (),
    rules: Sequence[Rule] = (),
    hooks: Hooks | None = None,
    durable: bool = True,
    behind: bool = False,
) -> Iterator[Running]:
    """The archive of one AE. The schema must be in place; `store` and `writer` may stand in for the real ones.
    Not `durable`: the index doesn't wait for the disk, for tests of many objects. `behind`: as `index.behind`."""
    settings = Settings(
        data=folder,
        aes=(ae or HostedAE(),),
        peers=tuple(peers),
        limits=limits or Limits(),
        index=Index(attributes=attributes),
        rules=tuple(rules),
        hooks=hooks or Hooks(),
    )
    with ExitStack() as stack:
        board = Board(1, 1)
        opened = database.open(url, durable=durable, before_reading=Barrier(board).wait)
        stack.callback(opened.close)
        held = store or FilesystemStore(folder / "store", durability="process", floor_bytes=0)
        stack.callback(held.close)
        own = None if writer is not None else LocalWriter(opened)
        filing = writer or own
        assert filing is not None
        stack.callback(filing.close)
        follows = None
        if behind and own is not None and opened.dialect == "sqlite":
            follows = Behind(opened, own, board.account(0))
            stack.callback(follows.close)
        ingest = Ingest(held, filing, wanted=indexed(attributes), behind=follows)
        wired = Wired(held, opened, filing, ingest, ExitStack())  # type: ignore[arg-type]
        policy = ArchivePolicy(settings)
        acceptor = dimse.Acceptor(policy, service_map(wired, policy, settings), network_settings(settings))
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        thread = threading.Thread(target=acceptor.serve, args=(listener,))
        thread.start()
        stack.callback(wired.close)
        stack.callback(thread.join, PATIENCE)
        stack.callback(acceptor.stop)
        yield Running(listener.getsockname()[1], held, opened, ingest, settings, acceptor)


# --- identifiers


def keys(level: str, **values: str) -> DataSet:
    """An identifier: Query/Retrieve Level and keys by keyword."""
    from isocenter.dicom.dictionary import tag_of, vr_of

    found: DataSet = {0x00080052: text("CS", level)}
    for keyword, value in values.items():
        tag = tag_of(keyword)
        assert tag is not None
        found[tag] = uid(value) if vr_of(tag) == "UI" else text(vr_of(tag), value)
    return found


# --- destinations


class Received(NamedTuple):
    """One object that a destination got."""

    sop_uid: str
    syntax: str
    data: bytes
    command: dimse.Command


class Destination:
    """A storage SCP of this process: `statuses` by SOP Instance UID, 0000 for others; `syntaxes` it takes, () for any.

    After `drop_after` objects it aborts the association instead of answering the next one.
    """

    def __init__(
        self,
        *,
        title: str = "DEST",
        syntaxes: tuple[str, ...] = (),
        classes: frozenset[str] | None = None,
        statuses: dict[str, int] | None = None,
        drop_after: int | None = None,
        refuse: bool = False,
    ) -> None:
        self.title, self.received, self.port = title, list[Received](), 0
        self.requests: list[dimse.AssociateRequest] = []
        self.before_answer = threading.Event()
        self.before_answer.set()
        """Cleared by a test that wants the destination to wait with its answers."""
        self.arrived = threading.Semaphore(0)
        """Released once an object is here, before it is answered."""
        self._syntaxes, self._classes, self._statuses = syntaxes, classes, statuses or {}
        self._drop_after, self._refuse = drop_after, refuse

    @property
    def peer(self) -> Peer:
        """How the archive knows it."""
        return Peer(title=self.title, host="127.0.0.1", port=self.port)

    def negotiate(
        self, request: dimse.AssociateRequest, address: str, port: int, session: dimse.Session | None = None
    ) -> dimse.AssociateAccept | dimse.AssociateReject:
        """See `dimse.Policy`."""
        self.requests.append(request)
        called = frozenset() if self._refuse else frozenset({self.title})
        return dimse.TitlePolicy(self._offer, called, settings=NETWORK).negotiate(request, address, port)

    def _offer(self, abstract: str) -> dimse.Offer | None:
        taken = self._classes is None or abstract in self._classes
        return dimse.Offer(self._syntaxes) if taken else None

    def sink(self, association: Any, context: Any, command: dimse.Command) -> dimse.Sink:
        """See `dimse.Service`."""
        return dimse.BufferSink(1 << 28)

    def perform(self, association: Any, context: Any, command: dimse.Command, sink: dimse.Sink | None) -> None:
        """See `dimse.Service`."""
        assert isinstance(sink, dimse.BufferSink)
        instance = str(command[dimse.commands.AFFECTED_SOP_INSTANCE])
        self.received.append(Received(instance, context.transfer_syntax, sink.value(), command))
        self.arrived.release()
        assert self.before_answer.wait(PATIENCE)
        if self._drop_after is not None and len(self.received) > self._drop_after:
            association.abort()
            return
        association.respond(context.id, dimse.response(command, self._statuses.get(instance, 0)))

    @property
    def uids(self) -> list[str]:
        """What arrived, in order."""
        return [each.sop_uid for each in self.received]


@contextmanager
def listening(*destinations: Destination) -> Iterator[None]:
    """Destinations on ports of their own."""
    with ExitStack() as stack:
        for one in destinations:
            acceptor = dimse.Acceptor(one, lambda _context, _command, one=one: one, NETWORK)
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            one.port = listener.getsockname()[1]
            thread = threading.Thread(target=acceptor.serve, args=(listener,))
            thread.start()
            stack.callback(thread.join, PATIENCE)
            stack.callback(acceptor.stop)
        yield


def unused_port() -> int:
    """A port of this machine that nobody listens on, and that is given to nobody else who lets the system choose: only
    who names it can listen there, as servers may that set SO_REUSEADDR."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    atexit.register(reserved.close)
    return int(reserved.getsockname()[1])
