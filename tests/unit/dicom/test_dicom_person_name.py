"""Person names: groups, components, the forms that are compared and shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.dicom import person_name
from isocenter.dicom.person_name import PersonName, canonical, compact, components, display, parse, parse_values


@pytest.mark.req("I-CHAR-10")
def test_three_groups() -> None:
    name = parse("Yamada^Tarou=山田^太郎=やまだ^たろう ")
    assert name == PersonName("Yamada^Tarou", "山田^太郎", "やまだ^たろう")
    assert str(name) == "Yamada^Tarou=山田^太郎=やまだ^たろう"
    assert components(name.ideographic) == ("山田", "太郎", "", "", "")


@pytest.mark.req("I-STORE-09")
@pytest.mark.parametrize("text", ["LN^FN", "LN^FN^", "LN^FN^^", "LN^FN^^^", "ln^fn", "Ln ^ Fn=山田"])
def test_canonical_form(text: str) -> None:
    assert canonical(text) == "LN^FN^^^"


def test_names_that_lack_or_exceed() -> None:
    assert canonical("") == canonical(" =\0") == ""
    assert canonical("=山田^太郎") == "山田^太郎^^^"
    assert parse("a=b=c=d") == PersonName("a", "b", "c")
    assert components("a^b^c^d^e^f") == ("a", "b", "c", "d", "e^f")
    assert not parse("")
    assert parse_values("A^B\\C") == (PersonName("A^B"), PersonName("C"))
    assert parse_values(" ") == ()


def test_forms_for_people_and_peers() -> None:
    assert display("Doe^John^Quincy^Dr^Jr") == "Doe, John Quincy, Dr, Jr"
    assert display("=山田^太郎") == "山田, 太郎"
    assert compact("Doe ^John^^^=山田^==") == "Doe^John=山田"


@given(st.text(alphabet="ab ^=é", max_size=20))
def test_canonical_and_compact_settle(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text)
    assert compact(compact(text)) == compact(text)
    assert canonical(compact(text)) == canonical(text)
    assert person_name.parse(str(parse(text))) == parse(text)
