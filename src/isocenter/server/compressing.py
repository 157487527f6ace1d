"""Compression in the store, wired for the process that works in the background."""

from collections.abc import Mapping

from isocenter.archive.deletion import Deletions
from isocenter.config import Settings
from isocenter.imaging.engine import engine_of
from isocenter.jobs import Queue
from isocenter.jobs.runner import Handler
from isocenter.lifecycle.choosing import Rules, compiled
from isocenter.lifecycle.compressing import Compressor
from isocenter.lifecycle.working import FOLLOWING, KIND, Following, Work
from isocenter.server.archive import Archive
from isocenter.server.assumed import assumptions


def work(archive: Archive, settings: Settings, rules: Rules) -> Work:
    """What compresses a study."""
    keep = settings.compression.keep
    compressor = Compressor(
        archive.store,
        archive.writer,
        engine_of(settings.imaging),
        keep=keep,
        assume=assumptions(settings, archive.database),
    )
    deletions = Deletions(archive.database, archive.store, archive.writer, grace=int(keep * 1e6))
    return Work(archive.database, archive.store, rules, compressor, deletions)


def handlers(archive: Archive, settings: Settings) -> Mapping[str, Handler]:
    """The handler of the jobs that compress a study; they have a thread of their own."""
    return {KIND: work(archive, settings, compiled(settings)).handle}


def following(archive: Archive, settings: Settings, queue: Queue) -> Mapping[str, Handler]:
    """The handler of the job that follows the change feed; none where there are no rules."""
    rules = compiled(settings)
    return {FOLLOWING: Following(archive.database, queue, delay=rules.soonest).handle} if rules else {}
