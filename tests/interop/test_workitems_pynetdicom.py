"""The unified worklist with pynetdicom as SCU of every class, and as the one that event reports go to."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE, build_context
from pynetdicom.sop_class import (
    UnifiedProcedureStepEvent,
    UnifiedProcedureStepPull,
    UnifiedProcedureStepPush,
    UnifiedProcedureStepQuery,
    UnifiedProcedureStepWatch,
)

from archives import PATIENCE, Running, running
from databases import migrated, migrated_postgresql
from isocenter.exchange.peers import Peers
from isocenter.jobs import Queue, Runner
from isocenter.jobs.queue import now
from isocenter.registry.roster import Fixed
from isocenter.server.workitems import handlers
from servers import until
from workitem_models import asked, done
from workitem_peers import Watcher

PUSH, PULL, WATCH = UnifiedProcedureStepPush, UnifiedProcedureStepPull, UnifiedProcedureStepWatch
EVENT, QUERY = UnifiedProcedureStepEvent, UnifiedProcedureStepQuery
GLOBAL, FILTERED = UID("1.2.840.10008.5.1.4.34.5"), UID("1.2.840.10008.5.1.4.34.5.1")
SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian]
TRANSACTION = generate_uid()


@pytest.fixture(scope="module")
def watcher() -> Iterator[Watcher]:
    made = Watcher()
    with made.listening():
        yield made


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def archive(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, watcher: Watcher
) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("workitems")
    with (
        nullcontext(migrated(folder)) if request.param == "sqlite" else migrated_postgresql() as url,
        running(folder, url, peers=[watcher.peer], durable=False) as found,
    ):
        yield found


@contextmanager
def associated(archive: Running, *classes: Any) -> Iterator[Any]:
    ae = AE("WATCHER")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = PATIENCE
    contexts = [build_context(each, SYNTAXES) for each in classes or (PUSH, PULL, WATCH, QUERY)]
    association = ae.associate("127.0.0.1", archive.port, contexts, ae_title="ISOCENTER")
    assert association.is_established
    assert len(association.accepted_contexts) == len(contexts)
    try:
        yield association
    finally:
        association.release()


def deliver(archive: Running) -> None:
    """The background work that is due."""
    directory = Fixed(archive.settings)
    mine = handlers(archive.database, archive.settings, directory, Peers(archive.settings, directory))
    runner = Runner(Queue(archive.database), mine)
    while runner.run_once():
        pass


def data_set(model: dict[str, Any]) -> Dataset:
    return Dataset.from_json(model)


def claimed(association: Any, uid: UID, state: str = "IN PROGRESS", transaction: UID = TRANSACTION) -> int:
    wanted = Dataset()
    wanted.ProcedureStepState, wanted.TransactionUID = state, transaction
    status, _ = association.send_n_action(wanted, 1, PUSH, uid, meta_uid=PULL)
    return int(status.Status)


def subscribed(
    association: Any, uid: UID, lock: str = "FALSE", title: str = "WATCHER", kind: int = 3, **keys: str
) -> int:
    wanted = Dataset()
    wanted.ReceivingAE, wanted.DeletionLock = title, lock
    for keyword, value in keys.items():
        setattr(wanted, keyword, value)
    status, _ = association.send_n_action(wanted, kind, PUSH, uid, meta_uid=WATCH)
    return int(status.Status)


def test_a_workitem_from_creation_to_completion(archive: Running, watcher: Watcher) -> None:
    uid = generate_uid()
    with associated(archive) as association:
        status, _ = association.send_n_create(data_set(asked()), PUSH, uid)
        assert status.Status == 0
        assert association.send_n_create(data_set(asked()), PUSH, uid)[0].Status == 0x0111
        assert subscribed(association, uid) == 0
        deliver(archive)
        assert claimed(association, uid) == 0
        assert claimed(association, uid) == 0xC302
        assert claimed(association, uid, transaction=generate_uid()) == 0xC301
        progress = Dataset()
        progress.TransactionUID = TRANSACTION
        item = Dataset()
        item.ProcedureStepProgress, item.ProcedureStepProgressDescription = "50", "Halb fertig: Åse"
        progress.SpecificCharacterSet = "ISO_IR 100"
        progress.ProcedureStepProgressInformationSequence = [item]
        assert association.send_n_set(progress, PUSH, uid, meta_uid=PULL)[0].Status == 0
        assert claimed(association, uid, "COMPLETED") == 0xC304
        final = data_set(done())
        final.TransactionUID = TRANSACTION
        assert association.send_n_set(final, PUSH, uid, meta_uid=PULL)[0].Status == 0
        assert claimed(association, uid, "COMPLETED") == 0
        assert claimed(association, uid, "COMPLETED") == 0xB306
        status, found = association.send_n_get([], PUSH, uid, meta_uid=WATCH)
    assert status.Status == 0
    assert (found.ProcedureStepState, found.SOPClassUID, found.SOPInstanceUID) == ("COMPLETED", PUSH, uid)
    assert str(found.PatientName) == "Ødegård^Åse"
    assert "TransactionUID" not in found
    deliver(archive)
    told = [(kind, model) for kind, about, model in watcher.told if about == uid]
    assert [kind for kind, _ in told] == [1, 1, 3, 1]
    assert [model.ProcedureStepState for kind, model in told if kind == 1] == ["SCHEDULED", "IN PROGRESS", "COMPLETED"]
    (said,) = told[2][1].ProcedureStepProgressInformationSequence
    assert said.ProcedureStepProgressDescription == "Halb fertig: Åse"


def test_each_class_has_its_operations_alone(archive: Running) -> None:
    uid = generate_uid()
    with associated(archive) as association:
        assert association.send_n_create(data_set(asked()), PUSH, uid)[0].Status == 0
        assert association.send_n_create(data_set(asked()), PUSH, generate_uid(), meta_uid=PULL)[0].Status == 0x0211
        assert association.send_n_set(Dataset.from_json(asked()), PUSH, uid, meta_uid=WATCH)[0].Status == 0x0211
        wanted = Dataset()
        wanted.ProcedureStepState, wanted.TransactionUID = "IN PROGRESS", TRANSACTION
        assert association.send_n_action(wanted, 1, PUSH, uid, meta_uid=WATCH)[0].Status == 0x0123
        assert association.send_n_action(wanted, 3, PUSH, uid, meta_uid=PULL)[0].Status == 0x0123
        assert association.send_n_action(wanted, 9, PUSH, uid, meta_uid=WATCH)[0].Status == 0x0123
        assert association.send_n_get([], "1.2.840.10008.5.1.1.1", uid, meta_uid=WATCH)[0].Status == 0x0118


def test_what_n_get_gives(archive: Running) -> None:
    uid = generate_uid()
    with associated(archive) as association:
        association.send_n_create(data_set(asked()), PUSH, uid)
        claimed(association, uid)
        status, found = association.send_n_get([0x00741000, 0x00741200], PUSH, uid, meta_uid=PULL)
        assert (status.Status, len(found), found.ProcedureStepState) == (0, 2, "IN PROGRESS")
        for odd in (0x00081195, 0x00280010):
            status, found = association.send_n_get([0x00741000, odd], PUSH, uid, meta_uid=PULL)
            assert (status.Status, [int(each.tag) for each in found]) == (0x0001, [0x00741000])
        assert association.send_n_get([], PUSH, generate_uid(), meta_uid=PULL)[0].Status == 0xC307


def test_a_uid_is_given_where_the_creator_has_none(archive: Running) -> None:
    with associated(archive, PUSH, QUERY) as association:
        assert (
            association.send_n_create(data_set(asked(t00741204={"vr": "LO", "Value": ["Nameless"]})), PUSH)[0].Status
            == 0
        )
        wanted = Dataset()
        wanted.SOPInstanceUID, wanted.ProcedureStepLabel = "", "Nameless"
        (_, found), (last, _) = association.send_c_find(wanted, QUERY)
    assert last.Status == 0
    assert UID(found.SOPInstanceUID).is_valid


def test_c_find(archive: Running) -> None:
    uids = [generate_uid() for _ in range(3)]
    station = {"vr": "SQ", "Value": [{
        "00080100": {"vr": "SH", "Value": ["ROOM-F"]}, "00080102": {"vr": "SH", "Value": ["99T"]},
        "00080104": {"vr": "LO", "Value": ["Room F"]},
    }]}  # fmt: skip
    with associated(archive) as association:
        for number, uid in enumerate(uids):
            made = asked(
                t00741204={"vr": "LO", "Value": [f"FIND {number}"]}, **({"t00404025": station} if number else {})
            )
            assert association.send_n_create(data_set(made), PUSH, uid)[0].Status == 0
        claimed(association, uids[2])

        def found(model: Any, **keys: Any) -> list[Dataset]:
            wanted = Dataset()
            wanted.SOPInstanceUID, wanted.PatientName, wanted.ProcedureStepLabel = "", "", "FIND*"
            for keyword, value in keys.items():
                setattr(wanted, keyword, value)
            answers = list(association.send_c_find(wanted, model))
            assert answers[-1][0].Status == 0
            return [identifier for status, identifier in answers[:-1]]

        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator = "ROOM-F", "99T"
        other = Dataset()
        other.CodeValue, other.CodingSchemeDesignator = "ROOM-F", "98T"
        cases: list[tuple[dict[str, Any], list[int]]] = [
            ({}, [0, 1, 2]),
            ({"ProcedureStepState": "SCHEDULED"}, [0, 1]),
            ({"SOPInstanceUID": f"{uids[0]}\\{uids[2]}"}, [0, 2]),
            ({"ScheduledStationNameCodeSequence": [code]}, [1, 2]),
            ({"ScheduledStationNameCodeSequence": [other]}, []),
            ({"PatientName": "Odegard*"}, [0, 1, 2]),
            ({"ScheduledProcedureStepStartDateTime": "20261121-20261122"}, [0, 1, 2]),
            ({"ScheduledProcedureStepStartDateTime": "-20251122"}, []),
        ]
        for model in (PULL, WATCH, QUERY):
            for keys, numbers in cases:
                got = [each.SOPInstanceUID for each in found(model, **keys)]
                assert got == [uids[number] for number in numbers], (model, keys)
        (first, *_) = found(QUERY)
        assert str(first.PatientName) == "Ødegård^Åse"
        wanted = Dataset()
        wanted.SOPInstanceUID, wanted.Rows = uids[0], None
        statuses = [status.Status for status, _ in association.send_c_find(wanted, QUERY)]
        assert statuses == [0xFF01, 0]


def test_subscriptions(archive: Running, watcher: Watcher) -> None:
    uid = generate_uid()
    with associated(archive, PUSH, PULL, WATCH) as association:
        association.send_n_create(data_set(asked()), PUSH, uid)
        assert subscribed(association, uid, title="NOBODY") == 0xC308
        assert subscribed(association, generate_uid()) == 0xC307
        assert subscribed(association, uid, lock="MAYBE") == 0x0115
        assert subscribed(association, uid, kind=5) == 0xC314
        assert subscribed(association, GLOBAL, lock="TRUE") == 0
        new = generate_uid()
        association.send_n_create(data_set(asked()), PUSH, new)
        assert subscribed(association, GLOBAL, kind=5) == 0
        late = generate_uid()
        association.send_n_create(data_set(asked()), PUSH, late)
        deliver(archive)
        assert [kind for kind, about, _ in watcher.told if about == new] == [1]
        assert late not in [about for _, about, _ in watcher.told]
        assert subscribed(association, FILTERED, ProcedureStepLabel="Nothing*") == 0
        assert subscribed(association, FILTERED) == 0x0120
        assert subscribed(association, FILTERED, ScheduledProcedureStepStartDateTime="when") == 0x0115
        assert claimed(association, new) == 0
        status, _ = association.send_n_action(_reason("no more film"), 2, PUSH, new, meta_uid=PUSH)
        assert status.Status == 0
        assert subscribed(association, GLOBAL, kind=4) == 0
        deliver(archive)
    kind, _, said = [each for each in watcher.told if each[1] == new][-1]
    assert (kind, said.RequestingAE, said.ReasonForCancellation) == (2, "WATCHER", "no more film")


def _reason(text: str) -> Dataset:
    said = Dataset()
    said.ReasonForCancellation = text
    return said


def test_reports_that_fail_are_sent_again_in_their_order(tmp_path: Path) -> None:
    watcher = Watcher(statuses=(0x0110, 0))
    uid = generate_uid()
    with (
        running(tmp_path, migrated(tmp_path), peers=[watcher.peer], durable=False) as archive,
        associated(archive) as association,
    ):
        association.send_n_create(data_set(asked()), PUSH, uid)
        assert subscribed(association, uid) == 0
        claimed(association, uid)
        directory = Fixed(archive.settings)
        ahead = [0]

        def clock() -> int:
            return now() + ahead[0]

        mine = handlers(archive.database, archive.settings, directory, Peers(archive.settings, directory))
        runner = Runner(Queue(archive.database, clock), mine)
        assert runner.run_once()  # nobody listens
        assert not runner.run_once()
        with watcher.listening():
            for _ in range(2):  # the first is refused once
                ahead[0] += 61_000_000
                assert runner.run_once()
            until(lambda: len(watcher.told) == 3)
    assert [model.ProcedureStepState for _, _, model in watcher.told] == ["SCHEDULED", "SCHEDULED", "IN PROGRESS"]
