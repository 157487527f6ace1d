"""The parts of this area, put together."""

from isocenter.archive.ingest import Ingest
from isocenter.archive.rejection.rejecting import Rejecting
from isocenter.database import Database
from isocenter.workflow.documents.handling import Door, ResultMessages
from isocenter.workflow.documents.placing import Placing
from isocenter.workflow.patients.composing import now
from isocenter.workflow.patients.describing import Describer
from isocenter.workflow.worklist.entries import Worklist


def result_messages(database: Database, ingest: Ingest, title: str) -> ResultMessages:
    """The handler of ORU and MDM messages; `title`: the AE that documents are received by."""
    door = Door(ingest, Rejecting(database, ingest, title), title)
    return ResultMessages(database, door, Placing(Worklist(database)), Describer(), now)
