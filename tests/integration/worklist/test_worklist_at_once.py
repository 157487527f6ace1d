"""Two who change the worklist of one PostgreSQL database at once: the second one finds what the first has done."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Connection, text

from isocenter import database
from isocenter.database import Database
from isocenter.dicom.uids import new_uid
from isocenter.workflow.worklist import attributes as of
from isocenter.workflow.worklist.entries import Worklist
from isocenter.workflow.worklist.rows import Entry
from isocenter.workflow.worklist.states import State
from servers import until
from worklist_items import attribute, model

Does = Callable[[Worklist, Connection], Any]


@pytest.fixture(name="opened")
def fixture_opened(postgresql_url: str) -> Iterator[Database]:
    made = database.open(postgresql_url)
    yield made
    made.close()


def one_after_the_other(opened: Database, first: Does, second: Does) -> tuple[Any, Any]:
    """What both come to: the second one begins in the midst of the first one's transaction, and waits for its end."""
    worklist, found = Worklist(opened), list[Any]()

    def later() -> None:
        with opened.writing() as connection:
            found.append(second(worklist, connection))

    with opened.writing() as connection:
        found.append(first(worklist, connection))
        thread = threading.Thread(target=later)
        thread.start()
        until(lambda: _waits(opened), told="the second one waits")
    thread.join(60)
    one, two = found
    return one, two


def _waits(opened: Database) -> bool:
    with opened.reading() as connection:
        return bool(connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar())


def entries(opened: Database, order: str) -> list[Entry]:
    with opened.reading() as connection:
        return Worklist(opened).of_order(connection, order)


def bare(number: int, step: str) -> dict[str, Any]:
    """A step without the identifiers that are given."""
    return model(number, ScheduledProcedureStepID=step, RequestedProcedureID="", AccessionNumber="")


def putting(order: str, entry: dict[str, Any], **how: Any) -> Does:
    return lambda worklist, connection: worklist.put(connection, order, entry, **how)


def test_the_same_step_is_one_entry(opened: Database) -> None:
    """As the second one says it, with the identifiers that the first one gave."""
    first, second = one_after_the_other(opened, putting("o1", bare(1, "S1")), putting("o1", bare(2, "S1")))
    assert (second.id, second.uid, second.study_uid) == (first.id, first.uid, first.study_uid)
    (kept,) = entries(opened, "o1")
    assert of.text(kept.model, of.PATIENT_ID) == "P2"


def test_a_step_without_a_number_is_the_one_that_the_order_has_got(opened: Database) -> None:
    first, second = one_after_the_other(opened, putting("o1", bare(1, "")), putting("o1", bare(2, "")))
    assert (second.id, second.step_id) == (first.id, first.step_id)
    assert len(entries(opened, "o1")) == 1


def test_steps_of_one_order_are_of_one_study(opened: Database) -> None:
    first, second = one_after_the_other(opened, putting("o1", bare(1, "S1")), putting("o1", bare(1, "S2")))
    assert first.id != second.id
    assert first.study_uid == second.study_uid
    assert of.text(first.model, of.PROCEDURE) == of.text(second.model, of.PROCEDURE)


def test_a_state_is_not_lost_to_a_change_of_the_order(opened: Database) -> None:
    """A modality begins while a message changes the order; or an update of its patient comes."""
    with opened.writing() as connection:
        made = Worklist(opened).put(connection, "o1", model(1))
    begin: Does = lambda worklist, connection: worklist.set_state(connection, [made.id], State.STARTED)  # noqa: E731
    one_after_the_other(opened, begin, putting("o1", model(1, RequestedProcedureDescription="Head")))
    (kept,) = entries(opened, "o1")
    assert kept.state is State.STARTED
    assert of.text(of.step_of(kept.model), of.STATUS) == "STARTED"
    named = {"00100010": attribute(0x00100010, "Other^Name")}
    end: Does = lambda worklist, connection: worklist.set_state(connection, [made.id], State.COMPLETED)  # noqa: E731
    update: Does = lambda worklist, connection: worklist.update_patient(connection, kept.identity, named)  # noqa: E731
    one_after_the_other(opened, end, update)
    (kept,) = entries(opened, "o1")
    assert kept.state is State.COMPLETED
    assert kept.model["00100010"] == named["00100010"]


def test_many_at_once_make_one_entry(opened: Database) -> None:
    """Without a choreography: whoever comes is content."""
    start, failed, worklist = threading.Barrier(6), list[BaseException](), Worklist(opened)

    def run(number: int) -> None:
        with suppress(threading.BrokenBarrierError):  # another has failed, and told
            start.wait(60)
        try:
            for step in ("S1", "S2", "S1", "S3"):
                with opened.writing() as connection:
                    worklist.put(connection, "o1", model(number, ScheduledProcedureStepID=step, StudyInstanceUID=""))
        except BaseException as failure:
            failed.append(failure)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    assert sorted(one.step_id for one in entries(opened, "o1")) == ["S1", "S2", "S3"]


def test_other_orders_do_not_wait(opened: Database) -> None:
    worklist = Worklist(opened)
    with opened.writing() as connection, opened.writing() as other:
        worklist.put(connection, f"o{new_uid()}", model(1))
        other.execute(text("SET LOCAL lock_timeout = '5s'"))
        worklist.put(other, f"o{new_uid()}", model(2))
