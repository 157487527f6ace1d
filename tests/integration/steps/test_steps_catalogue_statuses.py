"""Every status that the catalogue names for MPPS: as SCP provoked over the wire, as SCU met in an answer."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from sqlalchemy.exc import OperationalError

import archives
from archives import Running
from databases import migrated
from isocenter.dicom import dataset, uids
from isocenter.dimse import AssociationAborted, Response, commands
from log_records import fields, logged
from procedure_steps import MPPS as CLASS
from procedure_steps import Delivering, Modality, Ris, ae_of, begun, ended, message, report, rows, tag, taking

_FILES = ("iconnect", "intellibridge", "marie", "ps32")
_PRESETS = {"ARCHIVE": "archive", "MPPS": "bridge", "MARIE_PACS": "pacs", "DICOMSRV": "ris", "": "default"}


class Row(NamedTuple):
    """A status of a source."""

    ae: str
    service: str
    role: str
    code: str

    @property
    def name(self) -> str:
        """For pytest."""
        return f"{self.ae} {self.role} {self.service} {self.code}"


def _rows() -> list[Row]:
    found = []
    for file in _FILES:
        for row in rows(f"{file}_status_codes"):
            code = row.get("code_hex") or row.get("code_hex_or_http") or ""
            if row["service"].startswith(("MPPS N-", "Response status handler")) and row["ae"] in (
                *("MPPS", "ARCHIVE", "MARIE_PACS", "DICOMSRV", "Workflow"),
            ):
                found.append(Row(row["ae"], row["service"], row["role"], code.upper()))
    return list(dict.fromkeys(found))


ROWS = _rows()
SCP = [row for row in ROWS if row.role == "SCP"]
SCU = [row for row in ROWS if row.role == "SCU" and row.code]


# --- as SCP


class Broken:
    """Performs nothing, since the database is away."""

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise OperationalError("BEGIN", {}, Exception("gone"))


def _fresh() -> str:
    return uids.new_uid()


def _created(modality: Modality) -> Response:
    return modality.create(_fresh(), begun())


def _duplicate(modality: Modality) -> Response:
    uid = _fresh()
    assert modality.create(uid, begun()).status == 0
    return modality.create(uid, begun())


def _unknown(modality: Modality) -> Response:
    return modality.set(_fresh(), ended())


def _lacking_at_creation(modality: Modality) -> Response:
    return modality.create(_fresh(), begun(PerformedStationAETitle=None))


def _lacking_at_the_end(modality: Modality) -> Response:
    uid = _fresh()
    assert modality.create(uid, begun()).status == 0
    return modality.set(uid, ended(PerformedProcedureStepEndDate=None))


def _invalid_at_creation(modality: Modality) -> Response:
    return modality.create(_fresh(), begun(PerformedProcedureStepStatus="COMPLETED"))


def _invalid_at_the_end(modality: Modality) -> Response:
    uid = _fresh()
    assert modality.create(uid, begun()).status == 0
    return modality.set(uid, ended("DONE"))


def _over(modality: Modality) -> Response:
    uid = _fresh()
    assert modality.create(uid, begun()).status == 0
    assert modality.set(uid, ended()).status == 0
    return modality.set(uid, ended())


def _all_well(modality: Modality) -> Response:
    uid = _fresh()
    assert modality.create(uid, begun()).status == 0
    return modality.set(uid, ended())


_PROVOKED: dict[tuple[str, str], tuple[Callable[[Modality], Response], ...]] = {
    ("", "0000"): (_created, _all_well),
    ("MPPS", "0121"): (_lacking_at_creation, _lacking_at_the_end),
    ("MPPS", "0106"): (_invalid_at_creation, _invalid_at_the_end),
    ("DICOMSRV", "0110"): (_over,),
    ("DICOMSRV", "0111"): (_duplicate,),
    ("DICOMSRV", "0112"): (_unknown,),
    ("DICOMSRV", "0120"): (_lacking_at_creation, _lacking_at_the_end),
}


@pytest.fixture(scope="module")
def by_preset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Running]]:
    """An archive of each preset, the first time that it is asked for."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        known: dict[str, Running] = {}

        def get(preset: str) -> Running:
            if preset not in known:
                folder = tmp_path_factory.mktemp(preset)
                made = archives.running(folder, migrated(folder), ae=ae_of(preset))
                known[preset] = stack.enter_context(made)
            return known[preset]

        yield get


@pytest.mark.req("I-MPPS-01", "I-MPPS-05", "P-MPPS-04", "M-MPPS-05", "X-RIS-38")
@pytest.mark.req(*(f"P-MPPS-T{table}-{number:02d}" for table in (60, 61) for number in range(1, 4)))
@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in SCP])
def test_a_status_as_scp(by_preset: Callable[[str], Running], row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = by_preset(_PRESETS[row.ae])
    if (row.ae, row.code) == ("MARIE_PACS", "A700"):
        with Modality(archive) as modality:
            monkeypatch.setattr(type(archive.database), "writing", Broken())
            assert modality.create(_fresh(), begun()).status == 0xA700
        return
    for provoke in _PROVOKED.get((row.ae, row.code)) or _PROVOKED["", row.code]:
        with Modality(archive) as modality:
            assert provoke(modality).status == int(row.code, 16)


@pytest.mark.req("P-MPPS-04", "P-MPPS-T60-03", "P-MPPS-T61-03")
@pytest.mark.parametrize("provoke", [_invalid_at_creation, _invalid_at_the_end])
@pytest.mark.parametrize(("preset", "closes"), [("bridge", True), ("default", False)])
def test_an_invalid_value_closes_the_association_where_that_is_set(
    by_preset: Callable[[str], Running], provoke: Callable[[Modality], Response], preset: str, closes: bool
) -> None:
    """Once the modality has the answer, which says why; the reason is in the log."""
    with logged("services.mpps") as records, Modality(by_preset(preset)) as modality:
        if preset == "default" and provoke is _invalid_at_creation:
            assert modality.create(_fresh(), begun(PerformedProcedureStepStatus="DONE")).status == 0x0106
        else:
            assert provoke(modality).status == 0x0106
        if closes:
            with pytest.raises(AssociationAborted):
                _created(modality)
        else:
            assert _created(modality).status == 0
    (told,) = fields(records, "mpps.refused")
    assert told["status"] == "0106"
    assert told["comment"]


@pytest.mark.req("X-RIS-38")
@pytest.mark.parametrize("preset", ["default", "archive", "pacs", "bridge", "ris"])
def test_a_step_that_is_over_says_so(by_preset: Callable[[str], Running], preset: str) -> None:
    """Table F.7.2-2: 0110 with Error ID A710 and the comment, and nothing has changed."""
    with Modality(by_preset(preset)) as modality:
        response = _over(modality)
        assert response.status == 0x0110
        assert response.command[commands.ERROR_ID] == 0xA710
        assert response.comment == "Performed Procedure Step Object may no longer be updated"
        assert modality.set(_fresh(), ended()).status == 0x0112


@pytest.mark.req("X-RIS-38")
@pytest.mark.parametrize("preset", ["default", "archive", "bridge", "ris"])
def test_a_step_is_created_once(by_preset: Callable[[str], Running], preset: str) -> None:
    with Modality(by_preset(preset)) as modality:
        assert _duplicate(modality).status == 0x0111


@pytest.mark.req("X-RIS-03", "X-RIS-38")
@pytest.mark.parametrize("preset", ["default", "archive", "pacs"])
def test_what_is_missing_stops_no_modality(by_preset: Callable[[str], Running], preset: str) -> None:
    """It is accepted, and the step tells what is amiss."""
    from isocenter.workflow.steps.steps import Steps

    archive, uid = by_preset(preset), _fresh()
    statuses = report(
        archive,
        uid,
        begun(PerformedStationAETitle=None, StudyID=None, PerformedProcedureStepID=""),
        message({"PerformedProcedureStepStatus": "COMPLETED", "PatientName": "Some^Body"}),
    )
    assert statuses == [0, 0]
    with archive.database.reading() as connection:
        step = Steps(archive.database).of_uid(connection, uid)
    assert step is not None
    assert step.state == "COMPLETED"
    assert set(step.faults) == {
        ("missing", "PerformedStationAETitle"),
        ("missing", "StudyID"),
        ("missing-value", "PerformedProcedureStepID"),
        ("not-settable", "PatientName"),
        ("missing-value", "PerformedProcedureStepEndDate"),
        ("missing-value", "PerformedProcedureStepEndTime"),
        ("missing-value", "PerformedSeriesSequence"),
    }
    assert step.model["00100010"]["Value"] == [{"Alphabetic": "Doe^Jane"}]


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("strict")
    with archives.running(folder, migrated(folder), ae=ae_of(mpps={"checks": "refuse"})) as archive:
        yield archive


@pytest.mark.req("X-RIS-38")
@pytest.mark.parametrize(
    ("values", "status", "named"),
    [
        ({"PerformedStationAETitle": None}, 0x0120, "PerformedStationAETitle"),
        ({"PerformedStationAETitle": ""}, 0x0121, "PerformedStationAETitle"),
        ({"StudyID": None}, 0x0120, "StudyID"),
        ({"ScheduledStepAttributesSequence__StudyInstanceUID": ""}, 0x0121, "ScheduledStepAttributesSequence"),
        ({"PerformedProcedureStepStatus": "DISCONTINUED"}, 0x0106, "PerformedProcedureStepStatus"),
        ({"PatientBirthDate": "unknown"}, 0x0116, "PatientBirthDate"),
        ({"Modality": "A VALUE LONGER THAN CS"}, 0x0116, "Modality"),
    ],
)
def test_a_strict_ae_names_what_is_amiss_at_creation(
    strict: Running, values: dict[str, str | None], status: int, named: str
) -> None:
    with Modality(strict) as modality:
        uid = _fresh()
        response = modality.create(uid, begun(**values))
        assert (response.status, commands.tags(response.command)) == (status, [tag(named)])
        assert (modality.get(uid)[0].status == 0) is (status == 0x0116)


@pytest.mark.req("X-RIS-38")
@pytest.mark.parametrize(
    ("values", "status", "named"),
    [
        ({"PerformedProcedureStepEndTime": None}, 0x0121, "PerformedProcedureStepEndTime"),
        ({"PerformedSeriesSequence__ProtocolName": ""}, 0x0121, "PerformedSeriesSequence"),
        ({"PerformedProcedureStepStatus": "FINISHED"}, 0x0106, "PerformedProcedureStepStatus"),
        ({"PatientName": "Some^Body"}, 0x0107, "PatientName"),
        ({"CommentsOnThePerformedProcedureStep": "fine", "StudyID": "2"}, 0x0107, "StudyID"),
    ],
)
def test_a_strict_ae_names_what_is_amiss_at_the_end(
    strict: Running, values: dict[str, str | None], status: int, named: str
) -> None:
    with Modality(strict) as modality:
        uid = _fresh()
        assert modality.create(uid, begun()).status == 0
        response = modality.set(uid, ended(**values))
        assert (response.status, commands.tags(response.command)) == (status, [tag(named)])
        kept = modality.get(uid, "PerformedProcedureStepStatus", "PatientName")[1]
        state = "COMPLETED" if status == 0x0107 else "IN PROGRESS"
        assert dataset.string_of(kept, tag("PerformedProcedureStepStatus")) == state
        assert dataset.string_of(kept, tag("PatientName")) == "Doe^Jane"


def test_malformed_requests(by_preset: Callable[[str], Running]) -> None:
    """Each gets an answer of its own and costs nothing else."""
    with Modality(by_preset("default")) as modality:
        association = modality.association
        context = association.context_for(CLASS)
        assert modality.create(_fresh(), None).status == 0x0120
        assert modality.create(_fresh(), b"\x10\x00\x10\x00PN\xff\xff").status == 0x0106
        assert modality.create("1.2.x", begun()).status == 0x0117
        assert modality.create("1." * 40 + "1", begun()).status == 0x0117
        assert association.invoke(context.id, commands.n_set_rq("1.2.3", _fresh()), b"").status == 0x0119
        assert association.n_get(CLASS, _fresh(), context=context).status == 0x0112
        assert modality.set(_fresh(), b"").status in (0x0112, 0x0120)
        assert modality.create(_fresh(), b"\0" * (4 << 20) + b"\0").status == 0x0213
        assert _created(modality).status == 0


# --- as SCU


@pytest.fixture(scope="module")
def sending(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Ris]]:
    """An archive that passes steps on, with no retries left."""
    peer, folder = Ris(), tmp_path_factory.mktemp("sending")
    ae = ae_of(mpps={"forward": ["RIS"], "retries": 0})
    with taking(peer), archives.running(folder, migrated(folder), ae=ae, peers=[peer.peer]) as archive:
        yield archive, peer


@pytest.mark.req("X-MOD-54", "P-MPPS-13", "P-MPPS-11", "P-MPPS-12")
@pytest.mark.req(*(f"P-MPPS-T{table}-{number:02d}" for table in (48, 53) for number in range(1, 5)))
@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in SCU])
def test_a_status_as_scu(sending: tuple[Running, Ris], row: Row) -> None:
    """Success and warnings end a delivery; any other status makes it fail, visibly, with the status."""
    archive, peer = sending
    status = {"XXXX": 0x0124, "*": 0x0122}.get(row.code) or int(row.code, 16)
    operation = "set" if row.service == "MPPS N-SET" else "create"
    uid = _fresh()
    peer.statuses = [status] if operation == "create" else [0, status]
    assert report(archive, uid, begun(), *([ended()] if operation == "set" else [])) == [0] * (1 + (operation == "set"))
    work = Delivering(archive)
    work.all()
    one = next(each for each in work.rows.listed() if each.sop_uid == uid and each.operation == operation)
    expected = "delivered" if status in (0x0000, 0x0116) else "failed"
    assert (one.state, one.status) == (expected, status)


def test_every_status_of_the_catalogue_has_its_test() -> None:
    """Rows without a code tell what is done where none comes; those are the forwarding's tests."""
    assert {row.ae for row in SCP} == {"ARCHIVE", "MPPS", "MARIE_PACS", "DICOMSRV"}
    assert {row.ae for row in SCU} == {"MPPS", "Workflow"}
    assert len(SCP) >= 12
    assert len(SCU) >= 14
