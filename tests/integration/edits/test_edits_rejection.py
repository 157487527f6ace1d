"""Rejection notes (IHE IOCM): what they name goes out of sight on every way, whenever it comes, and comes back."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import archives
from archives import CT, Destination, Object, Running, listening, made, running, series_uid, sop_uid, study_uid
from edited_archives import SOP, STUDY, WHO, agreed, editor, found, located, metadata, moved, retrieved
from isocenter.archive.deletion import Deletions
from isocenter.archive.ingest import Ingest
from isocenter.archive.query import Query, find
from isocenter.archive.rejection.notes import Named, Subject, note
from isocenter.archive.rejection.rejected import view_of
from isocenter.archive.rejection.rejecting import Rejecting, remove
from isocenter.config import HostedAE, Peer
from isocenter.config.rejections import Rejection, Rejections
from isocenter.declarations.query_keys import Level
from isocenter.declarations.rejections import (
    BY_NAME,
    BY_NUMBER,
    EXPIRED,
    KEY_OBJECT_SELECTION,
    NOTE,
    QUALITY,
    SAFETY,
    TITLES,
    Title,
)
from isocenter.dicom import uids
from isocenter.errors import Reason, Refused
from isocenter.index.rebuild import rebuild

EVERYTHING = frozenset({0, NOTE, *BY_NUMBER})


@pytest.fixture
def destination() -> Iterator[Destination]:
    found = Destination()
    with listening(found):
        yield found


@pytest.fixture
def archive(tmp_path: Path, any_url: str, destination: Destination) -> Iterator[Running]:
    with running(tmp_path, any_url, peers=[destination.peer]) as started:
        yield started


def note_of(title: Title, *objects: Object, at: int = 1_700_000_000_000_000) -> Object:
    """A rejection note that names `objects`, of the study of the first."""
    study = objects[0].study
    patient = f"P{study.rpartition('.')[2]}"
    subject = Subject(study, "Doe^Jane", patient, "", "", "", "20240131", "", "", "", "")
    named = [Named(one.study, one.series, one.sop_uid, one.sop_class, image=True) for one in objects]
    written = note(title, subject, named, at)
    return Object(KEY_OBJECT_SELECTION, written.sop_uid, uids.EXPLICIT_LE, written.data, study, written.series_uid)


def seen(archive: Running) -> list[str]:
    """The instances that every way out agrees upon."""
    return [one[SOP] for one in agreed(archive)]


def counts(archive: Running, study: str = "", view: frozenset[int] | None = None) -> dict[str, tuple[Any, ...]]:
    """Modalities and counts of each study."""
    tags = (STUDY, 0x00080061, 0x00201206, 0x00201208)
    query = Query(level=Level.STUDY, access=None, returns=tuple((tag,) for tag in tags), view=view or frozenset({0}))
    rows = [row for page in find(archive.database, query) for row in page]
    return {str(row.value(STUDY)): tuple(row.value(tag) for tag in tags[1:]) for row in rows}


@pytest.mark.parametrize("title", TITLES, ids=[title.name for title in TITLES])
def test_what_a_note_names_is_out_of_sight_on_every_way(
    archive: Running, destination: Destination, title: Title
) -> None:
    first, second = made(1), made(2)
    archive.send(first, second, made(1, series=2, Modality="SR"), made(1, study=2))
    archive.send(note_of(title, first, second))
    told = agreed(archive, destination)
    assert sorted(one[SOP] for one in told) == sorted([sop_uid(1, 1, 2), sop_uid(1, 2)])
    assert counts(archive) == {study_uid(): ("SR", 1, 1), study_uid(2): ("CT", 1, 1)}
    assert {row.rejected for row in archive.rows("instance")} == {0, title.number, NOTE}


def test_a_study_that_is_rejected_whole_is_gone_for_every_level(archive: Running) -> None:
    only = made(1)
    archive.send(only, note_of(QUALITY, only))
    for level in Level:
        assert list(find(archive.database, Query(level=level, access=None))) == []
    assert seen(archive) == []


def test_a_note_may_come_before_its_objects(archive: Running) -> None:
    early, other = made(1), made(2)
    archive.send(note_of(SAFETY, early), early, other)
    assert seen(archive) == [other.sop_uid]
    archive.send(made(1, series=2))
    assert len(seen(archive)) == 2


def test_an_ordinary_key_object_rejects_nothing(archive: Running) -> None:
    one = made(1)
    interesting = Title(0, "", "113000", "Of Interest")
    archive.send(one, note_of(interesting, one))
    assert sorted(row.rejected for row in archive.rows("instance")) == [0, 0]
    assert archive.rows("rejection") == []


def test_a_peer_may_be_forbidden_to_reject(tmp_path: Path, sqlite_url: str) -> None:
    peers = [Peer(title="MODALITY", may_reject=False), Peer(title="QA")]
    with running(tmp_path, sqlite_url, peers=peers) as archive:
        one, other = made(1), made(2)
        interesting = note_of(Title(0, "", "113000", "Of Interest"), one)
        archive.send(one, other, interesting, calling="MODALITY")
        (refused,) = archive.store_all(note_of(QUALITY, one), calling="MODALITY")
        assert (refused.status, refused.comment) == (0x0124, "this peer may not reject objects")
        assert {row.rejected for row in archive.rows("instance")} == {0}
        archive.send(note_of(QUALITY, one), calling="QA")
        archive.send(note_of(QUALITY, other), calling="NOBODY-KNOWS")
        assert [row.sop_uid for row in archive.rows("instance") if not row.rejected] == [interesting.sop_uid]


def test_the_latest_of_several_notes_counts(archive: Running) -> None:
    one = made(1)
    archive.send(one, note_of(QUALITY, one), note_of(EXPIRED, one))
    assert {row.sop_uid: row.rejected for row in archive.rows("instance")}[one.sop_uid] == EXPIRED.number


def test_a_note_that_names_a_note_revokes_it(archive: Running) -> None:
    one, two = made(1), made(2)
    wrong = note_of(QUALITY, one, two)
    archive.send(one, two, wrong)
    assert seen(archive) == []
    archive.send(note_of(QUALITY, wrong))
    assert len(seen(archive)) == 2


def test_a_note_that_is_deleted_is_revoked(archive: Running) -> None:
    one = made(1)
    wrong = note_of(SAFETY, one)
    archive.send(one, wrong)
    deletions = Deletions(archive.database, archive.store, archive.ingest.writer)
    assert deletions.delete_rejected(wrong.study, wrong.series, (wrong.sop_uid,)) == 1
    assert seen(archive) == [one.sop_uid]
    assert archive.rows("rejection") == []


def test_what_was_rejected_is_brought_back_by_hand(archive: Running) -> None:
    one, two = made(1), made(2)
    archive.send(one, two, note_of(QUALITY, one, two))
    assert editor(archive).unreject(study_uid(), series_uid(), one.sop_uid, WHO).objects == 1
    assert seen(archive) == [one.sop_uid]
    assert editor(archive).unreject(study_uid(), "", "", WHO).objects == 1
    assert len(seen(archive)) == 2
    archive.send(note_of(QUALITY, one, at=1_900_000_000_000_000))
    assert seen(archive) == [two.sop_uid]


def test_a_split_series_is_rejected_by_its_former_or_its_new_study(archive: Running) -> None:
    one, two = made(1), made(2)
    archive.send(one, two, made(1, series=2))
    editor(archive).split_series(study_uid(), series_uid(), "1.2.3.4", WHO)
    archive.send(note_of(QUALITY, one))
    assert one.sop_uid not in seen(archive)
    archive.send(note_of(QUALITY, two._replace(study="1.2.3.4")))
    assert seen(archive) == [sop_uid(1, 1, 2)]


# --- sent again


def resending(archive: Running, **titles: Rejection) -> None:
    """Settings for what is sent again."""
    ingest = Ingest(archive.store, archive.ingest.writer, rejections=Rejections(**titles))
    archive.ingest.resending = ingest.resending


@pytest.mark.parametrize("title", TITLES, ids=[title.name for title in TITLES])
@pytest.mark.parametrize(
    ("resend", "status", "visible"), [("refuse", 0x0111, False), ("hide", 0, False), ("revive", 0, True)]
)
def test_a_rejected_object_that_is_sent_again(
    archive: Running, title: Title, resend: Any, status: int, visible: bool
) -> None:
    resending(archive, **{title.name: Rejection(resend=resend)})
    one = made(1)
    archive.send(one, note_of(title, one))
    assert archive.status(one) == status
    assert (one.sop_uid in seen(archive)) is visible
    other = made(1, StudyDescription="Other", pixels=b"\1" * 64)
    assert archive.status(other) == (0 if visible else status)
    assert (one.sop_uid in seen(archive)) is visible


@pytest.mark.parametrize(
    ("resend", "status", "visible"), [("refuse", 0x0111, False), ("hide", 0, False), ("revive", 0, True)]
)
def test_a_rejected_object_that_is_sent_again_once_it_was_removed(
    archive: Running, resend: Any, status: int, visible: bool
) -> None:
    resending(archive, quality=Rejection(resend=resend))
    one = made(1)
    archive.send(one, note_of(QUALITY, one))
    assert removed(archive, QUALITY) == 1
    assert archive.status(one) == status
    assert seen(archive) == ([one.sop_uid] if visible else [])


# --- views


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, {"plain"}),
        ({"rejected": "show"}, {"plain", "blurred", "harmful"}),
        ({"rejected": "show", "rejected_titles": ("quality",)}, {"plain", "blurred"}),
        ({"rejected": "only"}, {"blurred", "harmful"}),
        ({"rejected": "only", "rejected_titles": ("safety",)}, {"harmful"}),
        ({"rejection_notes": "show"}, {"plain", "note", "note2"}),
        ({"rejected": "only", "rejected_titles": ("safety",), "rejection_notes": "show"}, {"harmful", "note", "note2"}),
    ],
)
def test_an_ae_shows_what_its_view_says(
    tmp_path: Path, any_url: str, destination: Destination, changes: dict[str, Any], shown: set[str]
) -> None:
    ae = replace(HostedAE(), **changes)
    objects = {"plain": made(1), "blurred": made(2), "harmful": made(1, series=2, Modality="MR")}
    objects["note"] = note_of(QUALITY, objects["blurred"])
    objects["note2"] = note_of(SAFETY, objects["harmful"])
    with running(tmp_path, any_url, ae=ae, peers=[destination.peer]) as archive:
        archive.send(*objects.values())
        expected = sorted(objects[name].sop_uid for name in shown)
        view = view_of(ae)
        assert sorted(one[SOP] for one in found(archive.database, view)) == expected
        assert sorted(one[SOP] for one in retrieved(archive.database, archive.store, view)) == expected
        assert sorted(one[SOP] for one in moved(archive, [study_uid()], destination)) == expected
        modalities = {"MR" if name == "harmful" else "KO" if "note" in name else "CT" for name in shown}
        told, series, instances = counts(archive, view=view)[study_uid()]
        assert set(told.split("\\")) == modalities
        assert instances == len(shown)
        assert series == len({objects[name].series for name in shown})


# --- removal


def removed(archive: Running, title: Title) -> int:
    """Remove what notes of this title rejected."""
    deletions = Deletions(archive.database, archive.store, archive.ingest.writer)
    return remove(archive.database, deletions, title.number, 1 << 62)


def test_rejected_objects_are_removed_when_their_time_is_over(archive: Running) -> None:
    one, two, three = made(1), made(2), made(1, series=2)
    archive.send(one, two, three, note_of(QUALITY, one), note_of(SAFETY, three))
    deletions = Deletions(archive.database, archive.store, archive.ingest.writer)
    assert remove(archive.database, deletions, QUALITY.number, 1) == 0
    assert removed(archive, QUALITY) == 1
    assert {row.sop_uid for row in archive.rows("instance")} >= {two.sop_uid, three.sop_uid}
    assert one.sop_uid not in {row.sop_uid for row in archive.rows("instance")}
    # the object goes from an explicit row, and not before the days of grace are over
    assert [row.reason for row in archive.rows("removal")] == ["deleted"]
    assert len(archive.objects()) == 5
    assert removed(archive, SAFETY) == 1
    assert seen(archive) == [two.sop_uid]


def test_what_is_brought_back_while_it_is_being_removed_stays(archive: Running) -> None:
    one, two = made(1), made(2)
    archive.send(one, two, note_of(QUALITY, one, two))

    class Late(Deletions):
        """Somebody brings an object back once it is known what is to go."""

        def delete_rejected(self, *names: Any) -> int:
            editor(archive).unreject(study_uid(), series_uid(), one.sop_uid, WHO)
            return super().delete_rejected(*names)

    remove(archive.database, Late(archive.database, archive.store, archive.ingest.writer), QUALITY.number, 1 << 62)
    assert seen(archive) == [one.sop_uid]
    assert two.sop_uid not in {row.sop_uid for row in archive.rows("instance")}
    before = sorted(row.sop_uid for row in archive.rows("instance"))
    rebuild(archive.store, archive.database)
    assert sorted(row.sop_uid for row in archive.rows("instance")) == before
    assert seen(archive) == [one.sop_uid]


# --- notes of our own


def test_a_note_of_our_own_is_a_valid_key_object(archive: Running) -> None:
    archive.send(made(1), made(2))
    rejecting = Rejecting(archive.database, archive.ingest, "ISOCENTER")
    made_note = rejecting.reject(QUALITY, study_uid(), "", "", WHO, modifier="111210")
    assert made_note.instances == 2
    assert seen(archive) == []
    [one] = [one for one in located(archive.database, EVERYTHING) if one.sop_uid == made_note.note_uid]
    with archive.store.open(one.store_key) as stored:
        data = stored.pread(one.size, one.offset)
    assert problems(data) == []
    [entry] = archive.rows("audit")
    assert (entry.event, entry.actor) == ("reject", WHO.actor)
    assert json.loads(entry.detail)["objects"] == 2
    with pytest.raises(Refused) as refusal:
        rejecting.reject(QUALITY, study_uid(), "", "", WHO)
    assert refusal.value.reason == Reason.NOT_FOUND
    with pytest.raises(Refused, match="modifier"):
        rejecting.reject(SAFETY, study_uid(), "", "", WHO, modifier="111210")


def problems(data: bytes) -> Sequence[str]:
    """What pydicom finds wrong with a Key Object document."""
    import io

    from pydicom import dcmread
    from pydicom.sr.codedict import codes

    read = dcmread(io.BytesIO(data), force=True)
    found = []
    title = read.ConceptNameCodeSequence[0]
    if (title.CodeValue, title.CodingSchemeDesignator) != (
        "113001",
        codes.DCM.RejectedForQualityReasons.scheme_designator,
    ):
        found.append("title")
    named = {
        one.ReferencedSOPInstanceUID
        for study in read.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    content = {
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in read.ContentSequence
        if item.ValueType in ("IMAGE", "COMPOSITE")
    }
    if named != content or not named:
        found.append("evidence and content differ")
    kinds = [item.RelationshipType for item in read.ContentSequence]
    if kinds != ["HAS CONCEPT MOD", "CONTAINS", "CONTAINS", "CONTAINS"]:
        found.append(f"content items {kinds}")
    if read.Modality != "KO" or read.ContentTemplateSequence[0].TemplateIdentifier != "2010":
        found.append("template")
    return found


def test_the_titles_and_modifiers_are_those_of_the_standard() -> None:
    from pydicom.sr._concepts_dict import concepts

    from isocenter.declarations.rejections import MODIFIERS

    known = {code: meaning for entry in concepts["DCM"].values() for code, (meaning, _) in entry.items()}
    for title in TITLES:
        assert known[title.code] == title.meaning
    for code, meaning in MODIFIERS.items():
        assert known[code].lower() == meaning.lower()
    assert set(BY_NAME) == set(Rejections.__struct_fields__)


def test_metadata_of_a_view_is_not_kept_for_others(archive: Running) -> None:
    from contextlib import closing

    from isocenter.archive.packs.series import Packs
    from isocenter.archive.retrieval.instances import Selection, series_of

    one, two = made(1, sop_class=CT), made(2)
    archive.send(one, two, note_of(QUALITY, one))
    with closing(Packs(archive.database, archive.store, workers=0, quiet=0)) as packs:
        for view, expected in ((EVERYTHING, 2), (frozenset({0}), 1), (EVERYTHING, 2)):
            named = Selection(study_uids=(study_uid(),), series_uids=(series_uid(),), view=view)
            [series] = series_of(archive.database, named)
            with closing(packs.series(series, "http://x/dicom-web")) as ready:
                assert len(json.loads(b"[%b]" % b"".join(ready.pieces()))) == expected
    assert metadata(archive.database, archive.store) == found(archive.database)
    assert archives.ROOT in one.study
