"""Procedure steps with pynetdicom as the modality, and as the system that they are passed on to."""

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (
    ModalityPerformedProcedureStep,
    ModalityPerformedProcedureStepNotification,
    ModalityPerformedProcedureStepRetrieve,
)

import archives
from archives import Running, unused_port
from databases import sqlite_url
from isocenter.config import Peer
from procedure_steps import Delivering, Modality, ae_of, begun, ended

__all__ = ["sqlite_url"]
SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian]


def _step() -> Dataset:
    item, step = Dataset(), Dataset()
    item.StudyInstanceUID, item.AccessionNumber = generate_uid(), ""
    step.SpecificCharacterSet = "ISO_IR 100"
    step.PatientName, step.PatientID = "Müller^Jörg", "P1"
    step.ScheduledStepAttributesSequence = [item]
    step.PerformedProcedureStepStatus, step.PerformedStationAETitle = "IN PROGRESS", "CT1"
    step.TotalTimeOfFluoroscopy = 12
    return step


def _end() -> Dataset:
    series, step = Dataset(), Dataset()
    series.SeriesInstanceUID, series.ProtocolName = generate_uid(), "Thorax"
    step.PerformedProcedureStepStatus = "COMPLETED"
    step.PerformedProcedureStepEndDate, step.PerformedProcedureStepEndTime = "20240131", "1015"
    step.PerformedSeriesSequence = [series]
    return step


@contextmanager
def _associated(archive: Running, syntaxes: list[Any]) -> Iterator[Any]:
    modality = AE("CT1")
    for sop_class in (ModalityPerformedProcedureStep, ModalityPerformedProcedureStepRetrieve):
        modality.add_requested_context(sop_class, syntaxes)
    association = modality.associate("127.0.0.1", archive.port, ae_title="ISOCENTER")
    assert association.is_established
    yield association
    association.release()


@pytest.mark.req("M-MPPS-01", "M-MPPS-02", "M-MPPS-04", "P-MPPS-01", "P-MPPS-02", "I-MPPS-01", "X-RIS-07")
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_as_modality(tmp_path: Path, sqlite_url: str, syntax: Any) -> None:
    with archives.running(tmp_path, sqlite_url) as archive, _associated(archive, [syntax]) as association:
        uid, step = generate_uid(), _step()
        assert association.send_n_create(step, ModalityPerformedProcedureStep, uid)[0].Status == 0
        assert association.send_n_create(step, ModalityPerformedProcedureStep, uid)[0].Status == 0x0111
        assert association.send_n_set(_end(), ModalityPerformedProcedureStep, uid)[0].Status == 0
        refused = association.send_n_set(_end(), ModalityPerformedProcedureStep, uid)[0]
        assert (refused.Status, refused.ErrorID) == (0x0110, 0xA710)
        assert association.send_n_set(_end(), ModalityPerformedProcedureStep, generate_uid())[0].Status == 0x0112
        status, kept = association.send_n_get([], ModalityPerformedProcedureStepRetrieve, uid)
        assert status.Status == 0
        assert (kept.PatientName, kept.SpecificCharacterSet) == ("Müller^Jörg", "ISO_IR 100")
        assert kept.TotalTimeOfFluoroscopy == 12
        assert kept.PerformedProcedureStepStatus == "COMPLETED"
        assert kept.PerformedSeriesSequence[0].ProtocolName == "Thorax"
        tags = [0x00100020, 0x00400252, 0x00080050]
        status, some = association.send_n_get(tags, ModalityPerformedProcedureStepRetrieve, uid)
        assert status.Status == 0x0001, "requested optional attributes are not supported"
        assert [element.keyword for element in some] == ["PatientID", "PerformedProcedureStepStatus"]


def test_a_uid_is_made_where_there_is_none(tmp_path: Path, sqlite_url: str) -> None:
    with archives.running(tmp_path, sqlite_url) as archive:
        made: list[str] = []

        def note(event: Any) -> None:
            made.append(str(getattr(event.message, "command_set", Dataset()).get("AffectedSOPInstanceUID", "")))

        modality = AE("CT1")
        modality.add_requested_context(ModalityPerformedProcedureStep)
        modality.add_requested_context(ModalityPerformedProcedureStepRetrieve)
        handlers = [(evt.EVT_DIMSE_RECV, note)]
        association = modality.associate("127.0.0.1", archive.port, ae_title="ISOCENTER", evt_handlers=handlers)
        assert association.send_n_create(_step(), ModalityPerformedProcedureStep, None)[0].Status == 0
        status, kept = association.send_n_get([], ModalityPerformedProcedureStepRetrieve, made[0])
        association.release()
        assert (status.Status, kept.PatientID) == (0, "P1")


@pytest.mark.req("P-MPPS-04", "P-MPPS-T60-03", "P-MPPS-T61-03")
@pytest.mark.parametrize("preset", ["bridge", "default"])
def test_an_invalid_value_ends_the_association_of_the_bridge(tmp_path: Path, sqlite_url: str, preset: str) -> None:
    """After the answer, by A-ABORT; elsewhere the modality may go on."""
    with (
        archives.running(tmp_path, sqlite_url, ae=ae_of(preset)) as archive,
        _associated(archive, SYNTAXES) as modality,
    ):
        step = _step()
        step.PerformedProcedureStepStatus = "DONE"
        assert modality.send_n_create(step, ModalityPerformedProcedureStep, generate_uid())[0].Status == 0x0106
        if preset == "bridge":
            modality.join(archives.PATIENCE)
            assert modality.is_aborted
        else:
            assert modality.send_n_create(_step(), ModalityPerformedProcedureStep, generate_uid())[0].Status == 0


class Ris:
    """A pynetdicom AE that keeps steps; `refusals` of its first answers are 0110. `ends`: how associations ended."""

    def __init__(self, refusals: int = 0) -> None:
        self.port, self.refusals = unused_port(), refusals
        self.got: list[tuple[str, Any]] = []
        self.ends: queue.Queue[str] = queue.Queue()

    @property
    def peer(self) -> Peer:
        """How the archive knows it."""
        return Peer(title="RIS", host="127.0.0.1", port=self.port)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """While the block lasts."""
        ae = AE("RIS")
        ae.add_supported_context(ModalityPerformedProcedureStep, SYNTAXES)
        ae.add_supported_context(ModalityPerformedProcedureStepNotification, SYNTAXES, scu_role=False, scp_role=True)
        handlers: list[Any] = [
            (evt.EVT_N_CREATE, lambda e: self._taken("create", e.attribute_list)),
            (evt.EVT_N_SET, lambda e: self._taken("set", e.modification_list)),
            (evt.EVT_N_EVENT_REPORT, lambda e: self._taken("event", e.event_type)),
            (evt.EVT_ABORTED, lambda _: self.ends.put("aborted")),
            (evt.EVT_RELEASED, lambda _: self.ends.put("released")),
        ]
        server = ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        try:
            yield
        finally:
            server.shutdown()

    def _taken(self, operation: str, what: Any) -> tuple[int, None]:
        if self.refusals:
            self.refusals -= 1
            return 0x0110, None
        self.got.append((operation, what))
        return 0, None


@pytest.mark.req("I-MPPS-02", "I-MPPS-03", "I-MPPS-04", "P-MPPS-07", "P-MPPS-08", "P-MPPS-09", "P-MPPS-10")
def test_as_the_system_that_is_told(tmp_path: Path, sqlite_url: str) -> None:
    """It is down for a while, refuses once, and gets everything in order; events as well."""
    ris = Ris(refusals=1)
    ae = ae_of(mpps={"forward": ["RIS"], "notify": ["RIS"], "retry_delay": 10})
    with archives.running(tmp_path, sqlite_url, ae=ae, peers=[ris.peer]) as archive:
        uid = generate_uid()
        with Modality(archive) as modality:
            assert modality.create(uid, begun()).status == 0
            assert modality.set(uid, ended()).status == 0
        work = Delivering(archive)
        assert set(work.all()) == {"waiting"}
        with ris.serving():
            while set(work.later(3600).all()) != {"delivered"}:
                assert work.ahead < 10**12, work.rows.listed()
    assert [operation for operation, _ in ris.got if operation != "event"] == ["create", "set"]
    assert [what for operation, what in ris.got if operation == "event"] == [1, 2]
    created = ris.got[[operation for operation, _ in ris.got].index("create")][1]
    assert (created.PatientName, created.PerformedStationAETitle) == ("Doe^Jane", "CT1")


@pytest.mark.req("P-MPPS-13", "X-MOD-54", "P-MPPS-T53-01", "P-MPPS-T53-02")
def test_a_failure_is_answered_by_an_abort_and_success_by_a_release(tmp_path: Path, sqlite_url: str) -> None:
    """The message that failed is listed as such, with the status."""
    ris = Ris(refusals=1)
    ae = ae_of(mpps={"forward": ["RIS"], "retries": 0})
    with ris.serving(), archives.running(tmp_path, sqlite_url, ae=ae, peers=[ris.peer]) as archive:
        work = Delivering(archive)
        for state in ("failed", "delivered"):
            with Modality(archive) as modality:
                assert modality.create(generate_uid(), begun()).status == 0
            assert work.all()[-1] == state
            assert ris.ends.get(timeout=archives.PATIENCE) == {"failed": "aborted", "delivered": "released"}[state]
        (failed,) = work.rows.listed(state="failed")
        assert failed.status == 0x0110


def test_roles_are_negotiated_for_events(tmp_path: Path, sqlite_url: str) -> None:
    """A system that proposes the SCU role of the notification class to us as acceptor gets no context: events go over
    associations of ours."""
    with archives.running(tmp_path, sqlite_url) as archive:
        ris = AE("RIS")
        ris.add_requested_context(ModalityPerformedProcedureStepNotification)
        roles = [build_role(ModalityPerformedProcedureStepNotification, scu_role=True)]
        association = ris.associate("127.0.0.1", archive.port, ae_title="ISOCENTER", ext_neg=roles)
        accepted = list(association.accepted_contexts)
        association.release()
    assert accepted == []
