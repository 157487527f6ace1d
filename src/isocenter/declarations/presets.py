"""The names of the presets: whose habits an AE follows. Everything that differs by preset has an entry for each."""

from typing import Final, Literal, get_args

Preset = Literal["default", "archive", "marie"]
PRESETS: Final[tuple[Preset, ...]] = get_args(Preset)
