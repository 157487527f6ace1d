"""`isocenter serve`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isocenter import config
from isocenter.cli.ending import Exit
from isocenter.server.main import serve


def run(file: Path | None, given: Mapping[str, Any]) -> Exit:
    """Serve until a signal ends it. SIGHUP reads the same sources again."""
    status = serve(config.load(file, overrides=given), lambda: config.load(file, overrides=given))
    return Exit.OK if status == 0 else Exit.SOME_FAILED
