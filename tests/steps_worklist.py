"""Worklist entries for the tests of performed procedure steps."""

from typing import Any

import archives
from archives import Running
from isocenter.workflow.worklist.attributes import written
from isocenter.workflow.worklist.entries import Worklist
from isocenter.workflow.worklist.rows import Entry


def scheduled(
    archive: Running,
    accession: str,
    step_id: str,
    *,
    order: str = "",
    procedure: str = "",
    study: int = 1,
    patient: str = "P1",
    issuer: str = "",
    **more: dict[str, Any],
) -> Entry:
    """An entry of the archive's worklist; `more` by tag."""
    step = {
        **written("00400009", step_id), **written("00080060", "CT"), **written("00400007", "Thorax as scheduled"),
        **written("00400001", "CT1"), **written("00400002", "20240131"),
        "00400008": {"vr": "SQ", "Value": [{**written("00080100", "T1"), **written("00080104", "Thorax")}]},
    }  # fmt: skip
    model = {
        **written("00080050", accession), **written("00401001", procedure or f"R{accession}"),
        **written("0020000D", archives.study_uid(study)), **written("00100020", patient),
        **(written("00100021", issuer) if issuer else {}),
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane^Registered"}]},
        **written("00100030", "19700102"), **written("00100040", "F"), **written("00402016", f"PL{accession}"),
        **written("00402017", f"FI{accession}"), **written("00321060", "CT of the thorax"),
        "00400100": {"vr": "SQ", "Value": [step]}, **more,
    }  # fmt: skip
    worklist = Worklist(archive.database)
    with archive.database.writing() as connection:
        return worklist.put(connection, order or f"order {accession}", model)
