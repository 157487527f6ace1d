"""Steps that wait for a person, since the worklist does not hold what they name (X-RIS-32)."""

from collections.abc import Sequence

from sqlalchemy import Connection

from isocenter import telemetry
from isocenter.config.steps import ProcedureSteps
from isocenter.database import changes
from isocenter.errors import Reason, Refused
from isocenter.workflow.steps.linking import Linking, coerced
from isocenter.workflow.steps.steps import KINDS, UNMATCHED, Step, Steps
from isocenter.workflow.worklist.entries import Worklist
from isocenter.workflow.worklist.rows import Entry

log = telemetry.logger("workflow.steps")


class StepExceptions:
    """The exceptions of one database."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._worklist = Worklist(steps.database, steps.clock)
        self._linking = Linking(self._worklist)

    def listed(self, *, before: int = 0, limit: int = 100) -> list[Step]:
        """The newest; `before`: the id below which the page begins."""
        return self._steps.listed(matching=UNMATCHED, before=before, limit=limit)

    def candidates(self, connection: Connection, step: Step) -> list[Entry]:
        """The worklist items that may be meant: of its patient, Accession Number or study."""
        return self._linking.candidates(connection, step.model)

    def resolve(
        self,
        connection: Connection,
        number: int,
        entries: Sequence[int],
        *,
        actor: str,
        wanted: ProcedureSteps | None = None,
    ) -> Step:
        """Say which worklist items a step belongs to, by their ids: one for each item of its Scheduled Step Attributes
        Sequence, or one for all of them. Its values become the worklist's, Patient ID and Accession Number too
        (X-RIS-37), and the items take on the state of the step as `wanted` says. Raises Refused."""
        step = self._waiting(connection, number)
        found = {entry.id: entry for entry in self._worklist.of_ids(connection, entries)}
        if not entries or len(found) < len(set(entries)):
            raise Refused(Reason.NOT_FOUND, "no such worklist item")
        if len({entry.identity for entry in found.values()}) > 1:
            raise Refused(Reason.BAD_REQUEST, "the worklist items belong to several patients")
        chosen = [found[one] for one in entries]
        items = max(1, len(step.model.get("00400270", {}).get("Value", ())))
        links = chosen * items if len(chosen) == 1 else chosen
        model, _ = coerced(step.model, links, corrected=True)
        kept = {"matching": "resolved", "comment": f"by {actor}"[:256], "identity": chosen[0].identity}
        self._steps.keep(connection, number, model, **kept)
        self._steps.keep_items(connection, number, model, [entry.id for entry in links])
        self._linking.tell(connection, list(found.values()), step.state, wanted or ProcedureSteps())
        for study_uid in step.study_uids or ("",):  # those who follow steps look at it with its order now
            changes.append(
                connection, KINDS[step.state], self._steps.clock(), study_uid=study_uid, sop_uid=step.sop_uid
            )
        log.info("mpps.resolved", step=step.sop_uid, actor=actor)
        return step._replace(model=model, matching="resolved", identity=chosen[0].identity)

    def accept(self, connection: Connection, number: int, *, actor: str) -> Step:
        """Take a step as it is: nothing was scheduled for it. Raises Refused."""
        step = self._waiting(connection, number)
        self._steps.keep(connection, number, step.model, matching="accepted", comment=f"by {actor}"[:256])
        log.info("mpps.accepted", step=step.sop_uid, actor=actor)
        return step._replace(matching="accepted")

    def _waiting(self, connection: Connection, number: int) -> Step:
        step = self._steps.get(connection, number)
        if step is None or step.matching != UNMATCHED:
            raise Refused(Reason.NOT_FOUND, f"step {number} is no exception that waits")
        return step
