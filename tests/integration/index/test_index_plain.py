"""What is filed in the short way says the same as what is filed in the long one."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from arrivals import arrival
from isocenter import database
from isocenter.database.schema import migrate
from isocenter.index.records import Arrival, Deletion, Verdict
from isocenter.index.writer import LocalWriter

_OWN = {"id", "sequence", "at", "changed_at", "revision", "opened_at", "not_before", "owner"}
"""What differs by when something was filed, in which order and in how many turns."""


@pytest.fixture
def urls(tmp_path: Path) -> list[str]:
    made = [f"sqlite:///{tmp_path}/{name}.db" for name in ("one", "other")]
    for url in made:
        migrate(url)
    return made


def rows(url: str, table: str) -> list[dict[str, Any]]:
    opened = database.open(url)
    try:
        with opened.reading() as connection:
            found = connection.execute(text(f"SELECT * FROM {table}")).mappings().all()
    finally:
        opened.close()
    told = [{key: value for key, value in row.items() if key not in _OWN} for row in found]
    return sorted(told, key=repr)


def objects() -> list[Arrival]:
    """A known series and what comes to it: plain ones, and one of each kind that is not."""
    plain = [arrival(1, 1, n) for n in range(2, 12)]
    others = [
        arrival(1, 2, 1),  # another series
        arrival(2, 1, 1, patient="P2"),
        arrival(1, 1, 20, patient="P3"),  # another patient's
        arrival(1, 1, 21, series_values={"body_part": "CHEST"}),  # supplements
        arrival(1, 1, 22, sop_class="1.2.840.10008.5.1.4.1.1.4"),
        arrival(1, 1, 3, content="again"),  # another object of the same UID
        arrival(1, 1, 23, flags=("irregular-uid",)),
        arrival(1, 1, 24, attributes=(("I", "00189087", 0, "1000", "1000"),)),
    ]
    return [arrival(1, 1, 1), *plain, *others, arrival(1, 1, 25)]


@pytest.mark.req("I-STORE-01")
def test_one_by_one_gives_what_all_together_gives(urls: list[str]) -> None:
    given = objects()
    answers = []
    for url, size in zip(urls, (1, len(given)), strict=True):
        opened = database.open(url, durable=False)
        writer = LocalWriter(opened)
        answers.append(
            [answer for at in range(0, len(given), size) for answer in writer.file_all(given[at : at + size])]
        )
        writer.close()
        opened.close()
    assert answers[0] == answers[1]
    for table in ("patient", "study", "series", "instance", "change", "conflict", "attribute", "removal"):
        assert rows(urls[0], table) == rows(urls[1], table), table
    assert sum(row["instances"] for row in rows(urls[0], "series")) == len(given) - 1


def test_what_is_sent_again_after_its_deletion_is_not_taken_for_new(urls: list[str]) -> None:
    opened = database.open(urls[0], durable=False)
    writer = LocalWriter(opened)
    first, second = arrival(1, 1, 1), arrival(1, 1, 2)
    for each in (first, second, arrival(1, 1, 3)):
        assert writer.file(each).verdict == Verdict.STORED
    assert writer.file(second).verdict == Verdict.STORED, "the same record again"
    gone = Deletion(second.study_uid, second.series_uid, second.sop_uid, at=1)
    assert writer.file(gone).objects == 1
    writer.file(arrival(1, 1, 4))  # the series is remembered again
    assert writer.file(second).verdict == Verdict.DELETED
    assert writer.file(arrival(1, 1, 2)).verdict == Verdict.STORED
    writer.close()
    opened.close()
    assert [row["instances"] for row in rows(urls[0], "series")] == [4]
