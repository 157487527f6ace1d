"""Images for an archive that compresses what it stores, and the job that does so."""

from collections.abc import Callable, Mapping
from typing import Any

import archives
from archives import Object, Running
from imaging_objects import header, native_frames
from isocenter.archive.deletion import Deletions
from isocenter.config.loading import build
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, decode, encode, encode_element
from isocenter.imaging.engine import Engine
from isocenter.imaging.pixels import Pixels
from isocenter.jobs import Queue, Runner
from isocenter.jobs.queue import State
from isocenter.lifecycle.choosing import compiled
from isocenter.lifecycle.compressing import Compressor, now
from isocenter.lifecycle.working import KIND, Work, enqueue

GREY = Pixels(64, 70, 1, "MONOCHROME2", 16, 12, 11, signed=True)
COLOUR = Pixels(48, 50, 3, "RGB", frames=3)
J2K = {"to": "JPEG2000Lossless"}


def image(number: int = 1, pixels: Pixels = GREY, *, noise: bool = False, cut: int = 0, **named: Any) -> Object:
    """An uncompressed instance. `noise`: no coder makes it smaller. `cut`: bytes that its pixel data lacks."""
    whole = archives.made(number, pixels=b"", **named)
    head: DataSet = {**decode(whole.data, whole.syntax), **{t: e for t, e in header(pixels).items() if t > 0x00280000}}
    _, value = native_frames(pixels, noise=noise)
    vr = "OW" if pixels.allocated > 8 else "OB"
    data = encode(head, uids.EXPLICIT_LE) + encode_element(0x7FE00010, vr, value[: len(value) - cut], uids.EXPLICIT_LE)
    return whole._replace(data=data)


def work(
    archive: Running, engine: Engine, *rules: Mapping[str, Any], keep: float = 3600.0, clock: Callable[[], int] = now
) -> Work:
    """What compresses by these rules."""
    compressor = Compressor(archive.store, archive.ingest.writer, engine, keep=keep, clock=clock)
    deletions = Deletions(archive.database, archive.store, archive.ingest.writer, grace=int(keep * 1e6), clock=clock)
    settings = build({"compress": [dict(rule) for rule in rules]})
    return Work(archive.database, archive.store, compiled(settings), compressor, deletions, clock=clock)


def compress(archive: Running, engine: Engine, *rules: Mapping[str, Any], study: int = 1, **options: Any) -> State:
    """Compress a study at once; what became of the job."""
    queue = Queue(archive.database)
    number = enqueue(queue, archives.study_uid(study), at_once=True)
    runner = Runner(queue, {KIND: work(archive, engine, *rules, **options).handle})
    assert runner.run_once()
    state = queue.state(number)
    assert state is not None
    assert state.state == "done", state
    return state
