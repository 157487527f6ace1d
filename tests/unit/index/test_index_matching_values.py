"""Key values as tests: PS3.4 C.2.2.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.errors import Reason, Refused
from isocenter.index.matching_values import (
    FOLDED,
    Exact,
    Name,
    Sensitivity,
    Span,
    Test,
    Wild,
    Words,
    accepts,
    after_prefix,
    folded,
    literal_prefix,
    read,
)

STRICT = Sensitivity(case=True, accents=True)
NONE: tuple[Test, ...] = ()


@pytest.mark.parametrize("vr", ["PN", "LO", "SH", "CS", "UI", "DA", "TM", "DT", "IS", "LT"])
@pytest.mark.parametrize("value", ["", "  ", "*"])
def test_universal(vr: str, value: str) -> None:
    assert read(vr, value) is None


@pytest.mark.parametrize(
    ("vr", "value", "expected"),
    [
        ("SH", " A1 ", (Exact("A1"),)),
        ("SH", "A*", (Wild("A*"),)),
        ("CS", "CT\\MR", (Exact("CT"), Exact("MR"))),
        ("CS", "CT\\*", None),
        ("UI", "1.2\\1.3\0", (Exact("1.2"), Exact("1.3"))),
        ("LT", "a\\b", (Exact("a\\b"),)),
        ("DA", "20190102", (Exact("20190102"), Exact("2019.01.02"))),
        ("DA", "2019.01.02", (Exact("20190102"), Exact("2019.01.02"))),
        ("DA", "20190101-20190131", (Span("20190101", "20190132"),)),
        ("DA", "-20190131", (Span("", "20190132"),)),
        ("DA", "20190101-", (Span("20190101", None),)),
        ("DA", "2019.01.01-2019.01.31", (Span("20190101", "20190132"),)),
        ("DA", "201901", (Span("201901", "201902"),)),
        ("DA", "2019*", (Span("2019", "201:"),)),
        ("TM", "1030", (Span("1030", "1031"),)),
        ("TM", "10:30:15", (Span("103015", "103016"),)),
        ("TM", "1000-1200", (Span("10", "1201"),)),
        ("TM", "-1200", (Span("", "1201"),)),
        ("TM", "101500.25-", (Span("101500.25", None),)),
        ("DT", "20190102", (Span("20190102", "20190103"),)),
        ("DT", "20190102120000-0500", (Span("20190102120000-0500", "20190102120000-0501"),)),
        ("DT", "20190102-20190103", (Span("20190102", "20190104"),)),
        ("DT", "2018-2019", (Span("2018", after_prefix("2019")),)),
        ("DT", "20190102120000-", (Span("20190102120000", None),)),
    ],
)
@pytest.mark.req("I-FIND-01")
def test_read(vr: str, value: str, expected: tuple[Test, ...] | None) -> None:
    assert read(vr, value) == expected


@pytest.mark.parametrize(
    ("vr", "value"),
    [("DA", "yesterday"), ("DA", "-"), ("DA", "201901011"), ("TM", "noon"), ("TM", "-"), ("DT", "x"), ("DT", "-")],
)
def test_unreadable_values_are_refused_without_quoting_them(vr: str, value: str) -> None:
    with pytest.raises(Refused) as refused:
        read(vr, value)
    assert refused.value.reason is Reason.IDENTIFIER_MISMATCH
    assert value == "-" or value not in refused.value.comment


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Doe^John", Name((Exact("Doe^John"),), (NONE, NONE, NONE))),
        ("Doe^John^^", Name((Exact("Doe^John"),), (NONE, NONE, NONE))),
        ("Doe*", Name((Wild("Doe*"),), (NONE, NONE, NONE))),
        ("Doe*^Jo*", Name((Wild("Doe*^Jo*"),), (NONE, NONE, NONE))),
        ("Doe*^*", Name((Wild("Doe*"),), (NONE, NONE, NONE))),
        ("Doe^*", Name((Exact("Doe"), Wild("Doe^*")), (NONE, NONE, NONE))),
        ("=山田*", Name((), (NONE, (Wild("山田*"),), NONE))),
        ("Yamada=山田", Name((), ((Exact("Yamada"),), (Exact("山田"),), NONE))),
        ("Yamada=", Name((), ((Exact("Yamada"),), NONE, NONE))),
    ],
)
@pytest.mark.req("I-FIND-07", "I-CHAR-10")
def test_names(value: str, expected: Name) -> None:
    assert read("PN", value) == (expected,)


def test_fuzzy_names_are_words() -> None:
    assert read("PN", "john doe", fuzzy=True) == (Words(("john", "doe")),)
    assert read("PN", "*", fuzzy=True) is None


@pytest.mark.parametrize(
    ("value", "sought", "expected"),
    [
        ("DOE^JOHN", "doe^j*", True),
        ("DOE^JOHN", "doe", False),
        ("Müller^Ænne", "MULLER^AENNE", True),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "山田*", True),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada*", True),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "=山田^太郎", True),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "==やまだ*", True),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "山田*=", False),
        ("A^B\\C^D", "C^D", True),
        ("DOE ^ JOHN", "doe^john", True),
    ],
)
@pytest.mark.req("M-FIND-04", "M-FIND-05", "I-FIND-08", "I-CHAR-10")
def test_names_accept(value: str, sought: str, expected: bool) -> None:
    tests = read("PN", sought)
    assert tests is not None
    assert accepts(tests, FOLDED)(value) is expected


@pytest.mark.parametrize(
    ("sensitivity", "value", "sought", "expected"),
    [
        (Sensitivity(case=True), "Müller", "Muller", True),
        (Sensitivity(case=True), "Müller", "muller", False),
        (Sensitivity(accents=True), "Müller", "MÜLLER", True),
        (Sensitivity(accents=True), "Müller", "Muller", False),
        (STRICT, "Müller", "Müller", True),
        (STRICT, "Müller", "Mu\u0308ller", True),
        (STRICT, "Müller", "müller", False),
        (STRICT, "Müller", "M*r", True),
        (STRICT, "Müller", "m*r", False),
    ],
)
@pytest.mark.req("M-FIND-04", "M-FIND-05")
def test_sensitivity(sensitivity: Sensitivity, value: str, sought: str, expected: bool) -> None:
    for vr in ("PN", "LO"):
        tests = read(vr, sought)
        assert tests is not None
        assert accepts(tests, sensitivity)(value) is expected


def test_words_accept_any_order() -> None:
    tests = read("PN", "jo doe", fuzzy=True)
    assert tests is not None
    assert accepts(tests, FOLDED)("DOE^JOHN")
    assert not accepts(tests, FOLDED)("ADOE^JOHN")


@given(st.text(min_size=1), st.text())
def test_a_prefix_is_a_range(prefix: str, rest: str) -> None:
    below = after_prefix(prefix)
    value = prefix + rest
    assert value >= prefix
    assert below is None or value < below


@given(st.text(min_size=1), st.text())
def test_a_range_holds_only_its_prefix(prefix: str, value: str) -> None:
    below = after_prefix(prefix)
    inside = value >= prefix and (below is None or value < below)
    assert value.startswith(prefix) or not inside or below is None


@given(st.text(alphabet="abcÄß*?^=\\", max_size=12))
def test_folding_keeps_the_shape_of_a_pattern(text: str) -> None:
    for test in read("LO", text) or ():
        after = folded(test)
        assert type(after) is type(test)
        if isinstance(test, Wild) and isinstance(after, Wild):
            assert after.text.count("*") == test.text.count("*")


def test_literal_prefix() -> None:
    assert literal_prefix("ab?c*") == "ab"
