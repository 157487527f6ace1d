"""C-STORE statuses, row by row: what each source's SCP answers and what its SCU makes of an answer; and the validation
levels behind B007 and A900."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple, cast

import pytest

from archives import CT, Destination, Running, keys, listening, made, running, sop_uid, study_uid
from isocenter.config import HostedAE
from isocenter.declarations import statuses
from isocenter.declarations.presets import PRESETS, Preset
from isocenter.declarations.statuses import Service, causes_of
from isocenter.dicom import uids
from isocenter.errors import IsocenterError, Reason, Refused, Retriable
from isocenter.exchange.sending import Sent
from isocenter.index.batches import already_durable
from isocenter.index.records import ExceptionNote, Outcome, Record, Verdict
from storage_rows import rows

_PRESETS: dict[tuple[str, str], Preset] = {
    ("iconnect", "ARCHIVE"): "archive", ("iconnect", "PROXY"): "archive", ("intellibridge", "STORAGE"): "bridge",
    ("marie", "MARIE_PACS"): "pacs", ("marie", "DW"): "viewer", ("ps32", "D"): "workstation",
    ("ps32", "F"): "query-server", ("ps32", "G"): "workstation",
}  # fmt: skip
_WARNINGS = {0xB000, 0xB006, 0xB007}


class Row(NamedTuple):
    """A status of a source's table, with its codes."""

    source: str
    ae: str
    meaning: str
    codes: tuple[int, ...]
    behaviour: str


def _rows(role: str) -> Iterator[Row]:
    for source in ("iconnect", "intellibridge", "marie", "sendtopacs", "ps32"):
        for row in rows(f"{source}_status_codes"):
            code = row.get("code_hex_or_http") or row.get("code_hex") or ""
            if row["role"] == role and re.match(r"(Storage )?C-STORE", row["service"]) and code:
                yield Row(source, row.get("annex") or row["ae"], row["status_meaning"], _codes(code), row["behaviour"])


def _codes(text: str) -> tuple[int, ...]:
    """Some codes of those that a row names: both ends of a range, the middle of a class, one of no table for "any"."""
    if text in ("*", "any other"):
        return (0x0110, 0x0122, 0xD001)
    first, _, last = text.replace("xxx", "000-C").replace("xx", "00-").partition("-")
    if "x" in text:
        return (int(first, 16), int(first, 16) + 0x42)
    return (int(first, 16), int(last, 16)) if last else (int(first, 16),)


SCP = [row for row in _rows("SCP") if "never sent" not in row.behaviour]
SCU = list(_rows("SCU"))


def _failures() -> Iterator[tuple[Preset, int, Reason]]:
    seen = set()
    for row in SCP:
        preset = _PRESETS[row.source, row.ae]
        for code in row.codes[:1]:
            if code not in {0, *_WARNINGS} and (preset, code) not in seen:
                seen.add((preset, code))
                for cause in sorted(causes_of(Service.STORE, code, preset)):
                    yield preset, code, cast("Reason", cause)


def test_the_tables_were_read() -> None:
    assert len(SCP) > 25
    assert len(SCU) > 35
    assert {row.source for row in SCU} == {"intellibridge", "sendtopacs", "ps32"}


@pytest.mark.req("I-STORE-ST-03", "I-STORE-ST-04", "I-STORE-ST-05", "I-STORE-ST-06", "I-STORE-ST-07", "M-STORE-10")
@pytest.mark.req("M-DWSTORE-06", "P-IMP-04", "P-IMP-T76-02", "P-IMP-T76-03", "P-IMP-T76-04")
@pytest.mark.parametrize("row", SCP, ids=lambda row: f"{row.source}-{row.ae}-{row.codes[0]:04X}")
def test_every_status_that_a_source_answers_has_its_causes(row: Row) -> None:
    preset = _PRESETS[row.source, row.ae]
    code = row.codes[0]
    if code == 0:
        assert code == statuses.SUCCESS
    elif code in _WARNINGS:
        assert code in {statuses.COERCED, statuses.ELEMENTS_DISCARDED, statuses.DOES_NOT_MATCH_SOP_CLASS}
    else:
        assert causes_of(Service.STORE, code, preset), f"nothing leads to {code:04X}"


class _Refusing:
    """A writer that takes nothing, for one reason; what is noted of exceptions it takes."""

    def __init__(self, fault: IsocenterError) -> None:
        self._fault = fault

    def submit(self, record: Record) -> Future[Outcome]:
        """See `Writer`."""
        raise NotImplementedError

    def file(self, record: Record, before_commit: Callable[[], None] = already_durable) -> Outcome:
        """See `Writer`."""
        before_commit()
        if isinstance(record, ExceptionNote):
            return Outcome(Verdict.NOTED)
        raise self._fault

    def close(self) -> None:
        """See `Writer`."""


@pytest.mark.req("I-STORE-20", "I-STORE-ST-03", "I-STORE-ST-04", "I-STORE-ST-05", "I-STORE-ST-06", "I-STORE-ST-07")
@pytest.mark.req("I-STORE-02", "M-STORE-10", "M-DWSTORE-06", "P-IMP-04")
@pytest.mark.parametrize(("preset", "code", "reason"), list(_failures()))
def test_every_failure_reaches_the_peer_with_a_comment(
    tmp_path: Path, sqlite_url: str, preset: Preset, code: int, reason: Reason
) -> None:
    fault = Refused(reason, "what the sender is told")
    with running(tmp_path, sqlite_url, ae=_ae(preset), writer=_Refusing(fault)) as archive:
        (response,) = archive.store_all(made())
        assert (response.status, response.comment) == (code, "what the sender is told")
        assert archive.set_aside() == [(reason, made().data)]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_lack_that_may_pass_sets_nothing_aside(tmp_path: Path, sqlite_url: str, preset: Preset) -> None:
    fault = Retriable(Reason.OUT_OF_RESOURCES, "the index does not answer")
    with running(tmp_path, sqlite_url, ae=_ae(preset), writer=_Refusing(fault)) as archive:
        assert archive.status(made()) == 0xA700
        assert not archive.set_aside()


def _ae(preset: Preset, **more: object) -> HostedAE:
    return HostedAE(preset=preset, **more)  # type: ignore[arg-type]


@pytest.mark.req("P-EXP-05", *(f"P-EXP-T72-{n:02}" for n in range(1, 12)), "M-SEND-05", "X-MOD-17", "X-VIEW-21")
@pytest.mark.req("S-STORE-ST-01", "S-STORE-ST-02", "S-STORE-ST-03", "S-STORE-ST-04", "S-STORE-ST-05")
@pytest.mark.parametrize("row", SCU, ids=lambda row: f"{row.source}-{row.ae}-{row.codes[0]:04X}")
def test_every_status_that_a_source_gets_is_understood(row: Row) -> None:
    for code in row.codes:
        sent = Sent(made(), code)
        if row.meaning.startswith("Success"):
            assert (sent.failed, sent.warned) == (False, False)
        elif row.meaning.startswith("Warning"):
            assert (sent.failed, sent.warned) == (False, True), f"{code:04X}"
        else:
            assert sent.failed, f"{code:04X}"


@pytest.mark.req("M-SEND-05", "S-STORE-08", "X-VIEW-21", "P-EXP-02")
def test_whatever_is_answered_the_rest_goes_on(tmp_path: Path, sqlite_url: str) -> None:
    """One C-MOVE whose sub-operations get every status of the tables: all are sent, and counted for what they are."""
    codes = sorted({code for row in SCU for code in row.codes})
    fates = {sop_uid(n): code for n, code in enumerate(codes, 1)}
    destination = Destination(statuses=fates)
    with listening(destination), running(tmp_path, sqlite_url, peers=[destination.peer]) as archive:
        archive.send(*(made(n) for n in range(1, len(codes) + 1)))
        *_, last = archive.move("DEST", keys("STUDY", StudyInstanceUID=study_uid()))
    assert sorted(destination.uids) == sorted(fates)
    sent = [Sent(made(), code) for code in codes]
    assert last.failed == sum(one.failed for one in sent)
    assert last.warning == sum(one.warned for one in sent)
    assert last.completed == 1
    assert last.status == 0xB000


# --- validation levels


@pytest.mark.req("I-STORE-08", "I-STORE-ST-02", "P-IMP-T76-06", "P-IMP-03", "M-STORE-08", "M-DWSTORE-05")
@pytest.mark.parametrize(
    ("level", "statuses_"), [("none", (0, 0)), ("minimal", (0xB007, 0)), ("iod", (0xB007, 0xB007))]
)
def test_a_warning_says_what_is_wrong(tmp_path: Path, sqlite_url: str, level: str, statuses_: tuple[int, int]) -> None:
    sent = [made(1, without=[0x00100020]), made(2)]
    with running(tmp_path, sqlite_url, ae=HostedAE(validation=level)) as archive:  # type: ignore[arg-type]
        first, second = archive.store_all(*sent)
        assert (first.status, second.status) == statuses_
        assert first.comment.startswith("(0010,0020) PatientID is missing") == (level != "none")
        assert len(archive.rows("instance")) == 2
        assert not archive.set_aside()
        # again, and it is still said
        assert archive.status(sent[0]) == statuses_[0]


@pytest.mark.req("I-STORE-08", "I-STORE-20")
@pytest.mark.parametrize(("preset", "status"), [("default", 0xA900), ("query-server", 0xA900), ("pacs", 0xA700)])
@pytest.mark.parametrize("syntax", [uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE, uids.DEFLATED_LE])
def test_a_refusal_says_what_is_wrong(
    tmp_path: Path, sqlite_url: str, preset: Preset, status: int, syntax: str
) -> None:
    ae = _ae(preset, validation="minimal", validation_failure="refuse")
    bad = made(1, syntax=syntax, PatientName="x" * 65)
    with running(tmp_path, sqlite_url, ae=ae) as archive:
        assert archive.status(made(2, syntax=syntax)) == 0
        (response,) = archive.store_all(bad)
        assert (response.status, response.comment) == (
            status, "(0010,0010) PatientName is longer than 64 characters"
        )  # fmt: skip
        assert archive.set_aside() == [(Reason.SOP_CLASS_MISMATCH, bad.data)]
        assert _stored(archive) == {sop_uid(2)}


@pytest.mark.req("I-CHAR-06", "I-STORE-10")
@pytest.mark.parametrize(("policy", "status"), [("keep", 0), ("refuse", 0xC000)])
def test_an_object_in_an_unknown_character_set(tmp_path: Path, sqlite_url: str, policy: str, status: int) -> None:
    ae = HostedAE(unknown_character_set=policy)  # type: ignore[arg-type]
    with running(tmp_path, sqlite_url, ae=ae) as archive:
        assert archive.status(made(1, SpecificCharacterSet="ISO-IR 100")) == 0
        assert archive.status(made(2, SpecificCharacterSet="KLINGON")) == status
        assert _stored(archive) == {sop_uid(1)} | ({sop_uid(2)} if status == 0 else set())


def _stored(archive: Running) -> set[str]:
    return {row.sop_uid for row in archive.rows("instance")}


def test_without_checks_nothing_is_read_again(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not configured costs nothing: no check is made, none is even chosen for an object."""
    from isocenter.archive.validation import levels as validation
    from isocenter.archive.validation import values as validation_values

    monkeypatch.setattr(validation_values, "elements", None)
    monkeypatch.setattr(validation, "minimal", None)
    with running(tmp_path, sqlite_url) as archive:
        archive.send(made(sop_class=CT))
