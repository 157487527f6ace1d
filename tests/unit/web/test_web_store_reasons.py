"""Each status and reason of a store that the catalogue lists (iconnect_status_codes.csv) is answered."""

import csv
import json

import pytest

from isocenter.archive.ingest import Stored
from isocenter.declarations.statuses import http_status
from isocenter.errors import IsocenterError, Reason, Refused, Retriable
from isocenter.rules import Outcome
from isocenter.web.dicomweb.incoming import Taken
from isocenter.web.dicomweb.store_response import module, status_of
from material import REQUIREMENTS

NAMES = ("1.2", "1.3")


def _codes(part: str) -> list[str]:
    with (REQUIREMENTS / "iconnect_status_codes.csv").open(encoding="utf-8") as file:
        return [
            row["code_hex_or_http"]
            for row in csv.DictReader(file)
            if row["ae"] == "STOW_RS" and part in row["service"] and row["code_hex_or_http"] != "not listed"
        ]


def _stored(outcome: Outcome = Outcome({}), remark: str = "") -> Taken:  # noqa: B008 - a constant
    return Taken(*NAMES, stored=Stored("stored", "1.4", "1.5", "1.3", "key", 10, remark, outcome))


def _refused(refusal: IsocenterError) -> Taken:
    return Taken(*NAMES, refusal=refusal)


WARNED = {
    "B000": _stored(Outcome({}, coerced=True, discarded=True)),
    "B006": _stored(Outcome({}, discarded=True)),
    "B007": _stored(remark="a type 1 attribute is empty"),
}
FAILED = {
    "A700": _refused(Retriable(Reason.OUT_OF_RESOURCES)),
    "A710": _refused(Retriable(Reason.OUT_OF_STORAGE)),
    "A900": _refused(Refused(Reason.SOP_CLASS_MISMATCH)),
    "C000": _refused(Refused(Reason.CANNOT_UNDERSTAND)),
    "C122": _refused(Refused(Reason.TRANSFER_SYNTAX_NOT_SUPPORTED)),
    "0110": _refused(Refused(Reason.PROCESSING_FAILURE)),
    "0122": _refused(Refused(Reason.SOP_CLASS_NOT_SUPPORTED)),
}
ANSWERED = {
    "200": [_stored()],
    "202": [_stored(), FAILED["C000"]],
    "400": [Taken(refusal=Refused(Reason.CANNOT_UNDERSTAND))],
    "403": [_refused(Refused(Reason.NOT_AUTHORIZED))],
    "409": [FAILED["0122"], FAILED["A710"]],
    "503": [FAILED["A700"]],
}


@pytest.mark.req("I-STOW-05", "I-STOW-RS-01", "I-STOW-RS-02", "I-STOW-RS-03")
@pytest.mark.parametrize("code", _codes("Warning Reason"))
def test_warnings(code: str) -> None:
    (item,) = json.loads(module([WARNED[code]], "R", "", False))["00081199"]["Value"]
    assert item["00081196"] == {"vr": "US", "Value": [int(code, 16)]}
    assert status_of([WARNED[code]], False) == 202


@pytest.mark.req(
    "I-STOW-RS-04", "I-STOW-RS-05", "I-STOW-RS-06", "I-STOW-RS-07", "I-STOW-RS-08", "I-STOW-RS-09", "I-STOW-RS-10"
)
@pytest.mark.parametrize("code", _codes("Failure Reason"))
def test_failures(code: str) -> None:
    (item,) = json.loads(module([_stored(), FAILED[code]], "R", "", False))["00081198"]["Value"]
    assert item["00081197"] == {"vr": "US", "Value": [int(code, 16)]}


@pytest.mark.req("I-STOW-ST-01", "I-STOW-ST-02", "I-STOW-ST-03", "I-STOW-ST-05", "I-STOW-ST-06", "I-STOW-ST-07")
@pytest.mark.parametrize("code", [code for code in _codes("HTTP status") if code != "401"])
def test_statuses(code: str) -> None:
    """401 is the door's, before there is a body."""
    assert status_of(ANSWERED[code], False) == int(code)


def test_what_is_too_large() -> None:
    assert status_of([Taken(refusal=Refused(Reason.TOO_LARGE))], False) == http_status(Reason.TOO_LARGE) == 413
