"""The settings of notifications."""

from typing import Any

import pytest

from isocenter.config import load
from isocenter.config.loading import build
from isocenter.config.notices import Notice
from isocenter.config.showing import show
from isocenter.errors import ConfigurationError
from isocenter.workflow.notices.outgoing import Destination
from isocenter.workflow.notices.plan import Plan, Tries


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"notice": [{"kind": "letter", "to": ["A"]}]}, "kind"),
        ({"notice": [{"kind": "availability"}]}, "to"),
        ({"notice": [{"kind": "availability", "to": ["A"], "when": ["never"]}]}, "when"),
        ({"notice": [{"kind": "availability", "to": ["A title that is too long"]}]}, "to"),
        ({"notice": [{"kind": "study-content", "to": ["A"], "when": ["removed"]}]}, "removed"),
        ({"hook": [{"url": "ftp://example.org"}]}, "url"),
        ({"hook": [{"url": "https://example.org", "events": ["stored"]}]}, "events"),
        ({"completeness": {"quiet": 0}}, "quiet"),
        ({"notices": {"study_content_status": 4}}, "study_content_status"),
    ],
)
def test_what_is_refused(tables: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        build(tables)


def test_a_secret_is_not_shown() -> None:
    settings = build({"hook": [{"url": "https://example.org", "secret": "sesame"}]})
    assert "sesame" not in show(settings)


def test_nothing_is_configured() -> None:
    plan = Plan(load(environment={}))
    assert not plan.active
    assert not plan.looks


@pytest.mark.parametrize(
    ("tables", "looks"),
    [
        ({"notice": [{"kind": "availability", "to": ["A"]}]}, True),
        ({"notice": [{"kind": "study-content", "to": ["A"]}]}, False),
        ({"notice": [{"kind": "study-content", "to": ["A"], "when": ["complete"]}]}, True),
        ({"hook": [{"url": "https://example.org"}]}, True),
        ({"hook": [{"url": "https://example.org", "events": ["edited"]}]}, False),
        ({"completeness": {"always": True}}, True),
        ({"hl7": {"destination": [{"name": "ris", "host": "h", "sends": ["study-available"]}]}}, True),
        ({"hl7": {"destination": [{"name": "ris", "host": "h", "sends": ["order-status"]}]}}, False),
    ],
)
def test_studies_are_looked_after_where_somebody_wants_to_know(tables: dict[str, Any], looks: bool) -> None:
    plan = Plan(build(tables))
    assert plan.active
    assert plan.looks is looks
    assert ("complete" in plan.timers()) is looks


def test_how_often_somebody_is_told() -> None:
    tables = {
        "notice": [{"kind": "availability", "to": ["A", "B"], "retries": 3, "retry_delay": 7}],
        "hook": [{"url": "https://example.org", "name": "desk", "retries": 5}],
    }
    plan = Plan(build(tables))
    assert plan.tries(Destination("availability", "", "B")) == Tries(3, 7.0)
    assert plan.tries(Destination("hook", "", "desk")) == Tries(5, 30.0)
    assert plan.tries(Destination("hook", "", "gone")) == Tries(0, 0.0)
    assert plan.tries(Destination("study-content", "", "A")) == Tries(0, 0.0)


def test_the_occasions_that_a_notice_has_by_itself() -> None:
    assert Notice(kind="study-content", to=("A",)).occasions == ("quiet",)
    assert Notice(kind="availability", to=("A",)).occasions == ("complete", "removed")
    assert Notice(kind="availability", to=("A",), when=("committed",)).occasions == ("committed",)
