"""An index that is older than its store: what it lacks is adopted, and the journal gives the same answers as before."""

from collections.abc import Callable

import pytest
from sqlalchemy import delete, insert, select

from filed_archive import Archive, likeness
from isocenter.database import changes
from isocenter.index import tables
from isocenter.index.rebuild import catch_up, rebuild
from isocenter.jobs.removal import carry_out

TABLES = (
    *(tables.patient, tables.patient_id, tables.study, tables.study_accession, tables.series, tables.instance),
    *(tables.instance_version, tables.attribute, tables.conflict, tables.exception, tables.removal),
)


class Old:
    """An index as it is now, to be put back later."""

    def __init__(self, archive: Archive) -> None:
        self._database = archive.database
        with archive.database.reading() as connection:
            self._rows = {table: [row._asdict() for row in connection.execute(select(table))] for table in TABLES}

    def put_back(self) -> None:
        """Make the index what it was."""
        with self._database.writing() as connection:
            for table in reversed(TABLES):
                connection.execute(delete(table))
            for table, rows in self._rows.items():
                if rows:
                    connection.execute(insert(table), rows)


def history(archive: Archive) -> list[Callable[[], object]]:
    """What happens to an archive, step by step, with every kind of journal record."""
    kept: dict[str, str] = {}

    def version() -> None:
        kept["same"], outcome = archive.receive(1, 2, "same", likeness="same-pixels")
        assert outcome.verdict == "version"

    def first() -> None:
        kept["first"], _ = archive.receive(1, 2)

    return [
        lambda: archive.receive(1, 1),
        first,
        version,
        lambda: archive.receive(2, 1),
        lambda: archive.choose(kept["same"]),
        lambda: archive.receive(1, 1),  # the same object again
        lambda: archive.delete(2),
        lambda: archive.receive(2, 1),  # and sent again
        lambda: archive.choose(kept["first"]),
        lambda: archive.receive(1, 1, "other", likeness="different"),
        lambda: archive.delete(1, 1),
        lambda: archive.receive(1, 1),
    ]


@pytest.mark.parametrize("then", range(13))
def test_an_index_of_any_earlier_time_gives_the_same_answers(archive: Archive, then: int) -> None:
    olds = [Old(archive)]
    for step in history(archive):
        step()
        olds.append(Old(archive))
    before = archive.answers()
    assert [row[0] for row in before["instance"]] == ["1.2.3.1.1.1", "1.2.3.1.1.2", "1.2.3.2.1.1"]
    olds[then].put_back()
    catch_up(archive.store, archive.database, compare=likeness)
    assert archive.answers() == before
    rebuild(archive.store, archive.database, compare=likeness)
    assert archive.answers() == before


def test_what_is_up_to_date_is_left_alone(archive: Archive) -> None:
    for step in history(archive)[:8]:
        step()
    with archive.database.reading() as connection:
        end = changes.end(connection)
    report = catch_up(archive.store, archive.database, compare=likeness)
    assert (report.verdicts.total(), report.journal) == (0, 0)
    with archive.database.reading() as connection:
        assert changes.end(connection) == end


def test_a_copy_sent_after_a_deletion_is_kept(archive: Archive) -> None:
    """What was deleted and what was sent again are the same bytes; only the order tells which of them goes."""
    archive.receive(1, 1)
    old = Old(archive)
    archive.delete(1)
    again, _ = archive.receive(1, 1)
    old.put_back()
    catch_up(archive.store, archive.database)
    assert carry_out(archive.database, archive.store, archive.time + 10**12) == 1
    assert [row[1] for row in archive.answers()["instance"]] == [again]
    assert list(archive.store.keys()) == [again]


def test_a_deletion_that_the_index_never_heard_of(archive: Archive) -> None:
    """The server died between the journal and the commit."""
    archive.receive(1, 1)
    archive.receive(1, 2)
    archive.delete(1, 2, told=False)
    assert catch_up(archive.store, archive.database).journal == 1
    assert [row[0] for row in archive.answers()["instance"]] == ["1.2.3.1.1.1"]


def test_a_choice_that_the_index_never_heard_of(archive: Archive) -> None:
    archive.receive(1, 1)
    version, _ = archive.receive(1, 1, "same", likeness="same-pixels")
    archive.choose(version, told=False)
    assert catch_up(archive.store, archive.database).journal == 1
    assert [row[1] for row in archive.answers()["instance"]] == [version]


def test_a_choice_gives_way_to_what_replaced_it_later(archive: Archive) -> None:
    archive.receive(1, 1)
    version, _ = archive.receive(1, 1, "same", likeness="same-pixels")
    archive.choose(version)
    later, outcome = archive.receive(1, 1, "later", likeness="different", policy="replace")
    assert outcome.verdict == "replaced"
    assert catch_up(archive.store, archive.database).journal == 0
    assert [row[1] for row in archive.answers()["instance"]] == [later]


def test_exceptions_are_listed_once(archive: Archive) -> None:
    bad = archive.put(1, 1, digest="ab" * 32)
    old = Old(archive)
    assert catch_up(archive.store, archive.database).set_aside == [(bad, "digest-mismatch")]
    for _ in range(2):
        with archive.database.reading() as connection:
            noted = list(connection.execute(select(tables.exception.c.reason)).scalars())
        assert noted == ["digest-mismatch"]
        old.put_back()
        catch_up(archive.store, archive.database)
