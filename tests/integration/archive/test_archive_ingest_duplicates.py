"""A second object of a known identity, by policy of the AE; and what of it survives a rebuild of the index."""

from pathlib import Path

import pytest

from archives import SR, Object, Running, made, running, series_uid, sop_uid, study_uid
from isocenter.archive.likeness import likeness
from isocenter.config import HostedAE
from isocenter.dicom import convert, uids
from isocenter.index import rebuild
from isocenter.store.memory import MemoryStore

FIRST = made(1)
RENAMED_PATIENT = made(1, PatientName="Roe^Jane")
"""The same pixels."""
OTHER_PIXELS = made(1, pixels=b"\7" * 64)
POLICIES = ("keep-first", "keep-first-supplement", "replace", "new-uid", "reject")


def facts(archive: Running) -> dict[str, list[object]]:
    """What the index says of its objects, without primary keys."""
    return {
        "instances": sorted((r.sop_uid, r.digest) for r in archive.rows("instance")),
        "versions": sorted((r.verdict, r.digest) for r in archive.rows("instance_version")),
        "conflicts": sorted((r.kind, r.sop_uid) for r in archive.rows("conflict")),
        "exceptions": sorted((r.reason, r.comment, r.sop_uid, r.calling) for r in archive.rows("exception")),
        "descriptions": sorted(r.description for r in archive.rows("study")),
    }


@pytest.mark.parametrize("policy", POLICIES)
def test_an_equal_object_changes_nothing(tmp_path: Path, sqlite_url: str, policy: str) -> None:
    store = MemoryStore()
    with running(tmp_path, sqlite_url, ae=HostedAE(duplicates=policy), store=store) as archive:
        archive.send(FIRST)
        before = facts(archive)
        archive.send(FIRST, calling="OTHER")
        assert facts(archive) == before
        (removal,) = archive.rows("removal")
        assert removal.reason == "equal-duplicate"
        assert removal.kept_key == archive.rows("instance")[0].store_key
        # nothing is deleted here
        assert len(archive.objects()) == 2
        assert not store.unsettled


@pytest.mark.req("M-STORE-06")
@pytest.mark.parametrize("policy", ["keep-first", "keep-first-supplement"])
def test_keep_first(tmp_path: Path, sqlite_url: str, policy: str) -> None:
    store = MemoryStore()
    with running(tmp_path, sqlite_url, ae=HostedAE(duplicates=policy), store=store) as archive:
        archive.send(FIRST, RENAMED_PATIENT, OTHER_PIXELS)
        found = facts(archive)
        assert found["instances"] == [(FIRST.sop_uid, FIRST.digest)]
        assert found["versions"] == sorted([("version", RENAMED_PATIENT.digest), ("conflict", OTHER_PIXELS.digest)])
        assert found["conflicts"] == [("object-differs", FIRST.sop_uid)]
        versions = {row.digest: row.store_key for row in archive.rows("instance_version")}
        assert archive.data_of(versions[OTHER_PIXELS.digest]) == OTHER_PIXELS.data
        assert not store.unsettled


@pytest.mark.req("M-STORE-06")
def test_supplement(tmp_path: Path, sqlite_url: str) -> None:
    first = made(1, without=[0x00081030, 0x00200013])
    second = made(1, StudyDescription="Abdomen", StudyDate="19990101")
    with running(tmp_path, sqlite_url, ae=HostedAE(duplicates="keep-first-supplement")) as archive:
        archive.send(first, second)
        (study,), (instance,) = archive.rows("study"), archive.rows("instance")
        assert (study.description, study.study_date) == ("Abdomen", "20240131")
        assert (instance.instance_number, instance.digest) == ("1", first.digest)
        assert archive.data_of(instance.store_key) == first.data


def test_replace(tmp_path: Path, sqlite_url: str) -> None:
    store = MemoryStore()
    with running(tmp_path, sqlite_url, ae=HostedAE(duplicates="replace"), store=store) as archive:
        archive.send(FIRST, OTHER_PIXELS)
        found = facts(archive)
        assert found["instances"] == [(FIRST.sop_uid, OTHER_PIXELS.digest)]
        assert found["versions"] == [("superseded", FIRST.digest)]
        assert len(archive.objects()) == 2
        assert not store.unsettled


def test_reject(tmp_path: Path, sqlite_url: str) -> None:
    store = MemoryStore()
    with running(tmp_path, sqlite_url, ae=HostedAE(duplicates="reject"), store=store) as archive:
        archive.send(FIRST)
        (response,) = archive.store_all(OTHER_PIXELS)
        assert response.status == 0x0111
        assert response.comment
        assert facts(archive)["instances"] == [(FIRST.sop_uid, FIRST.digest)]
        assert [row.reason for row in archive.rows("removal")] == ["rejected-duplicate"]
        assert not store.unsettled


@pytest.mark.req("X-QR-44", "X-QR-45")
@pytest.mark.parametrize("syntax", [uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE, uids.JPEG_LOSSLESS_SV1])
def test_new_uid(tmp_path: Path, sqlite_url: str, syntax: str) -> None:
    first, second = made(1, syntax=syntax), made(1, syntax=syntax, pixels=b"\7" * (3 << 20))
    store = MemoryStore()
    with running(tmp_path, sqlite_url, ae=HostedAE(duplicates="new-uid"), store=store) as archive:
        accepted, coerced = archive.store_all(first, second)
        assert (accepted.status, coerced.status) == (0x0000, 0xB000)
        assert coerced.comment
        one, other = archive.rows("instance")
        assert one.digest == first.digest
        assert other.sop_uid.startswith("2.25.")
        fresh = archive.data_of(other.store_key)
        old, new = first.sop_uid.encode(), other.sop_uid.encode()
        new += b"\0" * (len(new) % 2)
        assert fresh.count(new) == 1
        start = fresh.index(new)
        assert second.data.endswith(fresh[start + len(new) :])
        assert second.data.startswith(fresh[: start - 4])
        assert old not in fresh
        # the received original stays at hand
        assert archive.set_aside() == [("duplicate-sop-instance", second.data)]
        (row,) = archive.rows("exception")
        assert row.sop_uid == first.sop_uid
        assert not store.unsettled
        assert not archive.rows("conflict")


def test_new_uid_of_a_deflated_object(tmp_path: Path, sqlite_url: str) -> None:
    """It can't be renamed: kept beside the first, flagged."""
    first, second = (made(1, syntax=uids.DEFLATED_LE, pixels=bytes([n]) * 64) for n in (1, 2))
    store = MemoryStore()
    with running(tmp_path, sqlite_url, ae=HostedAE(duplicates="new-uid"), store=store) as archive:
        archive.send(first, second)
        assert facts(archive)["versions"] == [("conflict", second.digest)]
        assert not archive.set_aside()
        assert not store.unsettled


def test_the_same_object_in_another_native_syntax_is_no_conflict(tmp_path: Path, sqlite_url: str) -> None:
    image, report = made(1), made(2, sop_class=SR, pixels=b"")
    with running(tmp_path, sqlite_url) as archive:
        archive.send(image, report, _in_implicit(image), _in_implicit(report))
        assert [verdict for verdict, _ in facts(archive)["versions"]] == ["version", "version"]  # type: ignore[misc]
        archive.send(made(2, sop_class=SR, pixels=b"", StudyDescription="Abdomen"))
        assert facts(archive)["conflicts"] == [("object-differs", report.sop_uid)]


def _in_implicit(sent: Object) -> Object:
    data = sent.data
    pieces = convert.convert(lambda at, n: data[at : at + n], len(data), sent.syntax, uids.IMPLICIT_LE)
    return sent._replace(syntax=uids.IMPLICIT_LE, data=b"".join(pieces))


def test_conflicts(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url) as archive:
        archive.send(
            made(1),
            made(2, PatientID="SOMEONE"),
            made(1, study=2, SOPInstanceUID=sop_uid(1)),
            made(1, series=2, SOPInstanceUID=sop_uid(1)),
        )
        kinds = sorted((row.kind, row.study_uid, row.series_uid) for row in archive.rows("conflict"))
        assert kinds == [
            ("patient-differs", study_uid(1), series_uid(1, 1)),
            ("uid-in-other-series", study_uid(1), series_uid(1, 2)),
            ("uid-in-other-study", study_uid(2), series_uid(2, 1)),
        ]
        # all of them stay, each under its own path
        assert len(archive.rows("instance")) == 4


@pytest.mark.parametrize("policy", POLICIES)
def test_a_rebuilt_index_says_the_same(tmp_path: Path, sqlite_url: str, policy: str) -> None:
    first = made(1, without=[0x00081030])
    with running(tmp_path, sqlite_url, ae=HostedAE(duplicates=policy)) as archive:
        archive.store_all(first, RENAMED_PATIENT, first, OTHER_PIXELS, made(2, without=[0x0020000D]))
        before = facts(archive)
        rebuild.rebuild(archive.store, archive.database, compare=likeness)
        assert facts(archive) == before
