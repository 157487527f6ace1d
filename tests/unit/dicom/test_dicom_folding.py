"""Folding: what is equal for matching."""
# ruff: noqa: RUF001

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.dicom.folding import FOLD_LENGTH, fold, fold_pattern

EVERYTHING = st.text(alphabet=st.characters(exclude_categories=()), max_size=300)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("SMITH^John", "smith^john"),
        ("Müller", "muller"),
        ("Jérôme", "jerome"),
        ("Ærø Ørsted", "aero orsted"),
        ("Łódź", "lodz"),
        ("Großmann", "grossmann"),
        ("ẞ", "ss"),
        ("œuvre", "oeuvre"),
        ("Đorđe Þór Ðð", "dorde thor dd"),
        ("Işıl İzmir", "isil izmir"),
        ("Ħamrun Ŋ", "hamrun n"),
        ("Διονύσιος", "διονυσιοσ"),
        ("Ёлкин Йод", "елкин иод"),
        ("שָׁרוֹן", "שרון"),
        ("مُحَمَّد", "محمد"),
        ("ﾔﾏﾀﾞ", "ヤマダ"),
        ("Ｓｍｉｔｈ", "smith"),
        ("홍길동", "홍길동"),
        ("สมชัย", "สมชัย"),
        ("O’Brien", "o'brien"),
        ("  a b \0", "a b"),
        ("\ud800a\udfff", "a"),
        ("Mü*l?r^", "mu*l?r^"),
    ],
)
def test_fold(text: str, folded: str) -> None:
    assert fold(text) == folded


def test_syllables_do_not_match_their_beginnings() -> None:
    assert not fold("각").startswith(fold("가"))


@given(EVERYTHING)
def test_folding_twice_changes_nothing(text: str) -> None:
    folded = fold(text)
    assert fold(folded) == folded
    assert len(folded) <= FOLD_LENGTH
    folded.encode("utf-8")
    assert "\0" not in folded


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=300))
def test_ascii_agrees_with_the_long_way(text: str) -> None:
    assert fold_pattern(text) == fold_pattern(text + "é").removesuffix("e").strip()


@given(st.text(alphabet=st.characters(exclude_characters="*?＊？﹖﹡", max_codepoint=0xFFFF), max_size=50))
def test_no_wildcard_comes_out_of_nothing(text: str) -> None:
    assert fold(text).count("*") == 0
