"""Storage commitment on an association of a command's own: the request, and a while for the report."""

import time
from collections.abc import Iterable
from typing import Protocol

from isocenter.archive.commitment.asked import Outcome, Recorded
from isocenter.archive.commitment.data import Reference, Reported, Requested
from isocenter.archive.commitment.rows import Instance
from isocenter.declarations.commitment import Failure, in_words
from isocenter.dicom.uids import STORAGE_COMMITMENT_PUSH, new_uid
from isocenter.dimse import ClientAssociation, Command, Context, Service
from isocenter.exchange import committing


class Named(Protocol):
    """What names an instance."""

    @property
    def sop_class(self) -> str: ...
    @property
    def sop_uid(self) -> str: ...


class Asking:
    """One request. `services` goes to `connect`, so that the report is heard."""

    context = committing.CONTEXT
    """What is to be proposed."""

    def __init__(self, wait: float, *, elsewhere: float = 0.0) -> None:
        """`wait`: seconds for the report. `elsewhere`: it may come over another association; it is looked for so
        often (seconds)."""
        self._wait, self._elsewhere = wait, elsewhere
        self._service = committing.ReportService(self)
        self._asked = Requested("", ())
        self.said: Reported | None = None
        self.problem = ""
        """Why there is no request, or no report."""

    def services(self, context: Context, command: Command) -> Service | None:
        """See `dimse.ServiceMap`."""
        return self._service if committing.is_report(context, command) else None

    def ask(self, association: ClientAssociation, instances: Iterable[Named]) -> None:
        """N-ACTION, and the report if it comes in time. Raises what the association raises."""
        named = (Reference(each.sop_class, each.sop_uid) for each in instances)
        self._asked = Requested(new_uid(), tuple(dict.fromkeys(named)))
        if not any(each.abstract == STORAGE_COMMITMENT_PUSH for each in association.contexts.values()):
            self.problem = "the peer takes no requests for commitment"
            return
        response = committing.invoke(association, self._asked)
        if response.status:
            self.problem = f"the peer answered with status {response.status:04X} {response.comment}".rstrip()
            return
        self._await(association)
        if self.said is None:
            self.problem = "the request is accepted; no report came in time"

    def _await(self, association: ClientAssociation) -> None:
        until = time.monotonic() + self._wait
        while self.said is None and (left := until - time.monotonic()) > 0:
            association.listen(min(left, self._elsewhere or left), until=lambda: self.said is not None)

    def report(self, reporter: str, said: Reported) -> Recorded:
        """See `committing.Taker`."""
        if said.transaction_uid != self._asked.transaction_uid:
            return Recorded(Outcome.UNKNOWN)
        named = {each.sop_uid for each in self._asked.references}
        foreign = tuple(each for each in said.results if each.sop_uid not in named)
        if foreign:
            return Recorded(Outcome.FOREIGN_INSTANCES, foreign)
        self.said = said
        return Recorded(Outcome.RECORDED)

    @property
    def transaction_uid(self) -> str:
        """Of the request."""
        return self._asked.transaction_uid

    @property
    def instances(self) -> list[Instance]:
        """What is known of each instance now."""
        by_uid = {each.sop_uid: each for each in self.said.results} if self.said else {}
        return [
            Instance(*each, by_uid[each.sop_uid].failure, by_uid[each.sop_uid].retrieve_aet)
            if each.sop_uid in by_uid
            else Instance(*each, None, "")
            for each in self._asked.references
        ]

    @property
    def uncommitted(self) -> dict[str, str]:
        """What is not committed, with what is known of it."""
        return {each.sop_uid: in_a_line(each) for each in self.instances if each.failure != Failure.NONE}


def in_a_line(each: Instance) -> str:
    """What is known of an instance, for a person."""
    if each.failure is None:
        return "nothing said yet"
    if each.failure:
        return f"not committed: {in_words(each.failure)} ({each.failure:04X})"
    return f"committed, to be retrieved from {each.retrieve_aet}" if each.retrieve_aet else "committed"
