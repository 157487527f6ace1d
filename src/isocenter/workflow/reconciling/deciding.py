"""What persons decide of a study, and what is decided without them: each decision is in the journal before it counts,
and in the audit trail (I-TWF-06, I-TWF-09, I-ACT-32, -33).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, insert

from isocenter import telemetry
from isocenter.config.reconciling import Reconciling
from isocenter.database import Database
from isocenter.errors import Reason, Refused
from isocenter.index.journal import RECONCILIATION
from isocenter.index.tables import audit
from isocenter.jobs.queue import Queue
from isocenter.store.api import Store
from isocenter.workflow.reconciling import rows
from isocenter.workflow.reconciling.changes import before, is_another, study_uid_of, taken_from, typed
from isocenter.workflow.reconciling.holding import KIND, now
from isocenter.workflow.reconciling.present import Present, same_patient
from isocenter.workflow.reconciling.rows import Candidate, Decision, Study
from isocenter.workflow.reconciling.states import Finding, Place, State

log = telemetry.logger("reconciling.deciding")

AUTOMATIC: Final = "isocenter"
"""Who decides where nobody did."""


class Who(NamedTuple):
    """Who decides, and why."""

    actor: str
    reason: str = ""


class Desk:
    """Decides about studies that are to be reconciled. `settings`: those of an AE by its title."""

    def __init__(
        self,
        database: Database,
        store: Store,
        settings: Callable[[str], Reconciling],
        *,
        clock: Callable[[], int] = now,
    ) -> None:
        """`store` has the journal."""
        self._database, self._store, self._settings, self._clock = database, store, settings, clock
        self._queue, self._present = Queue(database, clock), Present(database)

    # --- by persons

    def offer(self, number: int, candidates: Sequence[Candidate]) -> Study:
        """The worklist items that a person has asked for are the study's candidates from now on."""
        with self._database.writing() as connection:
            self._open(connection, number)
            values = {"state": str(State.OPEN), "candidates": rows.candidates_text(candidates)}
            rows.change(connection, number, self._clock(), **values)
            return rows.by_id(connection, number)

    def choose(self, number: int, candidate: int, who: Who, *, extra: Mapping[str, Any] | None = None) -> Study:
        """The study belongs to one of its candidates (by its place in the list); `extra` is typed in beside.

        Raises Refused(NOT_FOUND), Refused(BAD_REQUEST); so do the others."""
        with self._database.writing() as connection:
            study = self._open(connection, number)
            if not 0 <= candidate < len(study.candidates):
                raise Refused(Reason.BAD_REQUEST, f"the study has {len(study.candidates)} candidates")
            chosen = study.candidates[candidate]
            changes = self._by(connection, study, chosen) | (typed(extra) if extra else {})
            decision = self._decision("chosen", who, changes)._replace(source=chosen.source, item=chosen.uid)
            return self._decided(connection, study, decision, State.RELEASED)

    def type_in(self, number: int, changes: Mapping[str, Any], who: Who) -> Study:
        """The study gets these values, by hand (I-ACT-33)."""
        with self._database.writing() as connection:
            study = self._open(connection, number)
            return self._decided(connection, study, self._decision("typed", who, typed(changes)), State.RELEASED)

    def release(self, number: int, who: Who) -> Study:
        """A match that waits for a person's word is right; or the study goes on as it is."""
        with self._database.writing() as connection:
            study = self._open(connection, number)
            if study.state is State.REVIEW and len(study.candidates) == 1:
                chosen = study.candidates[0]
                decision = self._decision("chosen", who, self._by(connection, study, chosen))
                decision = decision._replace(source=chosen.source, item=chosen.uid)
            else:
                decision = self._decision("unchanged", who, {})
            return self._decided(connection, study, decision, State.RELEASED)

    def reject(self, number: int, who: Who) -> Study:
        """The study does not go to the archive: its objects go to the exceptions area, and so do those that come
        later. A study that is in the archive is left alone there."""
        with self._database.writing() as connection:
            study = self._open(connection, number)
            return self._decided(connection, study, self._decision("rejected", who, {}), State.REJECTED)

    def reopen(self, number: int, who: Who) -> Study:
        """Objects that come from now on wait again; what has gone is gone."""
        with self._database.writing() as connection:
            study = rows.by_id(connection, number, lock=True)
            if not study.decided:
                raise Refused(Reason.BAD_REQUEST, "the study is not decided")
            rows.change(connection, number, self._clock(), state=str(State.OPEN), decision="")
            self._store.append_journal(_record(study, State.OPEN, None, self._clock()))
            self._audit(connection, study, "reconcile.reopened", who.actor, {"reason": who.reason})
            return rows.by_id(connection, number)

    # --- without persons

    def found(self, connection: Connection, study: Study, finding: Finding, candidates: list[Candidate]) -> State:
        """Note what the worklists said of a study, and release it where that is allowed; its state now. The job that
        asked carries that out."""
        settings = self._settings(study.ae)
        state = State.OPEN
        if finding is Finding.MATCHED:
            state = State.REVIEW if settings.review and study.place is Place.HELD else State.RELEASED
        noted = {"finding": str(finding), "candidates": rows.candidates_text(candidates), "attempts": 0}
        if state is not State.RELEASED:
            rows.change(connection, study.id, self._clock(), state=str(state), **noted)
            return state
        rows.change(connection, study.id, self._clock(), **noted)
        chosen = candidates[0]
        decision = self._decision("automatic", Who(AUTOMATIC), self._by(connection, study, chosen))
        self._noted(connection, study, decision._replace(source=chosen.source, item=chosen.uid), state)
        return state

    # --- both

    def _open(self, connection: Connection, number: int) -> Study:
        study = rows.by_id(connection, number, lock=True)
        if study.decided:
            raise Refused(Reason.BAD_REQUEST, f"the study is {study.state} already")
        return study

    def _by(self, connection: Connection, study: Study, chosen: Candidate) -> dict[str, Any]:
        """What the study becomes by a candidate, whatever numbers their patients had when it was found."""
        settings = self._settings(study.ae)
        present, now_called = self._present.study(connection, study), self._present.candidate(connection, chosen)
        item = self._present.item_for(connection, study, now_called)
        one = not is_another(present.model, now_called.model)
        changes = taken_from(same_patient(present.model, item) if one else present.model, item, settings.leave)
        if settings.study_uid == "worklist" and study.place is Place.HELD:
            changes |= study_uid_of(item)
        return changes

    def _decision(self, how: str, who: Who, changes: Mapping[str, Any]) -> Decision:
        return Decision(how, who.actor, self._clock(), dict(changes), reason=who.reason)

    def _decided(self, connection: Connection, study: Study, decision: Decision, state: State) -> Study:
        """Write it down; the job that carries it out comes about in the same transaction."""
        self._noted(connection, study, decision, state)
        named = {"ae": study.ae, "study": study.study_uid}
        self._queue.add(connection, KIND, named, unique_key=f"{study.ae}\\{study.study_uid}", sooner=True)
        return rows.by_id(connection, study.id)

    def _noted(self, connection: Connection, study: Study, decision: Decision, state: State) -> None:
        self._store.append_journal(_record(study, state, decision, decision.at))
        text = rows.decision_text(decision)
        rows.change(connection, study.id, decision.at, state=str(state), decision=text, mixed=0)
        told = {"how": decision.how, "item": decision.item, "worklist": decision.source, "reason": decision.reason}
        values = {"before": before(study.model, decision.changes), "after": decision.changes}
        self._audit(connection, study, f"reconcile.{state}", decision.actor, {**told, **values})
        log.info("study.decided", ae=study.ae, study=study.study_uid, how=decision.how, state=str(state))
        telemetry.count("isocenter_reconciled_total", how=decision.how)

    def _audit(self, connection: Connection, study: Study, event: str, actor: str, detail: Mapping[str, Any]) -> None:
        told = {"ae": study.ae, "study_uid": study.study_uid, **detail}
        text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
        connection.execute(insert(audit).values(event=event, actor=actor, detail=text, at=self._clock()))


def _record(study: Study, state: State, decision: Decision | None, at: int) -> dict[str, Any]:
    """As the journal keeps it, for a database that is made anew."""
    told = decision._asdict() if decision is not None else None
    named = {"kind": RECONCILIATION, "ae": study.ae, "study_uid": study.study_uid, "place": str(study.place)}
    return {**named, "state": str(state), "decision": told, "at": at}
