"""The statuses put into words: whatever `statuses` can answer is told."""

import pytest

from isocenter.declarations import statuses
from isocenter.declarations.presets import PRESETS
from isocenter.declarations.status_meanings import CAUSES, REACTIONS, WORDS, answers
from isocenter.declarations.statuses import Frames, Partial, Service
from isocenter.errors import Reason


def test_every_cause_has_its_words() -> None:
    assert set(WORDS) == {*Reason, *Partial, *Frames}


@pytest.mark.req("C-GEN-08", "C-CHK-06")
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("service", Service)
def test_every_code_of_a_service_has_one_row_and_the_last_is_for_all_others(
    service: Service, preset: statuses.Preset
) -> None:
    told = answers(service, preset)
    codes = [code for answer in told for code in answer.codes]
    assert len(codes) == len(set(codes))
    assert {statuses.dimse_status(service, cause, preset) for cause in CAUSES[service]} <= set(codes)
    assert told[-1].reason.endswith("anything else")
    assert told[-1].codes == (statuses.dimse_status(service, Reason.PROCESSING_FAILURE, preset),)
    assert codes[0] == statuses.SUCCESS
    assert all(answer.meaning != "Failure" for answer in told), "a code without a name"


@pytest.mark.parametrize("service", Service)
def test_every_reaction_ends_with_all_others(service: Service) -> None:
    assert REACTIONS[service][0].codes == "0000"
    assert REACTIONS[service][-1].codes == "any other"
