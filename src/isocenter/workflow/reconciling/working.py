"""Reconciliation as durable work: a job for a study, which looks for it in the worklists once it is quiet, and carries
out what is decided of it (I-TWF-05).
"""

import threading
from collections.abc import Callable
from typing import Final

from isocenter import telemetry
from isocenter.config import HostedAE
from isocenter.config.offered import worklists_of
from isocenter.database import Database
from isocenter.errors import Refused, Retriable
from isocenter.jobs.runner import Again, Running
from isocenter.workflow.reconciling import rows
from isocenter.workflow.reconciling.correcting import Correcting
from isocenter.workflow.reconciling.deciding import Desk
from isocenter.workflow.reconciling.handing_over import HandingOver
from isocenter.workflow.reconciling.holding import now
from isocenter.workflow.reconciling.matching import asked_of, judged, lacking
from isocenter.workflow.reconciling.present import Present
from isocenter.workflow.reconciling.rows import Candidate, Study
from isocenter.workflow.reconciling.states import Finding, Place, State
from isocenter.workflow.reconciling.worklists import Worklists

log = telemetry.logger("reconciling.working")

_BUSY: Final = 0.5
"""Seconds until a study that is being worked on is looked at again."""
AEOf = Callable[[str], HostedAE]
"""The AE of a title, as it is now."""


class Work:
    """Carries out the jobs of kind `holding.KIND`."""

    def __init__(
        self,
        database: Database,
        desk: Desk,
        worklists: Worklists,
        handing_over: HandingOver,
        correcting: Correcting,
        ae_of: AEOf,
        *,
        clock: Callable[[], int] = now,
    ) -> None:
        self._database, self._desk, self._worklists = database, desk, worklists
        self._handing_over, self._correcting = handing_over, correcting
        self._ae_of, self._clock, self._present = ae_of, clock, Present(database)
        self._lock, self._busy = threading.Lock(), set[tuple[str, str]]()

    def handle(self, running: Running) -> Again | None:
        """A handler of `jobs.Runner`. One job at a time works on a study: two would do everything twice."""
        named = (str(running.payload["ae"]), str(running.payload["study"]))
        with self._lock:
            if named in self._busy:
                return Again(_BUSY)
            self._busy.add(named)
        try:
            return self._work(running)
        finally:
            with self._lock:
                self._busy.discard(named)

    def _work(self, running: Running) -> Again | None:
        study = self._study(running)
        if study is None:
            return None
        ae = self._ae_of(study.ae)
        if study.state is State.ARRIVING:
            wait = study.last_at + ae.reconciling.quiet * 1e6 - self._clock()
            if wait > 0:
                return Again(wait / 1e6)
            later = self._look(study, ae)
            if later is not None:
                return later
            study = self._study(running)
        if study is not None and study.decided:
            return self._carry_out(study, running)
        return None

    def _study(self, running: Running) -> Study | None:
        named = running.payload
        with self._database.reading() as connection:
            found = rows.of_study(connection, str(named["study"]), str(named["ae"]))
        return found[0] if found else None

    # --- looking

    def _look(self, study: Study, ae: HostedAE) -> Again | None:
        """Ask the worklists, and note what they said. To be done again where none could be asked."""
        try:
            finding, candidates = self.looked_up(study, ae)
        except Retriable as unreached:
            settings = ae.reconciling
            if study.attempts < settings.retries:
                with self._database.writing() as connection:
                    rows.change(connection, study.id, self._clock(), attempts=study.attempts + 1)
                return Again(settings.retry_delay, unreached.comment)
            finding, candidates = Finding.UNREACHABLE, []
        except Refused:
            finding, candidates = Finding.UNREACHABLE, []
        with self._database.writing() as connection:
            now_found = rows.by_id(connection, study.id, lock=True)
            if now_found.state is not State.ARRIVING or now_found.changed_at != study.changed_at:
                return Again(0.0) if now_found.state is State.ARRIVING else None
            state = self._desk.found(connection, now_found, finding, candidates)
        log.info("study.looked_up", ae=ae.title, study=study.study_uid, finding=str(finding), state=str(state))
        return None

    def looked_up(self, study: Study, ae: HostedAE) -> tuple[Finding, list[Candidate]]:
        """What the worklists know of a study, and what that means. Raises Retriable."""
        settings = ae.reconciling
        if not worklists_of(ae):
            return Finding.NOT_ASKED, []
        with self._database.reading() as connection:
            present = self._present.study(connection, study)
        asked = asked_of(present.model, study.modalities, settings)
        if study.mixed:
            return Finding.MIXED, []
        if lacking(asked, settings):
            return Finding.INCOMPLETE, []
        candidates = self._worklists.candidates(ae, asked, study.modalities)
        if not candidates and present.identity != study.identity:
            # a peer may not have been told yet that the number was merged away
            former = self._worklists.candidates(ae, asked_of(study.model, study.modalities, settings), study.modalities)
            with self._database.reading() as connection:
                candidates = [self._present.candidate(connection, each) for each in former]
        return judged(present.model, candidates, settings), candidates

    # --- carrying out

    def _carry_out(self, study: Study, running: Running) -> Again | None:
        if study.place is Place.ARCHIVE:
            self._correct(study)
            return None
        while self._handing_over.page(study):
            if running.cancelled():
                return None
            if running.stopping:
                return Again(0.0)
        return None

    def _correct(self, study: Study) -> None:
        if study.decision is None or study.state is not State.RELEASED:
            return
        try:
            edits = self._correcting.carry_out(study, study.decision)
        except Refused as refusal:
            log.warning("study.not_corrected", study=study.study_uid, reason=refusal.reason)
            raise
        log.info("study.corrected", study=study.study_uid, edits=edits)
