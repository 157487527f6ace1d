"""The whole server with pynetdicom as requestor of every service and as C-MOVE destination."""

import io
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, build_context, build_role, evt
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.sop_class import (
    BasicGrayscalePrintManagementMeta,
    CompositeInstanceRetrieveWithoutBulkDataGet,
    CompositeInstanceRootRetrieveGet,
    CTImageStorage,
    MRImageStorage,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    SecondaryCaptureImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from isocenter.config import Peer
from material import packaged_files
from peer_programs import configured
from servers import Server

NAMES = {"CT_small.dcm", "MR_small.dcm", "SC_rgb_rle.dcm", "MR_small_bigendian.dcm", "JPGExtended.dcm"}
NATIVE = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
STUDY = "1.2.826.0.1.3680043.10.999.51"


class Catcher:
    """A storage SCP: what it got, and what it answers."""

    def __init__(self) -> None:
        self.got: dict[str, tuple[str, bytes]] = {}
        self.status = 0x0000
        self.abort_at = 0
        self.port = 0

    def store(self, event: Any) -> int:
        """EVT_C_STORE."""
        if self.abort_at and len(self.got) + 1 >= self.abort_at:
            event.assoc.abort()
            return 0xA700
        data = event.request.DataSet.getvalue()
        self.got[str(event.request.AffectedSOPInstanceUID)] = (str(event.context.transfer_syntax), data)
        return self.status

    @contextmanager
    def listening(self, syntaxes: list[str]) -> Iterator[None]:
        """Serve on a port of its own."""
        ae = AE("CATCHER")
        for each in (CTImageStorage, MRImageStorage, SecondaryCaptureImageStorage):
            ae.add_supported_context(each, syntaxes)
        server = ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, self.store)])
        self.port = server.server_address[1]
        try:
            yield
        finally:
            server.shutdown()


class Sent:
    """The server, the catcher and the objects."""

    def __init__(self, server: Server, catcher: Catcher, objects: dict[str, FileDataset]) -> None:
        self.server, self.catcher, self.objects = server, catcher, objects

    @contextmanager
    def associated(self, *contexts: Any, **options: Any) -> Iterator[Any]:
        """An association by pynetdicom."""
        ae = AE("PYNETDICOM")
        ae.requested_contexts = list(contexts)
        association = ae.associate("127.0.0.1", self.server.dicom_port, ae_title="ISOCENTER", **options)
        assert association.is_established
        try:
            yield association
        finally:
            if association.is_established:
                association.release()


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sent]:
    folder = tmp_path_factory.mktemp("pynetdicom")
    catcher, objects = Catcher(), {}
    for number, path in enumerate(sorted(p for p in packaged_files() if p.name in NAMES)):
        made = dcmread(path)
        made.StudyInstanceUID, made.SeriesInstanceUID = STUDY, f"{STUDY}.1"
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"{STUDY}.1.{number}"
        made.PatientID, made.InstanceNumber = "PYNET1", number
        objects[str(made.SOPInstanceUID)] = made
    with ExitStack() as stack:
        stack.enter_context(catcher.listening([*ALL_TRANSFER_SYNTAXES]))
        peer = Peer(title="CATCHER", host="127.0.0.1", port=catcher.port)
        server = stack.enter_context(Server(configured(folder / "data", peer)))
        found = Sent(server, catcher, objects)
        kinds = sorted({(o.SOPClassUID, o.file_meta.TransferSyntaxUID) for o in objects.values()})
        with found.associated(*(build_context(c, s) for c, s in kinds)) as association:
            statuses = [association.send_c_store(made).Status for made in objects.values()]
        assert statuses == [0] * len(objects)
        yield found


@pytest.fixture(autouse=True)
def forgetful(sent: Sent) -> None:
    """Each test starts with an empty catcher."""
    sent.catcher.got.clear()
    sent.catcher.status, sent.catcher.abort_at = 0, 0


def identifier(level: str = "STUDY", **values: str) -> Dataset:
    """A query's identifier."""
    made = Dataset()
    made.QueryRetrieveLevel = level
    for keyword, value in {"StudyInstanceUID": STUDY, **values}.items():
        setattr(made, keyword, value)
    return made


def same(got: tuple[str, bytes], original: FileDataset) -> bool:
    """Whether what was received is the object, all elements of it."""
    syntax, data = got
    received = read_dataset(io.BytesIO(data), syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if syntax == original.file_meta.TransferSyntaxUID:
            return dict(received.items()).keys() == dict(original.items()).keys() and all(
                received[tag].value == original[tag].value
                for tag in received.keys()  # noqa: SIM118
            )
        return received.SOPInstanceUID == original.SOPInstanceUID


@pytest.mark.req("I-ECHO-01")
def test_echo(sent: Sent) -> None:
    with sent.associated(build_context(Verification)) as association:
        assert association.send_c_echo().Status == 0


@pytest.mark.req("I-FIND-02")
def test_find(sent: Sent) -> None:
    model = StudyRootQueryRetrieveInformationModelFind
    with sent.associated(build_context(model)) as association:
        asked = identifier("IMAGE", SeriesInstanceUID=f"{STUDY}.1", SOPInstanceUID="", InstanceNumber="")
        answers = list(association.send_c_find(asked, model))
    assert [status.Status for status, _ in answers] == [0xFF00] * len(sent.objects) + [0]
    assert {str(found.SOPInstanceUID) for _, found in answers[:-1]} == sent.objects.keys()


@pytest.mark.req("I-CTX-07")
def test_relational_find(sent: Sent) -> None:
    model = StudyRootQueryRetrieveInformationModelFind
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid, item.service_class_application_information = model, b"\1\1\1"
    with sent.associated(build_context(model), ext_neg=[item]) as association:
        asked = identifier("IMAGE", StudyInstanceUID="", SOPInstanceUID=f"{STUDY}.1.2")
        answers = list(association.send_c_find(asked, model))
    assert [status.Status for status, _ in answers] == [0xFF00, 0]


@pytest.mark.req("I-MOVE-01", "M-GET-01")
@pytest.mark.parametrize(
    "model", [StudyRootQueryRetrieveInformationModelGet, PatientRootQueryRetrieveInformationModelGet]
)
def test_get(sent: Sent, model: str) -> None:
    kinds = sorted({(o.SOPClassUID, o.file_meta.TransferSyntaxUID) for o in sent.objects.values()})
    roles = [build_role(sop_class, scp_role=True) for sop_class in sorted({c for c, _ in kinds})]
    contexts = [build_context(model), *(build_context(c, s) for c, s in kinds)]
    handlers = [(evt.EVT_C_STORE, sent.catcher.store)]
    with sent.associated(*contexts, ext_neg=roles, evt_handlers=handlers) as association:
        answers = [status for status, _ in association.send_c_get(identifier(PatientID="PYNET1"), model)]
    n = len(sent.objects)
    assert [answer.Status for answer in answers] == [0xFF00] * n + [0]
    assert [answer.NumberOfRemainingSuboperations for answer in answers[:-1]] == list(range(n - 1, -1, -1))
    assert answers[-1].NumberOfCompletedSuboperations == n
    assert "NumberOfRemainingSuboperations" not in answers[-1]
    assert sent.catcher.got.keys() == sent.objects.keys()
    assert all(same(got, sent.objects[uid]) for uid, got in sent.catcher.got.items())


@pytest.mark.req("I-MOVE-ST-05")
def test_get_cancelled(sent: Sent) -> None:
    model = StudyRootQueryRetrieveInformationModelGet
    contexts = [build_context(model), *(build_context(each, NATIVE) for each in (CTImageStorage, MRImageStorage))]
    roles = [build_role(each, scp_role=True) for each in (CTImageStorage, MRImageStorage)]

    def store(event: Any) -> int:
        if not sent.catcher.got:
            event.assoc.send_c_cancel(1, query_model=model)
        return sent.catcher.store(event)

    with sent.associated(*contexts, ext_neg=roles, evt_handlers=[(evt.EVT_C_STORE, store)]) as association:
        answers = [status for status, _ in association.send_c_get(identifier(), model, msg_id=1)]
    last = answers[-1]
    assert last.Status == 0xFE00
    done = last.NumberOfCompletedSuboperations + last.NumberOfFailedSuboperations
    assert last.NumberOfRemainingSuboperations == len(sent.objects) - done > 0


@pytest.mark.req("I-MOVE-01", "M-MOVE-03")
@pytest.mark.parametrize(
    "model", [StudyRootQueryRetrieveInformationModelMove, PatientRootQueryRetrieveInformationModelMove]
)
def test_move(sent: Sent, model: str) -> None:
    with sent.associated(build_context(model)) as association:
        asked = identifier(PatientID="PYNET1")
        answers = [status for status, _ in association.send_c_move(asked, "CATCHER", model)]
    n = len(sent.objects)
    assert [answer.Status for answer in answers] == [0xFF00] * n + [0]
    assert [answer.NumberOfCompletedSuboperations for answer in answers] == [*range(1, n + 1), n]
    assert sent.catcher.got.keys() == sent.objects.keys()
    assert all(same(got, sent.objects[uid]) for uid, got in sent.catcher.got.items())


@pytest.mark.req("I-MOVE-20")
def test_move_to_a_destination_that_warns_fails_or_aborts(sent: Sent) -> None:
    model, n = StudyRootQueryRetrieveInformationModelMove, len(sent.objects)
    with sent.associated(build_context(model)) as association:

        def ask() -> tuple[Any, Any]:
            return list(association.send_c_move(identifier(), "CATCHER", model))[-1]

        sent.catcher.status = 0xB007
        status, listed = ask()
        assert (status.Status, status.NumberOfWarningSuboperations) == (0xB000, n)
        assert listed is None or not listed.get("FailedSOPInstanceUIDList")
        sent.catcher.status = 0xC000
        status, listed = ask()
        assert (status.Status, status.NumberOfFailedSuboperations) == (0xA702, n)
        assert set(listed.FailedSOPInstanceUIDList) == sent.objects.keys()
        sent.catcher.status, sent.catcher.abort_at = 0, 3
        sent.catcher.got.clear()
        status, listed = ask()
        assert (status.Status, status.NumberOfCompletedSuboperations) == (0xB000, 2)
        assert set(listed.FailedSOPInstanceUIDList) == sent.objects.keys() - sent.catcher.got.keys()


def test_move_to_an_unknown_destination(sent: Sent) -> None:
    model = StudyRootQueryRetrieveInformationModelMove
    with sent.associated(build_context(model)) as association:
        ((status, _),) = association.send_c_move(identifier(), "NOBODY", model)
        assert status.Status == 0xA801
        ((status, _),) = association.send_c_move(identifier(StudyInstanceUID=""), "CATCHER", model)
        assert status.Status == 0xA900


def test_a_service_that_is_not_there(sent: Sent) -> None:
    contexts = [build_context(BasicGrayscalePrintManagementMeta), build_context(Verification)]
    with sent.associated(*contexts) as association:
        assert [str(context.abstract_syntax) for context in association.accepted_contexts] == [str(Verification)]


@pytest.mark.parametrize("bulk", [True, False])
def test_get_of_composite_instances(sent: Sent, bulk: bool) -> None:
    """By SOP Instance UIDs alone, whole or without bulk data (PS3.4 Y, Z)."""
    model = CompositeInstanceRootRetrieveGet if bulk else CompositeInstanceRetrieveWithoutBulkDataGet
    kinds = {(o.SOPClassUID, o.file_meta.TransferSyntaxUID if bulk else ExplicitVRLittleEndian)
             for o in sent.objects.values()}  # fmt: skip
    roles = [build_role(sop_class, scp_role=True) for sop_class in sorted({c for c, _ in kinds})]
    contexts = [build_context(model), *(build_context(c, s) for c, s in sorted(kinds))]
    asked = Dataset()
    asked.QueryRetrieveLevel, asked.SOPInstanceUID = "IMAGE", list(sent.objects)
    handlers = [(evt.EVT_C_STORE, sent.catcher.store)]
    with sent.associated(*contexts, ext_neg=roles, evt_handlers=handlers) as association:
        answers = [status for status, _ in association.send_c_get(asked, model)]
    assert answers[-1].Status == 0
    assert answers[-1].NumberOfCompletedSuboperations == len(sent.objects)
    if bulk:
        assert all(same(got, sent.objects[uid]) for uid, got in sent.catcher.got.items())
        return
    for uid, (_, data) in sent.catcher.got.items():
        received = read_dataset(io.BytesIO(data), False, True)
        assert "PixelData" not in received
        assert received.SOPInstanceUID == uid
        assert received.PatientID == "PYNET1"


def test_an_odd_object(sent: Sent) -> None:
    """The command's UIDs are those of the object, whatever its meta information says."""
    odd = dcmread(next(path for path in packaged_files() if path.name == "rtplan.dcm"))
    with sent.associated(build_context(odd.SOPClassUID, NATIVE)) as association:
        assert association.send_c_store(odd).Status == 0


def test_files_given_by_path(sent: Sent, tmp_path: Path) -> None:
    """pynetdicom sends files in pieces, without reading them."""
    path = next(path for path in packaged_files() if path.name == "CT_small.dcm")
    with sent.associated(build_context(CTImageStorage, ExplicitVRLittleEndian)) as association:
        assert association.send_c_store(path).Status == 0
