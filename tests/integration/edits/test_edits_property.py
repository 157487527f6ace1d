"""Whatever is received, edited, moved, merged, split, rejected, deleted and taken back, in whatever order: all ways out
agree, counts are right, and an index made anew from store and journal is the same."""

import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from archives import Running, made, running, series_uid, study_uid
from databases import migrated, migrated_postgresql
from edited_archives import STUDY, WHO, agreed, attributes, editor
from isocenter import database
from isocenter.archive.deletion import Deletions
from isocenter.archive.edits.checks import Target, identity
from isocenter.archive.likeness import likeness
from isocenter.archive.rejection.rejected import by_number
from isocenter.archive.rejection.rejecting import Rejecting, remove
from isocenter.config.rejections import Rejections
from isocenter.declarations.rejections import TITLES
from isocenter.errors import Reason, Refused
from isocenter.index import rebuild, tables

STUDIES = (1, 2, 3)
MORE = "1.2.3.4.5"

Op = tuple[str, tuple[Any, ...]]
studies = st.sampled_from(STUDIES)
uids = st.sampled_from([*map(study_uid, STUDIES), MORE])
series = st.tuples(studies, st.sampled_from((1, 2))).map(lambda pair: series_uid(*pair))
patients = st.sampled_from(("P1", "P2", "P3", "NEW"))
titles = st.sampled_from(TITLES)
OPS: st.SearchStrategy[Op] = st.one_of(
    st.tuples(st.just("send"), st.tuples(studies, st.sampled_from((1, 2)), st.sampled_from((1, 2, 3)))),
    st.tuples(st.just("send"), st.tuples(studies, st.sampled_from((1, 2)), st.sampled_from((1, 2, 3)))),
    st.tuples(st.just("study"), st.tuples(uids, st.sampled_from(("A", "B", "")))),
    st.tuples(st.just("patient"), st.tuples(patients, st.sampled_from(("Roe^R", "Poe^P")))),
    st.tuples(st.just("rename"), st.tuples(patients, patients)),
    st.tuples(st.just("series"), st.tuples(uids, series, st.sampled_from(("AX", "COR")))),
    st.tuples(st.just("move"), st.tuples(uids, patients)),
    st.tuples(st.just("merge"), st.tuples(patients, patients)),
    st.tuples(st.just("split"), st.tuples(uids, series, uids)),
    st.tuples(st.just("reject"), st.tuples(titles, uids, st.one_of(st.just(""), series))),
    st.tuples(st.just("unreject"), st.tuples(uids)),
    st.tuples(st.just("delete"), st.tuples(uids, st.one_of(st.just(""), series))),
    st.tuples(st.just("remove"), st.tuples(titles)),
    st.tuples(st.just("revert"), st.tuples(st.integers(0, 3))),
)

BOUNDED = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without shrinking, which performs hundreds of sequences: a failure is told at once, and comes back by its blob."""
WORKLIST = next(title for title in TITLES if title.name == "worklist")
REFUSED: list[Op] = [
    ("reject", (WORKLIST, study_uid(3), "")),
    ("remove", (WORKLIST,)),
    ("send", (3, 1, 1)),
]
"""What was rejected and removed comes again, and is not taken."""
MADE: list[Op] = [
    ("delete", (study_uid(1), "")),
    ("move", (study_uid(3), "P1")),
    ("send", (1, 1, 2)),
]
"""A move makes a patient, under another name than objects of its own have that come later."""


def does(archive: Running, op: str, arguments: tuple[Any, ...]) -> None:
    """Perform one operation; what is refused changes nothing."""
    edits = editor(archive)
    ways: dict[str, Callable[..., Any]] = {
        "send": lambda study, number, one: archive.store_all(made(one, study=study, series=number)),
        "study": lambda uid, text: edits.attributes(Target.study(uid), attributes(StudyDescription=text), WHO),
        "patient": lambda one, name: edits.attributes(Target.patient(identity(one)), attributes(PatientName=name), WHO),
        "rename": lambda one, to: edits.attributes(Target.patient(identity(one)), attributes(PatientID=to), WHO),
        "series": lambda uid, one, text: edits.attributes(
            Target.series(uid, one), attributes(SeriesDescription=text), WHO
        ),
        "move": lambda uid, one: edits.move_study(uid, attributes(PatientID=one, PatientName="Made^New"), WHO),
        "merge": lambda one, into: edits.merge_patients(identity(one), identity(into), WHO),
        "split": lambda uid, one, to: edits.split_series(uid, one, known(archive, to), WHO),
        "reject": lambda title, uid, one: Rejecting(archive.database, archive.ingest, "ISOCENTER").reject(
            title, uid, one, "", WHO
        ),
        "unreject": lambda uid: edits.unreject(uid, "", "", WHO),
        "delete": lambda uid, one: deletions(archive).delete(uid, one),
        "remove": lambda title: remove(archive.database, deletions(archive), title.number, 1 << 62),
        "revert": lambda back: edits.revert(archive.rows("edit")[-1 - back].uid, WHO),
    }
    try:
        ways[op](*arguments)
    except (Refused, IndexError):
        return


def known(archive: Running, study: str) -> str:
    """A study that is there, or that no object names. Else its own objects would be in conflict with what is made."""
    if study != MORE and study not in {row.study_uid for row in archive.rows("study")}:
        raise Refused(Reason.NOT_FOUND)
    return study


def deletions(archive: Running) -> Deletions:
    """Deletions that need no days of grace."""
    return Deletions(archive.database, archive.store, archive.ingest.writer)


def state(index: database.Database) -> dict[str, Any]:
    """All that the index answers from, without row numbers and our own times."""
    kept = {
        "patient": ("identity", "patient_id", "issuer", "patient_name", "name_fold", "edits", "attributes"),
        "patient_id": ("value", "issuer", "kind"),
        "study": ("study_uid", "patient_id", "patient_name", "description", "edits", "moved_from"),
        "series": ("series_uid", "instances", "bytes", "description", "edits", "moved_from", "overlay"),
        "instance": ("sop_uid", "store_key", "rejected"),
        "rejection": ("note_uid", "sop_uid", "title", "at", "seen", "revoked"),
        "redirect": ("study_uid", "series_uid", "to_study"),
        "edit": ("uid", "kind", "old", "reverted_by"),
        "conflict": ("kind", "study_uid", "sop_uid"),
    }
    with index.reading() as connection:
        return {
            name: Counter(
                tuple(row)
                for row in connection.execute(select(*(tables.metadata.tables[name].c[column] for column in columns)))
            )
            for name, columns in kept.items()
        }


def check(folder: Path, url: str, other: str, ops: list[Op]) -> None:
    """Perform `ops` in an archive of its own and compare."""
    with running(folder, url) as archive:
        for op, arguments in ops:
            does(archive, op, arguments)
        told = agreed(archive)
        counted = Counter(one[STUDY] for one in told)
        rows = archive.rows("series")
        held = {row.id: row.study_uid for row in archive.rows("study")}
        by_study: Counter[str] = Counter()
        for row in rows:
            by_study[held[row.study]] += row.instances
        assert {uid: n for uid, n in by_study.items() if n} == counted
        before = state(archive.database)
        assert set(by_number(Rejections())) == {title.number for title in TITLES}
        with closing(database.open(other)) as fresh:
            rebuild.rebuild(archive.store, fresh, compare=likeness)
            assert state(fresh) == before


@settings(
    max_examples=40, phases=BOUNDED, deadline=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False
)
@given(st.lists(OPS, min_size=4, max_size=14))
@example(REFUSED)
@example(MADE)
def test_all_ways_agree_and_a_rebuilt_index_is_the_same(ops: list[Op]) -> None:
    with tempfile.TemporaryDirectory(prefix="isocenter-") as text:
        folder = Path(text)
        (folder / "one").mkdir()
        (folder / "two").mkdir()
        first = [("send", (study, 1, 1)) for study in STUDIES]
        check(folder, migrated(folder / "one"), migrated(folder / "two"), [*first, *ops])


@settings(
    max_examples=6, phases=BOUNDED, deadline=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False
)
@given(st.lists(OPS, min_size=6, max_size=14))
@example(REFUSED)
@example(MADE)
def test_the_same_on_postgresql(ops: list[Op]) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="isocenter-") as text,
        migrated_postgresql() as one,
        migrated_postgresql() as two,
    ):
        first = [("send", (study, 1, 1)) for study in STUDIES]
        check(Path(text), one, two, [*first, *ops])
