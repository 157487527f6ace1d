"""The fuzz target for handling, for a moment: whatever comes is processed as a whole or refused."""

import random

import pytest

from fuzz import fuzz_hl7


@pytest.mark.parametrize("seed", range(4))
def test_whatever_comes_is_answered(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(25):
        fuzz_hl7.check(fuzz_hl7.made(chance))
