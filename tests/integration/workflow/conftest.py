"""Databases, and a desk that takes orders, for the tests of the departmental workflow."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from databases import any_url, postgresql_url, sqlite_url
from isocenter.config.hl7 import Feed
from order_desk import Desk

__all__ = ["any_url", "postgresql_url", "sqlite_url"]

EXAMS = """exam,procedure,procedure_meaning,procedure_scheme,protocol,protocol_scheme,modality,station_ae,location
CTH,,,,HEAD,99P,CT,CT1,Room 1
PETCT,PET,PET whole body,99X,PETP,99P,PT,PET1,Room 7
PETCT,CTW,CT whole body,99X,CTLOW,99P,CT,PET1,Room 7
PETCT,CTW,CT whole body,99X,CTDIAG,99P,CT,CT2,Room 2
"""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.database.close()


@pytest.fixture
def exams(tmp_path: Path) -> Feed:
    """A feed with a table of exams."""
    path = tmp_path / "exams.csv"
    path.write_text(EXAMS)
    return Feed(name="ris", exams=str(path))
