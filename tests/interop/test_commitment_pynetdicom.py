"""Storage commitment between the whole server and pynetdicom, as SCU and as SCP, on the same and new associations."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance, Verification

from archives import CT, Object, made, unused_port
from isocenter import dimse
from isocenter.config import Peer
from isocenter.dicom.part10 import file_header
from isocenter.dimse import ProposedContext
from peer_programs import configured, run
from servers import PATIENCE, Server, isocenter

PUSH, WELL_KNOWN = StorageCommitmentPushModel, StorageCommitmentPushModelInstance
SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian]
OBJECTS = [made(number) for number in range(1, 4)]


def sequence(*named: tuple[str, str, int]) -> list[Dataset]:
    """Items of class, instance and, if it is one, Failure Reason."""
    items = []
    for sop_class, sop_uid, reason in named:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_uid
        if reason:
            item.FailureReason = reason
        items.append(item)
    return items


class Side:
    """A pynetdicom AE: takes reports, and as archive answers requests and reports by `how`."""

    def __init__(self, title: str, how: str = "new") -> None:
        self.title, self.how, self.port = title, how, unused_port()
        self.reports: list[tuple[int, Dataset]] = []
        self.stored: list[tuple[Any, str]] = []
        """Association and SOP Instance UID of each C-STORE; an empty UID for a request of commitment."""
        self.threads: list[threading.Thread] = []
        self.home = 0
        self._changed = threading.Condition()

    @property
    def peer(self) -> Peer:
        """How the server knows it."""
        return Peer(title=self.title, host="127.0.0.1", port=self.port)

    def take(self, event: Any) -> tuple[int, None]:
        """EVT_N_EVENT_REPORT."""
        with self._changed:
            self.reports.append((event.event_type, event.event_information))
            self._changed.notify_all()
        return 0, None

    def await_report(self) -> tuple[int, Dataset]:
        """The one report."""
        with self._changed:
            assert self._changed.wait_for(lambda: bool(self.reports), PATIENCE)
            return self.reports[0]

    def keep(self, event: Any) -> int:
        """EVT_C_STORE."""
        self.stored.append((event.assoc, str(event.request.AffectedSOPInstanceUID)))
        return 0

    def act(self, event: Any) -> tuple[int, None]:
        """EVT_N_ACTION: everything is committed, but what is called .3."""
        asked = event.action_information
        self.stored.append((event.assoc, ""))
        report = Dataset()
        report.TransactionUID = asked.TransactionUID
        named = [(i.ReferencedSOPClassUID, i.ReferencedSOPInstanceUID) for i in asked.ReferencedSOPSequence]
        well = [(*each, 0) for each in named if not each[1].endswith(".3")]
        ill = [(*each, 0x0112) for each in named if each[1].endswith(".3")]
        report.ReferencedSOPSequence = sequence(*well)
        if ill:
            report.FailedSOPSequence = sequence(*ill)
        work = self._later if self.how == "same" else self._call
        thread = threading.Thread(target=work, args=(event.assoc, report))
        self.threads.append(thread)
        thread.start()
        return 0, None

    def _later(self, association: Any, report: Dataset) -> None:
        self._tell(association, report)

    def _call(self, _: Any, report: Dataset) -> None:
        ae = AE(self.title)
        ae.add_requested_context(PUSH, SYNTAXES)
        role = build_role(PUSH, scp_role=True)
        association = ae.associate("127.0.0.1", self.home, ae_title="ISOCENTER", ext_neg=[role])
        assert association.is_established
        self._tell(association, report)
        association.release()

    def _tell(self, association: Any, report: Dataset) -> None:
        event = 2 if "FailedSOPSequence" in report else 1
        status, _ = association.send_n_event_report(report, event, PUSH, WELL_KNOWN)
        with self._changed:
            self.reports.append((status.Status, report))
            self._changed.notify_all()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Serve."""
        ae = AE(self.title)
        ae.add_supported_context(PUSH, SYNTAXES, scu_role=True, scp_role=True)
        ae.add_supported_context(Verification, SYNTAXES)
        ae.add_supported_context(CT, SYNTAXES)
        handlers = [
            (evt.EVT_N_EVENT_REPORT, self.take),
            (evt.EVT_N_ACTION, self.act),
            (evt.EVT_C_STORE, self.keep),
        ]
        server = ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        try:
            yield
        finally:
            for thread in self.threads:
                thread.join(PATIENCE)
            server.shutdown()


class World(NamedTuple):
    """The server with two of the objects and an AE for each way of reporting, and what it knows."""

    server: Server
    modality: Side
    archives: dict[str, Side]


WAYS = {"new": "ISOCENTER", "same": "SAME", "either": "EITHER"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("commitment")
    modality, archives = Side("MODALITY"), {how: Side(f"BY-{how.upper()}", how) for how in ("new", "same")}
    sides = [modality, *archives.values()]
    with ExitStack() as stack:
        for side in sides:
            stack.enter_context(side.listening())
        data = configured(folder / "data", *(side.peer for side in sides))
        with (data / "isocenter.toml").open("a") as settings:
            for way, title in WAYS.items():
                settings.write(f'[[ae]]\ntitle = "{title}"\ncommitment = {{ report = "{way}" }}\n')
        server = stack.enter_context(Server(data))
        for side in sides:
            side.home = server.dicom_port
        context = ProposedContext(CT, (OBJECTS[0].syntax,))
        with dimse.connect(
            ("127.0.0.1", server.dicom_port), calling="SENDER", called="ISOCENTER", contexts=[context]
        ) as association:
            for each in OBJECTS[:2]:
                command = dimse.commands.store_rq(each.sop_class, each.sop_uid)
                assert association.invoke(1, command, each.data).status == 0
        yield World(server, modality, archives)


@pytest.mark.req("I-COMMIT-03", "X-QR-61")
@pytest.mark.parametrize("way", WAYS)
def test_pynetdicom_asks_us(world: World, way: str) -> None:
    side, answered = world.modality, threading.Event()
    side.reports.clear()

    def sent(event: Any) -> None:
        if side.reports and isinstance(event.pdu, P_DATA_TF):
            answered.set()

    association = AE(side.title).associate(
        "127.0.0.1",
        world.server.dicom_port,
        [build_context(PUSH, SYNTAXES)],
        WAYS[way],
        evt_handlers=[(evt.EVT_N_EVENT_REPORT, side.take), (evt.EVT_PDU_SENT, sent)],
    )
    assert association.is_established
    asked = Dataset()
    asked.TransactionUID = generate_uid()
    asked.ReferencedSOPSequence = sequence(*((each.sop_class, each.sop_uid, 0) for each in OBJECTS))
    status, _ = association.send_n_action(asked, 1, PUSH, WELL_KNOWN)
    assert status.Status == 0
    if way == "new":
        association.release()
    event, report = side.await_report()
    if way != "new":
        assert answered.wait(PATIENCE)  # pynetdicom stumbles over a release while its answer is under way
        association.release()
    assert (event, report.TransactionUID, report.RetrieveAETitle) == (2, asked.TransactionUID, WAYS[way])
    named = [item.ReferencedSOPInstanceUID for item in report.ReferencedSOPSequence]
    assert named == [each.sop_uid for each in OBJECTS[:2]]
    (failed,) = report.FailedSOPSequence
    assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == (OBJECTS[2].sop_uid, 0x0112)
    assert "FailureReason" not in report.ReferencedSOPSequence[0]


@pytest.mark.req("X-MOD-31", "X-MOD-32", "X-MOD-37", "X-QR-68")
@pytest.mark.parametrize("how", ["new", "same"])
def test_we_ask_pynetdicom(world: World, tmp_path: Path, how: str) -> None:
    side, data = world.archives[how], ("--data", world.server.data)
    run(*isocenter("echo", side.title, *data))  # whether the way for a report is open
    done = run(*isocenter("commit", "request", side.title, "--study", OBJECTS[0].study, *data), ok=False)
    assert (done.returncode, "committed" in done.stdout) == (0, True), done
    assert side.await_report()[0] == 0
    done = run(*isocenter("commit", "request", side.title, "--uids", listed(tmp_path, *OBJECTS), *data), ok=False)
    assert (done.returncode, "failed: 1 no such object instance" in done.stdout) == (1, True), done


@pytest.mark.req("X-MOD-31")
def test_the_command_asks_by_itself(world: World, tmp_path: Path) -> None:
    name = f"BY-SAME@127.0.0.1:{world.archives['same'].port}"
    uids = listed(tmp_path, *OBJECTS[:2])
    done = run(*isocenter("commit", "request", name, "--uids", uids, "--data", tmp_path / "none"))
    assert done.stdout.splitlines() == [f"{each.sop_uid}  committed" for each in OBJECTS[:2]]


@pytest.mark.req("X-MOD-30", "X-MOD-31")
def test_what_is_sent_is_asked_for_on_the_same_association(world: World, tmp_path: Path) -> None:
    side = world.archives["same"]
    (tmp_path / "objects").mkdir()
    for each in OBJECTS[:2]:
        head = file_header(each.sop_class, each.sop_uid, each.syntax)
        (tmp_path / "objects" / f"{each.sop_uid}.dcm").write_bytes(head + each.data)
    before = len(side.stored)
    name = f"{side.title}@127.0.0.1:{side.port}"
    told = json.loads(run(*isocenter("send", name, tmp_path / "objects", "--commit", "--json")).stdout)
    assert (told["sent"], told["committed"], told["uncommitted"]) == (2, 2, {})
    one, other, asked = side.stored[before:]
    assert {one[1], other[1]} == {each.sop_uid for each in OBJECTS[:2]}
    assert one[0] is other[0] is asked[0]
    # nor is what the peer does not commit to passed over
    third = OBJECTS[2]
    head = file_header(third.sop_class, third.sop_uid, third.syntax)
    (tmp_path / "objects" / "3.dcm").write_bytes(head + third.data)
    done = run(*isocenter("send", name, tmp_path / "objects", "--commit"), ok=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "2 committed")
    assert f"{third.sop_uid}: not committed: no such object instance (0112)" in done.stderr


def listed(folder: Path, *objects: Object) -> Path:
    """A file that names them."""
    path = folder / "uids"
    path.write_text("".join(f"{each.sop_class} {each.sop_uid}\n" for each in objects))
    return path
