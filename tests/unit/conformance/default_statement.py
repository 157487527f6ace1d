"""The statement of the default installation, and what its sections say."""

from functools import cache

from isocenter.config import Settings
from isocenter.conformance.building import statement
from isocenter.conformance.model import Section, Statement

DATE = "2026-01-31"


@cache
def made() -> Statement:
    """The statement of the default installation."""
    return statement(Settings(), date=DATE)


def text_of(section: Section | None) -> str:
    assert section is not None
    return " ".join(Statement(made().product, (section,)).words())


def section(role: str) -> Section:
    found = made().section(role)
    assert found is not None, role
    return found
