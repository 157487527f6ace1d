"""Worklist queries over DIMSE: statuses by the catalogue's tables, limits, cancel, states, who sees what, text."""

import csv
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete
from sqlalchemy import text as sql_text
from sqlalchemy.exc import OperationalError, ProgrammingError

from archives import Running, running
from databases import migrated
from isocenter.config import Peer
from isocenter.config.entries import entry
from isocenter.config.worklist import WorklistView
from isocenter.declarations.worklist import START_DATE, START_TIME
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, Element, decode, encode, items_of, string_of, text
from isocenter.dimse import ContextNotAccepted, ProposedContext, Response
from isocenter.errors import Reason, Refused
from isocenter.services import worklist as serving
from isocenter.workflow.worklist.states import State
from isocenter.workflow.worklist.tables import worklist_item, worklist_station
from material import REQUIREMENTS
from worklist_items import asked, model, put, with_value

WORKLIST = uids.MODALITY_WORKLIST_FIND
NAME, STUDY = (0x00100010,), (0x0020000D,)
COMBINED, FUZZY = b"\x00\x01\x00", b"\x00\x00\x01"
"""Service class application information (PS3.4 K.5, C.5.1.1.1)."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder and a database for all of the module, one server after the other."""
    folder = tmp_path_factory.mktemp("worklist")
    return folder, migrated(folder)


@contextmanager
def served(place: tuple[Path, str], *models: dict[str, Any], peers: list[Peer] | None = None,
           states: list[State | None] | None = None, **ae: Any) -> Iterator[Running]:  # fmt: skip
    """An AE with these entries alone."""
    hosted = entry("ae", {"policy": "open", **ae}, origin="test")
    with running(*place, ae=hosted, peers=peers or []) as archive:  # type: ignore[arg-type]
        with archive.database.writing() as connection:
            for table in (worklist_station, worklist_item):
                connection.execute(delete(table))
        put(archive.database, *models, states=states or ())
        yield archive


def query(archive: Running, identifier: DataSet, *, calling: str = "TESTER", extended: bytes = b"",
          data: bytes | None = None, cancel: threading.Event | None = None) -> list[Response]:  # fmt: skip
    """The responses to one query."""
    context = ProposedContext(WORKLIST, (uids.EXPLICIT_LE,), extended=extended)
    with archive.connect(context, calling=calling) as association:
        from isocenter.dimse import commands

        encoded = encode(identifier, uids.EXPLICIT_LE) if data is None else data
        accepted = association.context_for(WORKLIST)
        message = association.request(accepted.id, commands.find_rq(WORKLIST), encoded)
        if cancel is not None:
            association.cancel(accepted.id, message)
            cancel.set()
        return list(association.responses(message))


def names(responses: list[Response]) -> list[str]:
    """The patients of the matches; the query must succeed."""
    assert responses[-1].status == 0, f"{responses[-1].status:04X} {responses[-1].comment}"
    found = [decode(each.data or b"", uids.EXPLICIT_LE) for each in responses[:-1]]
    return [string_of(each, NAME[0]) for each in found]


def named(archive: Running, **values: str) -> list[str]:
    """The patients of a query by keyword."""
    return names(query(archive, asked(NAME, **values)))


# --- statuses


SYSTEMS = {
    "archive": ("iconnect", "WORKLIST_MANAGER"),
    "pacs": ("marie", "MARIE_PACS"),
    "bridge": ("intellibridge", "MWL"),
    "ris": ("ps32", "DICOMSRV"),
}


def status_rows() -> list[tuple[str, int]]:
    """(preset, status) of the rows of worklist SCPs."""
    found = set()
    for preset, (name, ae) in SYSTEMS.items():
        for row in csv.DictReader((REQUIREMENTS / f"{name}_status_codes.csv").read_text("utf-8").splitlines()):
            service, code = row["service"], row.get("code_hex") or row.get("code_hex_or_http") or ""
            is_worklist = "MWL C-FIND" in service or "Modality Worklist C-FIND" in service
            if row["ae"] == ae and row["role"] == "SCP" and is_worklist and len(code) == 4 and code != "xxxx":
                found.add((preset, int(code, 16)))
    return sorted(found)


def test_the_rows_were_read() -> None:
    assert len(status_rows()) > 20
    assert {preset for preset, _ in status_rows()} == set(SYSTEMS)


def _success(archive: Running, _: pytest.MonkeyPatch) -> list[Response]:
    return query(archive, asked(NAME))


def _unsupported(archive: Running, _: pytest.MonkeyPatch) -> list[Response]:
    return query(archive, asked(NAME, (0x00100024, 0x00400032)))


def _cancelled(archive: Running, patch: pytest.MonkeyPatch) -> list[Response]:
    looked, real = threading.Event(), serving.search

    def waiting(*arguments: Any) -> Any:
        assert looked.wait(30)
        return real(*arguments)

    patch.setattr(serving, "search", waiting)
    return query(archive, asked(NAME), cancel=looked)


def _broken(fault: Exception) -> Callable[[Running, pytest.MonkeyPatch], list[Response]]:
    def ask(archive: Running, patch: pytest.MonkeyPatch) -> list[Response]:
        def pages(*_: object) -> Iterator[Any]:
            yield from map(fail, [0])

        def fail(_: int) -> Any:
            raise fault

        patch.setattr(serving, "search", pages)
        return query(archive, asked(NAME))

    return ask


def _malformed(archive: Running, _: pytest.MonkeyPatch) -> list[Response]:
    return query(archive, {}, data=b"\x10\x00\x10\x00PN\xff\xffDoe")


def _mismatch(archive: Running, _: pytest.MonkeyPatch) -> list[Response]:
    two = {0x00400100: Element("SQ", ({0x00080060: text("CS", "CT")}, {0x00080060: text("CS", "MR")}))}
    return query(archive, two)


RECIPES = {
    0x0000: _success,
    0x0110: _broken(ProgrammingError("SELECT", {}, Exception("syntax"))),
    0xFF00: _success,
    0xFF01: _unsupported,
    0xFE00: _cancelled,
    0xA700: _broken(OperationalError("SELECT", {}, Exception("disk I/O error"))),
    0xA900: _mismatch,
    0xC000: _malformed,
    0xC001: _broken(ProgrammingError("SELECT", {}, Exception("syntax"))),
}


@pytest.mark.req("I-WLM-08", "I-FIND-ST-01", "I-FIND-ST-02", "I-FIND-ST-03", "I-FIND-ST-04", "I-FIND-ST-05")
@pytest.mark.req("M-MWL-07", "P-MWL-10", "X-RIS-16", "X-RIS-17", *(f"P-MWL-T31-{number:02d}" for number in range(1, 6)))
@pytest.mark.parametrize(("preset", "status"), status_rows(), ids=lambda v: f"{v:04X}" if isinstance(v, int) else v)
def test_status(place: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, preset: str, status: int) -> None:
    recipe = RECIPES[status]
    if (preset, status) == ("archive", 0xC001):
        recipe = _broken(Refused(Reason.UNABLE_TO_PROCESS, "it can't be done"))
    with served(place, model(1), preset=preset) as archive:
        answers = recipe(archive, monkeypatch)
    assert status in {each.status for each in answers}
    last = answers[-1]
    assert last.data is None
    if last.status not in (0, 0xFE00):
        assert last.comment
        assert "Family" not in last.comment


@pytest.mark.req("X-RIS-17")
def test_a_key_outside_the_information_model_is_refused_by_the_ris_alone(place: tuple[Path, str]) -> None:
    identifier = with_value(asked(NAME), (0x00080061,), "")
    with served(place, model(1), preset="ris") as archive:
        answers = query(archive, identifier)
        assert [each.status for each in answers] == [0xA900]
        assert "0008,0061" in answers[0].comment
    with served(place, model(1)) as archive:
        assert [each.status for each in query(archive, identifier)] == [0xFF01, 0]


@pytest.mark.req("M-MWL-05", "X-RIS-15")
def test_a_key_that_is_only_returned_is_warned_of_where_it_has_a_value(place: tuple[Path, str]) -> None:
    with served(place, model(1), preset="pacs") as archive:
        assert [each.status for each in query(archive, asked(NAME, RequestedProcedureID=""))] == [0xFF00, 0]
        assert [each.status for each in query(archive, asked(NAME, RequestedProcedureID="X"))] == [0xFF01, 0]


# --- limits and cancel


@pytest.mark.req("X-RIS-17")
def test_above_the_limit_nothing_is_answered(place: tuple[Path, str]) -> None:
    with served(place, *(model(n) for n in range(102)), preset="ris") as archive:
        answers = query(archive, asked(NAME))
        assert [each.status for each in answers] == [0xA700]
        assert "100" in answers[0].comment
        assert named(archive, PatientID="P101") == ["Family101^Given"]
    with served(place, *(model(n) for n in range(3)), worklist={"limit": 3}) as archive:
        assert len(named(archive)) == 3


@pytest.mark.req("X-RIS-17")
def test_a_failing_index_is_told_where_matches_are_counted_first(place: tuple[Path, str]) -> None:
    with served(place, model(1), preset="ris") as archive:
        with archive.database.writing() as connection:
            connection.execute(sql_text("ALTER TABLE worklist_item RENAME TO lost"))
        try:
            answers = query(archive, asked(NAME))
        finally:
            with archive.database.writing() as connection:
                connection.execute(sql_text("ALTER TABLE lost RENAME TO worklist_item"))
    assert [each.status for each in answers] == [0xA700]


@pytest.mark.req("X-RIS-16")
def test_a_cancel_ends_a_long_answer(place: tuple[Path, str]) -> None:
    with served(place, *(model(n) for n in range(600))) as archive:
        context = ProposedContext(WORKLIST, (uids.IMPLICIT_LE,))
        with archive.connect(context) as association:
            answers = association.find(WORKLIST, encode(asked(NAME), uids.IMPLICIT_LE))
            assert next(answers).status == 0xFF00
            answers.close()  # type: ignore[attr-defined]  (cancels, and waits for the end)
            assert len(list(association.find(WORKLIST, encode(asked(PatientID="P7"), uids.IMPLICIT_LE)))) == 2


# --- states


@pytest.mark.req("P-MWL-09")
def test_whatever_its_state_is_a_step_of_the_bridge_is_scheduled(place: tuple[Path, str]) -> None:
    with served(place, model(1), states=[State.ARRIVED], preset="bridge") as archive:
        (answer,) = query(archive, asked((0x00400100, 0x00400020)))[:-1]
    (step,) = items_of(decode(answer.data or b"", uids.EXPLICIT_LE), 0x00400100)
    assert string_of(step, 0x00400020) == "SCHEDULED"


@pytest.mark.req("X-RIS-13")
def test_what_is_over_is_found_by_its_state_alone(place: tuple[Path, str]) -> None:
    states: list[State | None] = list(State)
    entries = [model(n, PatientName=f"{state}^X") for n, state in enumerate(State)]
    open_ones = ["SCHEDULED^X", "ARRIVED^X", "READY^X", "STARTED^X", "DEPARTED^X"]
    with served(place, *entries, states=states) as archive:
        assert named(archive) == open_ones
        for state in State:
            assert named(archive, ScheduledProcedureStepStatus=str(state)) == [f"{state}^X"]
        assert named(archive, ScheduledProcedureStepStatus="*") == open_ones
    with served(place, *entries, states=states, worklist={"until": "STARTED"}) as archive:
        assert named(archive) == open_ones[:3]
        assert named(archive, ScheduledProcedureStepStatus="STARTED") == ["STARTED^X"]


# --- who sees what


def _modality(number: int, modality: str, *stations: str) -> dict[str, Any]:
    return model(number, PatientName=f"{modality}{number}", Modality=modality, ScheduledStationAETitle=stations or "")


STATIONS = (_modality(1, "CT", "CT1"), _modality(2, "CT", "CT1", "CT2"), _modality(3, "MR", "MR1"), _modality(4, "US"))


def test_an_ae_shows_some_modalities_and_stations(place: tuple[Path, str]) -> None:
    with served(place, *STATIONS, worklist={"modalities": ["MR", "U*"]}) as archive:
        assert named(archive) == ["MR3", "US4"]
        assert named(archive, Modality="CT") == []
        assert named(archive, AccessionNumber="A1") == []
    with served(place, *STATIONS, worklist={"stations": ["CT?"]}) as archive:
        assert named(archive) == ["CT1", "CT2"]
        assert named(archive, ScheduledStationAETitle="MR1") == []


def test_a_peer_sees_what_is_meant_for_it_whatever_it_asks(place: tuple[Path, str]) -> None:
    peers = [
        Peer(title="CT2", worklist=WorklistView(stations=("CT2",))),
        Peer(title="DESK", worklist=WorklistView(modalities=("CT", "MR"))),
    ]
    with served(place, *STATIONS, peers=peers) as archive:
        for identifier in (asked(NAME), asked(NAME, ScheduledStationAETitle="*"), asked(NAME, Modality="CT")):
            assert names(query(archive, identifier, calling="CT2")) == ["CT2"]
        assert names(query(archive, asked(NAME, PatientID="P3"), calling="CT2")) == []
        assert names(query(archive, asked(NAME), calling="DESK")) == ["CT1", "CT2", "MR3"]
        assert len(names(query(archive, asked(NAME), calling="OTHER"))) == 4
    with served(place, *STATIONS, peers=peers, worklist={"modalities": ["MR"]}) as archive:
        assert names(query(archive, asked(NAME), calling="DESK")) == ["MR3"]


def test_a_modality_sees_its_own_station(place: tuple[Path, str]) -> None:
    with served(place, *STATIONS, worklist={"own_station": True}) as archive:
        assert names(query(archive, asked(NAME), calling="CT1")) == ["CT1", "CT2"]
        assert names(query(archive, asked(NAME, ScheduledStationAETitle="CT1"), calling="MR1")) == []
        assert names(query(archive, asked(NAME), calling="CT*")) == []


# --- text


@pytest.mark.req("M-MWL-03", "I-WLM-06", "I-WLM-07", "X-RIS-15")
@pytest.mark.parametrize(
    ("ae", "value", "found"),
    [
        ({}, "muller^*", True),
        ({}, "MÜLLER^ZO*", True),
        ({}, "Müller*^Zoë*", True),
        ({"case_sensitive": True}, "MÜLLER^Zoë", False),
        ({"case_sensitive": True}, "Müller^Zoë", True),
        ({"accent_sensitive": True}, "muller^zoe", False),
        ({"accent_sensitive": True}, "müller^zoë", True),
        ({"preset": "ris"}, "MULLER^zoe", True),
    ],
)
def test_names_match_as_the_ae_is_set(place: tuple[Path, str], ae: dict[str, Any], value: str, found: bool) -> None:
    identifier = {**asked(NAME), NAME[0]: text("PN", value, "ISO_IR 192"), 0x00080005: text("CS", "ISO_IR 192")}
    with served(place, model(1, PatientName="Müller^Zoë"), model(2), **ae) as archive:
        assert len(names(query(archive, identifier))) == found


@pytest.mark.parametrize("asked_for", ["山田^太郎", "yamada^tarou", "やまだ*", "=山田^*", "==やまだ^たろう"])
def test_a_name_is_found_by_each_of_its_groups(place: tuple[Path, str], asked_for: str) -> None:
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    identifier = {NAME[0]: text("PN", asked_for, "ISO_IR 192"), 0x00080005: text("CS", "ISO_IR 192")}
    with served(place, model(1, PatientName=name), model(2)) as archive:
        (answer,) = query(archive, identifier)[:-1]
    assert decode(answer.data or b"", uids.EXPLICIT_LE)[NAME[0]].value.rstrip() == name.encode()  # type: ignore[union-attr]


@pytest.mark.req("P-MWL-05", "P-CHR-03", "X-RIS-51", "I-WLM-10")
@pytest.mark.parametrize(
    ("ae", "asked_in", "name", "declared", "raw"),
    [
        ({}, "ISO_IR 100", "Müller^Zoë", "ISO_IR 100", "Müller^Zoë".encode("latin-1")),
        ({}, "ISO_IR 192", "Müller^Zoë", "ISO_IR 192", "Müller^Zoë".encode()),
        ({"preset": "bridge"}, "ISO_IR 192", "Müller^Zoë", "ISO_IR 100", "Müller^Zoë".encode("latin-1")),
        ({"preset": "ris"}, "ISO_IR 192", "Müller^Zoë", "ISO_IR 100", "Müller^Zoë".encode("latin-1")),
        ({"preset": "bridge"}, "ISO_IR 100", "Йодль^Ж", "ISO_IR 192", "Йодль^Ж".encode()),
        ({"worklist": {"character_set": "ISO_IR 144"}}, "", "Йодль^Ж", "ISO_IR 144", "Йодль^Ж".encode("iso8859-5")),
    ],
)
def test_answers_are_in_the_character_set_of_the_ae_or_the_query(
    place: tuple[Path, str], ae: dict[str, Any], asked_in: str, name: str, declared: str, raw: bytes
) -> None:
    identifier = {**asked(NAME), **({0x00080005: text("CS", asked_in)} if asked_in else {})}
    with served(place, model(1, PatientName=name), **ae) as archive:
        (answer,) = query(archive, identifier)[:-1]
    found = decode(answer.data or b"", uids.EXPLICIT_LE)
    assert string_of(found, 0x00080005) == declared
    assert found[NAME[0]].value.rstrip() == raw  # type: ignore[union-attr]


# --- negotiation, sequences, dates


@pytest.mark.req("I-WLM-01", "P-MWL-03")
def test_date_and_time_match_as_one_only_where_that_was_agreed_on(place: tuple[Path, str]) -> None:
    moments = [("20260105", "2300"), ("20260106", "0100"), ("20260106", "2300"), ("20260107", "0100")]
    entries = [
        model(n, ScheduledProcedureStepStartDate=date, ScheduledProcedureStepStartTime=time, PatientName=f"N{n}")
        for n, (date, time) in enumerate(moments)
    ]
    identifier = with_value(with_value(asked(NAME), START_DATE, "20260105-20260107"), START_TIME, "2200-0200")
    early = with_value(with_value(asked(NAME), START_DATE, "20260105-20260107"), START_TIME, "0000-0200")
    with served(place, *entries) as archive:
        assert names(query(archive, identifier, extended=COMBINED)) == ["N0", "N1", "N2", "N3"]
        assert names(query(archive, identifier)) == []
        assert names(query(archive, early)) == ["N1", "N3"]
        later = with_value(with_value(asked(NAME), START_DATE, "20260106-20260107"), START_TIME, "0200-0059")
        assert names(query(archive, later, extended=COMBINED)) == ["N2"]
    with served(place, *entries, extended_negotiation=False) as archive:
        assert names(query(archive, identifier, extended=COMBINED)) == []


def test_fuzzy_names_only_where_that_was_agreed_on(place: tuple[Path, str]) -> None:
    with served(place, model(1, PatientName="Janeway^Kathryn"), model(2)) as archive:
        assert len(names(query(archive, asked(PatientName="kathryn jane"), extended=FUZZY))) == 1
        assert names(query(archive, asked(PatientName="kathryn jane"))) == []


def test_keys_of_a_code_hold_in_one_item(place: tuple[Path, str]) -> None:
    def code(value: str, scheme: str) -> dict[str, Any]:
        return {"00080100": {"vr": "SH", "Value": [value]}, "00080102": {"vr": "SH", "Value": [scheme]}}

    entry = model(1)
    step = entry["00400100"]["Value"][0]
    step["00400008"] = {"vr": "SQ", "Value": [code("A", "X"), code("B", "Y")]}
    protocol = (0x00400100, 0x00400008)

    def found(value: str, scheme: str) -> int:
        identifier = with_value(asked(NAME), (*protocol, 0x00080100), value)
        return len(names(query(archive, with_value(identifier, (*protocol, 0x00080102), scheme))))

    with served(place, entry) as archive:
        assert [found("A", "X"), found("B", "Y"), found("A", "Y")] == [1, 1, 0]


def test_what_is_asked_for_is_returned_and_the_study_always(place: tuple[Path, str]) -> None:
    with served(place, model(1)) as archive:
        (answer,) = query(archive, asked((0x00400100, 0x00080060)))[:-1]
        found = decode(answer.data or b"", uids.EXPLICIT_LE)
        assert sorted(found) == [0x0020000D, 0x00400100]
        assert string_of(found, STUDY[0])
        (step,) = items_of(found, 0x00400100)
        assert sorted(step) == [0x00080060]
        (answer,) = query(archive, {0x00400100: Element("SQ", ())})[:-1]
        (step,) = items_of(decode(answer.data or b"", uids.EXPLICIT_LE), 0x00400100)
        assert {0x00080060, 0x00400001, 0x00400002, 0x00400003, 0x00400009, 0x00400020} <= step.keys()


@pytest.mark.parametrize(
    ("value", "found"),
    [("CT1", True), ("CT2", True), ("CT*", True), ("*2", True), ("CT", False), ("ct1", False), ("CT1\\MR", True)],
)
def test_an_entry_has_several_stations(place: tuple[Path, str], value: str, found: bool) -> None:
    with served(place, _modality(1, "CT", "CT1", "CT2"), _modality(2, "MR", "MR1")) as archive:
        assert len(named(archive, ScheduledStationAETitle=value)) == found


@pytest.mark.parametrize("value", ["2026010X", "-", "20260101-2026"])
def test_a_date_that_is_none_is_refused(place: tuple[Path, str], value: str) -> None:
    with served(place, model(1)) as archive:
        answers = query(archive, asked(NAME, ScheduledProcedureStepStartDate=value))
        expected = [0xA900] if value != "20260101-2026" else [0xFF00, 0]
        assert [each.status for each in answers] == expected


@pytest.mark.req("I-ASSOC-30")
def test_a_worklist_calls_nobody(place: tuple[Path, str]) -> None:
    """What is asked is answered over the association that it came over."""
    with socket.create_server(("127.0.0.1", 0)) as asking:
        asking.setblocking(False)
        peer = Peer(title="TESTER", host="127.0.0.1", port=asking.getsockname()[1])
        with served(place, model(1), preset="archive", peers=[peer]) as archive:
            assert len(names(query(archive, asked(NAME)))) == 1
        with pytest.raises(BlockingIOError):
            asking.accept()


@pytest.mark.req("X-RIS-02")
def test_the_log_tells_who_asked_and_how_it_ended(place: tuple[Path, str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with served(place, model(1), preset="ris") as archive:
        query(archive, asked(NAME))
        query(archive, with_value(asked(NAME), (0x00080061,), ""))
    told = [(each.message, each.fields) for each in caplog.records if hasattr(each, "fields")]
    (done,) = [fields for event, fields in told if event == "worklist.done"]
    (refused,) = [fields for event, fields in told if event == "worklist.refused"]
    assert (done["calling"], done["matches"]) == ("TESTER", 1)
    assert (refused["calling"], refused["status"]) == ("TESTER", "A900")
    assert [fields["calling"] for event, fields in told if event == "association.accepted"] == ["TESTER"] * 2
    assert [each.levelname for each in caplog.records if each.message == "worklist.refused"] == ["WARNING"]


@pytest.mark.req("M-SEC-06")
def test_the_worklist_is_for_those_who_may(place: tuple[Path, str]) -> None:
    contexts = [ProposedContext(uid, (uids.EXPLICIT_LE,)) for uid in (uids.VERIFICATION, WORKLIST)]
    with (
        served(place, model(1), peers=[Peer(title="PEER", allow=("store",))]) as archive,
        archive.connect(*contexts, calling="PEER") as association,
        pytest.raises(ContextNotAccepted),
    ):
        association.context_for(WORKLIST)
