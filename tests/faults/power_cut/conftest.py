"""The compiled shim."""

from pathlib import Path

import pytest

from faults.power_cut.twin import NoCompiler, compile_shim


@pytest.fixture(scope="session")
def power_cut_shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shim, compiled once; skips where there is no C compiler."""
    try:
        return compile_shim(tmp_path_factory.mktemp("shim"))
    except NoCompiler as reason:
        pytest.skip(str(reason))
