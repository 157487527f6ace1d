"""What is declared of storage commitment, against every row of the catalogue that speaks of it."""

import csv

import pytest

from isocenter.declarations.commitment import ACTIONS, ANSWERS, EVENTS, Action, Answer, in_words
from isocenter.declarations.offers import OFFERINGS
from isocenter.declarations.transfer_syntaxes import NON_STORAGE
from isocenter.dicom.uids import STORAGE_COMMITMENT_PULL, STORAGE_COMMITMENT_PUSH, name_of
from isocenter.dimse import ProposedContext
from isocenter.exchange import committing, reporting
from material import REQUIREMENTS

ROLE = {"SCU": committing.CONTEXT, "SCP": reporting.CONTEXT}


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a catalogue table that name the push model."""
    with (REQUIREMENTS / name).open(newline="") as file:
        return [row for row in csv.DictReader(file) if STORAGE_COMMITMENT_PUSH in row.values()]


def proposed(role: str) -> ProposedContext:
    context = ROLE[role]
    assert (context.scu, context.scp) == (role == "SCU", role == "SCP")
    return context


@pytest.mark.req("I-COMMIT-04", "I-COMMIT-06", "I-COMMIT-12", "I-CTX-06", "X-COM-07")
@pytest.mark.parametrize("row", rows("iconnect_sop_classes.csv"), ids=str)
def test_archive_classes(row: dict[str, str]) -> None:
    offering = OFFERINGS[row["uid"]]
    assert not offering.extras
    if row["scp"] == "yes":
        assert offering.scu  # the peer is SCU
        assert not proposed("SCP").extended
    if row["scu"] == "yes":
        assert offering.scp
        assert not proposed("SCU").extended
    assert name_of(row["uid"]).startswith(row["sop_class_name"])


@pytest.mark.req("X-MOD-15", "X-MOD-37", "X-QR-65")
@pytest.mark.parametrize("row", rows("ps32_presentation_contexts.csv"), ids=str)
def test_sample_contexts(row: dict[str, str]) -> None:
    wanted = row["transfer_syntax_uids"].split()
    if row["direction"] == "proposed":
        assert set(wanted) <= set(proposed(row["role"]).syntaxes)
    else:
        assert set(wanted) <= set(NON_STORAGE)
        assert OFFERINGS[STORAGE_COMMITMENT_PUSH].scu == OFFERINGS[STORAGE_COMMITMENT_PUSH].scp is True


@pytest.mark.parametrize("row", rows("ps32_sop_classes.csv"), ids=str)
def test_sample_classes(row: dict[str, str]) -> None:
    offering = OFFERINGS[STORAGE_COMMITMENT_PUSH]
    assert offering.scu if row["scp"] == "Yes" else offering.scp


def test_nothing_else_of_commitment_is_offered() -> None:
    assert STORAGE_COMMITMENT_PULL not in OFFERINGS
    assert set(EVENTS) == {1, 2}


def test_every_status_has_words() -> None:
    assert set(ACTIONS) == set(Action)
    assert set(ANSWERS) == set(Answer)
    assert in_words(0x0112) == "no such object instance"
    assert in_words(0xC123) == "failure C123"
