"""`isocenter user hash`."""

import sys

import typer

from isocenter.cli.ending import Exit
from isocenter.errors import ConfigurationError
from isocenter.security.passcodes import hashed


def hash_passcode() -> Exit:
    """Ask for a passcode, twice at a terminal, and print the hash to configure."""
    if sys.stdin.isatty():
        passcode = typer.prompt("Passcode", hide_input=True, confirmation_prompt=True, err=True)
    else:
        passcode = sys.stdin.readline().rstrip("\r\n")
    if not passcode:
        raise ConfigurationError("no passcode was given")
    typer.echo(hashed(passcode))
    return Exit.OK
