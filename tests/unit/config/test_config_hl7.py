"""What is refused in the settings of HL7, and where messages are taken at all."""

from typing import Any

import pytest

from isocenter.config import load
from isocenter.errors import ConfigurationError

FEED = {"name": "ris", "addresses": ["10.0.0.7"]}
BACK = {"name": "back", "host": "ris"}


def settings(hl7: dict[str, Any], **more: Any) -> Any:
    return load(None, {}, {"hl7": hl7, **more})


@pytest.mark.parametrize(
    ("hl7", "message"),
    [
        ({"feed": [FEED, FEED]}, "hl7.feed.name: 'ris' is given twice"),
        ({"destination": [BACK, BACK]}, "hl7.destination.name: 'back' is given twice"),
        ({"feed": [{"character_set": "KLINGON"}]}, "'KLINGON' is no character set"),
        ({"feed": [{"character_set_forced": True}]}, "no character_set to go by"),
        ({"feed": [{"addresses": ["ris"]}]}, "'ris' is no address"),
        ({"feed": [{"time_zone": "Europe/Atlantis"}]}, "'Europe/Atlantis' is no time zone"),
        ({"feed": [{"time_zone": "../../etc/passwd"}]}, "is no time zone"),
        ({"feed": [{"answers": "back"}]}, r"no \[\[hl7.destination\]\] 'back'"),
        ({"destination": [{"name": "", "host": "x"}]}, "needs a name and a host"),
        ({"destination": [{**BACK, "port": 0}]}, "back has none"),
        ({"destination": [{**BACK, "character_set": "KLINGON"}]}, "'KLINGON' is no character set"),
        ({"feeds": []}, "there is no setting 'hl7.feeds'; the nearest is 'hl7.feed'"),
        ({"largest": 3}, "hl7.largest"),
    ],
)
def test_what_is_wrong_is_named(hl7: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        settings(hl7)


BEYOND = {"host": "0.0.0.0", "dicom_policy": "open"}


@pytest.mark.parametrize(
    ("hl7", "more", "listens"),
    [
        ({}, {}, True),
        ({"listen": False}, {}, False),
        ({"port": None}, {}, False),
        ({"port": None, "tls_port": 0}, {}, True),
        ({}, BEYOND, False),
        ({"feed": [FEED]}, BEYOND, True),
        ({"tls_port": 12575}, BEYOND, True),
        ({"tls_port": 12575}, {**BEYOND, "tls": {"client_certificate": "none"}}, False),
        ({}, {"host": "0.0.0.0", "insecure": True}, True),
    ],
)  # fmt: skip
def test_where_messages_are_taken(hl7: dict[str, Any], more: dict[str, Any], listens: bool) -> None:
    """Beyond loopback only where senders are known, unless the settings say to leave it open."""
    found = settings(hl7, **more)
    assert found.hl7_listens is listens


def test_a_port_that_would_be_open_to_others_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no sender of HL7 messages would be known"):
        settings({"listen": True}, host="0.0.0.0", dicom_policy="open")
    assert settings({"listen": True, "feed": [FEED]}, host="0.0.0.0", dicom_policy="open").hl7_listens


def test_sizes_may_have_units() -> None:
    assert settings({"largest": "8 MiB"}).hl7.largest == 8 << 20
