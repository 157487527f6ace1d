"""The rule that says when a study is complete, without an archive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.config.notices import Completeness
from isocenter.workflow.completeness import Seen, judge

SECOND = 1_000_000
STEPS = Completeness(steps=True)
COUNTS = Completeness(counts=True)
REQUEST = Completeness(request=True)
LONGEST = 5400


@pytest.mark.parametrize(
    ("rule", "seen", "after", "wait"),
    [
        (Completeness(), Seen(0), 0, 60),
        (Completeness(), Seen(0), 59, 1),
        (Completeness(), Seen(0), 60, 0),
        (Completeness(quiet=300), Seen(0), 60, 240),
        (Completeness(), Seen(0, steps=(False,), counted=False), 60, 0),
        (Completeness(), Seen(0, request_at=1, steps=(True,), counted=True), 0, 60),
        (STEPS, Seen(0), 60, 0),
        (STEPS, Seen(0), 0, 60),
        (STEPS, Seen(0, steps=(True,)), 0, 0),
        (STEPS, Seen(0, steps=(True, True)), 0, 0),
        (STEPS, Seen(0, steps=(True, False)), 60, LONGEST - 60),
        (STEPS, Seen(0, steps=(False,)), LONGEST, 0),
        (Completeness(steps=True, quiet=9000), Seen(0, steps=(False,)), LONGEST, 3600),
        (COUNTS, Seen(0), 60, 0),
        (COUNTS, Seen(0, counted=True), 0, 0),
        (COUNTS, Seen(0, counted=False), 60, LONGEST - 60),
        (Completeness(steps=True, counts=True), Seen(0, steps=(True,), counted=False), 60, LONGEST - 60),
        (Completeness(steps=True, counts=True), Seen(0, steps=(True,), counted=True), 0, 0),
        (REQUEST, Seen(5 * SECOND, request_at=5 * SECOND), 5, 0),
        (REQUEST, Seen(6 * SECOND, request_at=5 * SECOND), 6, 60),
        (Completeness(request=True, steps=True), Seen(0, request_at=1, steps=(False,)), 1, LONGEST - 1),
    ],
)
def test_the_rule(rule: Completeness, seen: Seen, after: int, wait: int) -> None:
    assert judge(rule, seen, after * SECOND) == wait * SECOND


@given(
    st.builds(
        Completeness, quiet=st.integers(1, 9000), steps=st.booleans(), counts=st.booleans(), request=st.booleans()
    ),
    st.builds(
        Seen,
        st.integers(0, 10**12),
        st.integers(0, 10**12),
        st.lists(st.booleans(), max_size=3).map(tuple),
        st.sampled_from([None, True, False]),
    ),
    st.integers(0, 10**12),
)
def test_a_study_is_complete_when_the_wait_is_over(rule: Completeness, seen: Seen, at: int) -> None:
    """However it is: nothing waits for ever, and who looks again when he was told to finds it complete."""
    at = max(at, seen.last_at)
    wait = judge(rule, seen, at)
    assert 0 <= wait <= max(rule.longest, rule.quiet) * SECOND
    assert judge(rule, seen, at + wait) == 0
