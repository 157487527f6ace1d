"""What becomes of arrivals, on both databases (docs/design.md section 4, duplicates and data model)."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import func, select

from arrivals import ROOT, arrival
from isocenter.database import Database
from isocenter.index import tables
from isocenter.index.filing import Filing
from isocenter.index.places import Places
from isocenter.index.records import Arrival, Choice, Deletion, ExceptionNote, Outcome, Record
from isocenter.index.sessions import session
from isocenter.index.writer import LocalWriter


class Filed:
    """A writer and what it leaves in the database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.writer = LocalWriter(database)

    def __call__(self, record: Record) -> Outcome:
        return self.writer.submit(record).result(20)

    def rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        found = tables.metadata.tables[table]
        with self.database.reading() as connection:
            query = select(*[found.c[c] for c in columns]).order_by(*found.primary_key.columns)
            return [tuple(row) for row in connection.execute(query)]

    def count(self, table: str) -> int:
        with self.database.reading() as connection:
            return connection.execute(select(func.count()).select_from(tables.metadata.tables[table])).scalar() or 0


@pytest.fixture
def filed(any_database: Database) -> Iterator[Filed]:
    made = Filed(any_database)
    yield made
    made.writer.close()


def test_a_new_object(filed: Filed) -> None:
    a = arrival()
    assert filed(a) == Outcome("stored")
    assert filed.rows("patient", "identity", "patient_name") == [("\\P1", "Doe^Jane")]
    assert filed.rows("study", "study_uid", "patient_id", "name_fold") == [(a.study_uid, "P1", "doe^jane")]
    assert filed.rows("series", "instances", "bytes", "sop_classes", "revision") == [(1, 1000, a.sop_class, 1)]
    assert filed.rows("instance", "store_key", "rows", "frames") == [(a.store_key, 512, None)]
    assert filed.rows("change", "kind", "sop_uid", "store_key") == [("stored", a.sop_uid, a.store_key)]
    assert filed.rows("patient_id", "value", "kind") == [("P1", "primary")]
    assert filed.rows("study_accession", "accession") == [("A1",)]


def test_many_series_of_many_patients_in_one_batch(filed: Filed) -> None:
    made = [arrival(s, e, i, patient=f"P{s % 3}") for s in range(6) for e in range(2) for i in range(3)]
    assert {f.result(20).verdict for f in [filed.writer.submit(a) for a in made]} == {"stored"}
    assert [filed.count(t) for t in ("patient", "study", "series", "instance", "change")] == [3, 6, 12, 36, 36]
    assert {row[0] for row in filed.rows("series", "instances")} == {3}


def test_submitting_again_gives_the_same_answer(filed: Filed) -> None:
    first, second = arrival(), arrival(content="other", likeness="different")
    twin = first._replace(store_key="f" * 32)
    for a, verdict in ((first, "stored"), (second, "conflict"), (twin, "equal")):
        answers = {filed(a) for _ in range(3)}
        assert len(answers) == 1
        assert answers.pop().verdict == verdict
    assert filed.count("conflict") == 1
    assert filed.count("change") == 2
    assert filed.rows("series", "instances", "bytes") == [(1, 1000)]


def test_the_same_twice_in_one_batch(filed: Filed) -> None:
    a = arrival()
    futures = [filed.writer.submit(record) for record in (a, a, a._replace(store_key="e" * 32))]
    assert [f.result(20).verdict for f in futures] == ["stored", "stored", "equal"]


@pytest.mark.req("M-STORE-06")
def test_an_equal_object_changes_nothing(filed: Filed) -> None:
    a = arrival()
    filed(a)
    copy = a._replace(store_key="d" * 32, source_aet="OTHER")
    assert filed(copy) == Outcome("equal", a.store_key)
    assert filed.rows("removal", "store_key", "reason", "kept_key") == [("d" * 32, "equal-duplicate", a.store_key)]
    assert filed.rows("instance", "store_key") == [(a.store_key,)]
    assert filed.count("change") == 1


def test_an_object_that_differs_is_looked_at_first(filed: Filed) -> None:
    a = arrival()
    filed(a)
    other = arrival(content="other")
    assert filed(other) == Outcome("differs", a.store_key)
    assert filed.count("instance_version") == 0
    assert filed(other._replace(likeness="same-pixels")) == Outcome("version", a.store_key)
    assert filed.rows("instance_version", "verdict", "store_key") == [("version", other.store_key)]
    assert filed.count("conflict") == 0
    assert filed.rows("series", "instances", "revision") == [(1, 2)]


def test_other_content_is_kept_and_flagged(filed: Filed) -> None:
    a = arrival()
    filed(a)
    other = arrival(content="other", likeness="different")
    assert filed(other) == Outcome("conflict", a.store_key, ("object-differs",))
    assert filed.rows("conflict", "kind", "store_key") == [("object-differs", other.store_key)]
    assert filed.rows("instance", "store_key") == [(a.store_key,)]
    again = other._replace(store_key="c" * 32)
    assert filed(again) == Outcome("equal", other.store_key), "equal to a version that is kept"


@pytest.mark.req("M-STORE-06")
def test_keep_first_supplement(filed: Filed) -> None:
    filed(arrival(series_values={"modality": ""}))
    plain = arrival(content="b", likeness="same-pixels", series_values={"body_part": "CHEST"})
    filed(plain)
    assert filed.rows("series", "body_part", "modality") == [("", "")], "keep-first takes nothing from a duplicate"
    late = arrival(
        content="c",
        likeness="same-pixels",
        policy="keep-first-supplement",
        series_values={"body_part": "CHEST", "series_number": "9"},
    )
    filed(late._replace(instance={**late.instance, "content_date": "20240101", "instance_number": "77"}))
    assert filed.rows("series", "body_part", "modality", "series_number") == [("CHEST", "CT", "1")]
    assert filed.rows("instance", "content_date", "instance_number") == [("20240101", "1")]


def test_replace(filed: Filed) -> None:
    a = arrival()
    filed(a)
    other = arrival(content="other", policy="replace", size=1500)
    assert filed(other) == Outcome("replaced", a.store_key)
    assert filed(other).verdict == "replaced"
    assert filed.rows("instance", "store_key", "digest") == [(other.store_key, other.digest)]
    assert filed.rows("instance_version", "verdict", "store_key") == [("superseded", a.store_key)]
    assert filed.rows("series", "instances", "bytes") == [(1, 1500)]
    back = a._replace(store_key="b" * 32, policy="replace")
    assert filed(back).verdict == "replaced"


def test_reject_and_new_uid(filed: Filed) -> None:
    a = arrival()
    filed(a)
    refused = arrival(content="other", policy="reject")
    assert filed(refused) == Outcome("rejected", a.store_key)
    assert filed(refused) == Outcome("rejected", a.store_key)
    assert filed.rows("removal", "store_key", "reason") == [(refused.store_key, "rejected-duplicate")]
    assert filed(arrival(content="x", policy="new-uid", likeness="different")) == Outcome("differs", a.store_key)
    assert filed(a._replace(store_key="a" * 32, policy="reject")).verdict == "equal"


def test_first_received_wins_and_missing_is_supplemented(filed: Filed) -> None:
    filed(arrival(1, 1, 1, patient_values={"birth_date": ""}, study_values={"description": ""}))
    filed(arrival(1, 1, 2, patient_values={"birth_date": "19700101"}, study_values={"study_date": "19991231"}))
    assert filed.rows("patient", "birth_date") == [("19700101",)]
    found = filed.rows("study", "birth_date", "description", "description_fold", "study_date")
    assert found == [("19700101", "Thorax", "thorax", "20240131")]


def test_further_attributes_are_supplemented(filed: Filed) -> None:
    age = ("S", "00101010", 0, "042Y", "042y")
    weight = ("S", "00101030", 0, "70", "70")
    first = arrival(1, 1, 1, study_values={"attributes": '{"00101010":{"vr":"AS","Value":["042Y"]}}'})
    filed(first._replace(attributes=(age,)))
    second = arrival(1, 1, 2, study_values={"attributes": '{"00101010":{"vr":"AS"},"00101030":{"vr":"DS"}}'})
    filed(second._replace(attributes=(("S", "00101010", 0, "043Y", "043y"), weight)))
    assert filed.rows("attribute", "level", "path", "value") == [("S", "00101010", "042Y"), ("S", "00101030", "70")]
    assert filed.rows("study", "attributes") == [('{"00101010":{"vr":"AS","Value":["042Y"]},"00101030":{"vr":"DS"}}',)]


def test_attributes_of_an_object(filed: Filed) -> None:
    a = arrival(attributes=(("P", "00102160", 0, "X", "x"), ("I", "0040A491", 0, "COMPLETE", "complete")))
    filed(a)
    assert filed.rows("attribute", "level", "path", "fold") == [
        ("P", "00102160", "x"),
        ("I", "0040A491", "complete"),
    ]


def test_another_patient_in_a_known_study(filed: Filed) -> None:
    filed(arrival(1, 1, 1))
    assert filed(arrival(1, 1, 2, patient="P2", name="Roe^Richard")).conflicts == ("patient-differs",)
    assert filed.rows("patient", "patient_id") == [("P1",)], "never silently moved"
    assert filed.count("instance") == 2
    assert filed(arrival(1, 1, 3, name="DOE^JANE")).conflicts == (), "the name alone is no other patient"


def test_no_patient_id_is_a_patient_for_each_study(filed: Filed) -> None:
    for study in (1, 2):
        filed(arrival(study, patient=""))
    assert filed.rows("patient", "identity") == [(f"\\\\{ROOT}.1",), (f"\\\\{ROOT}.2",)]
    assert filed.count("patient_id") == 0


def test_the_same_uid_elsewhere(filed: Filed) -> None:
    a = arrival(1, 1, 1)
    filed(a)
    moved = arrival(1, 2, 1, sop_uid=a.sop_uid)
    assert filed(moved).conflicts == ("uid-in-other-series",)
    far = arrival(2, 1, 1, sop_uid=a.sop_uid)
    assert filed(far).conflicts == ("uid-in-other-study",)
    assert {row[0] for row in filed.rows("instance", "store_key")} == {a.store_key, moved.store_key, far.store_key}


def test_the_same_series_uid_under_another_study(filed: Filed) -> None:
    a = arrival(1, 1, 1)
    b = arrival(2, 1, 1, series_uid=a.series_uid)
    assert [filed(each).verdict for each in (a, b, arrival(2, 1, 2, series_uid=a.series_uid))] == ["stored"] * 3
    assert filed.rows("conflict", "kind", "study_uid", "series_uid", "sop_uid") == [
        ("uid-in-other-study", b.study_uid, a.series_uid, "")
    ]
    assert filed.rows("series", "instances") == [(1,), (2,)]


def test_flags_become_conflicts(filed: Filed) -> None:
    assert filed(arrival(flags=("irregular-uid",))).conflicts == ("irregular-uid",)


def test_sop_classes_of_a_series(filed: Filed) -> None:
    for i, sop_class in enumerate(("1.2.3", "1.2", "1.2.3")):
        filed(arrival(1, 1, i, sop_class=sop_class))
    assert filed.rows("series", "sop_classes") == [("1.2.3\\1.2",)]


def test_deleting(filed: Filed) -> None:
    made = [arrival(1, e, i) for e in (1, 2) for i in (1, 2)]
    for a in made:
        filed(a)
    version = arrival(1, 1, 1, content="other", likeness="same-pixels")
    filed(version)
    gone = Deletion(made[0].study_uid, made[0].series_uid, made[0].sop_uid, at=5, not_before=9)
    assert filed(gone) == Outcome("deleted", objects=2)
    assert filed(gone) == Outcome("deleted", objects=0)
    assert filed.rows("series", "instances", "bytes") == [(1, 1000), (2, 2000)]
    removals = filed.rows("removal", "store_key", "reason", "not_before")
    assert removals == [(made[0].store_key, "deleted", 9), (version.store_key, "deleted", 9)]
    assert filed(Deletion(made[0].study_uid, made[0].series_uid)).objects == 1
    assert filed.count("series") == 1
    assert filed(Deletion(made[0].study_uid)).objects == 2
    left = ("patient", "patient_id", "study", "study_accession", "series", "instance", "instance_version", "attribute")
    assert [filed.count(t) for t in left] == [0] * 8
    assert [row[0] for row in filed.rows("change", "kind")].count("deleted") == 5


def test_a_replayed_deletion_leaves_what_came_later(filed: Filed) -> None:
    old = arrival(received_at=100)
    new = arrival(content="new", received_at=300, likeness="different", size=700)
    older = arrival(content="older", received_at=50, likeness="different")
    untouched = arrival(1, 1, 2, received_at=300)
    for a in (old, new, older, untouched):
        filed(a)
    assert filed(Deletion(old.study_uid, at=200, received_until=200)).objects == 2
    assert filed.rows("instance", "store_key", "size") == [(new.store_key, 700), (untouched.store_key, 1000)]
    assert filed.count("instance_version") == 0
    assert filed.rows("series", "instances", "bytes") == [(2, 1700)]
    assert {row[0] for row in filed.rows("removal", "store_key")} == {old.store_key, older.store_key}


def test_what_is_deleted_can_come_again_but_its_file_does_not(filed: Filed) -> None:
    a = arrival()
    filed(a)
    filed(Deletion(a.study_uid))
    assert filed(a).verdict == "deleted", "the file is about to go"
    assert filed.count("instance") == 0
    assert filed(a._replace(store_key="9" * 32)).verdict == "stored"
    assert filed(arrival(1, 1, 2)).verdict == "stored"


def test_a_deletion_between_arrivals_of_one_batch(filed: Filed) -> None:
    records: list[Record] = [arrival(1, 1, 1), Deletion(f"{ROOT}.1"), arrival(1, 1, 2), arrival(1, 1, 3)]
    assert [filed.writer.submit(r).result(20).verdict for r in records] == ["stored", "deleted", "stored", "stored"]
    assert filed.rows("series", "instances") == [(2,)]


def test_choosing_a_version(filed: Filed) -> None:
    a = arrival()
    other = arrival(content="other", likeness="different")
    filed(a)
    filed(other)
    assert filed(Choice(other, 5)).verdict == "replaced"
    assert filed(Choice(other, 5)).verdict == "replaced"
    assert filed.rows("instance", "store_key") == [(other.store_key,)]
    assert filed.rows("instance_version", "store_key", "verdict") == [(a.store_key, "superseded")]
    assert filed.rows("conflict", "settled_at") != [(None,)]
    assert filed(Choice(arrival(2), 5)).verdict == "missing"


def test_notes_of_exceptions(filed: Filed) -> None:
    note = ExceptionNote("k1", "cannot-understand", "why", "1.2", "1.2.3", "1.2.840.10008.1.2", "A", "B", "::1", 7)
    assert filed(note) == Outcome("noted")
    assert filed(note) == Outcome("noted")
    assert filed.rows("exception", "store_key", "reason", "received_at") == [("k1", "cannot-understand", 7)]


def test_one_bad_record_does_not_harm_the_others(filed: Filed) -> None:
    good = [arrival(1, 1, i) for i in range(5)]
    bad = arrival(1, 1, 9, size=None)
    records: list[Arrival] = [*good[:3], bad, *good[3:]]
    futures = [filed.writer.submit(a) for a in records]
    assert [f.exception(20) is None for f in futures] == [True, True, True, False, True, True]
    assert filed.rows("series", "instances") == [(5,)]


def test_long_and_odd_values(filed: Filed) -> None:
    names = {"patient_name": "Ж" * 1000, "name_fold": "ж" * 256}
    a = arrival(patient="9" * 256, patient_values=names, study_values={"accession": "É" * 256})
    assert filed(a).verdict == "stored"
    assert filed(arrival(2, sop_uid="1." * 128)).verdict == "stored"


@pytest.mark.req("M-STORE-06")
def test_of_one_batch_what_was_received_first_wins(filed: Filed) -> None:
    """A rebuild files in large batches what came one by one; the answers must not depend on that."""
    late = arrival(
        1, 1, 1, patient="A", study_values={"description": "late"}, patient_values={"birth_date": "19500101"}
    )
    early = arrival(1, 1, 2, patient="Z", study_values={"description": "early", "accession": ""})
    between = arrival(1, 1, 3, patient="Z", name="Other", patient_values={"birth_date": "19600101"})
    twin = arrival(2, 9, 4, patient="B")._replace(series_uid=early.series_uid)
    batch = [a._replace(received_at=at) for a, at in ((late, 30), (early, 10), (between, 20), (twin, 40))]
    with closing(session(filed.database)) as one, one.transaction():
        outcomes = Filing(one, Places(one)).file(batch, 100)
    assert [outcome.conflicts for outcome in outcomes if outcome] == [("patient-differs",), (), (), ()]
    assert filed.rows("study", "study_uid", "patient_id", "birth_date", "description", "accession") == [
        (early.study_uid, "Z", "19600101", "early", "A1"),
        (twin.study_uid, "B", "", "Thorax", "A2"),
    ]
    assert filed.rows("conflict", "kind", "study_uid") == [
        ("patient-differs", late.study_uid),
        ("uid-in-other-study", twin.study_uid),
    ]
