"""A modality that performs scheduled procedure steps, as the one of PS3.2 annex B does (X-MOD-02):

query the worklist -> MPPS IN PROGRESS -> make images -> MPPS COMPLETED or DISCONTINUED -> store -> ask for commitment

Each N-CREATE and N-SET has an association of its own (X-MOD-50); the images of a step leave over one (X-MOD-12), which
the request for commitment goes over too where the archive takes it (X-MOD-30).
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

from isocenter import telemetry
from isocenter.acquire import mapping, phantoms
from isocenter.acquire.mapping import Model, attribute, found_at, tag
from isocenter.acquire.phantoms import UTF_8, Image
from isocenter.declarations.offers import PROPOSED_SYNTAXES
from isocenter.declarations.procedure_step import IN_PROGRESS
from isocenter.dicom import dataset
from isocenter.dicom.json_reading import element_of
from isocenter.dicom.uids import EXPLICIT_LE, IMPLICIT_LE, MODALITY_WORKLIST_FIND, new_uid
from isocenter.dicom.uids import MODALITY_PERFORMED_PROCEDURE_STEP as MPPS
from isocenter.dimse import (
    AssociationRejected,
    BytesSource,
    ClientAssociation,
    ContextNotAccepted,
    ProposedContext,
    Response,
)
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.workflow.worklist.asking import Answers, ask, identifier

log = telemetry.logger("acquire.modality")

COMPLETED, DISCONTINUED = "COMPLETED", "DISCONTINUED"
_NO_REASON: Final = (1, 1, 1)
"""Result, source and reason of a rejection that tells nothing (PS3.8 9.3.4)."""
_STORED_WITH_WARNING: Final = (0xB000, 0xB006, 0xB007)
"""X-MOD-17."""
_VALUE_OUT_OF_RANGE: Final = 0x0116
"""Of an MPPS a warning (X-MOD-54)."""
_DOSE: Final = (
    *("DistanceSourceToDetector", "ImageAndFluoroscopyAreaDoseProduct", "TotalTimeOfFluoroscopy"),
    *("TotalNumberOfExposures", "EntranceDose", "ExposedArea", "FilmConsumptionSequence"),
)
"""Empty at creation, set at the end (X-MOD-53)."""
_DOSE_OF_A_PHANTOM: Final = {
    "DistanceSourceToDetector": 1000,
    "ImageAndFluoroscopyAreaDoseProduct": 0,
    "TotalTimeOfFluoroscopy": 0,
    "EntranceDose": 0,
    "ExposedArea": 100,
}
_ENDED: Final = ("PerformedProcedureStepEndDate", "PerformedProcedureStepEndTime")
_REASON: Final = "PerformedProcedureStepDiscontinuationReasonCodeSequence"

Connect = Callable[[list[ProposedContext]], AbstractContextManager[ClientAssociation]]
"""An association with one peer."""


class Committing(Protocol):
    """Who asks for storage commitment over an association that is open."""

    @property
    def context(self) -> ProposedContext:
        """What is to be proposed."""
        ...

    def ask(self, association: ClientAssociation, images: Sequence[Image]) -> None:
        """Ask, and wait a while for the report."""
        ...


class Peers(NamedTuple):
    """Whom the modality works with. None: that part is left out."""

    worklist: Connect | None
    steps: Connect | None
    storage: Connect
    commitment: Connect | None = None
    """An association for the request alone; None: it goes over that of the images."""


class Device(NamedTuple):
    """What the modality is, and how it works."""

    station: str
    """Its AE title."""
    modality: str = "CT"
    name: str = ""
    """Station Name."""
    location: str = ""
    images: int = 3
    """Of a step."""
    archive: str = ""
    """Retrieve AE Title of the series."""
    stores_first: bool = False
    """The step is ended after its images were stored, not before."""
    reason: tuple[str, str, str] | None = None
    """Code value, scheme and meaning: every step is discontinued for this reason (context group 9300)."""
    seed: int = 0


class Step(NamedTuple):
    """One procedure step that was performed."""

    uid: str
    """SOP Instance UID of the MPPS; '' where none was reported."""
    study_uid: str
    series_uid: str
    accession: str
    scheduled: tuple[str, ...]
    """Scheduled Procedure Step IDs; none for an unscheduled one."""
    status: str
    images: tuple[Image, ...]
    stored: int
    warnings: tuple[str, ...] = ()


class Failed(Refused):
    """A peer answered so that the sequence can't go on."""

    def __init__(self, comment: str) -> None:
        super().__init__(Reason.PROCESSING_FAILURE, comment)


def query(peers: Peers, keys: Iterable[tuple[tuple[int, ...], str]], limit: int) -> Answers:
    """What the worklist answers; at `limit` items the query is cancelled, and they count (X-MOD-42). Raises Failed for
    any other end but success (X-MOD-45)."""
    assert peers.worklist is not None
    with peers.worklist([ProposedContext(MODALITY_WORKLIST_FIND, PROPOSED_SYNTAXES)]) as association:
        answers = ask(association, identifier(keys), limit=limit)
    if not answers.complete:
        raise Failed(f"query failed: {answers.failure}")
    return answers


class Modality:
    """Performs steps one after the other. `told` hears how far it is."""

    def __init__(
        self,
        device: Device,
        peers: Peers,
        committing: Committing | None = None,
        *,
        told: Callable[[str], None] = lambda _: None,
        clock: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._device, self._peers, self._committing = device, peers, committing
        self._told, self._clock = told, clock

    def perform(self, items: Sequence[Mapping[str, Any]], patient: Mapping[str, Any] | None = None) -> Step:
        """Perform scheduled steps as one (several: the group case), or an unscheduled one of a `patient`. Raises
        Failed, and what the associations raise."""
        work = _Work(self._device, items, patient or {}, self._clock(), reported=self._peers.steps is not None)
        self._report(work, self._create)
        self._told(f"acquiring {self._device.images} images")
        images = tuple(phantoms.images(work.modality, work.of_images(), self._device.images, seed=self._device.seed))
        stored = 0
        if self._device.stores_first:
            stored = self._store(work, images)
        self._report(work, lambda association: self._set(association, work, images), again=True)
        if not self._device.stores_first:
            stored = self._store(work, images)
        if self._peers.commitment is not None and self._committing is not None:
            with self._peers.commitment([self._committing.context]) as association:
                self._committing.ask(association, images)
        return Step(
            work.uid if work.reported else "",
            work.study_uid,
            work.series_uid,
            work.accession,
            work.scheduled,
            work.status,
            images,
            stored,
            tuple(work.warnings),
        )

    # --- the procedure step

    def _report(self, work: "_Work", report: Callable[..., Response], *, again: bool = False) -> None:
        if self._peers.steps is None or not work.reported:
            return
        try:
            with self._peers.steps([ProposedContext(MPPS, PROPOSED_SYNTAXES)]) as association:
                response = report(association) if again else report(association, work)
        except IsocenterError as failure:
            if again or not _takes_none(failure):
                raise Failed(f"MPPS: {failure.comment}") from failure
            work.reported = False  # a modality goes on without; it says so
            work.warnings.append("the peer takes no procedure steps (MPPS): none was reported")
            return
        if response.status == _VALUE_OUT_OF_RANGE:
            work.warnings.append(f"MPPS: status {response.status:04X} {response.comment}".rstrip())
        elif response.status:
            raise Failed(f"MPPS update failed: status {response.status:04X} {response.comment}".rstrip())
        self._told("procedure step ended" if again else "procedure step in progress")

    def _create(self, association: ClientAssociation, work: "_Work") -> Response:
        return association.n_create(MPPS, work.uid, _encoded(association, work.begun()))

    def _set(self, association: ClientAssociation, work: "_Work", images: Sequence[Image]) -> Response:
        return association.n_set(MPPS, work.uid, _encoded(association, work.ended(images, self._clock())))

    # --- the images

    def _store(self, work: "_Work", images: Sequence[Image]) -> int:
        """How many are stored. Any answer but success and warning aborts the association and fails (X-MOD-17)."""
        shared = self._committing if self._peers.commitment is None else None
        contexts = [ProposedContext(images[0].sop_class, (EXPLICIT_LE, IMPLICIT_LE))] if images else []
        if shared is not None:
            contexts.append(shared.context)
        if not contexts:
            return 0
        stored = 0
        with self._peers.storage(contexts) as association:
            context = association.context_for(images[0].sop_class)
            for image in images:
                data = image.data
                if context.transfer_syntax != EXPLICIT_LE:
                    data = dataset.encode(dataset.decode(data, EXPLICIT_LE), context.transfer_syntax)
                status = association.store(context.id, image.sop_class, image.sop_uid, BytesSource(data))
                if status in _STORED_WITH_WARNING:
                    work.warnings.append(f"C-STORE: status {status:04X}")
                elif status:
                    association.abort()
                    raise Failed(f"C-STORE failed after {stored} of {len(images)} images: status {status:04X}")
                stored += 1
                self._told(f"stored {stored} of {len(images)}")
            if shared is not None:
                self._told("waiting for storage commitment")
                shared.ask(association, images)
        return stored


def _takes_none(failure: IsocenterError) -> bool:
    """Whether a peer does not have the SOP class: some reject an association of no class of theirs, as DCMTK's wlmscpfs
    does, without giving a reason."""
    if isinstance(failure, AssociationRejected):
        return (failure.result, failure.source, failure.rejection) == _NO_REASON
    return isinstance(failure, ContextNotAccepted)


class _Work:
    """One step as it goes on: what is known of it, and its messages."""

    def __init__(
        self,
        device: Device,
        items: Sequence[Mapping[str, Any]],
        patient: Mapping[str, Any],
        now: datetime,
        *,
        reported: bool,
    ) -> None:
        self._device, self._items, self.reported = device, items, reported
        self.uid, self.series_uid = new_uid(), new_uid()
        self.warnings: list[str] = []
        self.status = DISCONTINUED if device.reason else COMPLETED
        self.modality = _value(items, "ScheduledProcedureStepSequence.Modality") or device.modality
        self.study_uid = _value(items, "StudyInstanceUID") or _value([patient], "StudyInstanceUID") or new_uid()
        self.accession = _value(items, "AccessionNumber")
        ids = (_value([item], "ScheduledProcedureStepSequence.ScheduledProcedureStepID") for item in items)
        self.scheduled = tuple(each for each in ids if each)
        self._own = self._made(patient, now)

    def _made(self, patient: Mapping[str, Any], now: datetime) -> Model:
        """What the modality makes itself (Table B.8.1-31, rows without a worklist attribute)."""
        step_id = f"{random.SystemRandom().randrange(10**9):09}"
        own: Model = dict(patient)
        own |= attribute("StudyInstanceUID", self.study_uid)
        own |= attribute("StudyID", *filter(None, [_value(self._items, "RequestedProcedureID") or step_id]))
        own |= attribute("PerformedProcedureStepID", step_id)
        own |= attribute("PerformedProcedureStepStartDate", f"{now:%Y%m%d}")
        own |= attribute("PerformedProcedureStepStartTime", f"{now:%H%M%S}")
        description = _value(self._items, "ScheduledProcedureStepSequence.ScheduledProcedureStepDescription")
        own |= attribute("PerformedProcedureStepDescription", *filter(None, [description]))
        codes = (
            found_at(self._items[0], "ScheduledProcedureStepSequence.ScheduledProtocolCodeSequence")
            if self._items
            else None
        )
        own[tag("PerformedProtocolCodeSequence")] = codes or {"vr": "SQ"}
        return own

    @property
    def _protocol(self) -> str:
        """Protocol Name."""
        return _value([self._own], "PerformedProcedureStepDescription") or f"{self.modality} PHANTOM"

    def of_images(self) -> Model:
        """Patient, study, series and request attributes of the images."""
        now = self._own
        date = now[tag("PerformedProcedureStepStartDate")]["Value"]
        time = now[tag("PerformedProcedureStepStartTime")]["Value"]
        found: Model = {}
        for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
            found |= attribute(keyword, *date)
        for keyword in ("StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime"):
            found |= attribute(keyword, *time)
        found |= {key: value for key, value in now.items() if key in _PATIENT}
        found |= mapping.of_images(self._items, now)
        found |= attribute("StudyInstanceUID", self.study_uid) | attribute("SeriesInstanceUID", self.series_uid)
        found |= attribute("Modality", self.modality) | attribute("SeriesNumber", 1)
        found |= attribute("SeriesDescription", self._protocol) | attribute("ProtocolName", self._protocol)
        found |= attribute("StationName", *filter(None, [self._device.name]))
        if self.reported:
            step = attribute("ReferencedSOPClassUID", MPPS) | attribute("ReferencedSOPInstanceUID", self.uid)
            found |= attribute("ReferencedPerformedProcedureStepSequence", step)
        return found

    def begun(self) -> Model:
        """The attributes of the N-CREATE (Table B.4.2-28)."""
        found: Model = {}
        for keyword in (*_DOSE, *_ENDED, _REASON, "ReferencedPatientSequence", "PerformedProcedureTypeDescription"):
            found |= attribute(keyword)
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "ProcedureCodeSequence"):
            found |= attribute(keyword)
        found |= {key: value for key, value in self._own.items() if key in _STEP_PATIENT}
        found |= mapping.of_step(self._items, self._own)
        found |= attribute("PerformedProcedureStepStatus", IN_PROGRESS) | attribute("Modality", self.modality)
        found |= attribute("PerformedStationAETitle", self._device.station)
        found |= attribute("PerformedStationName", *filter(None, [self._device.name]))
        found |= attribute("PerformedLocation", *filter(None, [self._device.location]))
        found |= attribute("PerformedSeriesSequence")
        return found

    def ended(self, images: Sequence[Image], now: datetime) -> Model:
        """The attributes of the final N-SET."""
        found = attribute("PerformedProcedureStepStatus", self.status)
        found |= attribute(_ENDED[0], f"{now:%Y%m%d}") | attribute(_ENDED[1], f"{now:%H%M%S}")
        for keyword, dose in _DOSE_OF_A_PHANTOM.items():
            found |= attribute(keyword, dose)
        found |= attribute("TotalNumberOfExposures", len(images)) | attribute("FilmConsumptionSequence")
        found[tag("PerformedProtocolCodeSequence")] = self._own[tag("PerformedProtocolCodeSequence")]
        if self._device.reason is not None:
            value, scheme, meaning = self._device.reason
            code = attribute("CodeValue", value) | attribute("CodingSchemeDesignator", scheme)
            found |= attribute(_REASON, code | attribute("CodeMeaning", meaning))
        found |= attribute("PerformedSeriesSequence", self._series(images))
        return found

    def _series(self, images: Sequence[Image]) -> Model:
        empty = ("PerformingPhysicianName", "OperatorsName", "ReferencedNonImageCompositeSOPInstanceSequence")
        found = {key: value for keyword in empty for key, value in attribute(keyword).items()}
        found |= mapping.of_series(self._items)
        found |= attribute("RetrieveAETitle", *filter(None, [self._device.archive]))
        found |= attribute("SeriesInstanceUID", self.series_uid)
        found |= attribute("SeriesDescription", self._protocol) | attribute("ProtocolName", self._protocol)
        items = [
            attribute("ReferencedSOPClassUID", image.sop_class) | attribute("ReferencedSOPInstanceUID", image.sop_uid)
            for image in images
        ]
        return found | attribute("ReferencedImageSequence", *items)


_PATIENT: Final = frozenset(
    tag(keyword)
    for keyword in (
        *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientWeight"),
        *("ReferringPhysicianName", "AccessionNumber"),
    )
)
_STEP_PATIENT: Final = frozenset(
    tag(keyword) for keyword in ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex")
)


def _value(models: Sequence[Mapping[str, Any]], path: str) -> str:
    """The first value of the first model at a path, as text."""
    found = found_at(models[0], path) if models else None
    values = found.get("Value") if found else None
    return str(values[0]) if values else ""


def _encoded(association: ClientAssociation, model: Mapping[str, Any]) -> bytes:
    data = {int(key, 16): element_of(value, UTF_8) for key, value in model.items()}
    data[0x00080005] = dataset.text("CS", UTF_8)
    return dataset.encode(dict(sorted(data.items())), association.context_for(MPPS).transfer_syntax)
