"""The options that say which installation a command is about.

`@with_installation` gives a command these options in place of its parameter `here`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from isocenter.cli import options
from isocenter.cli.gathering import Command, gathered

if TYPE_CHECKING:
    from isocenter.config import Loaded, Settings


@dataclass(frozen=True)
class Installation:
    """Where its settings, its data and its index are; what the options leave out is as the settings have it."""

    config: options.ConfigFile = None
    data: options.Data = None
    database: options.Database = None

    def loaded(self) -> "Loaded":
        """The settings and where each comes from, read anew. Raises ConfigurationError where they are wrong."""
        from isocenter import config

        given = {"data": str(self.data) if self.data else None, "database": self.database}
        return config.load_with_origins(self.config, overrides=given)

    def settings(self) -> "Settings":
        """As `loaded`, the settings alone."""
        return self.loaded().settings


HERE = Installation()
"""That of a command without any of them."""


def with_installation(command: Command) -> Command:
    """The command with --config, --data and --database in place of `here`."""
    return gathered(command, "here", Installation)


def with_settings(command: Command) -> Command:
    """As `with_installation`, without --database."""
    return gathered(command, "here", Installation, without=("database",))
