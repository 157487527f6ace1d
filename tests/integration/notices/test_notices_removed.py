"""What was deleted or rejected is told as UNAVAILABLE, and what comes back as ONLINE (PS3.3 C.4.23.1.1)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from archives import CT, SR, Running, made, running, series_uid, sop_uid, study_uid
from edited_archives import WHO, editor
from isocenter.archive.deletion import Deletions
from isocenter.archive.rejection.rejecting import Rejecting, remove
from isocenter.declarations.rejections import QUALITY
from isocenter.dicom.dataset import items_of, string_of
from isocenter.index.records import Deletion
from notified_peers import Told, Work, listening, settings_of

Bench = tuple[Running, Work, Told]
NOTICE: dict[str, Any] = {"kind": "availability", "to": ["TOLD"], "when": ["removed"]}


@pytest.fixture
def bench(tmp_path: Path, any_url: str) -> Iterator[Bench]:
    """An archive that tells a peer of what goes."""
    told = Told()
    with listening(told), running(tmp_path, any_url, peers=[told.peer]) as archive:
        yield archive, Work(archive, settings_of(archive, notice=[NOTICE])), told


def deletions(archive: Running) -> Deletions:
    return Deletions(archive.database, archive.store, archive.ingest.writer)


def test_what_was_deleted_is_unavailable(bench: Bench) -> None:
    """An instance, and then the rest of its study: of what the index knows no more, the peer still hears the class."""
    archive, work, told = bench
    archive.send(made(1), made(2), made(1, series=2, sop_class=SR), made(1, study=2))
    work.all()
    assert told.messages == []
    deletions(archive).delete(study_uid(), series_uid(), sop_uid(2))
    work.all()
    deletions(archive).delete(study_uid())
    work.all()
    first, rest = told.messages
    assert (first.study_uid, first.availability) == (study_uid(), {sop_uid(2): "UNAVAILABLE"})
    assert rest.availability == dict.fromkeys((sop_uid(1), sop_uid(1, series=2)), "UNAVAILABLE")
    classes = {
        string_of(each, 0x0020000E): {string_of(item, 0x00081150) for item in items_of(each, 0x00081199)}
        for each in items_of(rest.data, 0x00081115)
    }
    assert classes == {series_uid(): {CT}, series_uid(series=2): {SR}}
    assert work.all() == 0


def test_what_was_rejected_is_unavailable_and_what_comes_back_is_online(bench: Bench) -> None:
    archive, work, told = bench
    archive.send(made(1), made(2))
    Rejecting(archive.database, archive.ingest, "ISOCENTER").reject(QUALITY, study_uid(), series_uid(), sop_uid(1), WHO)
    work.all()
    editor(archive).unreject(study_uid(), series_uid(), sop_uid(1), WHO)
    work.all()
    assert [each.availability for each in told.messages] == [{sop_uid(1): "UNAVAILABLE"}, {sop_uid(1): "ONLINE"}]


def test_what_is_here_again_before_it_was_told_is_not_told(bench: Bench) -> None:
    archive, work, told = bench
    archive.send(made(1), made(2))
    work.follow()
    for number in (1, 2):
        deletions(archive).delete(study_uid(), series_uid(), sop_uid(number))
    work.follow()
    archive.send(made(1))
    work.all()
    assert [each.availability for each in told.messages] == [{sop_uid(2): "UNAVAILABLE"}]
    archive.send(made(2))
    deletions(archive).delete(study_uid(), series_uid(), sop_uid(1))
    archive.send(made(1))
    work.all()
    assert len(told.messages) == 1


def test_a_version_that_goes_leaves_the_instance(bench: Bench) -> None:
    archive, work, told = bench
    archive.send(made(1))
    (first,) = archive.rows("instance")
    archive.send(made(1, pixels=bytes(64)))
    work.follow()
    until = first.received_at
    what = Deletion(study_uid(), series_uid(), sop_uid(1), at=until, received_until=until, not_before=until + 10**12)
    assert archive.ingest.writer.submit(what).result().objects == 1
    (left,) = archive.rows("instance")
    assert left.store_key != first.store_key
    work.all()
    assert told.messages == []


def test_an_object_that_is_gone_already_is_passed_over(bench: Bench) -> None:
    """Then nobody knows its class any more; the others are told."""
    archive, work, told = bench
    archive.send(made(1), made(2))
    work.follow()
    first, _ = archive.rows("instance")
    deletions(archive).delete(study_uid())
    archive.store.remove(first.store_key)
    work.all()
    assert [each.availability for each in told.messages] == [{sop_uid(2): "UNAVAILABLE"}]


def test_what_is_removed_after_its_time_was_rejected_is_told_once_more(bench: Bench) -> None:
    archive, work, told = bench
    archive.send(made(1))
    Rejecting(archive.database, archive.ingest, "ISOCENTER").reject(QUALITY, study_uid(), "", "", WHO)
    work.all()
    assert remove(archive.database, deletions(archive), QUALITY.number, work.later(60).clock()) == 1
    work.all()
    assert [each.availability[sop_uid(1)] for each in told.messages] == ["UNAVAILABLE"] * 2
