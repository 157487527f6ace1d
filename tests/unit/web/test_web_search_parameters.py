"""QIDO-RS parameters as clients write them."""

from urllib.parse import parse_qsl

import pytest

from isocenter.web.dicomweb.search_parameters import Search, parse
from isocenter.web.problem import Problem


def search(query: str) -> Search:
    return parse(parse_qsl(query, keep_blank_values=True))


def test_names_are_keywords_tags_or_paths() -> None:
    found = search(
        "PatientName=SMITH%5EA*&00100020=P1&00400275.00400009=S1&RequestAttributesSequence.RequestedProcedureID=R1"
    )
    assert found.keys == (
        ((0x00100010,), "SMITH^A*"),
        ((0x00100020,), "P1"),
        ((0x00400275, 0x00400009), "S1"),
        ((0x00400275, 0x00401001), "R1"),
    )


def test_weasis_writes_an_empty_name() -> None:
    assert search("&includefield=&=&PatientID=1&") == Search(keys=(((0x00100020,), "1"),))


def test_lists_of_uids() -> None:
    assert search("StudyInstanceUID=1.2,1.3%5C1.4&StudyInstanceUID=1.5").keys == (
        ((0x0020000D,), "1.2\\1.3\\1.4\\1.5"),
    )
    assert search("StudyDescription=A,B").keys == (((0x00081030,), "A,B"),)


def test_fields_to_return() -> None:
    found = search("includefield=PatientAge,00080080&includefield=all&includefield=NoSuchThing")
    assert found.include == ((0x00101010,), (0x00080080,))
    assert found.include_all
    assert found.unknown == ("NoSuchThing",)


def test_pages_and_fuzziness() -> None:
    found = search("limit=50&offset=100&fuzzymatching=true")
    assert (found.limit, found.offset, found.fuzzy) == (50, 100, True)


@pytest.mark.parametrize(
    "query", ["limit=-1", "limit=x", "offset=1.5", "limit=99999999999", "fuzzymatching=maybe", "Nonsense=1",
              "PatientID=1&PatientID=2"]
)  # fmt: skip
def test_what_is_not_understood_is_400(query: str) -> None:
    with pytest.raises(Problem) as refused:
        search(query)
    assert refused.value.status == 400


def test_a_refusal_repeats_nothing_dangerous() -> None:
    with pytest.raises(Problem) as refused:
        search("%3Cscript%3E=1")
    assert "<" not in refused.value.detail
