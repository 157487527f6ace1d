"""What messages did is forgotten after a time, and numbers of orders; what it made of patients and orders stays."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from archives import running
from hospital import WHO, Hospital
from isocenter import database
from isocenter.config import Settings
from isocenter.config.hl7 import Hl7
from isocenter.database import Database
from isocenter.errors import Refused
from isocenter.hl7.message import parsed
from isocenter.jobs import Queue, Runner
from isocenter.server.messaging import PURGE, purging
from isocenter.workflow.messages.keeping import now
from isocenter.workflow.orders import forgetting as orders
from isocenter.workflow.orders.handler import Orders
from isocenter.workflow.orders.tables import order_hold, order_number
from isocenter.workflow.patients import forgetting, registered
from isocenter.workflow.patients.tables import patient_event
from isocenter.workflow.worklist.entries import Worklist
from order_messages import FEED

DAY = 86_400_000_000


@pytest.fixture(name="archive")
def fixture_archive(tmp_path: Path, any_url: str) -> Iterator[Hospital]:
    with running(tmp_path, any_url, durable=False) as archive:
        yield Hospital(archive)


def aged(opened: Database, days: int) -> None:
    """Have all that is noted so far be that much older."""
    with opened.writing() as connection:
        connection.execute(update(patient_event).values(at=patient_event.c.at - days * DAY))
        connection.execute(update(order_number).values(noted_at=order_number.c.noted_at - days * DAY))
        connection.execute(update(order_hold).values(noted_at=order_hold.c.noted_at - days * DAY))


def test_a_merge_is_undone_within_the_period_and_stays_after_it(archive: Hospital) -> None:
    archive.scheduled("O1", patient="A")
    archive.scheduled("O2", patient="C")
    archive.adt("A40", "PID|||B||Roe^R", "MRG|A")
    aged(archive.database, 10)
    archive.adt("A40", "PID|||D||Poe^P", "MRG|C")
    former, later = sorted(archive.events(), key=lambda one: one.id)
    assert forgetting.forget(archive.database, now() - 20 * DAY) == 0
    assert forgetting.forget(archive.database, now() - 5 * DAY) == 1
    assert forgetting.forget(archive.database, now() - 5 * DAY) == 0
    assert [one.id for one in archive.events()] == [later.id]
    with pytest.raises(Refused, match="no such event"):
        archive.parts.undoing.undo(former.id, WHO)
    with archive.database.reading() as connection:
        assert registered.current(connection, "\\A") == "\\B", "the patient stays merged"
    archive.parts.undoing.undo(later.id, WHO)
    with archive.database.reading() as connection:
        assert registered.current(connection, "\\C") == "\\C"


def test_more_than_a_page_goes(archive: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "_PAGE", 2)
    for name in ("Roe^R", "Poe^P", "Coe^C"):
        archive.scheduled(name, patient="A")
        archive.adt("A08", f"PID|||A||{name}")
    assert [forgetting.forget(archive.database, now() + DAY) for _ in range(3)] == [2, 1, 0]


def ordered(opened: Database, number: str, control: str = "NW", more: str = "") -> None:
    """A message of an order."""
    lines = (
        f"MSH|^~\\&|RIS|HOSP|I|R|20240131||ORM^O01|{number}|P|2.5",
        f"PID|||{number}^^^HOSP||Doe^Jane",
        f"ORC|{control}|P{number}^RIS|{more}|||||^^^20240201",
        f"OBR|1|P{number}^RIS|{more}|CT^Head^L||||||||||||||||||||CT",
    )
    with opened.writing() as connection:
        list(Orders(Worklist(opened)).apply(connection, parsed("\r".join(lines).encode()), FEED))


def numbers(opened: Database) -> set[str]:
    with opened.reading() as connection:
        return set(connection.execute(select(order_number.c.number)).scalars())


def test_numbers_of_orders_go_once_the_worklist_has_none_of_their_steps(any_url: str) -> None:
    opened = database.open(any_url)
    worklist = Worklist(opened)
    ordered(opened, "1")
    ordered(opened, "2")
    ordered(opened, "2", "HD")
    aged(opened, 10)
    ordered(opened, "1", "SC", "F1^RIS")
    before = now() - 5 * DAY
    assert orders.forget(opened, before, lambda: True) == 0, "the worklist has them"
    with opened.writing() as connection:
        entries = [*worklist.of_patient(connection, "HOSP\\1"), *worklist.of_patient(connection, "HOSP\\2")]
        worklist.remove(connection, [entry.id for entry in entries])
    assert orders.forget(opened, before, lambda: False) == 0
    assert orders.forget(opened, before, lambda: True) == 1
    assert numbers(opened) == {"P1", "F1"}, "it has got another number since"
    with opened.reading() as connection:
        assert connection.execute(select(func.count()).select_from(order_hold)).scalar() == 0
    ordered(opened, "2")
    with opened.reading() as connection:
        (again,) = worklist.of_patient(connection, "HOSP\\2")
    first = next(entry for entry in entries if entry.identity == "HOSP\\2")
    assert (again.order_key, again.study_uid, again.step_id) == (first.order_key, first.study_uid, first.step_id)
    opened.close()


@pytest.mark.parametrize(("days", "left"), [(0, True), (30, False), (60, True)])
def test_the_daily_job_goes_by_the_settings(house: Hospital, tmp_path: Path, days: int, left: bool) -> None:
    house.scheduled("O1", patient="A")
    house.adt("A40", "PID|||B||Roe^R", "MRG|A")
    ordered(house.database, "1")
    with house.database.writing() as connection:
        house.worklist.remove(connection, [one.id for one in house.worklist.of_patient(connection, "HOSP\\1")])
    aged(house.database, 45)
    settings = Settings(data=tmp_path, hl7=Hl7(keep_events=days, keep_orders=days))
    queue = Queue(house.database)
    number = queue.enqueue(PURGE)
    assert Runner(queue, purging(house.archive, settings)).run_once()  # type: ignore[arg-type]
    state = queue.state(number)
    assert state is not None
    assert (state.state, state.error) == ("waiting", ""), "it comes again"
    assert bool(house.events()) is bool(numbers(house.database)) is left
