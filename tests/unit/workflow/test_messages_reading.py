"""Fields as a feed means them: identifiers, times, and what empty fields say."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.config.hl7 import Feed
from isocenter.hl7.errors import MessageError
from isocenter.hl7.message import Segment, parsed
from isocenter.workflow.messages.reading import (
    Identifier,
    Moment,
    identifiers,
    moment,
    moment_of,
    patient_identifier,
    said,
    written,
    zone_of,
)

BERLIN = Feed(time_zone="Europe/Berlin")
PID = "PID|||4711^^^HOSP^MR~0815^^^&1.2.3&ISO^PI~99^^^ENTERPRISE&4.5.6&ISO~77~^^^EMPTY"


def segment(text: str) -> Segment:
    return parsed(f"MSH|^~\\&|\r{text}\r".encode()).segments[1]


def test_an_empty_value_changes_nothing_and_quotes_delete() -> None:
    assert said({"PatientName": "DOE^JANE", "PatientSex": "", "PatientBirthDate": '""'}) == {
        "PatientName": "DOE^JANE",
        "PatientBirthDate": None,
    }


def test_identifiers_name_who_assigned_them() -> None:
    found = identifiers(segment(PID), 3, Feed(issuer="HERE"))
    assert found == [
        Identifier("4711", "HOSP", type="MR"),
        Identifier("0815", "1.2.3", "1.2.3", "ISO", "PI"),
        Identifier("99", "ENTERPRISE", "4.5.6", "ISO"),
        Identifier("77", "HERE"),
    ]
    assert found[0].identity == "HOSP\\4711"


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        ((), "4711"),
        (("ENTERPRISE",), "99"),
        (("NOBODY", "1.2.3", "HOSP"), "0815"),
        (("4.5.6",), "99"),
        (("NOBODY",), "4711"),
    ],
)
def test_the_feeds_best_authority_gives_the_patient_id(authority: tuple[str, ...], expected: str) -> None:
    found = patient_identifier(segment(PID), Feed(authority=authority))
    assert found is not None
    assert found.id == expected


@pytest.mark.parametrize(
    ("text", "number", "expected"),
    [
        ("PID||12^^^OLD|", 3, "12"),
        ("PID|||", 3, None),
        ('PID|||""', 3, None),
        ("MRG|34^^^HOSP", 1, "34"),
        ("MRG||12^^^OLD", 1, None),
    ],
)
def test_other_fields_and_older_versions(text: str, number: int, expected: str | None) -> None:
    found = patient_identifier(segment(text), Feed(), number)
    assert (found.id if found else None) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("", "")),
        ("1970", ("", "")),
        ("197001", ("", "")),
        ("19700131", ("19700131", "")),
        ("1970013108", ("19700131", "08")),
        ("197001310815", ("19700131", "0815")),
        ("19700131081501", ("19700131", "081501")),
        ("19700131081501.12", ("19700131", "081501.12")),
        (" 19700131081501.123456789 ", ("19700131", "081501.123456")),
        ("20240131233000+0000", ("20240201", "003000")),
        ("20240731233000+0000", ("20240801", "013000")),
        ("20240131003000.5+0530", ("20240130", "200000.5")),
        ("2024013100+0530", ("20240130", "1930")),
        ("202401311200-0500", ("20240131", "1800")),
        ("20240131+0100", ("20240131", "")),
        ("20240131081560", ("20240131", "081559")),
    ],
)
def test_times(text: str, expected: tuple[str, str]) -> None:
    assert moment(text, BERLIN) == Moment(*expected)


@pytest.mark.parametrize(
    "text",
    ["x", "20240230", "202401312460", "2024013124", "20240131T1200", "20240131120", "2024013112+9900", "1.1.24"],
)
def test_what_is_no_time_is_told_with_its_field(text: str) -> None:
    with pytest.raises(MessageError) as wrong:
        moment_of(segment(f"PID|||||||{text}"), 7, BERLIN)
    assert wrong.value.location is not None
    assert wrong.value.location[:3] == ("PID", 1, 7)
    assert text not in str(wrong.value)


def test_a_time_that_is_deleted_is_none() -> None:
    assert moment_of(segment('PID|||||||""'), 7, BERLIN) == Moment("", "")


def test_times_of_ours_in_the_feeds_zone() -> None:
    assert written(1_706_700_600_000_000, BERLIN) == "20240131123000+0100"
    assert zone_of("") is None
    with pytest.raises(ValueError, match="is no time zone"):
        zone_of("Europe/Atlantis")


@given(st.datetimes(datetime(1902, 1, 1), datetime(9000, 1, 1)), st.integers(-12 * 60, 14 * 60))
def test_a_time_is_the_same_moment_in_any_zone(at: datetime, minutes: int) -> None:
    """What is written with an offset comes back in the feed's zone, and from there as the same moment."""
    there = at.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    found = moment(f"{there:%Y%m%d%H%M%S%z}", Feed(time_zone="UTC"))
    assert datetime.strptime("".join(found), "%Y%m%d%H%M%S").replace(tzinfo=UTC) == there
