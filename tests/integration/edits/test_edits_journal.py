"""Edits outlive the index: an older one or a new one is told of them; conflicts are settled for good."""

import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from archives import Running, made, running, study_uid
from databases import migrated
from edited_archives import WHO, agreed, attributes, editor
from isocenter import database
from isocenter.archive.edits.checks import Target
from isocenter.archive.edits.history import conflicts
from isocenter.archive.likeness import likeness
from isocenter.archive.rejection.rejecting import Rejecting
from isocenter.declarations.rejections import SAFETY
from isocenter.errors import Refused
from isocenter.index import rebuild, tables
from isocenter.index.journal import edit_record
from isocenter.index.level_models import dumped
from isocenter.index.records import Edit


def described(index: database.Database) -> list[str]:
    """The descriptions of all studies."""
    with index.reading() as connection:
        return sorted(connection.execute(select(tables.study.c.description)).scalars())


def test_an_older_index_is_told_the_edits_that_it_missed(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url) as archive:
        archive.send(made(1), made(1, study=2))
        first = editor(archive).attributes(Target.study(study_uid()), attributes(StudyDescription="A"), WHO)
    (tmp_path / "older").mkdir()
    shutil.copy(tmp_path / "index.db", tmp_path / "older" / "index.db")
    with running(tmp_path, sqlite_url) as archive:
        editor(archive).revert(first.uid, WHO)
        editor(archive).attributes(Target.study(study_uid(2)), attributes(StudyDescription="B"), WHO)
        with closing(database.open(f"sqlite:///{tmp_path}/older/index.db")) as older:
            assert described(older) == ["A", "Thorax"]
            report = rebuild.catch_up(archive.store, older, compare=likeness)
            assert report.journal == 2
            assert described(older) == described(archive.database) == ["B", "Thorax"]
            assert rebuild.catch_up(archive.store, older, compare=likeness).journal == 0


def test_a_rejected_object_that_was_not_taken_again_is_in_no_other_index(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url) as archive:
        archive.send(made(1))
        Rejecting(archive.database, archive.ingest, "ISOCENTER").reject(SAFETY, study_uid(), "", "", WHO)
    for name in ("older", "new"):
        (tmp_path / name).mkdir()
    shutil.copy(tmp_path / "index.db", tmp_path / "older" / "index.db")
    with running(tmp_path, sqlite_url) as archive:
        assert archive.status(made(1, SeriesDescription="Other", pixels=b"\1" * 64)) == 0x0111
        assert archive.rows("instance_version") == archive.rows("conflict") == []
        with closing(database.open(f"sqlite:///{tmp_path}/older/index.db")) as older:
            rebuild.catch_up(archive.store, older, compare=likeness)
            assert [row.reason for row in removals(older)] == ["rejected-duplicate"]
        with closing(database.open(migrated(tmp_path / "new"))) as fresh:
            rebuild.rebuild(archive.store, fresh, compare=likeness)
            assert [row.reason for row in removals(fresh)] == ["rejected-duplicate"]


def removals(index: database.Database) -> Sequence[Any]:
    """What is not kept; there is no version beside what is in force."""
    with index.reading() as connection:
        assert connection.execute(select(tables.instance_version)).first() is None
        return connection.execute(select(tables.removal)).all()


@pytest.fixture
def disputed(tmp_path: Path, any_url: str) -> Running:
    """An archive with a conflict."""
    with running(tmp_path, any_url) as archive:
        archive.send(made(1, PatientID="P"), made(2, PatientID="Q"))
        yield archive  # type: ignore[misc]


def test_a_conflict_is_listed_and_settled_for_good(disputed: Running, tmp_path: Path) -> None:
    [open_one] = conflicts(disputed.database)
    assert (open_one["kind"], open_one["study_uid"], open_one["settled_at"]) == ("patient-differs", study_uid(), None)
    named = {name: str(open_one[name]) for name in ("kind", "study_uid", "series_uid", "sop_uid", "store_key")}
    editor(disputed).settle(named, WHO)
    assert list(conflicts(disputed.database)) == []
    assert len(list(conflicts(disputed.database, all_of_them=True))) == 1
    with pytest.raises(Refused, match="settled"):
        editor(disputed).settle(named, WHO)
    (tmp_path / "new").mkdir()
    with closing(database.open(migrated(tmp_path / "new"))) as fresh:
        rebuild.rebuild(disputed.store, fresh, compare=likeness)
        assert list(conflicts(fresh)) == []


def test_an_audit_survives_the_index_and_is_not_doubled(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url) as archive:
        archive.send(made(1))
        editor(archive).attributes(Target.study(study_uid()), attributes(StudyDescription="A"), WHO)
        before = archive.rows("audit")
        told = agreed(archive)
    with running(tmp_path, sqlite_url) as archive:
        archive.ingest.writer.close()
        with closing(database.open(sqlite_url)) as index:
            rebuild.rebuild(archive.store, index, compare=likeness)
        assert archive.rows("audit") == before
        assert agreed(archive) == told


def test_an_edit_that_was_refused_is_not_made_up_for_later(tmp_path: Path, sqlite_url: str) -> None:
    """Its record was there before it was refused; what it asks for may have become possible since."""
    with running(tmp_path, sqlite_url) as archive:
        archive.send(made(1, PatientID="P"))
        with pytest.raises(Refused, match="no such patient"):
            editor(archive).merge_patients("\\P", "\\Q", WHO)
        archive.send(made(1, study=2, PatientID="Q"))
        told = agreed(archive)
    with running(tmp_path, sqlite_url) as archive:
        archive.ingest.writer.close()
        with closing(database.open(sqlite_url)) as index:
            assert rebuild.catch_up(archive.store, index, compare=likeness).journal == 0
        assert agreed(archive) == told


def test_of_a_patient_who_was_renamed_or_merged_later_that_is_taken_back_first(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url) as archive:
        archive.send(made(1, PatientID="P"), made(1, study=2, PatientID="Q"))
        told = agreed(archive)
        edits = editor(archive)
        named = edits.attributes(Target.patient("\\P"), attributes(PatientName="Roe^Jane"), WHO)
        renamed = edits.attributes(Target.patient("\\P"), attributes(PatientID="R"), WHO)
        merged = edits.merge_patients("\\R", "\\Q", WHO)
        for early, late in ((named, renamed), (renamed, merged)):
            with pytest.raises(Refused, match=f"{late.uid} came later"):
                edits.revert(early.uid, WHO)
        edits.revert(merged.uid, WHO)
        with pytest.raises(Refused, match=f"{renamed.uid} came later"):
            edits.revert(named.uid, WHO)
        edits.revert(renamed.uid, WHO)
        edits.revert(named.uid, WHO)
        assert agreed(archive) == told


def test_an_edit_in_doubt_that_others_overtook_counts_from_when_it_was_carried_out(
    tmp_path: Path, sqlite_url: str
) -> None:
    """The server died between the record and the index; somebody went on without it."""
    with running(tmp_path, sqlite_url) as archive:
        archive.send(made(1))
        arguments = {"level": "S", "study_uid": study_uid(), "changes": attributes(StudyDescription="doubtful")}
        doubtful = Edit("d" * 32, "attributes", 1_800_000_000_000_000, "tester", "", dumped(arguments))
        archive.store.append_journal(edit_record(doubtful))
        later = editor(archive, clock=lambda: doubtful.at + 1)
        later.attributes(Target.study(study_uid()), attributes(StudyDescription="sure"), WHO)
    with running(tmp_path, sqlite_url) as archive:
        archive.ingest.writer.close()
        with closing(database.open(sqlite_url)) as index:
            assert rebuild.catch_up(archive.store, index, compare=likeness).journal == 1
            assert rebuild.catch_up(archive.store, index, compare=likeness).journal == 0
            assert described(index) == ["doubtful"]
            rebuild.rebuild(archive.store, index, compare=likeness)
            assert described(index) == ["doubtful"]


def test_an_edit_in_doubt_that_can_not_be_is_refused_once(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url) as archive:
        archive.send(made(1))
        arguments = {"level": "S", "study_uid": "1.2.3", "changes": attributes(StudyDescription="of nothing")}
        archive.store.append_journal(edit_record(Edit("e" * 32, "attributes", 1, "tester", "", dumped(arguments))))
    with running(tmp_path, sqlite_url) as archive:
        archive.ingest.writer.close()
        with closing(database.open(sqlite_url)) as index:
            assert rebuild.catch_up(archive.store, index, compare=likeness).journal == 0
            kinds = [record["kind"] for record in archive.store.journal()]
            assert kinds == ["edit", "edit-refused"]
            rebuild.catch_up(archive.store, index, compare=likeness)
            assert [record["kind"] for record in archive.store.journal()] == kinds
