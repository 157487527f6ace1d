"""Who gives a command, for the audit."""

import getpass
import os


def user() -> str:
    """The name of the user at this machine, or the number where it has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without an entry, as in some containers
        return str(os.getuid())
