"""Modality worklist queries over many items: milliseconds a query as findscu sees them, beside wlmscpfs.

    python bench/figure_worklist.py [--items 100000] [--runs 3]

Both have the same items: wlmscpfs as files in a folder, which it reads at each query, Isocenter in its index. Each case
is one query on an association of its own; ours are also asked fifty at a time on one association, since a single one is
mostly the start of findscu. Days go on for two months, with six modalities of two stations each.
"""

import argparse
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from harness import PROMPT, ROOT, Isocenter, Peer, Results, running
from sqlalchemy import insert

from isocenter import database
from isocenter.dicom.dataset import encode
from isocenter.dicom.json_reading import element_of
from isocenter.dicom.part10 import outgoing_header
from isocenter.dicom.uids import EXPLICIT_LE, MODALITY_WORKLIST_FIND
from isocenter.workflow.worklist import attributes as of
from isocenter.workflow.worklist.tables import worklist_item, worklist_station

MODALITIES = ("CT", "MR", "US", "CR", "DX", "MG")
RETURNED = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyInstanceUID",
            "RequestedProcedureID", "RequestedProcedureDescription")  # fmt: skip
RETURNED_STEP = ("Modality", "ScheduledStationAETitle", "ScheduledProcedureStepStartDate",
                 "ScheduledProcedureStepStartTime", "ScheduledProcedureStepDescription",
                 "ScheduledProcedureStepID")  # fmt: skip
BATCH = 5000
"""Rows written at a time."""


class Wlmscpfs(Peer):
    """DCMTK's worklist SCP, over a folder of files that is made beforehand."""

    title = "WORKLIST"

    def __init__(self, files: Path) -> None:
        super().__init__("wlmscpfs")
        self.files = files

    def command(self) -> list[str]:
        return ["wlmscpfs", "-dfr", "-csk", "-dfp", str(self.files), str(self.port)]


def items(count: int) -> Iterator[dict[str, Any]]:
    """As many orders, the same each time."""
    chance = random.Random(31)
    for number in range(count):
        modality = MODALITIES[number % len(MODALITIES)]
        day, hour = chance.randrange(60), chance.randrange(7, 19)
        step = {
            **of.written(of.MODALITY, modality),
            **of.written(of.STATIONS, f"{modality}{number // len(MODALITIES) % 2 + 1}"),
            **of.written(of.START_DATE, f"2026{day // 30 + 1:02d}{day % 30 + 1:02d}"),
            **of.written(of.START_TIME, f"{hour:02d}{chance.randrange(60):02d}"),
            **of.written("00400007", f"{modality} examination"),
            **of.written(of.STEP_ID, f"S{number}"),
            **of.written(of.STATUS, "SCHEDULED"),
        }
        yield {
            **of.written(of.PATIENT_NAME, {"Alphabetic": f"FAMILY{number % 5003}^GIVEN{number % 97}"}),
            **of.written(of.PATIENT_ID, f"P{number % 40000:06d}"),
            **of.written("00100030", f"19{number % 90 + 10}0101"),
            **of.written("00100040", "FM"[number % 2]),
            **of.written(of.ACCESSION, f"A{number:07d}"),
            **of.written(of.STUDY, f"1.2.826.0.1.3680043.10.999.{number}"),
            **of.written(of.PROCEDURE, f"R{number}"),
            **of.written("00321060", f"{modality} of something"),
            **of.written(of.SOP_CLASS, MODALITY_WORKLIST_FIND),
            **of.written(of.SOP_INSTANCE, f"1.2.826.0.1.3680043.10.998.{number}"),
            of.STEPS: {"vr": "SQ", "Value": [step]},
        }


def files_of(count: int) -> Path:
    """The folder of wlmscpfs, made once."""
    folder = ROOT / f"worklist-{count}" / Wlmscpfs.title
    if (folder / "lockfile").exists():
        return folder.parent
    folder.mkdir(parents=True, exist_ok=True)
    for number, model in enumerate(items(count)):
        data = encode({int(tag, 16): element_of(attribute) for tag, attribute in model.items()}, EXPLICIT_LE)
        header = outgoing_header(MODALITY_WORKLIST_FIND, f"1.2.826.0.1.3680043.10.998.{number}", EXPLICIT_LE)
        (folder / f"{number:07d}.wl").write_bytes(header + data)
    (folder / "lockfile").touch()
    return folder.parent


def fill(peer: Peer, count: int) -> None:
    """Our index, with the rows that `Worklist.put` would write."""
    opened = database.open(peer.folder / "data" / "index.db")
    rows: list[dict[str, Any]] = []
    stations: list[dict[str, Any]] = []
    with opened.writing() as connection:
        for number, model in enumerate(items(count), 1):
            columns = of.columns_of(model)
            kept = {"id": number, "uid": str(number), "order_key": str(number), "state": "SCHEDULED", "source": "bench"}
            times = {"created_at": 0, "changed_at": 0}
            rows.append({**columns, **kept, **times, "attributes": msgspec.json.encode(model).decode()})
            station = of.stations_of(model)[0]
            stations.append({"item": number, "station": station, "start_date": columns["start_date"]})
            if len(rows) == BATCH or number == count:
                connection.execute(insert(worklist_item), rows)
                connection.execute(insert(worklist_station), stations)
                rows, stations = [], []
    opened.close()


def command(peer: Peer, keys: dict[str, str], *options: str) -> list[str]:
    """One question of a modality."""
    words = ["findscu", "-W", *options, "-aet", "BENCH", "-aec", peer.title]
    step = "(0040,0100)[0]."
    wanted = {**dict.fromkeys(RETURNED, ""), **{step + name: "" for name in RETURNED_STEP}, **keys}
    for name, value in wanted.items():
        words += ["-k", f"{name}={value}"]
    return [*words, "127.0.0.1", str(peer.port)]


def query(peer: Peer, keys: dict[str, str], repeat: int = 1) -> float:
    """Milliseconds a query, `repeat` of them on one association."""
    asked = command(peer, keys, "-q", "--repeat", str(repeat))
    begun = time.perf_counter()
    subprocess.run(asked, env=PROMPT, check=True, capture_output=True, timeout=300)
    return 1e3 * (time.perf_counter() - begun) / repeat


def matches(peer: Peer, keys: dict[str, str]) -> int:
    """How many a query finds."""
    said = subprocess.run(command(peer, keys, "-v"), env=PROMPT, check=True, capture_output=True, timeout=300)
    return (said.stdout + said.stderr).count(b"(Pending)")


def main() -> None:
    """The same questions to both."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--items", type=int, default=100_000)
    options.add_argument("--runs", type=int, default=3)
    given = options.parse_args()
    step = "(0040,0100)[0]."
    date, station, modality = (step + name for name in RETURNED_STEP[2:3] + RETURNED_STEP[1:2] + RETURNED_STEP[:1])
    cases = {
        "modality and day": {modality: "CT", date: "20260115"},
        "station and day": {station: "MR1", date: "20260115"},
        "day": {date: "20260115"},
        "Patient ID": {"PatientID": "P012345"},
        "accession number": {"AccessionNumber": "A0012345"},
        "name prefix": {"PatientName": "FAMILY4321*"},
        "no match": {"PatientID": "NOSUCH"},
    }
    results = Results("worklist", "wlmscpfs")
    ours, theirs = Isocenter(), Wlmscpfs(files_of(given.items))
    with running(ours), running(theirs):
        fill(ours, given.items)
        for run in range(given.runs):
            for case, keys in cases.items():
                for peer in (theirs, ours):
                    results.add(peer.name, case, ms=query(peer, keys))
                results.add("isocenter, 50 in a row", case, ms=query(ours, keys, 50))
                if not run:
                    found = [matches(peer, keys) for peer in (theirs, ours)]
                    assert found[0] == found[1], f"{case}: they differ: {found}"
                    print(f"{case}: {found[0]} matches", flush=True)
    results.table("ms", lower_is_better=True)


if __name__ == "__main__":
    main()
