"""Arrivals for tests of the index, made without any DICOM: `arrival(1, 2, 3)` is object 3 of series 2 of study 1."""

import hashlib
import uuid
from typing import Any

from isocenter.dicom.folding import fold
from isocenter.index.records import Arrival

ROOT = "1.2.826.0.1.3680043.10.999"


def arrival(
    study: int = 1,
    series: int = 1,
    instance: int = 1,
    *,
    patient: str = "P1",
    name: str = "Doe^Jane",
    content: str = "",
    study_values: dict[str, str] | None = None,
    series_values: dict[str, Any] | None = None,
    patient_values: dict[str, str] | None = None,
    **changes: Any,
) -> Arrival:
    """An arrival with a store key of its own; `content` is what the digest is made of."""
    sop_uid = f"{ROOT}.{study}.{series}.{instance}"
    study_uid = f"{ROOT}.{study}"
    made = Arrival(
        store_key=uuid.uuid4().hex,
        digest=hashlib.sha256(f"{sop_uid} {content}".encode()).hexdigest(),
        size=1000,
        offset=400,
        received_at=1_700_000_000_000_000 + instance,
        source_aet="MODALITY",
        study_uid=study_uid,
        series_uid=f"{ROOT}.{study}.{series}",
        sop_uid=sop_uid,
        sop_class="1.2.840.10008.5.1.4.1.1.2",
        syntax="1.2.840.10008.1.2.1",
        patient={
            "identity": f"\\{patient}" if patient else f"\\\\{study_uid}",
            "patient_id": patient,
            "issuer": "",
            "patient_name": name,
            "name_fold": fold(name),
            **(patient_values or {}),
        },
        study={
            "study_date": "20240131",
            "description": "Thorax",
            "description_fold": "thorax",
            "accession": f"A{study}",
            **(study_values or {}),
        },
        series={
            "modality": "CT",
            "series_number": str(series),
            "series_number_value": series,
            **(series_values or {}),
        },
        instance={
            "instance_number": str(instance),
            "instance_number_value": instance,
            "rows": 512,
            "columns": 512,
            "bits_allocated": 16,
            "image_type": "ORIGINAL\\PRIMARY\\AXIAL",
            "availability": "ONLINE",
        },
    )
    return made._replace(**changes)
