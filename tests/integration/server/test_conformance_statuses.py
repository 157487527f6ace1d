"""What a running server answers, against every row of the status tables of its generated statement."""

from collections.abc import Iterator
from typing import Any

import pytest

from archives import MR, Object, answered, keys, made, series_uid, sop_uid, study_uid
from integration.server.conformance_installation import NARROW, NATIVE, STRICT, WIDE, Installation, installed
from isocenter import dimse
from isocenter.archive.commitment.data import Reference, Requested, request
from isocenter.conformance.model import Statement, Table
from isocenter.declarations.commitment import REQUEST
from isocenter.dicom import uids
from isocenter.dicom.dataset import encode, text
from isocenter.dimse import ClientAssociation, ProposedContext, commands


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(tmp_path_factory.mktemp("conformance")) as installation:
        yield installation


def _told(own: Statement, ae: str, activity: str) -> set[str]:
    found: list[Table] = [
        *own.tables("status-reasons", ae=ae, about=activity),
        *own.tables("event-status", ae=ae, about=activity),
    ]
    assert found
    return {row["Error Code"] for table in found for row in table.records()}


def _stored(installation: Installation, ae: str, *objects: Object, syntax: str = NATIVE) -> list[int]:
    contexts = [ProposedContext(uid, (syntax,)) for uid in dict.fromkeys(each.sop_class for each in objects)]
    with installation.connect(ae, *contexts) as association:
        return [answered(association, each).status for each in objects]


CT = "1.2.840.10008.5.1.4.1.1.2"
GARBAGE = b"\x08\x00\x05\x00CS\xff\xff no data set at all"


def _stores(installation: Installation) -> dict[str, set[int]]:
    """Statuses of C-STORE by AE."""
    first, second = made(1, study=31), made(2, study=31)
    other = made(1, study=31, PatientName="Changed^Name", pixels=bytes(64))
    mismatched = Object(CT, second.sop_uid, NATIVE, made(2, study=31, sop_class=MR).data, second.study, second.series)
    renamed = Object(CT, "1.2.3.4.5", NATIVE, second.data, second.study, second.series)
    garbage = Object(CT, "1.2.3.4.6", NATIVE, GARBAGE, "", "")
    implicit = uids.IMPLICIT_LE
    doubles = [made(5, study=32, syntax=implicit), made(5, study=32, syntax=implicit, PatientID="X", pixels=b"1" * 64)]
    rejected = [made(6, study=33), made(6, study=33, PatientID="Y", pixels=b"2" * 64)]
    faulty = made(7, study=33, StudyDate="no date")
    return {
        WIDE: set(_stored(installation, WIDE, first, second, other, mismatched, renamed, garbage)),
        NARROW: set(_stored(installation, NARROW, *doubles, syntax=implicit)),
        STRICT: set(_stored(installation, STRICT, *rejected, faulty)),
    }


def _finds(installation: Installation) -> dict[str, set[int]]:
    """Statuses of C-FIND by AE."""
    found: dict[str, set[int]] = {}
    for ae in (WIDE, NARROW):
        with installation.connect(ae, ProposedContext(uids.STUDY_ROOT_FIND, (NATIVE,))) as association:
            identifiers = [
                encode(keys("STUDY", StudyInstanceUID=study_uid(31)), NATIVE),
                encode({**keys("STUDY", StudyInstanceUID=study_uid(31)), 0x00189999: text("LO", "x")}, NATIVE),
                encode(keys("STUDY", PatientName="*"), NATIVE),
                encode(keys("NOWHERE"), NATIVE),
                GARBAGE,
            ]
            seen = {each.status for data in identifiers for each in association.find(uids.STUDY_ROOT_FIND, data)}
            found[ae] = seen | {_cancelled(association)}
    return found


def _cancelled(association: ClientAssociation) -> int:
    """The status after a C-CANCEL that comes with the request."""
    context = association.context_for(uids.STUDY_ROOT_FIND)
    data = encode(keys("STUDY", StudyInstanceUID=study_uid(31)), NATIVE)
    message = association.request(context.id, commands.find_rq(uids.STUDY_ROOT_FIND), data)
    association.cancel(context.id, message)
    *_, last = association.responses(message)
    return last.status


def _moves(installation: Installation) -> dict[str, set[int]]:
    """Statuses of C-MOVE by AE."""
    study = keys("STUDY", StudyInstanceUID=study_uid(1))
    one = keys("IMAGE", StudyInstanceUID=study_uid(1), SeriesInstanceUID=series_uid(1, 1), SOPInstanceUID=sop_uid(1))
    failing = keys(
        "IMAGE", StudyInstanceUID=study_uid(1), SeriesInstanceUID=series_uid(1, 1), SOPInstanceUID=sop_uid(2)
    )
    asked = [
        ("DEST", one),
        ("DEST", study),
        ("DEST", failing),
        ("NOBODY", one),
        ("GONE", one),
        ("DEST", keys("NOWHERE")),
    ]
    assert _stored(installation, WIDE, made(1), made(2), made(3, sop_class=MR)) == [0, 0, 0]
    with installation.connect(WIDE, ProposedContext(uids.STUDY_ROOT_MOVE, (NATIVE,))) as association:
        seen = {
            each.status
            for to, data in asked
            for each in association.move(uids.STUDY_ROOT_MOVE, encode(data, NATIVE), to)
        }
        seen |= {each.status for each in association.move(uids.STUDY_ROOT_MOVE, GARBAGE, "DEST")}
    with installation.connect(NARROW, ProposedContext(uids.STUDY_ROOT_MOVE, (NATIVE,))) as association:
        every = encode(keys("STUDY", StudyDate="19000101-"), NATIVE)
        limited = {each.status for each in association.move(uids.STUDY_ROOT_MOVE, every, "DEST")}
    return {WIDE: seen, NARROW: limited}


def _gets(installation: Installation) -> dict[str, set[int]]:
    """Statuses of C-GET by AE."""

    def receive(*_: object) -> dimse.Sink:
        return dimse.BufferSink(1 << 20)

    storing = ProposedContext(CT, (NATIVE,), scu=False, scp=True)
    study = keys("STUDY", StudyInstanceUID=study_uid(1))
    one = keys("IMAGE", StudyInstanceUID=study_uid(1), SeriesInstanceUID=series_uid(1, 1), SOPInstanceUID=sop_uid(1))
    with installation.connect(WIDE, ProposedContext(uids.STUDY_ROOT_GET, (NATIVE,)), storing) as association:
        asked = [encode(one, NATIVE), encode(study, NATIVE), encode(keys("NOWHERE"), NATIVE), GARBAGE]
        seen = {each.status for data in asked for each in association.get(uids.STUDY_ROOT_GET, data, receive)}
    with installation.connect(WIDE, ProposedContext(uids.STUDY_ROOT_GET, (NATIVE,))) as association:
        refused = {each.status for each in association.get(uids.STUDY_ROOT_GET, encode(one, NATIVE), receive)}
    return {WIDE: seen | refused}


def _commitments(installation: Installation) -> dict[str, set[int]]:
    """Statuses of N-ACTION by AE."""
    push, well_known = uids.STORAGE_COMMITMENT_PUSH, uids.STORAGE_COMMITMENT_PUSH_INSTANCE
    data = request(Requested("1.2.3.4.900", (Reference(CT, sop_uid(1)),)), NATIVE)
    bad_uid = request(Requested("1.2.x", (Reference(CT, sop_uid(1)),)), NATIVE)
    with installation.connect(WIDE, ProposedContext(push, (NATIVE,))) as association:
        context = association.context_for(push)
        seen = {
            association.n_action(push, well_known, REQUEST, data, context=context).status,
            association.n_action(push, well_known, 2, data, context=context).status,
            association.n_action(push, "1.2.3", REQUEST, data, context=context).status,
            association.n_action(uids.VERIFICATION, well_known, REQUEST, data, context=context).status,
            association.n_action(push, well_known, REQUEST, bad_uid, context=context).status,
            association.n_action(push, well_known, REQUEST, encode({}, NATIVE), context=context).status,
            association.n_action(push, well_known, REQUEST, GARBAGE, context=context).status,
        }
    return {WIDE: seen}


def _echoes(installation: Installation) -> dict[str, set[int]]:
    """Statuses of C-ECHO by AE."""
    found = {}
    for ae in (WIDE, NARROW, STRICT):
        with installation.connect(ae, ProposedContext(uids.VERIFICATION, (NATIVE,))) as association:
            context = association.context_for(uids.VERIFICATION)
            improper = association.invoke(context.id, commands.echo_rq(), encode(keys("STUDY"), NATIVE))
            found[ae] = {association.echo(), improper.status}
    return found


LACKS = {"A700", "0124", "0110"}
"""What is answered where something is wrong with the machine, the archive or the peer's rights (tests of faults)."""
FRAMES = {"AA00", "AA01", "AA02", "AA03", "AA04"}
"""Of Composite Instance Root Retrieve, at FRAME level (tests of that service)."""
SCENES = [
    ("Verify Communication", _echoes, {"0110"}),
    ("Receive Instances", _stores, {*LACKS, "0122", "B006", "C002"}),
    ("Answer Queries", _finds, {*LACKS, "0122"}),
    ("Answer Move Requests", _moves, {*LACKS, *FRAMES, "0122", "FE00", "A701", "A702"}),
    ("Answer Get Requests", _gets, {*LACKS, *FRAMES, "0122", "FE00", "A701", "C001"}),
    ("Answer Storage Commitment Requests", _commitments, {"0213", "0121"}),
]
"""Activities, what provokes their statuses, and the codes that only faults provoke, which other tests show."""


@pytest.mark.req("C-GEN-08", "C-CHK-06")
@pytest.mark.parametrize(("activity", "provoke", "elsewhere"), SCENES, ids=[scene[0] for scene in SCENES])
def test_every_status_that_is_answered_has_its_row(
    filled: Installation, activity: str, provoke: Any, elsewhere: set[str]
) -> None:
    """Nothing is answered that the tables do not tell; and each row is answered, but for what only a fault brings."""
    seen = provoke(filled)
    for ae, statuses in seen.items():
        assert {f"{status:04X}" for status in statuses} <= _told(filled.statement, ae, activity)
    every = {f"{status:04X}" for statuses in seen.values() for status in statuses}
    told = set().union(*(_told(filled.statement, ae, activity) for ae in seen))
    assert told - every <= elsewhere, "rows that nothing provoked"


@pytest.mark.req("C-GEN-07", "C-CHK-11")
def test_what_a_move_destination_is_offered_has_its_row(filled: Installation) -> None:
    """A context for each stored syntax and one to fall back on, of the classes of the instances alone, as SCU."""
    own = filled.statement
    lists = {t.about: {row["Transfer Syntax UID"] for row in t.records()} for t in own.tables("syntax-list", ae=WIDE)}
    (table,) = own.tables("proposed-contexts", ae=WIDE, about="Send Instances")
    told = {
        row["Abstract Syntax UID"]: (row["Role"], lists[row["Transfer Syntax UID List"]]) for row in table.records()
    }
    compressed = made(9, study=34, sop_class=MR, syntax=uids.JPEG_2000_LOSSLESS)
    assert _stored(filled, WIDE, compressed, syntax=uids.JPEG_2000_LOSSLESS) == [0]
    assert _stored(filled, WIDE, made(8, study=34)) == [0]
    identifier = encode(keys("STUDY", StudyInstanceUID=study_uid(34)), NATIVE)
    before = len(filled.destination.requests)
    with filled.connect(WIDE, ProposedContext(uids.STUDY_ROOT_MOVE, (NATIVE,))) as association:
        assert [*association.move(uids.STUDY_ROOT_MOVE, identifier, "DEST")][-1].status == 0
    (asked,) = filled.destination.requests[before:]
    assert asked.calling == WIDE
    assert {context.abstract for context in asked.contexts} == {MR, CT}
    assert uids.JPEG_2000_LOSSLESS in {syntax for context in asked.contexts for syntax in context.syntaxes}
    for context in asked.contexts:
        role, syntaxes = told[context.abstract]
        assert role == "SCU"
        assert context.abstract not in asked.user.roles
        assert set(context.syntaxes) <= syntaxes
