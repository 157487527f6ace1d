"""Statuses: every failure that the catalogue's tables print can be answered."""

import csv

import pytest

from isocenter.declarations import statuses
from isocenter.declarations.presets import PRESETS, Preset
from isocenter.declarations.statuses import (
    Partial,
    Service,
    causes_of,
    dimse_status,
    http_status,
    stow_failure,
    stow_status,
)
from isocenter.errors import Reason
from material import REQUIREMENTS

_SERVICES = {
    "C-STORE": [Service.STORE],
    "C-FIND": [Service.FIND],
    "C-MOVE and C-GET": [Service.MOVE, Service.GET],
    "C-MOVE": [Service.MOVE],
    "MWL C-FIND": [Service.FIND],
}
_NO_FAILURES = {0x0000, 0xFF00, 0xFF01, 0xB000, 0xB006, 0xB007}


def _rows(name: str, *aes: str) -> list[tuple[Service, int]]:
    """Service and code of each failure that these AEs answer as SCP."""
    found = []
    for row in csv.DictReader((REQUIREMENTS / name).read_text("utf-8").splitlines()):
        code = row.get("code_hex_or_http") or row.get("code_hex") or ""
        service = row["service"].partition(" (")[0]
        if row["ae"] in aes and row["role"] == "SCP" and service in _SERVICES and len(code) == 4:
            status = int(code, 16)
            found += [(each, status) for each in _SERVICES[service] if status not in _NO_FAILURES]
    return found


ICONNECT = _rows("iconnect_status_codes.csv", "ARCHIVE", "PROXY", "WORKLIST_MANAGER")
MARIE = _rows("marie_status_codes.csv", "MARIE_PACS", "DW")


def test_the_tables_were_read() -> None:
    assert len(ICONNECT) > 30
    assert len(MARIE) > 15
    assert {Service.STORE, Service.FIND, Service.MOVE, Service.GET} == {service for service, _ in ICONNECT}


@pytest.mark.req("I-STORE-ST-03", "I-STORE-ST-04", "I-STORE-ST-05", "I-STORE-ST-06", "I-STORE-ST-07")
@pytest.mark.req("I-FIND-ST-01", "I-FIND-ST-02", "I-FIND-ST-03", "I-FIND-ST-04", "I-FIND-ST-05", "I-FIND-ST-06")
@pytest.mark.req("I-MOVE-ST-01", "I-MOVE-ST-02", "I-MOVE-ST-03", "I-MOVE-ST-04", "I-MOVE-ST-05", "I-MOVE-ST-06")
@pytest.mark.req("I-MOVE-ST-07", "I-MOVE-ST-08")
@pytest.mark.parametrize(("service", "status"), sorted(set(ICONNECT)))
def test_archive_statuses_are_reachable(service: Service, status: int) -> None:
    assert causes_of(service, status, "default")


@pytest.mark.req("M-STORE-10", "M-FIND-10", "M-FIND-13", "M-MOVE-06", "M-MOVE-07", "M-PROXY-14", "M-PROXY-15")
@pytest.mark.parametrize(("service", "status"), sorted(set(MARIE)))
def test_marie_statuses_are_reachable(service: Service, status: int) -> None:
    assert causes_of(service, status, "pacs")


def test_statuses_that_the_catalogue_names() -> None:
    assert dimse_status(Service.STORE, Reason.SOP_CLASS_MISMATCH) == 0xA900
    assert dimse_status(Service.STORE, Reason.SOP_INSTANCE_MISMATCH) == 0xC001
    assert dimse_status(Service.STORE, Reason.CANNOT_UNDERSTAND) == 0xC000
    assert dimse_status(Service.STORE, Reason.OUT_OF_STORAGE) == 0xA700
    assert dimse_status(Service.STORE, Reason.DUPLICATE_SOP_INSTANCE) == 0x0111
    assert dimse_status(Service.MOVE, Reason.DESTINATION_UNKNOWN) == 0xA801
    assert dimse_status(Service.FIND, Reason.CANCELLED) == 0xFE00
    assert dimse_status(Service.FIND, Reason.TOO_MANY_MATCHES, "pacs") == 0xC001
    assert dimse_status(Service.FIND, Partial.ARCHIVE_UNAVAILABLE, "pacs") == 0xC002
    assert {dimse_status(Service.STORE, r, "pacs") for r in Reason if r is not Reason.NOT_AUTHORIZED} == {0xA700}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("service", list(Service))
def test_every_reason_has_a_failure_everywhere(service: Service, preset: Preset) -> None:
    for cause in (*Reason, *Partial):
        status = dimse_status(service, cause, preset)
        assert status not in _NO_FAILURES
        assert 0 < status <= 0xFFFF
    # (0008,0058) and counts make sense only if cancel is cancel
    if service in (Service.FIND, Service.MOVE, Service.GET):
        assert dimse_status(service, Reason.CANCELLED, preset) == statuses.CANCELLED


@pytest.mark.req(
    "I-STOW-RS-04", "I-STOW-RS-05", "I-STOW-RS-06", "I-STOW-RS-07", "I-STOW-RS-08", "I-STOW-RS-09", "I-STOW-RS-10"
)
def test_stow_failure_reasons() -> None:
    assert stow_failure(Reason.OUT_OF_RESOURCES) == 0xA700
    assert stow_failure(Reason.OUT_OF_STORAGE) == 0xA710
    assert stow_failure(Reason.SOP_CLASS_MISMATCH) == 0xA900
    assert stow_failure(Reason.CANNOT_UNDERSTAND) == 0xC000
    assert stow_failure(Reason.TRANSFER_SYNTAX_NOT_SUPPORTED) == 0xC122
    assert stow_failure(Reason.PROCESSING_FAILURE) == 0x0110
    assert stow_failure(Reason.SOP_CLASS_NOT_SUPPORTED) == 0x0122


@pytest.mark.req("I-STOW-RS-01", "I-STOW-RS-02", "I-STOW-RS-03")
def test_warnings() -> None:
    assert (statuses.COERCED, statuses.ELEMENTS_DISCARDED, statuses.DOES_NOT_MATCH_SOP_CLASS) == (
        0xB000,
        0xB006,
        0xB007,
    )


@pytest.mark.req("I-STOW-ST-01", "I-STOW-ST-02", "I-STOW-ST-03", "I-STOW-ST-05", "I-STOW-ST-06", "I-STOW-ST-07")
@pytest.mark.parametrize(
    ("stored", "warned", "failed", "status"),
    [
        (2, 0, [], 200),
        (1, 1, [], 202),
        (1, 0, [Reason.OUT_OF_STORAGE], 202),
        (0, 0, [], 400),
        (0, 0, [Reason.BAD_REQUEST], 400),
        (0, 0, [Reason.NOT_AUTHORIZED], 403),
        (0, 0, [Reason.STUDY_MISMATCH, Reason.SOP_CLASS_NOT_SUPPORTED], 409),
        (0, 0, [Reason.BAD_REQUEST, Reason.OUT_OF_STORAGE], 409),
        (0, 0, [Reason.OUT_OF_STORAGE, Reason.OUT_OF_RESOURCES], 503),
    ],
)
def test_stow_statuses(stored: int, warned: int, failed: list[Reason], status: int) -> None:
    assert stow_status(stored, warned, failed) == status


@pytest.mark.req("I-QIDO-ST-02", "I-QIDO-ST-04", "I-QIDO-ST-05", "I-QIDO-ST-06")
def test_http_statuses() -> None:
    assert {http_status(reason) for reason in Reason} <= {400, 403, 404, 406, 409, 413, 500, 503}
    assert http_status(Reason.BAD_REQUEST) == 400
    assert http_status(Reason.NOT_AUTHORIZED) == 403
    assert http_status(Reason.TOO_MANY_MATCHES) == 413
    assert http_status(Reason.OUT_OF_RESOURCES) == 503
