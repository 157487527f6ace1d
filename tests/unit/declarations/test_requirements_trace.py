"""The check that every id of the groups that are done has a test or a row that says who will bring it."""

import csv
import importlib.util
import sys
from types import ModuleType

import pytest

from material import REPOSITORY


@pytest.fixture(name="trace", scope="module")
def fixture_trace() -> ModuleType:
    spec = importlib.util.spec_from_file_location("requirements_trace", REPOSITORY / "tools" / "requirements_trace.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_what_is_missing_is_named(trace: ModuleType) -> None:
    ids = ["M-STORE-01", "M-STORE-02", "M-STORE-ST-03", "M-HL-01"]
    assert trace.unproved(ids, {"M-STORE-01", "M-STORE-ST-03"}, {"M-STORE-02"}) == []
    assert trace.unproved(ids, {"M-STORE-01"}, {"M-STORE-02"}) == [
        "M-STORE-ST-03 has neither a test nor a row in later.csv"
    ]
    assert trace.unproved(ids, {"M-STORE-01", "M-STORE-02", "M-STORE-ST-03"}, {"M-STORE-02"}) == [
        "M-STORE-02 has a test, and a row in later.csv"
    ]
    assert trace.unproved(ids, set(ids), {"M-STORE-99"}) == ["M-STORE-99 of later.csv is not in the catalogue"]


def test_the_groups_are_those_of_the_catalogue(trace: ModuleType) -> None:
    assert {"-".join(each.split("-")[:2]) for each in trace.catalogue()} >= trace.DONE


def test_each_row_says_who_will_bring_it_and_why(trace: ModuleType) -> None:
    with trace.LATER.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == sorted({row["id"] for row in rows})
    assert all(row["issue"] and row["reason"] for row in rows)


def test_the_page_tells_the_issue(trace: ModuleType) -> None:
    page = trace.matrix({"M-STORE-03": "marie", "M-HL-01": "marie"}, trace.Collector(), {"M-STORE-03": "4"})
    assert "M-HL-01, M-STORE-03 (issue 4)" in page
