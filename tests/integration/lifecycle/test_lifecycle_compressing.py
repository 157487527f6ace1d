"""Stored objects compressed: the same samples in fewer bytes, the same instance, and what was received is known."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archives
from archives import Object, Running, keys, listening, made, running, sop_uid, study_uid
from compressing_archives import COLOUR, GREY, J2K, compress, image
from imaging_objects import frames_in, native_frames
from isocenter.archive.edits.checks import Target
from isocenter.archive.likeness import likeness
from isocenter.config.coercion import Action, Rule
from isocenter.dicom import uids
from isocenter.dicom.part10 import read_header, read_receipt
from isocenter.imaging.engine import Engine
from isocenter.index import rebuild
from isocenter.jobs.removal import carry_out
from isocenter.lifecycle.compressing import now
from isocenter.lifecycle.proving import CHANGED, PROVED, prove
from isocenter.store.filesystem import FilesystemStore

DAY = 86_400_000_000
TARGETS = {
    "JPEG2000Lossless": uids.JPEG_2000_LOSSLESS,
    "JPEGLSLossless": uids.JPEG_LS_LOSSLESS,
    "HTJ2KLosslessRPCL": uids.HTJ2K_LOSSLESS_RPCL,
    "JPEGLosslessSV1": uids.JPEG_LOSSLESS_SV1,
    "RLELossless": uids.RLE_LOSSLESS,
    "DeflatedImageFrameCompression": "1.2.840.10008.1.2.8.1",
}


@pytest.fixture
def archive(tmp_path: Path, sqlite_url: str) -> Iterator[Running]:
    with running(tmp_path, sqlite_url) as made_one:
        yield made_one


def instance(archive: Running, number: int = 1, study: int = 1) -> Any:
    """The row of an instance."""
    return next(row for row in archive.rows("instance") if row.sop_uid == sop_uid(number, study))


def data_of(archive: Running, row: Any) -> bytes:
    return archive.data_of(row.store_key)


def receipt_of(archive: Running, row: Any) -> Any:
    with archive.store.open(row.store_key) as stored:
        return read_receipt(read_header(stored.pread(row.offset, 0)))


def samples_equal(archive: Running, row: Any, pixels: Any) -> bool:
    wanted, _ = native_frames(pixels)
    found = frames_in(data_of(archive, row), row.syntax)
    return len(found) == len(wanted) and all(np.array_equal(a, b) for (a, _), b in zip(found, wanted, strict=True))


@pytest.mark.req("M-STORE-03", "I-STORE-06")
def test_into_each_transfer_syntax_without_loss(archive: Running, engine: Engine) -> None:
    for study, target in enumerate(TARGETS, 1):
        sent = {1: GREY} if target == "RLELossless" else {1: GREY, 2: COLOUR}  # run-lengths don't shrink slopes
        archive.send(*(image(number, pixels, study=study) for number, pixels in sent.items()))
        before = {row.sop_uid: row for row in archive.rows("instance")}
        assert compress(archive, engine, {"to": target}, study=study).progress.startswith(
            f"{len(sent)} compressed, 0 left"
        )
        for number, pixels in sent.items():
            row, then = instance(archive, number, study), before[sop_uid(number, study)]
            assert (row.syntax, row.id, row.received_at) == (TARGETS[target], then.id, then.received_at)
            assert row.size < then.size
            assert samples_equal(archive, row, pixels), target
            receipt = receipt_of(archive, row)
            assert receipt.digest == row.digest == hashlib.sha256(data_of(archive, row)).hexdigest()
            (step,) = receipt.compressed
            assert (step.digest, step.syntax, step.size) == (then.digest, then.syntax, then.size)
            assert (receipt.sending_aet, receipt.received_at) == ("TESTER", then.received_at)
    images = 2 * len(TARGETS) - 1
    assert len(archive.objects()) == 2 * images, "the originals are still there"
    assert len(archive.rows("removal")) == images


def test_the_digest_is_that_of_the_samples(archive: Running, engine: Engine) -> None:
    """Anyone can make it again: SHA-256 of the decoded samples, with the colours that they are in."""
    archive.send(image(1), image(2, COLOUR))
    compress(archive, engine, J2K)
    for row, pixels in zip(archive.rows("compression"), (GREY, COLOUR), strict=True):
        _, value = native_frames(pixels)
        assert row.pixels == f"{pixels.photometric} {hashlib.sha256(value).hexdigest()}"


@pytest.mark.req("I-STORE-03")
def test_all_other_attributes_are_as_they_were(archive: Running, engine: Engine) -> None:
    from isocenter.dicom.dataset import decode

    sent = image(1, COLOUR, StudyDescription="Thorax", PatientComments="Zoë")
    archive.send(sent)
    compress(archive, engine, J2K)
    row = instance(archive)
    head, _, _ = data_of(archive, row).partition(b"\xe0\x7f\x10\x00")
    before, after = decode(sent.data, sent.syntax), decode(head, uids.EXPLICIT_LE)
    changed = {tag for tag in before.keys() | after.keys() if before.get(tag) != after.get(tag)}
    assert changed == {0x00280004, 0x7FE00010}, "the colour transform of JPEG 2000, and the pixel data"


@pytest.mark.req("I-STORE-05")
def test_sent_again_it_is_known(archive: Running, engine: Engine) -> None:
    archive.send(image(1))
    compress(archive, engine, J2K)
    archive.send(image(1), image(1, PatientName="Doe^Janet"), image(1, GREY, noise=True))
    verdicts = [row.verdict for row in archive.rows("instance_version")]
    assert verdicts == ["version", "conflict"], "with another name it is a version, with other pixels a conflict"
    assert [row.reason for row in archive.rows("removal")] == ["compressed", "equal-duplicate"]


def test_what_rules_changed_is_known_too(tmp_path: Path, sqlite_url: str, engine: Engine) -> None:
    rule = Rule(when="receive", do=(Action(set="StudyDescription", value="Chest"),))
    with running(tmp_path, sqlite_url, rules=[rule]) as archive:
        archive.send(image(1))
        compress(archive, engine, J2K)
        archive.send(image(1))
        assert [row.reason for row in archive.rows("removal")] == ["compressed", "equal-duplicate"]
        archive.send(image(1, GREY, noise=True))
        assert [row.verdict for row in archive.rows("instance_version")] == ["conflict"]


def reconstructed(archive: Running) -> dict[str, list[Any]]:
    """What an index made anew must say again."""
    ignored = {"id", "changed_at", "series", "study", "patient", "instance", "opened_at", "revision", "not_before"}
    return {
        table: sorted(
            str({name: value for name, value in row._mapping.items() if name not in ignored})
            for row in archive.rows(table)
        )
        for table in ("instance", "instance_version", "series", "study", "compression", "conflict")
    }


def made_anew(archive: Running) -> None:
    archive.ingest.writer.close()
    rebuild.rebuild(archive.store, archive.database, compare=likeness)


@pytest.mark.parametrize("gone", [False, True], ids=["originals there", "originals gone"])
def test_an_index_made_anew_says_the_same(archive: Running, engine: Engine, gone: bool) -> None:
    archive.send(image(1), image(2, COLOUR), image(3))
    compress(archive, engine, {**J2K, "where": [{"attribute": "InstanceNumber", "in": ["1", "2"]}]})
    archive.send(image(1, PatientName="Doe^Janet"), image(1, GREY, noise=True))
    if gone:
        assert carry_out(archive.database, archive.store, now() + DAY) == 2
    before, objects = reconstructed(archive), archive.objects()
    made_anew(archive)
    assert reconstructed(archive) == before
    assert archive.objects() == objects
    awaiting = {row.store_key for row in archive.rows("removal") if row.reason == "compressed"}
    assert len(awaiting) == (0 if gone else 2)


def test_the_original_goes_when_its_time_is_over(archive: Running, engine: Engine) -> None:
    archive.send(image(1))
    (original,) = archive.objects()
    compress(archive, engine, J2K, keep=3600)
    assert carry_out(archive.database, archive.store, now() + 3000 * 1_000_000) == 0
    assert archive.store.exists(original)
    assert carry_out(archive.database, archive.store, now() + DAY) == 1
    assert archive.objects() == [instance(archive).store_key]


def test_the_original_stays_while_the_other_is_not_sound(archive: Running, engine: Engine) -> None:
    archive.send(image(1))
    (original,) = archive.objects()
    compress(archive, engine, J2K)
    rot(archive, instance(archive).store_key)
    carry_out(archive.database, archive.store, now() + DAY)
    assert archive.store.exists(original)


def rot(archive: Running, key: str) -> None:
    """One bit of an object's pixels is another."""
    assert isinstance(archive.store, FilesystemStore)
    with archive.store.open(key) as stored:
        path = Path(f"/proc/self/fd/{stored.fileno()}").resolve()
        at = stored.size - 40
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (image(1, GREY, noise=True), "not-smaller"),
        (image(1, GREY, cut=100), "not-acceptable"),
        (image(1, COLOUR._replace(samples=2, photometric="RGB")), "transfer-syntax-not-supported"),
    ],
    ids=["noise", "cut off", "two samples"],
)
def test_what_can_not_be_compressed_stays_and_is_tried_once(
    archive: Running, engine: Engine, sent: Object, reason: str
) -> None:
    archive.send(sent, image(2))
    (before, _) = archive.rows("instance")
    assert compress(archive, engine, {"to": "RLELossless"}).progress.startswith("1 compressed, 1 left")
    assert instance(archive) == before
    (left,) = archive.rows("compression_left")
    assert (left.store_key, left.target, left.reason) == (before.store_key, uids.RLE_LOSSLESS, reason)
    assert compress(archive, engine, {"to": "RLELossless"}).progress.startswith("0 compressed, 0 left")


@pytest.mark.req("M-DWSTORE-02")
def test_a_form_for_fast_display(archive: Running, engine: Engine) -> None:
    archive.send(image(1, COLOUR))
    compress(archive, engine, J2K)
    rule = {"stored": ["JPEG2000Lossless"], "to": "ExplicitVRLittleEndian"}
    assert compress(archive, engine, rule).progress.startswith("1 compressed, 0 left")
    row = instance(archive)
    assert row.syntax == uids.EXPLICIT_LE
    assert data_of(archive, row) == image(1, COLOUR).data, "what was received, byte for byte"
    assert [step.syntax for step in receipt_of(archive, row).compressed] == [uids.EXPLICIT_LE, uids.JPEG_2000_LOSSLESS]
    before = reconstructed(archive)
    carry_out(archive.database, archive.store, now() + DAY)
    assert len(archive.objects()) == 1
    made_anew(archive)
    assert reconstructed(archive) == before


def test_on_postgresql(tmp_path: Path, postgresql_url: str, engine: Engine) -> None:
    with running(tmp_path, postgresql_url) as archive:
        archive.send(image(1), image(2, COLOUR))
        compress(archive, engine, {**J2K, "modalities": ["CT"]})
        archive.send(image(1))
        before = reconstructed(archive)
        assert {row.syntax for row in archive.rows("instance")} == {uids.JPEG_2000_LOSSLESS}
        made_anew(archive)
        assert reconstructed(archive) == before


def test_what_is_no_image_is_no_matter_of_compression(archive: Running, engine: Engine) -> None:
    archive.send(made(1, pixels=b"", sop_class=archives.SR), image(2))
    assert compress(archive, engine, J2K).progress.startswith("1 compressed, 0 left")


def test_of_what_has_rotted_nothing_is_made(archive: Running, engine: Engine) -> None:
    archive.send(image(1))
    (original,) = archive.objects()
    rot(archive, original)
    compress(archive, engine, J2K)
    assert [row.reason for row in archive.rows("compression_left")] == ["altered"]
    assert archive.objects() == [original]


def test_that_nothing_was_lost_can_be_shown_later(archive: Running, engine: Engine) -> None:
    archive.send(image(1), image(2))
    compress(archive, engine, {**J2K, "where": [{"attribute": "InstanceNumber", "equals": "1"}]})
    compressed, plain = instance(archive, 1), instance(archive, 2)
    with archive.store.open(compressed.store_key) as stored:
        found = prove(engine, stored)
        assert found is not None
        assert found.verdict == PROVED
    with archive.store.open(plain.store_key) as stored:
        assert prove(engine, stored) is None, "it is what was received, as its own digest says"
    rot(archive, compressed.store_key)
    with archive.store.open(compressed.store_key) as stored:
        found = prove(engine, stored)
        assert found is not None
        assert found.verdict == CHANGED


@pytest.mark.req("M-STORE-03")
def test_a_lossy_copy_is_another_instance(archive: Running, engine: Engine) -> None:
    archive.send(image(1, COLOUR))
    rule = {"to": "JPEGBaseline8Bit", "lossy": {"quality": 95, "least": 20}}
    assert compress(archive, engine, rule).progress == "1 compressed, 0 left, 0 waiting, 0 bytes saved"
    compress(archive, engine, rule)
    original, copy = archive.rows("instance")
    assert (original.sop_uid, original.syntax) == (sop_uid(1), uids.EXPLICIT_LE)
    assert (copy.syntax, copy.series) == (uids.JPEG_BASELINE, original.series)
    assert copy.sop_uid.startswith("2.25.")
    assert copy.image_type.startswith("DERIVED")
    assert [row.reason for row in archive.rows("compression_left")] == ["copied"]
    assert not archive.rows("conflict")


def test_a_lossy_copy_in_the_place_of_its_original(archive: Running, engine: Engine) -> None:
    archive.send(image(1, COLOUR))
    rule = {"to": "JPEGBaseline8Bit", "lossy": {"quality": 95, "least": 20, "original": "delete"}}
    compress(archive, engine, rule)
    (copy,) = archive.rows("instance")
    assert copy.syntax == uids.JPEG_BASELINE
    (removal,) = archive.rows("removal")
    assert removal.reason == "deleted"
    assert removal.not_before > now() + 3000 * 1_000_000, "it is kept as long as other originals are"
    before = reconstructed(archive)
    made_anew(archive)
    assert reconstructed(archive) == before


def test_a_lossy_copy_that_is_too_poor_is_not_kept(archive: Running, engine: Engine) -> None:
    archive.send(image(1, COLOUR))
    compress(archive, engine, {"to": "JPEGBaseline8Bit", "lossy": {"quality": 1, "least": 60, "original": "delete"}})
    assert [row.sop_uid for row in archive.rows("instance")] == [sop_uid(1)]
    assert [row.reason for row in archive.rows("compression_left")] == ["too-poor"]


def test_edits_cover_what_was_compressed(tmp_path: Path, sqlite_url: str, engine: Engine) -> None:
    from edited_archives import WHO, attributes, editor

    destination = archives.Destination(syntaxes=(uids.JPEG_2000_LOSSLESS,))
    with listening(destination), running(tmp_path, sqlite_url, peers=[destination.peer]) as archive:
        archive.send(image(1))
        edits = editor(archive)
        edits.attributes(Target.study(study_uid()), attributes(StudyDescription="Before"), WHO)
        compress(archive, engine, J2K)
        archive.move("DEST", keys("STUDY", StudyInstanceUID=study_uid()))
        (received,) = destination.received
        assert received.syntax == uids.JPEG_2000_LOSSLESS
        assert b"Before" in received.data
