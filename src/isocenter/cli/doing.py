"""The options of commands that change what is kept: who does it and why, and how to answer.

`@with_account` gives a command these options, and those of the installation, in place of its parameter `how`.
"""

from dataclasses import dataclass
from typing import Annotated

import typer

from isocenter.cli import acting, options
from isocenter.cli.gathering import Command, gathered
from isocenter.cli.installed import Installation

By = Annotated[str, typer.Option("--by", help="Who does it, for the audit; by default the user.", metavar="NAME")]
Why = Annotated[str, typer.Option("--why", help="Why, for the audit.", metavar="TEXT")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what it would do.")]


@dataclass(frozen=True)
class How(Installation):
    """Who does it, why, whether in earnest, how to answer, and of which installation."""

    by: By = ""
    why: Why = ""
    dry_run: DryRun = False
    json: options.Json = False

    @property
    def user(self) -> str:
        """Who does it; by default the user of this process."""
        return self.by or acting.user()


HOW = How()
"""That of a command without any of them."""


def with_account(command: Command) -> Command:
    """The command with --by, --why, --json and the options of the installation in place of `how`."""
    return gathered(command, "how", How, without=("dry_run",))


def with_trial(command: Command) -> Command:
    """As `with_account`, and --dry-run."""
    return gathered(command, "how", How)


def with_answer(command: Command) -> Command:
    """As `with_account` for what only tells: without --by and --why."""
    return gathered(command, "how", How, without=("by", "why", "dry_run"))
