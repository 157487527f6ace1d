"""Sending of stored objects as durable jobs, each of some instances and one destination (X-MOD-10 to -16, M-DWSEND).

    push(queue, Push("PACS", "WORKSTATION", entries))     durable on return; the numbers of the jobs
    Pusher.handle                                         such a job: one association, a C-STORE for each instance

How far a job has come is its progress (`Standing`), so that another try, a restart or the runner after a kill sends
only what has not been acknowledged. What an AE does after a failure is `HostedAE.after_failure`: `stop` aborts the
association and fails the job (X-MOD-13), `continue` sends the rest first (M-SEND-07, M-DWSEND-03). What may pass,
A7xx or no association, is tried again as the peer's `retries` and `retry_delay` say (X-MOD-14).
"""

import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Self

from msgspec.structs import replace

from isocenter import telemetry
from isocenter.archive.commitment.asked import Asked
from isocenter.archive.commitment.data import Reference
from isocenter.archive.retrieval.instances import PAGE, Located, Selection, locate
from isocenter.config import HostedAE, Peer
from isocenter.database import Database
from isocenter.dimse import ClientAssociation
from isocenter.errors import IsocenterError, Reason, Refused, Retriable
from isocenter.exchange import committing
from isocenter.exchange.contexts import Wish, choose, proposals, substitute, wish_of
from isocenter.exchange.departing import Departures
from isocenter.exchange.peers import Peers
from isocenter.exchange.sending import Opener, Sent, accepted_for_storing, send
from isocenter.exchange.turns import AllTaken
from isocenter.jobs.queue import Queue
from isocenter.jobs.runner import Again, Running
from isocenter.registry.roster import Directory
from isocenter.rules import Ends

log = telemetry.logger("exchange.pushing")

KIND: Final = "send"
MOST: Final = 10_000
"""Instances of one job; more are several jobs."""
_PRESENTATION_STATES: Final = "1.2.840.10008.5.1.4.1.1.11."
"""What the UIDs of their classes begin with."""
_BUSY: Final = 1.0
"""Seconds until a job looks again for a place at its peer."""
_LOOK: Final = 1.0
"""Seconds between two reports of the progress, each of which also tells whether the job was cancelled."""


class Entry(NamedTuple):
    """One instance to be sent: the same SOP Instance UID may be in two studies."""

    study_uid: str
    sop_uid: str


class Push(NamedTuple):
    """What is to be sent by which AE of ours to which peer; `commit`: it is asked for commitment afterwards."""

    ae: str
    peer: str
    entries: Sequence[Entry]
    commit: bool = False

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> Self:
        """That of a job."""
        entries = [Entry(study, uid) for study, uids in payload["studies"] for uid in uids]
        return cls(payload["ae"], payload["peer"], entries, payload["commit"])

    @property
    def payload(self) -> dict[str, Any]:
        """That of a job, its instances by study."""
        studies: list[tuple[str, list[str]]] = []
        for study, uid in self.entries:
            if not studies or studies[-1][0] != study:
                studies.append((study, []))
            studies[-1][1].append(uid)
        return {"ae": self.ae, "peer": self.peer, "commit": self.commit, "studies": studies}


class Standing(NamedTuple):
    """How far a job has come. Instances by their place in the job: those before `done` were sent, or are named."""

    done: int = 0
    total: int = 0
    tries: int = 0
    """That ended with what may pass."""
    failed: tuple[int, ...] = ()
    skipped: tuple[int, ...] = ()
    """Gone since, or presentation states that the peer doesn't take."""

    @classmethod
    def of(cls, text: str, total: int) -> Self:
        """That of a job's progress."""
        reached, _, rest = text.partition(" ")
        told = dict(word.split("=", 1) for word in rest.split() if "=" in word)
        failed, skipped = (tuple(int(n) for n in told.get(name, "").split(",") if n) for name in ("failed", "skipped"))
        return cls(int(reached.partition("/")[0] or 0), total, int(told.get("tries", 0)), failed, skipped)

    @property
    def text(self) -> str:
        """As a job's progress."""
        words = [f"{self.done}/{self.total}", *([f"tries={self.tries}"] if self.tries else [])]
        for name, places in (("failed", self.failed), ("skipped", self.skipped)):
            words += [f"{name}={','.join(map(str, places))}"] if places else []
        return " ".join(words)

    @property
    def pending(self) -> list[int]:
        """What is to be sent: what failed, and what was not reached."""
        return sorted({*self.failed, *range(self.done, self.total)})

    def passed(self, place: int, *, failed: bool = False, skipped: bool = False) -> Self:
        """The same after one more instance; `done` aside."""
        others = tuple(each for each in self.failed if each != place)
        return self._replace(
            failed=tuple(sorted((*others, place))) if failed else others,
            skipped=tuple(sorted({*self.skipped, place})) if skipped else self.skipped,
        )


def push(queue: Queue, wanted: Push, *, most: int = MOST) -> tuple[int, ...]:
    """Have instances sent; the numbers of the jobs. Durable on return."""
    entries = list(dict.fromkeys(wanted.entries))
    parts = (entries[start : start + most] for start in range(0, len(entries), most))
    return tuple(queue.enqueue(KIND, wanted._replace(entries=part).payload) for part in parts)


def restart(queue: Queue, number: int) -> bool:
    """Carry a job out once more: what failed and what was not sent, or all of it where it was done.

    False where it runs or isn't there."""
    state = queue.state(number)
    if state is None:
        return False
    standing = Standing() if state.state == "done" else Standing.of(state.progress, 0)
    text = standing._replace(tries=0, total=len(Push.of(queue.payload(number)).entries)).text
    return queue.restart(number, text)


class Pusher:
    """Carries out the jobs of kind `KIND`."""

    def __init__(
        self, database: Database, peers: Peers, directory: Directory, opened: Opener, departures: Departures
    ) -> None:
        """`opened` opens stored objects; `departures` lays over them what the settings want."""
        self._database, self._asked = database, Asked(database)
        self._peers, self._directory = peers, directory
        self._opened, self._departures = opened, departures
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()

    def handle(self, running: Running) -> Again | None:
        """Send what is left of a job (`jobs.runner.Handler`). Raises Refused where the job fails."""
        wanted = Push.of(running.payload)
        settings = self._directory.now(fresh=True).settings
        ae = settings.ae(wanted.ae) or HostedAE(title=wanted.ae)
        peer = next((peer for peer in settings.peers_titled(wanted.peer) if peer.host), None)
        if peer is None:
            raise Refused(Reason.DESTINATION_UNKNOWN, "no address of the peer is known")
        with self._place(peer) as mine:
            return self._send(running, wanted, ae, peer) if mine else Again(_BUSY)

    @contextmanager
    def _place(self, peer: Peer) -> Iterator[bool]:
        """One of the associations that the peer may have of us, without waiting for it."""
        with self._lock:
            mine = self._busy[peer.title] < peer.associations
            self._busy[peer.title] += mine
        try:
            yield mine
        finally:
            with self._lock:
                self._busy[peer.title] -= mine

    def _send(self, running: Running, wanted: Push, ae: HostedAE, peer: Peer) -> Again | None:
        standing = Standing.of(running.reached, len(wanted.entries))
        attempt = _Attempt(running, standing, wish_of(peer), stops=ae.after_failure == "stop")
        ends = Ends(ae.title, peer.title, peer.host, peer.title)
        opened = self._departures.opener(self._opened, ae, ends, peer)
        found = dict(_located(self._database, wanted.entries))
        attempt.skip([place for place in standing.pending if place not in found], "not in the archive any more")
        pending = [(place, found[place]) for place in standing.pending if place in found]
        try:
            for group in proposals({(item.sop_class, item.syntax) for _, item in pending}, preferred=wish_of(peer)):
                if running.stopping:
                    break
                classes = {proposal.sop_class for proposal in group}
                mine = [(place, item) for place, item in pending if item.sop_class in classes]
                # the queue waits between tries, not this thread
                with self._peers.connect(replace(peer, retries=0), ae.title, group, wanted=attempt.wanted) as opening:
                    attempt.send(opening, mine, opened)
            if running.stopping and attempt.standing.done < attempt.standing.total:
                return attempt.leave()
            attempt.check()
        except AllTaken:
            return Again(_BUSY)
        except IsocenterError as failure:
            return self._broken(attempt, failure, wanted, peer)
        if wanted.commit:
            sent = [found[place] for place in sorted(found) if place not in attempt.standing.skipped]
            references = [Reference(item.sop_class, item.sop_uid) for item in sent]
            committing.request(self._asked, ae.title, wanted.peer, references)
        log.info("push.done", job=running.job.id, peer=wanted.peer, instances=attempt.standing.total)
        return None

    def _broken(self, attempt: "_Attempt", failure: IsocenterError, wanted: Push, peer: Peer) -> Again | None:
        """It is tried again later, or fails."""
        said = log.bind(job=attempt.running.job.id, peer=wanted.peer, why=attempt.why or failure.comment)
        if attempt.running.cancelled():
            said.info("push.cancelled")
            return None
        if attempt.running.stopping and failure.reason is Reason.CANCELLED:
            return attempt.leave()
        tries = attempt.standing.tries
        if isinstance(failure, Retriable) and tries < peer.retries:
            attempt.standing = attempt.standing._replace(tries=tries + 1)
            attempt.report()
            said.warning("push.postponed", tries=tries + 1)
            return Again(peer.retry_delay, failure.comment)
        attempt.report()
        said.error("push.failed")
        raise Refused(failure.reason, failure.comment) from failure


class _Attempt:
    """One try for a job."""

    def __init__(self, running: Running, standing: Standing, wish: Wish, *, stops: bool) -> None:
        self.running, self.standing = running, standing
        self.why = ""
        """What made it fail, for the log: without the words of the peer."""
        self._wish, self._stops = wish, stops
        self._passed: set[int] = set()
        self._statuses: Counter[int] = Counter()
        self._comment = ""
        self._told = 0.0

    def skip(self, places: Collection[int], why: str) -> None:
        """These are not sent, and that is no failure."""
        if places:
            log.warning("push.skipped", job=self.running.job.id, instances=len(places), why=why)
        for place in places:
            self._pass(self.standing.passed(place, skipped=True), place)

    def wanted(self) -> bool:
        """Whether to go on; tells from time to time how far it is."""
        if time.monotonic() - self._told >= _LOOK:
            self.report()
        return not self.running.cancelled() and not self.running.stopping

    def leave(self) -> Again:
        """The program ends: whoever runs next goes on."""
        self.report()
        return Again(0.0)

    def report(self) -> None:
        """Tell how far it is."""
        self._told = time.monotonic()
        self.running.progress(self.standing.text)

    def send(self, association: ClientAssociation, pending: Sequence[tuple[int, Located]], opened: Opener) -> None:
        """Store them on the peer. Raises Refused or Retriable for what ends the association; then it is aborted."""
        pending = self._takeable(association, pending)
        places = {item.id: place for place, item in pending}
        items = [item for _, item in pending]
        for part in [[item] for item in items] if self._stops else [items]:
            for sent in send(association, part, opened, preferred=self._wish, wanted=self.wanted):
                assert isinstance(sent.item, Located)
                self._note(places[sent.item.id], sent)
        self._refuse_cancelled()

    def check(self) -> None:
        """Raises Retriable where some failed and what failed may pass for one of them, Refused where none may."""
        self._refuse_cancelled()
        self.report()
        if self.standing.failed:
            told = ", ".join(f"{n} with {status:04X}" for status, n in sorted(self._statuses.items()))
            self.why = f"{len(self.standing.failed)} of {self.standing.total} failed: {told}"
            raise _failure(any(map(_may_pass, self._statuses)), f"{self.why} {self._comment}".rstrip())

    def _refuse_cancelled(self) -> None:
        if self.running.cancelled():
            raise Refused(Reason.CANCELLED, "cancelled")

    def _takeable(
        self, association: ClientAssociation, pending: Sequence[tuple[int, Located]]
    ) -> list[tuple[int, Located]]:
        """Without the presentation states of which the peer accepted no context (X-MOD-16)."""
        accepted = accepted_for_storing(association)

        def fits(item: Located) -> bool:
            classes = (item.sop_class, substitute(item.sop_class, self._wish))
            return any(choose(accepted, (each, item.syntax), preferred=self._wish) for each in classes if each)

        refused = {(place, item) for place, item in pending if not fits(item)}
        spare = {place for place, item in refused if item.sop_class.startswith(_PRESENTATION_STATES)}
        self.skip(spare, "presentation states that the peer has no context for")
        if self._stops and len(refused) > len(spare):
            classes = {item.sop_class for place, item in refused if place not in spare}
            self.why = f"no context accepted for {', '.join(sorted(classes))}"
            raise Refused(Reason.SOP_CLASS_NOT_SUPPORTED, self.why)
        return [(place, item) for place, item in pending if place not in spare]

    def _note(self, place: int, sent: Sent) -> None:
        if sent.warned:
            log.warning("push.warned", job=self.running.job.id, status=f"{sent.status:04X}")
        if sent.failed:
            self._statuses[sent.status] += 1
            self._comment = self._comment or sent.comment
            if self._stops:
                self.why = f"status {sent.status:04X}"
                raise _failure(_may_pass(sent.status), f"{self.why} {sent.comment}".rstrip())
        self._pass(self.standing.passed(place, failed=sent.failed), place)

    def _pass(self, standing: Standing, place: int) -> None:
        """Several associations and overlapping responses pass instances in an order of their own."""
        self._passed.add(place)
        done = standing.done
        while done in self._passed:
            self._passed.discard(done)
            done += 1
        self.standing = standing._replace(done=done)


def _may_pass(status: int) -> bool:
    """Out of resources (PS3.4 B.2.3)."""
    return 0xA700 <= status <= 0xA7FF


def _failure(transient: bool, comment: str) -> IsocenterError:
    reason = Reason.CANNOT_PERFORM_SUBOPERATIONS
    return Retriable(reason, comment) if transient else Refused(reason, comment)


def _located(database: Database, entries: Sequence[Entry]) -> Iterator[tuple[int, Located]]:
    """The instances that are still there, each with its place."""
    by_study: dict[str, dict[str, int]] = {}
    for place, entry in enumerate(entries):
        by_study.setdefault(entry.study_uid, {})[entry.sop_uid] = place
    for study, places in by_study.items():
        uids = list(places)
        for start in range(0, len(uids), PAGE):
            wanted = Selection(study_uids=(study,), sop_uids=tuple(uids[start : start + PAGE]))
            for page in locate(database, wanted):
                yield from ((places[item.sop_uid], item) for item in page)
