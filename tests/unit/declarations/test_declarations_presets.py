"""Presets: each row of each configuration table of the catalogue is a setting, a preset's value, a fixed property of
ours, or belongs to a later issue (docs/requirements/config_map.csv)."""

import csv
import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import pytest

from isocenter.config import HostedAE, Peer, build, entry, from_preset, masked
from isocenter.config.settings import Settings
from isocenter.config.sources import all_keys
from isocenter.declarations.presets import FIELDS, PRESETS, RENAMED, under
from isocenter.errors import ConfigurationError
from material import REQUIREMENTS

TABLES = ("iconnect", "intellibridge", "marie", "sendtopacs", "ps32")
LATER = frozenset(
    (
        "import", "lifecycle", "media", "pixels", "prefetch", "print", "proxy", "routing", "substance", "viewer", "web",
    )
)  # fmt: skip
"""What issues of their own are about."""
HOW = frozenset({"preset", "setting", "fixed", "differs", "system", "later"})


class Key(NamedTuple):
    """What a row is known by."""

    table: str
    ae: str
    parameter: str
    default: str


class Answer(NamedTuple):
    """What became of it."""

    how: str
    what: str
    note: str


def catalogue() -> list[Key]:
    found = []
    for table in TABLES:
        with (REQUIREMENTS / f"{table}_config.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                ae = f"{row['annex']} {row['ae']}" if "annex" in row else row["ae"]
                found.append(Key(table, ae, row["parameter"], row["default"]))
    return found


def mapped() -> list[tuple[Key, Answer]]:
    with (REQUIREMENTS.parent / "config_map.csv").open(newline="") as file:
        return [
            (Key(*(row[name] for name in Key._fields)), Answer(*(row[name] for name in Answer._fields)))
            for row in csv.DictReader(file)
        ]


def rows(how: str) -> list[tuple[Key, Answer]]:
    return [(key, answer) for key, answer in mapped() if answer.how == how]


@pytest.mark.req("X-MOD-92", "I-CONF-03", "I-CONF-05", "P-CFG-02", "P-CFG-03", "P-CFG-08", "X-QR-84")
def test_every_row_of_the_catalogue_is_mapped_once() -> None:
    asked, answered = Counter(catalogue()), Counter(key for key, _ in mapped())
    assert len(asked) > 700
    assert asked == answered
    for key, answer in mapped():
        assert answer.how in HOW, key
        assert answer.what, key
        assert answer.how != "differs" or answer.note, f"{key}: say why"
        assert answer.how != "later" or answer.what in LATER, key


@pytest.mark.req("X-COM-09", "X-COM-12", "X-COM-13", "P-NET-02", "P-NET-03")
def test_what_the_operating_system_is_told_is_not_told_us() -> None:
    """Addresses, routes, name servers, time servers, buffers of the TCP stack: taken as the system has them."""
    system = {key for key, _ in rows("system")}
    assert {key for key in catalogue() if "DHCP" in key.ae or key.parameter == "DHCP"} <= system
    assert {key.parameter for key in system} >= {"TCP/IP stack", "NTP servers", "TCP/IP socket buffer"}


_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(KB|kB|kbytes|GB|MB|bytes|ms|s|min|h)?\b")
_UNITS: Mapping[str, float] = {
    "KB": 1 << 10, "kB": 1 << 10, "kbytes": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "bytes": 1,
    "ms": 0.001, "s": 1, "min": 60, "h": 3600, "": 1,
}  # fmt: skip
NOTHING = {"none", "unlimited", "not supported", "all supported classes proposed and accepted"}
WORDS = {
    "assign a new SOP Instance UID": "new-uid",
    "none (any free outgoing port from the operating system)": (),
    "FALSE": "either",  # of "always open a new association"
}


def agrees(default: str, value: Any) -> bool:
    """Whether `value` is what a table says: the same number in bytes or seconds, the same text, no limit."""
    if default in WORDS:
        return bool(value == WORDS[default])
    if isinstance(value, str):
        return value == default or not default or default in ("none", "limited by system resources")
    if default.lower() in NOTHING:
        return value in (0, 1, False, 16 << 20)  # no limit; no window but one; the longest PDU there is
    amount = _AMOUNT.match(default)
    assert amount, default
    return bool(float(amount[1]) * _UNITS[amount[2] or ""] == value)


@pytest.mark.req(
    "I-ASSOC-02", "I-ASSOC-04", "I-CHAR-04", "M-ASSOC-02", "M-ASSOC-03", "M-ASSOC-05", "M-ASSOC-06", "P-ASSOC-03",
    "P-ASSOC-04", "P-ASSOC-08", "P-ASSOC-09", "P-CFG-07", "P-CFG-T87-01", "P-CFG-T87-02", "P-CFG-T87-03",
    "P-CFG-T87-04", "X-COM-08", "X-VIEW-44", "X-QR-84",
)  # fmt: skip
@pytest.mark.parametrize(("key", "answer"), rows("preset"), ids=lambda each: "-".join(each)[:80])
def test_a_preset_has_the_value_of_the_row(key: Key, answer: Answer) -> None:
    name, _, text = answer.what.partition("=")
    preset, _, setting = name.partition(".")
    (ae,) = build({"ae": [{"title": "A", "preset": preset}]}).aes
    value: Any = ae
    for step in setting.split("."):
        value = getattr(value, step)
    expected = json.loads(text)
    assert value == (tuple(expected) if isinstance(expected, list) else expected)
    assert agrees(key.default, value), f"the table says {key.default}, the preset {value}"
    assert setting in from_preset(ae)


def all_settings() -> dict[str, Any]:
    tables = {"ae": msgspec.to_builtins(HostedAE()), "peer": msgspec.to_builtins(Peer(title="A"))}
    return {**masked(Settings()), **tables}


@pytest.mark.req("I-CONF-03", "P-CFG-T87-06", "X-COM-08")
@pytest.mark.parametrize(("key", "answer"), rows("setting") + rows("differs"), ids=lambda each: "-".join(each)[:80])
def test_a_setting_that_a_row_names_is_there(key: Key, answer: Answer) -> None:
    """And has the default that the map says, where it says one."""
    path, equals, text = answer.what.partition("=")
    assert path in set(all_keys(Settings)), key
    if equals:
        value: Any = all_settings()
        for step in path.split("."):
            value = value[step]
        assert list(value) == json.loads(text) if isinstance(value, tuple) else value == json.loads(text)


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_said_of_an_ae_wins_over_its_preset(preset: str) -> None:
    """By file and by row of the database; all that the preset gives is a setting."""
    fields = FIELDS[preset]  # type: ignore[index]
    ae = entry("ae", {"title": "A", "preset": preset}, origin="test")
    assert isinstance(ae, HostedAE)
    assert set(from_preset(ae)) == set(fields)
    assert all(given.source for given in fields.values())
    said = {"title": "A", "preset": preset, "max_pdu": 8192, "window": {"invoked": 7}, "idle": 1.5}
    own = entry("ae", said, origin="test")
    assert isinstance(own, HostedAE)
    assert (own.max_pdu, own.window.invoked, own.idle) == (8192, 7, 1.5)
    assert own.window.performed == ae.window.performed
    assert build({"ae": [said]}).aes == (own,)


def test_nothing_of_a_preset_is_changed_by_what_is_laid_over_it() -> None:
    before = msgspec.json.encode({name: {k: g.value for k, g in fields.items()} for name, fields in FIELDS.items()})
    under("pacs", {"window": {"invoked": 7}})
    entry("ae", {"title": "A", "preset": "pacs", "window": {"invoked": 7}}, origin="test")
    after = msgspec.json.encode({name: {k: g.value for k, g in fields.items()} for name, fields in FIELDS.items()})
    assert before == after


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_a_renamed_preset_says_so(old: str, new: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{old}' is called '{new}' now"):
        build({"ae": [{"title": "A", "preset": old}]})
