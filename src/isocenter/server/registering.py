"""Patients as HL7 tells of them, wired: the handlers of messages, and what follows the change feed for them."""

from collections.abc import Mapping

from isocenter.archive.edits.making import Edits
from isocenter.config import Settings
from isocenter.jobs.runner import Handler as JobHandler
from isocenter.server.archive import Archive
from isocenter.workflow.documents.composing import result_messages
from isocenter.workflow.documents.handling import EVENTS as RESULTS
from isocenter.workflow.messages.handling import Handler
from isocenter.workflow.patients import late
from isocenter.workflow.patients.composing import Patients, patients
from isocenter.workflow.patients.events import EVENTS


def registered(archive: Archive) -> Patients:
    """What messages and people do to patients."""
    return patients(archive.database, Edits(archive.database, archive.store, archive.writer))


def handlers(archive: Archive, settings: Settings) -> Mapping[str, Handler]:
    """The handlers of ADT messages, and of results and documents."""
    adt: Handler = registered(archive).messages
    results: Handler = result_messages(archive.database, archive.ingest, settings.aes[0].title)
    return {**dict.fromkeys((f"ADT^{event}" for event in EVENTS), adt), **dict.fromkeys(RESULTS, results)}


def following(archive: Archive) -> Mapping[str, JobHandler]:
    """The handler of the job that has late objects follow merges."""
    return {late.KIND: registered(archive).late.handle}
