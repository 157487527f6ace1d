"""Every status of the unified worklist (PS3.4 CC.2.1.4 to CC.2.8.4), by its value as a peer gets it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from archives import running
from databases import migrated
from isocenter import dimse
from isocenter.config import Limits, Peer
from isocenter.declarations.workitem import FILTERED, GLOBAL, PULL, PUSH, QUERY, WATCH, State, Status
from isocenter.dicom import uids
from isocenter.dicom.uids import new_uid
from isocenter.dimse import ProposedContext, commands
from isocenter.workflow.workitems import models
from workitem_models import TRANSACTION, Worklist, asked, done, stopped

CONTEXTS = [ProposedContext(uid, (uids.EXPLICIT_LE,)) for uid in (PUSH, PULL, WATCH, QUERY)]
Model = dict[str, Any]


class Scu:
    """A peer with one association, that does all of it."""

    def __init__(self, association: dimse.ClientAssociation) -> None:
        self._association = association

    def ask(self, abstract: str, command: dimse.Command, model: Model | bytes | None = None) -> int:
        """The status of the answer."""
        context = self._association.context_for(abstract)
        data = models.encoded(model, context.transfer_syntax) if isinstance(model, dict) else model
        *_, last = self._association.responses(self._association.request(context.id, command, data))
        return last.status

    def create(self, uid: str, **more: Any) -> int:
        """N-CREATE."""
        return self.ask(PUSH, commands.n_create_rq(PUSH, uid), models.canonical(asked(**more)))

    def set(self, uid: str, model: Model, transaction: str = "") -> int:
        """N-SET."""
        given = {"00081195": {"vr": "UI", "Value": [transaction]}} if transaction else {}
        return self.ask(PULL, commands.n_set_rq(PUSH, uid), models.canonical({**model, **given}))

    def change(self, uid: str, state: str, transaction: str = TRANSACTION) -> int:
        """N-ACTION 1."""
        said: Model = {"00741000": {"vr": "CS", "Value": [state]}}
        if transaction:
            said["00081195"] = {"vr": "UI", "Value": [transaction]}
        return self.ask(PULL, commands.n_action_rq(PUSH, uid, 1), models.canonical(said))

    def cancel(self, uid: str) -> int:
        """N-ACTION 2."""
        return self.ask(WATCH, commands.n_action_rq(PUSH, uid, 2))

    def watch(self, uid: str, action: int = 3, aet: str | None = "WATCHER", lock: str = "FALSE") -> int:
        """N-ACTION 3, 4, 5."""
        said: Model = {} if aet is None else {"00741234": {"vr": "AE", "Value": [aet]}}
        if lock:
            said["00741230"] = {"vr": "LO", "Value": [lock]}
        return self.ask(WATCH, commands.n_action_rq(PUSH, uid, action), models.canonical(said))

    def brought(self, state: State) -> str:
        """The UID of a workitem in a state."""
        uid = new_uid()
        assert self.create(uid) == 0
        if state is not State.SCHEDULED:
            assert self.change(uid, "IN PROGRESS") == 0
        if state.final:
            assert self.set(uid, {**done(), **stopped()}, TRANSACTION) == 0
            assert self.change(uid, state) == 0
        return uid


@pytest.fixture(scope="module")
def scu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scu]:
    folder = tmp_path_factory.mktemp("statuses")
    watcher = Peer(title="WATCHER", host="127.0.0.1", port=1)
    limits = Limits(identifier=1 << 16)
    with (
        running(folder, migrated(folder), limits=limits, peers=[watcher], durable=False) as archive,
        archive.connect(*CONTEXTS) as association,
    ):
        yield Scu(association)


_LOW = {"00741200": {"vr": "CS", "Value": ["LOW"]}}
_EMPTIED = {"00741204": {"vr": "LO"}}
_AWAY = "2.25.404"
SCHEDULED, CLAIMED, COMPLETED, CANCELED = State.SCHEDULED, State.IN_PROGRESS, State.COMPLETED, State.CANCELED
CASES: list[tuple[int, Callable[[Scu], int]]] = [
    (0x0000, lambda scu: scu.watch(scu.brought(SCHEDULED))),
    (0x0001, lambda scu: scu.ask(PULL, commands.n_get_rq(PUSH, scu.brought(CLAIMED), [0x00081195]))),
    (0x0106, lambda scu: scu.create(new_uid(), t00741200={"vr": "CS", "Value": ["SOON"]})),
    (0x0110, lambda scu: scu.ask(PUSH, commands.n_create_rq(PUSH, new_uid()), b"\x08\x00\x05\x00CS\xff\x00x")),
    (0x0111, lambda scu: scu.create(scu.brought(SCHEDULED))),
    (0x0115, lambda scu: scu.watch(GLOBAL, lock="MAYBE")),
    (0x0117, lambda scu: scu.create(GLOBAL)),
    (0x0118, lambda scu: scu.ask(PULL, commands.n_get_rq(uids.VERIFICATION, _AWAY))),
    (0x0120, lambda scu: scu.watch(GLOBAL, aet=None)),
    (0x0121, lambda scu: scu.set(scu.brought(SCHEDULED), _EMPTIED)),
    (0x0123, lambda scu: scu.ask(PULL, commands.n_action_rq(PUSH, _AWAY, 3))),
    (0x0211, lambda scu: scu.ask(WATCH, commands.n_set_rq(PUSH, _AWAY), _LOW)),
    (0x0213, lambda scu: scu.ask(PUSH, commands.n_create_rq(PUSH, new_uid()), bytes(1 << 17))),
    (0xB304, lambda scu: scu.change(scu.brought(CANCELED), "CANCELED")),
    (0xB304, lambda scu: scu.cancel(scu.brought(CANCELED))),
    (0xB306, lambda scu: scu.change(scu.brought(COMPLETED), "COMPLETED")),
    (0xC300, lambda scu: scu.set(scu.brought(COMPLETED), _LOW, TRANSACTION)),
    (0xC300, lambda scu: scu.change(scu.brought(CANCELED), "IN PROGRESS")),
    (0xC301, lambda scu: scu.set(scu.brought(CLAIMED), _LOW, "2.25.8")),
    (0xC301, lambda scu: scu.change(scu.brought(SCHEDULED), "IN PROGRESS", "")),
    (0xC302, lambda scu: scu.change(scu.brought(CLAIMED), "IN PROGRESS")),
    (0xC303, lambda scu: scu.change(scu.brought(CLAIMED), "SCHEDULED")),
    (0xC304, lambda scu: scu.change(scu.brought(CLAIMED), "COMPLETED")),
    (0xC307, lambda scu: scu.change(_AWAY, "IN PROGRESS")),
    (0xC307, lambda scu: scu.watch(_AWAY)),
    (0xC308, lambda scu: scu.watch(GLOBAL, aet="STRANGER")),
    (0xC309, lambda scu: scu.create(new_uid(), t00741000={"vr": "CS", "Value": ["IN PROGRESS"]})),
    (0xC310, lambda scu: scu.change(scu.brought(SCHEDULED), "COMPLETED")),
    (0xC310, lambda scu: scu.set(scu.brought(SCHEDULED), _LOW, TRANSACTION)),
    (0xC311, lambda scu: scu.cancel(scu.brought(COMPLETED))),
    (0xC312, lambda scu: scu.cancel(scu.brought(CLAIMED))),
    (0xC314, lambda scu: scu.watch(scu.brought(SCHEDULED), action=5)),
]


@pytest.mark.parametrize(("status", "ask"), CASES, ids=[f"{status:04X}" for status, _ in CASES])
def test_each_status(scu: Scu, status: int, ask: Callable[[Scu], int]) -> None:
    assert f"{ask(scu):04X}" == f"{status:04X}"


def test_those_that_settings_bring_about(tmp_path: Path) -> None:
    worklist = Worklist(migrated(tmp_path), missing="supplement", locks=False)
    assert worklist.create("2.25.1", t00404018=None) == 0xB300
    assert worklist.subscribe("2.25.1", lock=True) == 0xB301
    worklist.database.close()


def test_there_are_no_others() -> None:
    """Nobody refuses to cancel for another (C313), and event reports are sent (C315)."""
    assert {status for status, _ in CASES} | {0xB300, 0xB301, 0xC313, 0xC315} == set(Status)


# --- what goes on with subscriptions (CC.2.3)


def _watched(worklist: Worklist, aet: str = "WATCHER") -> str:
    """How the AE is subscribed to a workitem that comes."""
    uid = new_uid()
    worklist.create(uid)
    return worklist.subscribed(uid, aet)


def test_a_filter_s_end_leaves_what_is_watched_anyway(any_url: str) -> None:
    """And the end of the suspension of either, which is another subscription."""
    worklist, key = Worklist(any_url), ((0x00741204,), "Segment*")
    subscriptions = worklist.items.subscriptions
    worklist.create("2.25.1")
    assert worklist.subscribe(FILTERED, keys=(key,)) == 0
    assert worklist.subscribe(GLOBAL) == 0
    assert worklist.do(subscriptions.unsubscribe, FILTERED, "WATCHER") == 1
    assert [worklist.subscribed("2.25.1"), _watched(worklist)] == ["unlocked", "unlocked"]
    assert worklist.subscribe(FILTERED, lock=True, keys=(key,)) == 0
    assert worklist.do(subscriptions.suspend, FILTERED, "WATCHER") == 1
    assert _watched(worklist) == "unlocked", "the other goes on"
    assert worklist.do(subscriptions.suspend, GLOBAL, "WATCHER") == 1
    assert _watched(worklist) == "none"
    assert worklist.subscribe(GLOBAL, lock=True) == 0
    assert [worklist.subscribed("2.25.1"), _watched(worklist)] == ["unlocked", "locked"]
    worklist.database.close()


def test_a_lock_outlasts_the_end_of_its_workitem_and_its_global_subscription(any_url: str) -> None:
    worklist = Worklist(any_url)
    subscriptions = worklist.items.subscriptions
    assert worklist.subscribe(GLOBAL, lock=True) == 0
    worklist.put("2.25.1", COMPLETED)
    assert worklist.do(subscriptions.suspend, GLOBAL, "WATCHER") == 1
    worklist.at += 10
    assert worklist.do(worklist.items.purge, worklist.at) == 0
    assert worklist.do(subscriptions.unsubscribe, GLOBAL, "WATCHER") == 1
    assert worklist.do(worklist.items.purge, worklist.at) == 1
    worklist.database.close()


def test_who_comes_late_hears_how_it_ended(any_url: str) -> None:
    worklist = Worklist(any_url)
    worklist.put("2.25.1", CANCELED)
    assert worklist.subscribe("2.25.1", "LATE") == 0
    ((_, said),) = worklist.events("LATE")
    assert models.value(said, models.STATE) == "CANCELED"
    assert said["00741238"]["Value"] == ["the scanner is down"], "and why"
    worklist.database.close()
