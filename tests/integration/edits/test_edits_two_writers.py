"""On PostgreSQL each process has a writer that remembers studies and series: an edit made through another one is heeded
all the same."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from archives import Object, made, series_uid, study_uid
from edited_archives import NAME, PATIENT_ID, STUDY, WHO, attributes, found, metadata, retrieved
from isocenter import database
from isocenter.archive.edits.checks import Target, identity
from isocenter.archive.edits.making import Edits
from isocenter.archive.ingest import Ingest, Origin
from isocenter.archive.rejection.late import hide_late
from isocenter.archive.rejection.notes import Named, Subject
from isocenter.archive.rejection.notes import note as written
from isocenter.declarations.rejections import KEY_OBJECT_SELECTION, QUALITY
from isocenter.dicom.uids import EXPLICIT_LE
from isocenter.index.writer import LocalWriter
from isocenter.store.filesystem import FilesystemStore


class Two(NamedTuple):
    """Two processes' worth of an archive: one receives, the other edits."""

    store: FilesystemStore
    database: database.Database
    ingest: Ingest
    edits: Edits

    def send(self, *objects: Object) -> None:
        """Store objects through the first writer."""
        for one in objects:
            reception = self.ingest.receive(Origin("CT1", "ISOCENTER", ""), one.sop_class, one.sop_uid, one.syntax)
            reception.write([one.data])
            assert reception.finish().verdict == "stored"

    def told(self) -> list[tuple[str, str, str]]:
        """(study, Patient ID, name), on which all ways agree."""
        told = found(self.database)
        assert retrieved(self.database, self.store) == told
        assert metadata(self.database, self.store) == told
        return sorted((one[STUDY], one[PATIENT_ID], one[NAME]) for one in told)


@pytest.fixture
def two(tmp_path: Path, postgresql_url: str) -> Iterator[Two]:
    with ExitStack() as stack:
        store = FilesystemStore(tmp_path / "store", durability="process", floor_bytes=0)
        stack.callback(store.close)
        opened = database.open(postgresql_url)
        stack.callback(opened.close)
        first, second = LocalWriter(opened), LocalWriter(opened)
        stack.callback(first.close)
        stack.callback(second.close)
        yield Two(store, opened, Ingest(store, first), Edits(opened, store, second))


def test_a_split_series_is_followed(two: Two) -> None:
    two.send(made(1), made(1, series=2))
    two.edits.split_series(study_uid(), series_uid(1, 2), "1.2.3.4", WHO)
    two.send(made(2, series=2), made(2))
    assert [study for study, *_ in two.told()] == ["1.2.3.4", "1.2.3.4", study_uid(), study_uid()]


def test_a_new_series_of_an_edited_study_is_covered(two: Two) -> None:
    two.send(made(1, PatientID="P"))
    two.edits.attributes(Target.patient(identity("P")), attributes(PatientName="Roe^R", PatientSex=""), WHO)
    two.send(made(2, PatientID="P", PatientSex="F"), made(1, series=2, PatientID="P"), made(1, study=2, PatientID="P"))
    assert {told[1:] for told in two.told()} == {("P", "Roe^R")}
    with two.database.reading() as connection:
        assert connection.exec_driver_sql("SELECT sex FROM patient").scalars().all() == [""]


def test_a_merged_patient_is_followed(two: Two) -> None:
    two.send(made(1, PatientID="OLD"), made(1, study=2, PatientID="GOOD", PatientName="Good^One"))
    two.edits.merge_patients(identity("OLD"), identity("GOOD"), WHO)
    two.send(made(2, PatientID="OLD"), made(1, series=2, PatientID="OLD"), made(1, study=3, PatientID="OLD"))
    assert {told[1:] for told in two.told()} == {("GOOD", "Good^One")}
    with two.database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM conflict").scalar() == 0


def test_a_late_object_that_a_note_names_is_hidden_soon(two: Two) -> None:
    first, late = made(1), made(2)
    two.send(first)
    note = written(QUALITY, Subject(study_uid(), "Doe^Jane", "P1", *[""] * 8),
                   [Named(one.study, one.series, one.sop_uid, one.sop_class, image=True) for one in (first, late)],
                   1_700_000_000_000_000)  # fmt: skip
    second = LocalWriter(two.database)
    reception = Ingest(two.store, second).receive(
        Origin("CT1", "ISOCENTER", ""), KEY_OBJECT_SELECTION, note.sop_uid, EXPLICIT_LE
    )
    reception.write([note.data])
    reception.finish()
    second.close()
    two.send(late)
    assert hide_late(two.database, 1_700_000_000_000_001) <= 1
    assert hide_late(two.database, 1_700_000_000_000_002) == 0
    assert two.told() == []
