"""Every storage class of the catalogue's tables is known, row by row."""

import csv
import re

import pytest

from isocenter.declarations import sop_classes
from isocenter.dicom.uids import registry
from material import REQUIREMENTS

_STORAGE_SERVICE = re.compile(r"Storage( presentation context.*)?|Transfer|Hanging Protocol Storage")


def _rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((REQUIREMENTS / name).read_text("utf-8").splitlines()))


TABLES = sorted(path.name for path in REQUIREMENTS.glob("*_sop_classes.csv"))
# M-STORE-14 and its like in the other tables: negotiated among storage contexts, though none
NORMALIZED = 13


@pytest.mark.req("I-STORE-11", "I-STORE-12", "I-STORE-13", "M-STORE-01", "M-STORE-13", "P-STO-01", "X-VIEW-04")
@pytest.mark.parametrize("table", TABLES)
def test_every_storage_row_is_in_the_registry(table: str) -> None:
    rows = [row for row in _rows(table) if _STORAGE_SERVICE.fullmatch(row["service"])]
    assert rows
    unknown = [row["uid"] for row in rows if row["uid"] not in sop_classes.negotiable_for_storage()]
    assert unknown == []


@pytest.mark.req("M-STORE-14")
def test_normalized_classes_are_negotiable_but_not_storage() -> None:
    listed = {row["uid"] for table in TABLES for row in _rows(table) if _STORAGE_SERVICE.fullmatch(row["service"])}
    normalized = {uid for uid in listed if not sop_classes.is_storage(uid)}
    assert normalized == sop_classes.negotiable_for_storage() - sop_classes.storage_classes()
    assert len(normalized) == NORMALIZED
    assert all(sop_classes.is_service(uid) for uid in normalized)


@pytest.mark.parametrize("table", TABLES)
def test_every_row_has_a_name(table: str) -> None:
    for row in _rows(table):
        assert sop_classes.name_of(row["uid"]) != row["uid"]


def test_every_class_of_the_standard_is_there() -> None:
    standard = {uid for uid, entry in registry().items() if entry.kind in ("SOP Class", "Meta SOP Class")}
    assert standard <= sop_classes.registry().keys()
    storage = {
        uid
        for uid, entry in registry().items()
        if entry.kind == "SOP Class" and entry.name.endswith(("Storage", "For Presentation", "For Processing"))
    }
    # a directory is stored on media only
    assert storage - sop_classes.storage_classes() == {"1.2.840.10008.1.3.10"}


def test_kinds_of_classes() -> None:
    ct, sr, echo = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.11", "1.2.840.10008.1.1"
    assert sop_classes.is_storage(ct)
    assert sop_classes.is_image(ct)
    assert sop_classes.is_storage(sr)
    assert not sop_classes.is_image(sr)
    assert not sop_classes.is_storage(echo)
    assert sop_classes.is_service(echo)
    assert not sop_classes.is_storage("1.2.3")
    assert not sop_classes.is_service("1.2.3")
    assert sop_classes.is_image("1.2.3")
    assert sop_classes.name_of("1.2.3") == "1.2.3"
    assert sop_classes.name_of(ct) == "CT Image Storage"
    assert [entry.uid for entry in sop_classes.classes_of("verification")] == [echo]
    assert sop_classes.registry()["1.2.840.10008.5.1.4.1.1.6"].retired
    assert sop_classes.registry()["1.3.12.2.1107.5.9.1"].private
