"""How commands end: exit statuses, and errors told in one line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import typer

from isocenter.errors import ConfigurationError, IsocenterError


class Exit(IntEnum):
    """Exit statuses, the same for all commands."""

    OK = 0
    SOME_FAILED = 1
    """It ran, but the peer or the check said no to something."""
    USAGE = 2
    """The command line, a file or a setting is wrong."""
    NO_PEER = 3
    """The peer could not be reached, rejected the association, or went away."""
    INTERRUPTED = 130


def stop(status: Exit) -> None:
    """End the program with `status`, unless that is OK."""
    if status is not Exit.OK:
        raise typer.Exit(int(status))


def say(text: str) -> None:
    """A line for the person, beside the results."""
    print(text, file=sys.stderr)


@contextmanager
def told() -> Iterator[None]:
    """Turns the errors of the block into a line on standard error and an exit status."""
    try:
        yield
    except ConfigurationError as error:
        say(f"error: {error.comment}")
        raise typer.Exit(int(Exit.USAGE)) from error
    except IsocenterError as error:
        say(f"error: {error.comment or error.reason}")
        raise typer.Exit(int(_status(error))) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(int(Exit.INTERRUPTED)) from error
    except Exception as error:
        if not _database_away(error):
            raise
        say(f"error: the database can't be reached ({type(error).__name__})")
        raise typer.Exit(int(Exit.SOME_FAILED)) from error


def _database_away(error: Exception) -> bool:
    from sqlalchemy.exc import InterfaceError, OperationalError

    return isinstance(error, InterfaceError | OperationalError)


def _status(error: IsocenterError) -> Exit:
    from isocenter.dimse import AssociationAborted, AssociationRejected, PeerTimeout, PeerUnreachable

    lost = (AssociationAborted, AssociationRejected, PeerTimeout, PeerUnreachable)
    return Exit.NO_PEER if isinstance(error, lost) else Exit.SOME_FAILED
