"""Filing instances that belong to no patient, on both databases: duplicates, deletion, rebuild, catching up."""

from pathlib import Path

import pytest

from archives import Running, running
from isocenter.archive.commitment.data import Reference
from isocenter.archive.commitment.holding import Checker
from isocenter.archive.deletion import Deletions
from isocenter.archive.likeness import likeness
from isocenter.config import HostedAE
from isocenter.declarations.commitment import Failure
from isocenter.dicom import uids
from isocenter.index.rebuild import catch_up, rebuild, unknown
from isocenter.jobs.removal import carry_out
from non_patient_objects import HANGING, hanging, palette, uid_of

_ROW = ("sop_uid", "sop_class", "verdict", "digest", "character_set", "attributes", "source_aet", "store_key")
_FOREVER = 1 << 62


def _held(archive: Running) -> dict[str, list[str]]:
    """Verdicts of the rows by name of the hanging protocol; '' is the one in force."""
    found: dict[str, list[str]] = {}
    for row in archive.rows("non_patient_instance"):
        found.setdefault(row.attributes.partition('00720002":{"vr":"SH","Value":["')[2].partition('"')[0], []).append(
            row.verdict
        )
    return found


def _answers(archive: Running) -> list[tuple[str, ...]]:
    rows = archive.rows("non_patient_instance")
    return sorted(tuple(str(getattr(row, name)) for name in _ROW) for row in rows)


@pytest.mark.parametrize(
    ("policy", "status", "held"),
    [
        ("keep-first", 0, {"ONE": [""], "TWO": ["conflict"]}),
        ("keep-first-supplement", 0, {"ONE": [""], "TWO": ["conflict"]}),
        ("replace", 0, {"ONE": ["superseded"], "TWO": [""]}),
        ("reject", 0x0111, {"ONE": [""]}),
        ("new-uid", 0xB000, {"ONE": [""], "TWO": [""]}),
    ],
)
def test_duplicates_go_by_the_policy(
    tmp_path: Path, any_url: str, policy: str, status: int, held: dict[str, list[str]]
) -> None:
    with running(tmp_path, any_url, ae=HostedAE(duplicates=policy)) as archive:  # type: ignore[arg-type]
        archive.send(hanging(name="ONE"), hanging(name="ONE"))
        assert archive.status(hanging(name="TWO")) == status
        assert _held(archive) == held
        before = _answers(archive)
        conflicts = [(row.kind, row.sop_uid) for row in archive.rows("conflict")]
        assert conflicts == ([("object-differs", uid_of(1))] if "conflict" in held.get("TWO", ()) else [])
        # the equal copy, and one that was refused, are marked for removal; what is kept is not
        assert {row.reason for row in archive.rows("removal")} <= {"equal-duplicate", "rejected-duplicate"}
        carry_out(archive.database, archive.store, _FOREVER)
        assert sorted(archive.objects()) == sorted(row[-1] for row in before)
        rebuild(archive.store, archive.database, compare=likeness)
        assert _answers(archive) == before


def test_another_encoding_of_the_same_is_a_version(tmp_path: Path, any_url: str) -> None:
    with running(tmp_path, any_url) as archive:
        archive.send(hanging(), hanging(syntax=uids.IMPLICIT_LE))
        assert _held(archive) == {"CHEST": ["", "version"]}
        assert archive.rows("conflict") == []


def test_deletion_is_journalled_and_what_came_later_stays(tmp_path: Path, any_url: str) -> None:
    with running(tmp_path, any_url) as archive:
        archive.send(hanging(1), hanging(2), palette(1))
        deletions = Deletions(archive.database, archive.store, archive.ingest.writer, grace=0)
        assert deletions.delete_non_patient([HANGING], uid_of(1)) == 1
        assert deletions.delete_non_patient([HANGING], uid_of(1)) == 0
        assert deletions.delete_non_patient(["1.2.3"], uid_of(2)) == 0, "another class"
        archive.send(hanging(1, name="AGAIN"))
        before = _answers(archive)
        assert len(before) == 3
        rebuild(archive.store, archive.database, compare=likeness)
        assert _answers(archive) == before
        assert catch_up(archive.store, archive.database, compare=likeness).journal == 0
        assert _answers(archive) == before
        carry_out(archive.database, archive.store, _FOREVER)
        assert sorted(archive.objects()) == sorted(row[-1] for row in before)


def test_a_deleted_one_gives_way_to_a_kept_version(tmp_path: Path, any_url: str) -> None:
    with running(tmp_path, any_url) as archive:
        archive.send(hanging(name="ONE"))
        moment = archive.rows("non_patient_instance")[0].received_at
        archive.send(hanging(name="TWO"))
        deletions = Deletions(archive.database, archive.store, archive.ingest.writer, clock=lambda: moment)
        assert deletions.delete_non_patient([HANGING], uid_of(1)) == 1
        assert _held(archive) == {"TWO": [""]}


def test_an_index_that_lost_them_learns_them_again(tmp_path: Path, any_url: str) -> None:
    with running(tmp_path, any_url) as archive:
        archive.send(hanging(), palette())
        before = _answers(archive)
        assert list(unknown(archive.database, archive.store.keys())) == []
        with archive.database.writing() as connection:
            connection.exec_driver_sql("DELETE FROM non_patient_instance")
        assert catch_up(archive.store, archive.database).verdicts == {"stored": 2}
        assert _answers(archive) == before


def test_the_archive_commits_to_them(tmp_path: Path, any_url: str) -> None:
    with running(tmp_path, any_url) as archive:
        archive.send(hanging())
        checker = Checker(archive.database, archive.store)
        asked = [Reference(HANGING, uid_of(1)), Reference("1.2.3", uid_of(1)), Reference(HANGING, uid_of(2))]
        (page,) = checker.check(asked, "digest")
        wanted = [Failure.NONE, Failure.CLASS_INSTANCE_CONFLICT, Failure.NO_SUCH_OBJECT]
        assert [each.failure for each in page] == wanted
