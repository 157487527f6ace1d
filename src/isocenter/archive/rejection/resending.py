"""What becomes of an object that comes again after a rejection note took it out of sight: as its title is set."""

import uuid
from collections.abc import Callable, Mapping

from isocenter import telemetry
from isocenter.archive.rejection.rejected import by_number
from isocenter.config.rejections import Rejection, Rejections
from isocenter.index.journal import edit_record, resend_record
from isocenter.index.level_models import dumped
from isocenter.index.records import Arrival, Edit, Outcome
from isocenter.index.writer import Writer
from isocenter.store.api import Store

log = telemetry.logger("archive.resending")


class Resending:
    """Decides for one archive."""

    def __init__(self, store: Store, writer: Writer, clock: Callable[[], int], rejections: Rejections) -> None:
        self._store, self._writer, self._clock = store, writer, clock
        self._settings: Mapping[int, Rejection] = by_number(rejections)

    def decided(self, arrival: Arrival, outcome: Outcome) -> Arrival:
        """The arrival, to be filed again. Where it is to come back into sight, the note no longer counts for it: that
        is in the journal and in the index on return. That one is not taken is in the journal too, since until its file
        goes an index that is made anew meets it. Raises Retriable."""
        settings = self._settings.get(int(outcome.conflicts[0])) if outcome.conflicts else None
        resend = settings.resend if settings is not None else "hide"
        log.info("rejected.resent", instance=arrival.sop_uid, calling=arrival.source_aet, then=resend)
        telemetry.count("isocenter_resent_total", then=resend)
        if resend == "revive":
            self._revive(arrival)
            return arrival
        if resend == "refuse":
            self._store.append_journal(resend_record(arrival.store_key, self._clock()))
        return arrival._replace(resend=resend)

    def _revive(self, arrival: Arrival) -> None:
        named = {"study_uid": arrival.study_uid, "series_uid": arrival.series_uid, "sop_uid": arrival.sop_uid}
        edit = Edit(uuid.uuid4().hex, "unreject", self._clock(), arrival.source_aet, "sent again", dumped(named))
        self._store.append_journal(edit_record(edit))
        self._writer.file(edit)
