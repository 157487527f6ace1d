"""An archive in this process with an AE that holds what it receives, and all that lets it out again.

with held_archives.running(tmp_path, url, match=("PatientID",)) as bench:
    bench.order(PatientID="P1", ...)
    bench.archive.send(made(1), called="TWF"); bench.settle()
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import update

import archives
from isocenter.config import HostedAE, Peer, Settings
from isocenter.config.reconciling import Reconciling
from isocenter.dicom.dictionary import tag_of, vr_of
from isocenter.exchange.peers import Peers
from isocenter.index import tables
from isocenter.jobs import Queue, Runner
from isocenter.registry.roster import Fixed
from isocenter.server import reconciling
from isocenter.server.archive import Archive as Wired
from isocenter.store.filesystem import FilesystemStore
from isocenter.workflow.reconciling import rows
from isocenter.workflow.reconciling.deciding import Desk, Who
from isocenter.workflow.reconciling.following import Following
from isocenter.workflow.reconciling.rows import Study
from isocenter.workflow.reconciling.states import State
from isocenter.workflow.worklist.entries import Entry, Worklist

WHO = Who("tester", "the slip says so")


def attribute(keyword: str, value: str) -> dict[str, Any]:
    """An attribute of the DICOM JSON model by its tag."""
    tag = tag_of(keyword)
    assert tag is not None
    vr = vr_of(tag)
    listed: list[Any] = [{"Alphabetic": value}] if vr == "PN" else value.split("\\")
    return {f"{tag:08X}": {"vr": vr, "Value": listed} if value else {"vr": vr}}


def item(step: Mapping[str, str] = {}, **values: str) -> dict[str, Any]:
    """A worklist item: CT of patient P1 at the day of `archives.made`, unless said otherwise."""
    wanted = {
        "PatientID": "P1", "PatientName": "Doe^Janet", "PatientBirthDate": "19700301", "PatientSex": "F",
        "AccessionNumber": "A1", "RequestedProcedureID": "RP1", "RequestedProcedureDescription": "CT of the thorax",
        "StudyInstanceUID": f"{archives.ROOT}.77", "ReferringPhysicianName": "Ward^Ann", **values,
    }  # fmt: skip
    of_step = {
        "Modality": "CT", "ScheduledStationAETitle": "CT1", "ScheduledProcedureStepStartDate": "20240131",
        "ScheduledProcedureStepStartTime": "101500", "ScheduledProcedureStepID": "S1",
        "ScheduledProcedureStepDescription": "Thorax plain", **step,
    }  # fmt: skip
    model = {tag: each for name, value in wanted.items() for tag, each in attribute(name, value).items()}
    inner = {tag: each for name, value in of_step.items() for tag, each in attribute(name, value).items()}
    return {**model, "00400100": {"vr": "SQ", "Value": [inner]}}


@dataclass
class Bench:
    """The archive, what is held beside it, and the jobs, which run when they are asked to."""

    archive: archives.Running
    held: FilesystemStore
    worklist: Worklist
    desk: Desk
    runner: Runner
    queue: Queue
    following: Following

    def order(self, key: str = "ORDER1", step: Mapping[str, str] = {}, **values: str) -> Entry:
        """Put an item on the own worklist."""
        with self.archive.database.writing() as connection:
            return self.worklist.put(connection, key, item(step, **values))

    def settle(self) -> None:
        """Read the change feed to its end, and carry out every job that is due."""
        while self.following.step():
            pass
        while self.runner.run_once():
            pass

    def again(self) -> None:
        """As a server that was killed and started again: its leases are nobody's any more."""
        with self.archive.database.writing() as connection:
            connection.execute(update(tables.job).values(lease_until=0, due_at=0))
        self.settle()

    def studies(self, states: Sequence[State] = tuple(State)) -> list[Study]:
        """What is, or was, to be reconciled."""
        with self.archive.database.reading() as connection:
            return rows.listed(connection, states=states)

    def study(self) -> Study:
        """The only one."""
        (found,) = self.studies()
        return found

    def kept(self) -> list[str]:
        """Keys of the files that are held."""
        return sorted(self.held.keys())

    def archived(self) -> list[dict[str, Any]]:
        """The data sets that the archive has in force, as DICOM JSON."""
        return [self.model(row.store_key) for row in self.archive.rows("instance")]

    def model(self, store_key: str) -> dict[str, Any]:
        """A data set of the archive's, without its pixels."""
        from isocenter.dicom import json_model
        from isocenter.dicom.part10 import read_header

        row = next(row for row in self.archive.rows("instance") if row.store_key == store_key)
        with self.archive.store.open(store_key) as stored:
            syntax = read_header(stored.pread(row.offset, 0)).syntax
        text = json_model.write(self.archive.data_of(store_key), syntax, bulk_uri=lambda path: path)
        found: dict[str, Any] = msgspec.json.decode(text)
        return found


def value(model: Mapping[str, Any], keyword: str) -> str:
    """The value of an attribute, as text."""
    tag = tag_of(keyword)
    first = (model.get(f"{tag:08X}", {}).get("Value") or [""])[0]
    return str(first.get("Alphabetic", "")) if isinstance(first, dict) else str(first)


@contextmanager
def running(
    folder: Path,
    url: str,
    *,
    title: str = "TWF",
    role: str = "reconcile",
    peers: Sequence[Peer] = (),
    duplicates: str = "keep-first",
    **settings: Any,
) -> Iterator[Bench]:
    """`settings`: those of `config.reconciling`; nothing is waited for unless they say so."""
    own = Reconciling(**{"quiet": 0.0, **settings})
    ae = HostedAE(title=title, role=role, reconciling=own, duplicates=duplicates)  # type: ignore[arg-type]
    with archives.running(folder, url, ae=ae, peers=peers) as archive, ExitStack() as stack:
        known = Settings(data=folder, aes=(ae,), peers=tuple(peers), free_space_floor=0)
        wired = Wired(archive.store, archive.database, archive.ingest.writer, archive.ingest, stack)  # type: ignore[arg-type]
        queue = Queue(archive.database)
        directory = Fixed(known)
        runner = reconciling.runner(wired, known, directory, Peers(known, directory), queue)
        follows = Following(archive.database, queue, lambda: known.aes, pause=0.0)
        with closing(reconciling.held_store(known)) as held:
            yield Bench(
                archive, held, Worklist(archive.database), reconciling.desk(wired, directory), runner, queue, follows
            )
