"""The unified worklist: a search among many workitems, by each of the keys that are looked for, in milliseconds.

python bench/figure_workitems.py [--items 10000] [--times 20] [--database postgresql+psycopg://...]

In this process, without a network: `keys` with the rows of `workitem_key`, `models` without, where each model is read.
"""

import argparse
import copy
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from isocenter import database
from isocenter.database import Database, facts
from isocenter.declarations.query_keys import resolve
from isocenter.workflow.workitems import keying, matching, models
from isocenter.workflow.workitems.entries import Workitems

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from workitem_models import asked, code, sequence

FEW = {
    "station name": "ScheduledStationNameCodeSequence.CodeValue=WS77",
    "station class": "ScheduledStationClassCodeSequence.CodeValue=CL77",
    "station location": "ScheduledStationGeographicLocationCodeSequence.CodeValue=ROOM77",
    "workitem code": "ScheduledWorkitemCodeSequence.CodeValue=WI77",
    "an hour": "ScheduledProcedureStepStartDateTime=2026112112-2026112112",
    "patient's name": "PatientName=DOE77^*",
    "patient's id": "PatientID=P77",
    "accession number": "ReferencedRequestSequence.AccessionNumber=A77",
    "requested procedure": "ReferencedRequestSequence.RequestedProcedureID=R77",
    "study": "StudyInstanceUID=2.25.177",
    "worklist label": "WorklistLabel=LIST77",
    "station, ready, in a day": "ScheduledStationNameCodeSequence.CodeValue=WS77\nInputReadinessState=READY\n"
    "ProcedureStepState=SCHEDULED\nScheduledProcedureStepStartDateTime=20261121-20261121",
}
MANY = {
    "first 50 of a priority": "ScheduledProcedureStepPriority=MEDIUM",
    "first 50 of a state": "ProcedureStepState=SCHEDULED",
    "first 50 of all": "",
}


def made(items: Workitems, count: int) -> None:
    """Workitems of which every value of `FEW` finds ten."""
    whole = models.canonical(asked())
    each = count // 10
    with items.database.writing() as connection:
        for number in range(count):
            items.create(connection, f"2.25.9{number:06d}", _one(copy.deepcopy(whole), number % each, number))


def _one(model: dict[str, Any], part: int, number: int) -> dict[str, Any]:
    return model | {
        "0020000D": {"vr": "UI", "Value": [f"2.25.1{part}"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": f"Doe{part}^Jane^{number}"}]},
        "00100020": {"vr": "LO", "Value": [f"P{part}"]},
        "00404005": {"vr": "DT", "Value": [f"202611{part % 28 + 1:02d}{number % 24:02d}0000"]},
        "00404018": sequence(code(f"WI{part}")),
        "00404025": sequence(code(f"WS{part}")),
        "00404026": sequence(code(f"CL{part}")),
        "00404027": sequence(code(f"ROOM{part}")),
        "0040A370": sequence(
            {
                "0020000D": {"vr": "UI", "Value": [f"2.25.1{part}"]},
                "00080050": {"vr": "SH", "Value": [f"A{part}"]},
                "00401001": {"vr": "SH", "Value": [f"R{part}"]},
            }
        ),
        "00741200": {"vr": "CS", "Value": ["HIGH" if number % 10 == 0 else "MEDIUM"]},
        "00741202": {"vr": "LO", "Value": [f"LIST{part}"]},
    }


def asked_for(text: str) -> matching.Query:
    """The keys of a line each."""
    pairs = (line.split("=") for line in text.splitlines())
    return matching.Query(keys=tuple((resolve(name) or (), value) for name, value in pairs))


def measured(opened: Database, text: str, times: int) -> tuple[float, int]:
    """Median milliseconds, and matches."""
    took, total = [], 0
    for _ in range(times):
        began = time.perf_counter()
        total = matching.page(opened, asked_for(text), 0, 50).total
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1e3, total


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--database", default="")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = given.database or f"sqlite:///{folder}/index.db"
        database.migrate(url)
        opened = database.open(url)
        began = time.perf_counter()
        made(Workitems(opened), given.items)
        sys.stdout.write(f"{'create one':28}{(time.perf_counter() - began) / given.items * 1e3:10.2f}\n")
        for name, text in {**FEW, **MANY}.items():
            _keyed(opened, keying.VERSION)
            found, total = measured(opened, text, given.times)
            _keyed(opened, "")
            plain, same = measured(opened, text, max(2, given.times // 10))
            assert total == same, json.dumps([name, total, same])
            sys.stdout.write(f"{name:28}{total:8}{found:10.2f}{plain:10.1f}\n")
        opened.close()


def _keyed(opened: Database, version: str) -> None:
    with opened.writing() as connection:
        facts.write(connection, keying.FACT, version)


if __name__ == "__main__":
    main()
