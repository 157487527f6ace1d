"""Every fuzz target for FUZZ_SECONDS each (`make fuzz`): modules `fuzz_*.py` of this folder, by their `main(seconds)`.

The short runs of `make test` lie beside the unit tests of what is fuzzed.
"""

import importlib
import os
import random
import re
from pathlib import Path

import pytest

from fuzz.loop import run

SECONDS = float(os.environ.get("FUZZ_SECONDS", "60"))
TARGETS = sorted(path.stem for path in Path(__file__).parent.glob("fuzz_*.py"))


@pytest.mark.fuzz
@pytest.mark.timeout(2 * SECONDS + 300)
@pytest.mark.parametrize("target", TARGETS)
def test_no_input_breaks(target: str) -> None:
    importlib.import_module(f"fuzz.{target}").main(SECONDS)


def test_a_failure_tells_how_to_make_its_input_again(capsys: pytest.CaptureFixture[str]) -> None:
    def check(number: int) -> None:
        raise ValueError(number)

    with pytest.raises(ValueError, match=r"^\d+$") as failed:
        run(60, lambda chance: chance.randrange(1 << 32), check)
    told = re.match(r"fails with seed (\d+): (\d+)\n", capsys.readouterr().err)
    assert told is not None
    assert random.Random(int(told[1])).randrange(1 << 32) == int(told[2]) == failed.value.args[0]


def test_the_targets_cover_what_strangers_send() -> None:
    assert {"fuzz_dimse", "fuzz_multipart", "fuzz_scan"} <= set(TARGETS)
    assert all(importlib.import_module(f"fuzz.{target}").CHECKS for target in TARGETS)
