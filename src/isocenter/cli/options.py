"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[Path | None, typer.Option("--config", help="The settings file (TOML).", metavar="FILE")]
Data = Annotated[Path | None, typer.Option("--data", help="The data folder.", metavar="DIR")]
Database = Annotated[str | None, typer.Option("--database", help="URL of the index.", metavar="URL")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
PeerName = Annotated[
    str,
    typer.Argument(
        metavar="PEER", help="TITLE@HOST:PORT, or the title of a peer in the settings, or of this server's own AE."
    ),
]
Calling = Annotated[str, typer.Option("--calling", help="The AE title to call with.", metavar="TITLE")]
Key = Annotated[
    list[str] | None,
    typer.Option(
        "--key", "-k", metavar="KEYWORD=VALUE", help="A key to match; without '=' one to return. May be repeated."
    ),
]
Model = Annotated[str, typer.Option("--model", help="patient, study or patient-study-only.")]
Level = Annotated[str, typer.Option("--level", help="patient, study, series or image.")]

CALLING = "ISOCENTER-CLI"
