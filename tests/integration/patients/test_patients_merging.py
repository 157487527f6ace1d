"""Merges, moves and changes of numbers: archive, worklist, procedure steps and register say the same afterwards, and
what they said before when they are taken back."""

from pathlib import Path

import pytest

from archives import running, study_uid
from hospital import ADMISSION, BIRTH, LOCATION, NAME, SEX, WHO, Hospital
from isocenter.archive.edits.checks import Target
from isocenter.archive.edits.history import history
from isocenter.archive.edits.making import Who
from isocenter.dicom.uids import new_uid
from isocenter.errors import Refused
from isocenter.hl7.errors import Condition, MessageError
from isocenter.workflow.orders.handler import Orders
from isocenter.workflow.worklist.attributes import text, written
from isocenter.workflow.worklist.states import State
from procedure_steps import begun, report

ITEM = "ScheduledStepAttributesSequence"
ROE = "PID|||B||Roe^Richard||19700102|M"


def everywhere(house: Hospital, patient: str = "A", **options: str) -> str:
    """A patient with an archived study, an order and a step; the study."""
    study = house.archived(1, patient=patient)
    house.scheduled("O1", patient=patient, study=study, **options)
    house.performed("1.2.3", patient=patient, study=study)
    return study


@pytest.mark.parametrize("event", ["A18", "A34", "A36", "A39", "A40", "A43", "A46", "A47"])
def test_a_merge_is_seen_everywhere_and_undone_everywhere(house: Hospital, event: str) -> None:
    study = everywhere(house)
    other = house.archived(2, patient="B", name="Roe^R")
    before = house.state()
    house.adt(event, ROE, "MRG|A")
    assert house.studies() == {study: ("\\B", "Roe^Richard"), other: ("\\B", "Roe^Richard")}
    entry, step = house.entry("O1"), house.step(1)
    assert (entry.identity, step.identity) == ("\\B", "\\B")
    for model in (entry.model, step.model):
        assert [text(model, tag) for tag in (NAME, BIRTH, SEX)] == ["Roe^Richard", "19700102", "M"]
    house.undo()
    assert house.state() == before


@pytest.mark.parametrize("event", ["A40", "A47"])
def test_where_nobody_has_the_number_the_patient_gets_it(house: Hospital, event: str) -> None:
    study = everywhere(house)
    before = house.state()
    house.adt(event, "PID|||B||Roe^Richard", "MRG|A")
    assert house.studies() == {study: ("\\B", "Roe^Richard")}
    assert house.entry("O1").identity == house.step(1).identity == "\\B"
    house.undo()
    assert house.state() == before


def test_a_message_without_a_name_leaves_the_known_one(house: Hospital) -> None:
    """A34 often brings nothing but numbers."""
    house.scheduled("O1", patient="A")
    house.adt("A04", "PID|||B||Roe^Richard||19700102|M")
    house.adt("A34", "PID|||B", "MRG|A")
    assert text(house.entry("O1").model, NAME) == "Roe^Richard"


def test_survivors_of_whom_nothing_is_known_keep_the_name_of_the_prior(house: Hospital) -> None:
    everywhere(house)
    house.adt("A40", "PID|||B", "MRG|A")
    assert text(house.entry("O1").model, NAME) == "Doe^Jane"
    assert house.studies() == {study_uid(1): ("\\B", "Doe^Jane")}


def test_later_things_under_the_prior_number_follow(house: Hospital) -> None:
    """A merge of a patient nobody knows is remembered."""
    before = house.state()
    house.adt("A40", ROE, "MRG|A")
    late = house.archived(1, patient="A")
    later = house.archived(2, patient="A")
    assert house.studies()[late][0] == "\\A"
    while house.parts.late.step():
        pass
    assert house.studies() == {late: ("\\B", "Roe^Richard"), later: ("\\B", "Roe^Richard")}
    last = house.archived(3, patient="A")
    assert house.studies()[last] == ("\\B", "Roe^Richard")  # by now the archive itself knows
    assert house.archive.rows("conflict") == []
    house.undo()
    assert {owner for owner, _ in house.studies().values()} == {"\\A"}
    assert house.state() == {**before, "archive": house.studies()}


@pytest.mark.parametrize("registered", [True, False])
def test_orders_that_come_by_the_prior_number_go_back_with_it(house: Hospital, registered: bool) -> None:
    """With what they say themselves, and what is registered of that patient, if anything is, beside it."""
    if registered:
        house.adt("A28", "PID|||A||Doe^Jane||19700301|F")
    house.adt("A40", ROE, "MRG|A")
    order = house.message(
        "ORM^O01", "PID|||A||Doe^J", "ORC|NW|PL1|FI1||||^^^20260301093000^^R",
        "OBR|1|PL1|FI1|CTHEAD^CT head^99L||||||||||||||ACC1|RP1|SPS1||||CT",
    )  # fmt: skip
    with house.database.writing() as connection:
        orders = Orders(house.worklist)
        orders.apply(connection, order, house.feed)
        orders.apply(connection, order, house.feed)
    (entry,) = house.entries().values()
    assert [entry.identity, *(text(entry.model, tag) for tag in (NAME, BIRTH, SEX))] == [
        "\\B", "Doe^J", "19700102", "M",
    ]  # fmt: skip
    house.undo()
    (entry,) = house.entries().values()
    assert [entry.identity, *(text(entry.model, tag) for tag in ("00100020", NAME, BIRTH, SEX))] == [
        "\\A", "A", "Doe^J", *(("19700301", "F") if registered else ("", "")),
    ]  # fmt: skip


def test_updates_of_a_number_that_was_merged_away_are_the_others(house: Hospital) -> None:
    everywhere(house)
    house.adt("A40", ROE, "MRG|A")
    house.adt("A08", "PID|||A||Roe^Richard^Q")
    assert text(house.entry("O1").model, NAME) == "Roe^Richard^Q"
    assert house.studies() == {study_uid(1): ("\\B", "Roe^Richard^Q")}


def test_a_chain_is_followed_to_its_end_and_taken_back_from_there(house: Hospital) -> None:
    everywhere(house)
    before = house.state()
    house.adt("A40", "PID|||B||Roe^R", "MRG|A")
    between = house.state()
    house.adt("A40", "PID|||C||Poe^P", "MRG|B")
    assert house.studies() == {study_uid(1): ("\\C", "Poe^P")}
    assert house.entry("O1").identity == "\\C"
    first, second = (one.id for one in reversed(house.events()))
    with pytest.raises(Refused, match=f"event {second} came later"):
        house.undo(first)
    house.undo(second)
    assert house.state() == between
    house.undo(first)
    assert house.state() == before


def test_the_merge_the_other_way_round_afterwards(house: Hospital) -> None:
    """The hospital notices that it has kept the wrong number."""
    everywhere(house)
    house.archived(2, patient="B", name="Roe^R")
    house.adt("A40", "PID|||B||Roe^R", "MRG|A")
    between = house.state()
    house.adt("A40", "PID|||A||Roe^R", "MRG|B")
    assert {owner for owner, _ in house.studies().values()} == {"\\A"}
    assert house.entry("O1").identity == house.step(1).identity == "\\A"
    house.undo()
    assert house.state() == between


def test_a_merge_that_turned_another_round_is_not_undone_before_what_came_since(house: Hospital) -> None:
    """Of which of the two the update is can't be told once they are two again."""
    everywhere(house)
    other = house.archived(2, patient="B", name="Roe^R")
    before = house.state()
    house.adt("A40", "PID|||B||Roe^R", "MRG|A")
    house.adt("A40", "PID|||A||Doe^Jane", "MRG|B")
    house.adt("A08", "PID|||B||Poe^P")
    update, turn, merge = house.events()
    done = house.state()
    for each, later in ((turn, update), (merge, turn)):
        with pytest.raises(Refused, match=f"event {later.id} came later: take that back first"):
            house.undo(each.id)
    assert (house.state(), house.events()) == (done, [update, turn, merge])
    for each in (update, turn, merge):
        house.undo(each.id)
    assert house.studies() == {study_uid(1): ("\\A", "Doe^Jane"), other: ("\\B", "Roe^R")}
    assert house.state() == before


@pytest.mark.parametrize("message", [("A40", ROE, "MRG|A"), ("A08", ROE)])
@pytest.mark.parametrize("merged", [True, False])
def test_what_a_person_has_made_of_who_was_corrected_goes_first(
    house: Hospital, message: tuple[str, ...], merged: bool
) -> None:
    everywhere(house)
    house.archived(2, patient="B", name="Roe^R")
    house.archived(3, patient="C", name="Poe^P")
    before = house.state()
    house.adt(*message)
    if merged:
        house.edits.merge_patients("\\B", "\\C", WHO)
    else:
        house.edits.attributes(Target.patient("\\B"), written("00100020", "X"), WHO)
    done, latest = house.state(), house.archive.rows("edit")[-1]
    with pytest.raises(Refused, match=f"edit {latest.uid} came later"):
        house.undo()
    assert house.state() == done
    house.edits.revert(latest.uid, WHO)
    house.undo()
    assert house.state() == before


def test_several_patients_in_one_message(house: Hospital) -> None:
    for number, patient in enumerate("AC", 1):
        house.archived(number, patient=patient)
    before = house.state()
    house.adt("A40", "PID|||B||Roe^R", "MRG|A", "PID|||D||Poe^P", "MRG|C")
    assert house.studies() == {study_uid(1): ("\\B", "Roe^R"), study_uid(2): ("\\D", "Poe^P")}
    house.undo()
    assert house.state() == before


def test_done_again_it_does_nothing(house: Hospital) -> None:
    everywhere(house)
    house.archived(2, patient="B", name="Roe^R")
    message = house.message("A40", ROE, "MRG|A")
    house.process(message)
    done, events = house.state(), house.events()
    house.process(message)
    assert house.state() == done
    assert house.events() == events
    assert len(house.archive.rows("edit")) == 2  # the merge, and what the survivor is called


def test_what_was_undone_may_be_done_again(house: Hospital) -> None:
    everywhere(house)
    message = house.message("A40", ROE, "MRG|A")
    house.process(message)
    done = house.state()
    house.undo()
    house.process(message)
    assert house.state() == done
    house.undo()
    assert house.studies() == {study_uid(1): ("\\A", "Doe^Jane")}


def test_the_program_may_end_between_archive_and_tables(house: Hospital) -> None:
    """The sender gets no answer, and sends again."""
    everywhere(house)
    house.archived(2, patient="B", name="Roe^R")
    before = house.state()
    message = house.message("A40", ROE, "MRG|A")
    house.parts.messages.before(message, house.feed)
    house.process(message)
    assert house.entry("O1").identity == "\\B"
    assert {owner for owner, _ in house.studies().values()} == {"\\B"}
    house.undo()
    assert house.state() == before


def test_the_program_may_end_in_the_middle_of_an_undo(house: Hospital) -> None:
    everywhere(house)
    house.archived(2, patient="B", name="Roe^R")
    before = house.state()
    house.adt("A40", ROE, "MRG|A")
    latest = house.archive.rows("edit")[-1]
    house.edits.revert(latest.uid, WHO)
    house.undo()
    assert house.state() == before


def test_it_is_audited_with_who_and_why(house: Hospital) -> None:
    everywhere(house)
    house.process(house.message("A40", ROE, "MRG|A", control_id="CTRL7"))
    house.undo()
    events = {one.event: one for one in reversed(history(house.database))}
    made, noted = events["edit.move-study"], events["patient.merge"]
    assert noted.actor == "hl7:his CTRL7"
    assert noted.detail["reason"].startswith("ADT^A40 ")
    assert (noted.detail["prior"], noted.detail["identity"], noted.detail["worklist"]) == ("\\A", "\\B", 1)
    assert made.detail["reverts"]
    assert events["patient.undo"].actor == WHO.actor


@pytest.mark.parametrize("known", [True, False])
def test_a_merge_is_taken_back_whatever_the_survivor_is_called_by_now(house: Hospital, known: bool) -> None:
    everywhere(house)
    if known:
        house.archived(2, patient="B", name="Roe^R")
    house.adt("A40", ROE, "MRG|A")
    house.adt("A08", "PID|||B||Roe^Richard^Quentin")
    merge = next(one.id for one in house.events() if one.kind == "merge")
    house.undo(merge)
    assert house.studies()[study_uid(1)] == ("\\A", "Doe^Jane")
    assert house.entry("O1").identity == house.step(1).identity == "\\A"
    assert text(house.entry("O1").model, NAME) == "Doe^Jane"


def test_undone_twice(house: Hospital) -> None:
    everywhere(house)
    house.adt("A40", ROE, "MRG|A")
    number = house.events()[0].id
    house.undo(number)
    with pytest.raises(Refused, match="already"):
        house.undo(number)
    with pytest.raises(Refused, match="no such event"):
        house.parts.undoing.undo(999, Who("x"))


# --- accounts and visits


@pytest.mark.parametrize(("event", "kept", "gone"), [("A45", "PV1|||||||||||||||||||V2", "MRG|A||||V1")])
def test_a_visit_moves_with_its_orders_steps_and_studies(house: Hospital, event: str, kept: str, gone: str) -> None:
    study = everywhere(house, visit="V1")
    house.scheduled("O2", patient="A", visit="V9")
    stays = house.archived(2, patient="A")
    before = house.state()
    house.adt(event, ROE, gone, kept)
    assert house.studies() == {study: ("\\B", "Roe^Richard"), stays: ("\\A", "Doe^Jane")}
    assert house.entry("O1").identity == "\\B"
    assert text(house.entry("O1").model, ADMISSION) == "V2"
    assert text(house.entry("O1").model, NAME) == "Roe^Richard"
    assert house.entry("O2").identity == "\\A"
    house.undo()
    assert house.state() == before


def test_an_account_moves_with_its_visits(house: Hospital) -> None:
    house.adt("A01", "PID|||A||Doe^Jane|||||||||||||ACC1", "PV1||I|W1||||||||||||||||V1")
    study = everywhere(house, visit="V1")
    before = house.state()
    house.adt("A44", "PID|||B||Roe^Richard|||||||||||||ACC1", "MRG|A||ACC1")
    assert house.studies() == {study: ("\\B", "Roe^Richard")}
    assert house.entry("O1").identity == "\\B"
    assert text(house.entry("O1").model, ADMISSION) == "V1"
    assert house.state()["register"]["\\A"][2] == []
    house.undo()
    assert house.state() == before


VISIT_MOVES = ("A45", "PID|||B||Roe^Richard", "MRG|A||||V1", "PV1|||||||||||||||||||V2")


def settled(house: Hospital) -> dict[str, tuple[str, str]]:
    """Archived studies, once late ones have followed."""
    while house.parts.late.step():
        pass
    return house.studies()


@pytest.mark.parametrize(
    ("event", "segments"),
    [
        ("A45", VISIT_MOVES[1:]),
        ("A44", ("PID|||B||Roe^Richard|||||||||||||ACC1", "MRG|A||ACC1")),
    ],
)
def test_late_objects_of_what_was_moved_follow(house: Hospital, event: str, segments: tuple[str, ...]) -> None:
    """By the study of the order, or by its accession number; what else is the prior patient's stays with her."""
    house.adt("A01", "PID|||A||Doe^Jane|||||||||||||ACC1", "PV1||I|W1||||||||||||||||V1")
    house.scheduled("O1", patient="A", visit="V1", study=study_uid(1))
    house.scheduled("O2", patient="A", visit="V9", study=study_uid(3))
    before = house.state()
    house.adt(event, *segments)
    named = house.archived(1, patient="A")
    numbered = house.archived(2, patient="A", AccessionNumber="O1")
    others = [house.archived(3, patient="A", AccessionNumber="O2")]
    others.append(house.archived(4, patient="C", AccessionNumber="O1"))
    owners = {uid: owner for uid, (owner, _) in settled(house).items()}
    assert owners == {named: "\\B", numbered: "\\B", others[0]: "\\A", others[1]: "\\C"}
    assert house.studies()[named][1] == "Roe^Richard"
    house.archived(1, patient="A", SeriesInstanceUID="1.2.3.4.9", SOPInstanceUID="1.2.3.4.9.1")
    assert house.archive.rows("conflict") == []
    assert {edit.kind for edit in house.archive.rows("edit")} == {"move-study"}
    house.undo()
    assert {owner for uid, (owner, _) in house.studies().items() if uid != others[1]} == {"\\A"}
    assert house.state() == {**before, "archive": house.studies()}


def test_archived_studies_of_its_accession_number_move_too(house: Hospital) -> None:
    house.scheduled("O1", patient="A", visit="V1")
    study = house.archived(1, patient="A", AccessionNumber="O1")
    house.adt(*VISIT_MOVES)
    assert house.studies() == {study: ("\\B", "Roe^Richard")}


def test_what_comes_late_goes_to_the_end_of_a_chain_and_back_step_by_step(tmp_path: Path, any_url: str) -> None:
    """The visit moves twice, the patient in whose hands it ends is merged, and so is the one it came from."""
    with running(tmp_path, any_url) as archive:
        house, uid = Hospital(archive), new_uid()
        house.scheduled("O1", patient="A", visit="V1", study=study_uid(1))
        house.adt("A45", "PID|||B||Roe^Richard", "MRG|A||||V1", "PV1|||||||||||||||||||V2")
        house.adt("A45", "PID|||C||Poe^Paul", "MRG|B||||V2", "PV1|||||||||||||||||||V3")
        house.adt("A40", "PID|||D||Poe^Paula", "MRG|C")
        house.adt("A40", "PID|||E||Doe^Janet", "MRG|A")
        late = house.archived(1, patient="A")
        assert report(archive, uid, begun(PatientID="A", **{f"{ITEM}>AccessionNumber": "O1"})) == [0]
        for owner in ("D", "D", "C", "B", "A"):
            assert settled(house)[late][0] == house.step(1).identity == f"\\{owner}"
            if owner != "A":
                house.undo()
        assert house.step(1).matching == "matched"
        assert archive.rows("conflict") == []


@pytest.mark.parametrize("event", ["A40", "A45"])
def test_objects_that_come_while_a_message_is_carried_out_follow(house: Hospital, event: str) -> None:
    """After the archived studies were edited and before the message is noted, when who follows has looked already."""
    house.scheduled("O1", patient="A", visit="V1", study=study_uid(1))
    message = house.message(event, "PID|||B||Roe^Richard", "MRG|A||||V1", "PV1|||||||||||||||||||V2")
    house.parts.messages.before(message, house.feed)
    late = house.archived(1, patient="A")
    assert settled(house)[late][0] == "\\A"
    house.applied(message)
    assert settled(house)[late][0] == "\\B"
    house.undo()
    assert settled(house)[late][0] == "\\A"


def test_a_study_that_somebody_gave_to_a_third_patient_stays_there(house: Hospital) -> None:
    house.scheduled("O1", patient="A", visit="V1", study=study_uid(1))
    house.adt(*VISIT_MOVES)
    late = house.archived(1, patient="A")
    house.edits.move_study(late, {"00100020": {"vr": "LO", "Value": ["Z"]}}, WHO)
    assert settled(house)[late][0] == "\\Z"


def test_a_move_that_was_undone_holds_nothing_back(house: Hospital) -> None:
    house.scheduled("O1", patient="A", visit="V1", study=study_uid(1))
    house.adt(*VISIT_MOVES)
    house.undo()
    late = house.archived(1, patient="A")
    assert settled(house)[late][0] == "\\A"


@pytest.mark.parametrize(
    ("event", "pid", "mrg", "pv1"),
    [
        ("A42", "PID|||A", "MRG|A||||V1", "PV1|||||||||||||||||||V2"),
        ("A50", "PID|||A", "MRG|A||||V1", "PV1|||||||||||||||||||V2"),
        ("A35", "PID|||A|||||||||||||||V2", "MRG|A||V1", "PV1"),
        ("A41", "PID|||A|||||||||||||||V2", "MRG|A||V1", "PV1"),
        ("A49", "PID|||A|||||||||||||||V2", "MRG|A||V1", "PV1"),
    ],
)
def test_a_visit_or_an_account_gets_another_number(house: Hospital, event: str, pid: str, mrg: str, pv1: str) -> None:
    house.scheduled("O1", patient="A", visit="V1", location="W1")
    house.scheduled("O2", patient="A", visit="V9")
    before = house.state()
    house.adt(event, pid, mrg, pv1)
    numbers = {order: text(entry.model, ADMISSION) for order, entry in house.entries().items()}
    assert numbers == {"O1": "V2", "O2": "V9"}
    assert text(house.entry("O1").model, LOCATION) == "W1"
    house.undo()
    assert house.state() == before


def test_the_account_of_registered_visits_gets_its_number(house: Hospital) -> None:
    house.adt("A01", "PID|||A||Doe^Jane|||||||||||||ACC1", "PV1||I|W1||||||||||||||||V1")
    house.adt("A49", "PID|||A|||||||||||||||ACC2", "MRG|A||ACC1")
    (visit,) = house.state()["register"]["\\A"][2]
    assert (visit.visit_id, visit.account) == ("V1", "ACC2")


# --- links, and patients that were none


def test_links(house: Hospital) -> None:
    everywhere(house)
    before = house.state()
    house.adt("A24", "PID|||A", "PID|||B")
    assert house.state()["register"]["\\B"][3] == ["\\A"]
    assert {**house.state(), "register": before["register"]} == before  # both stay who they are
    house.adt("A37", "PID|||B", "PID|||A")
    assert house.state()["register"]["\\B"][3] == []
    house.undo()
    assert house.state()["register"]["\\A"][3] == ["\\B"]


def test_a_patient_without_studies_is_deleted(house: Hospital) -> None:
    house.adt("A28", "PID|||A||Doe^Jane")
    house.scheduled("O1", patient="A", state=State.CANCELLED)
    before = house.state()
    house.adt("A29", "PID|||A")
    assert house.state()["register"] == {}
    house.undo()
    assert house.state() == before


@pytest.mark.parametrize("known", ["archive", "worklist", "steps", "merged"])
def test_a_patient_of_whom_there_is_more_is_not(house: Hospital, known: str) -> None:
    if known == "archive":
        house.archived(1, patient="A")
    elif known == "worklist":
        house.scheduled("O1", patient="A")
    elif known == "steps":
        house.performed("1.2.3", patient="A")
    else:
        house.archived(1, patient="A")
        house.adt("A40", ROE, "MRG|A")
    before = house.state()
    with pytest.raises(MessageError) as refused:
        house.adt("A29", "PID|||A")
    assert refused.value.condition is Condition.RECORD_LOCKED
    assert house.state() == before


# --- issuers


def test_a_number_of_another_issuer_is_another_patients(house: Hospital) -> None:
    mine = house.archived(1, patient="A", issuer="HOSP")
    bare = house.archived(2, patient="A")
    foreign = house.archived(3, patient="A", issuer="ELSE")
    house.scheduled("O1", patient="A")
    house.adt("A40", "PID|||B^^^HOSP||Roe^R", "MRG|A^^^HOSP")
    assert house.studies() == {mine: ("HOSP\\B", "Roe^R"), bare: ("\\A", "Doe^Jane"), foreign: ("ELSE\\A", "Doe^Jane")}
    assert house.entry("O1").identity == "\\A"


def test_that_is_told_the_sender(house: Hospital) -> None:
    house.archived(1, patient="A")
    (warning,) = house.adt("A08", "PID|||A^^^HOSP||Roe^R")
    assert (warning.condition, warning.location) == (Condition.UNKNOWN_KEY, ("PID", 1, 3, 0, 0, 0))
    (warning,) = house.adt("A40", "PID|||B^^^HOSP||Roe^R", "MRG|A^^^HOSP")
    assert warning.location == ("MRG", 1, 1, 0, 0, 0)
    assert house.studies() == {study_uid(1): ("\\A", "Doe^Jane")}


def test_the_feeds_issuer_and_authorities(house: Hospital) -> None:
    mine = house.archived(1, patient="A", issuer="HOSP")
    feed = house.fed(issuer="HOSP")
    house.adt("A40", "PID|||B||Roe^R", "MRG|A", feed=feed)
    assert house.studies() == {mine: ("HOSP\\B", "Roe^R")}
    feed = house.fed(authority=("HOSP",))
    house.adt("A40", "PID|||9^^^NHS~C^^^HOSP||Poe^P", "MRG|8^^^NHS~B^^^HOSP", feed=feed)
    assert house.studies() == {mine: ("HOSP\\C", "Poe^P")}


# --- what is wrong changes nothing


@pytest.mark.parametrize(
    ("event", "segments", "condition", "place"),
    [
        ("A40", ("PID|||B",), Condition.REQUIRED_FIELD, ("MRG", 1, 1)),
        ("A40", ("PID|||", "MRG|A"), Condition.REQUIRED_FIELD, ("PID", 1, 3)),
        ("A40", ("PID|||B", "MRG|A", "PID|||C", "MRG|"), Condition.REQUIRED_FIELD, ("MRG", 2, 1)),
        ("A40", (), Condition.SEGMENT_SEQUENCE, ("PID", 1, 0)),
        ("A40", ("PID|||GONE", "MRG|MERGED"), Condition.UNKNOWN_KEY, ("MRG", 1, 1)),
        ("A08", ("PID|||A||Doe^J||1970x",), None, ()),
        ("A45", ("PID|||B", "MRG|A"), Condition.REQUIRED_FIELD, ("MRG", 1, 5)),
        ("A44", ("PID|||B", "MRG|A"), Condition.REQUIRED_FIELD, ("MRG", 1, 3)),
        ("A45", ("PID|||A", "MRG|A||||V1"), Condition.DUPLICATE_KEY, ("MRG", 1, 1)),
        ("A50", ("PID|||A", "MRG|A", "PV1|||||||||||||||||||V1"), Condition.REQUIRED_FIELD, ("MRG", 1, 5)),
        ("A50", ("PID|||A", "MRG|A||||V1"), Condition.REQUIRED_FIELD, ("PV1", 1, 19)),
        ("A24", ("PID|||A",), Condition.SEGMENT_SEQUENCE, ("PID", 2, 0)),
        ("A08", ("PID|||" + "9" * 65,), Condition.DATA_TYPE, ("PID", 1, 3)),
        ("A99", ("PID|||A",), Condition.UNSUPPORTED_EVENT, ("MSH", 1, 9)),
    ],
)  # fmt: skip
def test_what_is_wrong_changes_nothing(
    house: Hospital, event: str, segments: tuple[str, ...], condition: Condition | None, place: tuple[str, int, int]
) -> None:
    everywhere(house, visit="V1")
    house.adt("A40", "PID|||OTHER", "MRG|MERGED")
    before = house.state()
    if condition is None:  # what a mapping passes over is passed over here too
        house.adt(event, *segments)
        return
    with pytest.raises(MessageError) as wrong:
        house.adt(event, *segments)
    assert wrong.value.condition is condition
    assert wrong.value.location is not None
    assert wrong.value.location[:3] == place
    assert house.state() == before
    assert "Doe" not in str(wrong.value)


def test_a_wrong_second_patient_stops_the_first(house: Hospital) -> None:
    everywhere(house)
    house.adt("A40", "PID|||OTHER", "MRG|MERGED")
    before = house.state()
    with pytest.raises(MessageError):
        house.adt("A40", ROE, "MRG|A", "PID|||GONE", "MRG|MERGED")
    assert house.state() == before
