"""Transfer syntaxes: orders of preference, presets as printed, the choice among what was proposed."""

import csv

import pytest

from isocenter.declarations.presets import PRESETS
from isocenter.declarations.transfer_syntaxes import (
    NON_STORAGE,
    Choice,
    all_syntaxes,
    choose,
    storage_order,
)
from isocenter.dicom.uids import (
    EXPLICIT_BE,
    EXPLICIT_LE,
    IMPLICIT_LE,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    transfer_syntax,
)
from material import REQUIREMENTS


def _rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((REQUIREMENTS / name).read_text("utf-8").splitlines()))


@pytest.mark.req("I-CTX-02", "I-CTX-03")
def test_archive_preset_is_the_printed_list() -> None:
    rows = [row for row in _rows("iconnect_transfer_syntaxes.csv") if row["ae"] == "ARCHIVE"]
    storage = [row["uid"] for row in rows if row["context"].startswith("Storage SCP accepted")]
    find = [row["uid"] for row in rows if row["context"].startswith("Study Root FIND SCP accepted")]
    assert storage_order("archive", only_listed=True) == tuple(storage)
    assert tuple(find) == NON_STORAGE


@pytest.mark.req("M-ASSOC-11")
def test_pacs_preset_is_the_printed_list() -> None:
    rows = [row for row in _rows("marie_transfer_syntaxes.csv") if row["ae"] == "MARIE_PACS"]
    storage = [row["uid"] for row in rows if row["context"].startswith("Storage SCP accepted, internal")]
    assert storage_order("pacs", only_listed=True) == tuple(storage)


@pytest.mark.parametrize("table", sorted(path.name for path in REQUIREMENTS.glob("*_transfer_syntaxes.csv")))
def test_every_syntax_of_the_tables_is_accepted(table: str) -> None:
    for row in _rows(table):
        if row["uid"].startswith("1.2.840.10008.1.2"):
            assert row["uid"] in all_syntaxes()


def test_default_order() -> None:
    order = all_syntaxes()
    assert order[:2] == (EXPLICIT_LE, IMPLICIT_LE)
    ranks = [_rank(uid) for uid in order if not uid.startswith(("1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.95"))]
    usual = [rank for rank in ranks if rank < 9]
    assert usual == sorted(usual)
    assert len(set(order)) == len(order)


def _rank(uid: str) -> int:
    syntax = transfer_syntax(uid)
    if syntax.video:
        return 3
    if not syntax.encapsulated:
        return 0 if uid in NON_STORAGE else 9
    return 2 if syntax.lossy else 1


def test_offering_everything_never_means_lossy() -> None:
    everything = tuple(reversed(all_syntaxes()))
    assert choose(everything, storage_order()) == EXPLICIT_LE
    assert choose((JPEG_BASELINE, JPEG_2000_LOSSLESS), storage_order()) == JPEG_2000_LOSSLESS


@pytest.mark.req("M-ASSOC-09")
def test_proposers_order() -> None:
    proposed = ("1.2.3", EXPLICIT_BE, EXPLICIT_LE)
    assert choose(proposed, storage_order(), Choice.PROPOSER) == EXPLICIT_BE
    assert choose(proposed, storage_order()) == EXPLICIT_LE
    assert choose(("1.2.3",), storage_order()) is None


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_takes_every_syntax(preset: str) -> None:
    assert set(storage_order(preset)) == set(all_syntaxes())


def test_unknown_preset() -> None:
    with pytest.raises(KeyError):
        storage_order("nobody")
