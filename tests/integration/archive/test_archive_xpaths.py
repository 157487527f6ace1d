"""What XPaths may take: the process that evaluates them is bounded, and a request pays once."""

from collections.abc import Iterator
from contextlib import suppress

import pytest

from isocenter.archive.xpaths.work import Expression
from isocenter.archive.xpaths.workers import Selector, Unanswerable
from servers import until

MODEL = (
    b'{"00080060":{"vr":"CS","Value":["CT"]},'
    + b",".join(b'"0011%04X":{"vr":"LO","Value":["x"]}' % n for n in range(0x1000, 0x1600))
    + b"}"
)
ENDLESS = Expression("count(//*[count(//*[count(//*[count(//*) > 1]) > 1]) > 1])")
MODALITY = Expression("//DicomAttribute[@keyword='Modality']/Value/text()")


@pytest.fixture(scope="module")
def selector() -> Iterator[Selector]:
    made = Selector(1)
    yield made
    made.close()


def test_an_endless_one_is_ended() -> None:
    selector = Selector(1, patience=-7.0)
    try:
        _serves(selector)
        with pytest.raises(Unanswerable, match="too long") as late:
            selector.select(MODEL, [MODALITY, ENDLESS])
        assert late.value.late
        _serves(selector)
    finally:
        selector.close()


def _serves(selector: Selector) -> None:
    """It answers, once its process has started, which may take longer than it has here."""

    def answered() -> bool:
        with suppress(Unanswerable):  # not yet
            return selector.select(MODEL, [MODALITY]) == (b"CT",)
        return False

    until(answered)


@pytest.mark.parametrize("wrong", ["", "//", "x:y", "$v", "f()", "document('file:///etc/passwd')", "re:test('a','a')"])
def test_a_wrong_one_is_told(selector: Selector, wrong: str) -> None:
    prefixes = (("re", "http://exslt.org/regular-expressions"),)
    with pytest.raises(Unanswerable, match="can't be evaluated") as told:
        selector.select(MODEL, [Expression(wrong, prefixes)])
    assert told.value.expression
