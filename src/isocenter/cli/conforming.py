"""`isocenter conformance`: the DICOM conformance statement of the installation, as files."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import typer

from isocenter.cli.ending import Exit, say
from isocenter.cli.installed import Installation
from isocenter.config import Settings
from isocenter.conformance.building import statement
from isocenter.conformance.checks import findings
from isocenter.conformance.model import Statement
from isocenter.errors import ConfigurationError

FORMATS = ("html", "pdf", "md")
_NAME = "conformance"


def write(here: Installation, *, form: str, output: Path, title: str, date: str = "") -> Exit:
    """Write the statement into the folder `output`, in one format or in `all`. What is amiss in it is told."""
    from isocenter.web.dicomweb.service import described

    wanted = FORMATS if form == "all" else (form,)
    if not set(wanted) <= set(FORMATS):
        raise ConfigurationError(f"{form!r} is not one of {', '.join(FORMATS)} or all")
    settings = settings_now(here)
    if title and settings.ae(title) is None:
        raise ConfigurationError(f"no AE {title!r} is hosted here")
    made = statement(settings, date=date or f"{datetime.now(UTC):%Y-%m-%d}", title=title, web=described())
    output.mkdir(parents=True, exist_ok=True)
    for each in wanted:
        typer.echo(str(_WRITERS[each](made, output)))
    amiss = findings(made)
    for finding in amiss:
        say(f"warning: {finding.check}: {finding.text}")
    return Exit.SOME_FAILED if amiss else Exit.OK


def settings_now(here: Installation) -> Settings:
    """The settings, with the AEs and peers that the database holds where there is an archive."""
    from isocenter.cli.opening import known

    settings = here.settings()
    if not (settings.store_root / "archive.json").exists():
        return settings
    return known(settings).settings


def _html(made: Statement, folder: Path) -> Path:
    from isocenter.conformance.html import html

    return _written(folder / f"{_NAME}.html", html(made).encode())


def _pdf(made: Statement, folder: Path) -> Path:
    from isocenter.conformance.pdf import pdf

    return _written(folder / f"{_NAME}.pdf", pdf(made))


def _markdown(made: Statement, folder: Path) -> Path:
    from isocenter.conformance.markdown import markdown

    text, figures = markdown(made, f"{_NAME}-figures")
    (folder / f"{_NAME}-figures").mkdir(exist_ok=True)
    for name, figure in figures.items():
        _written(folder / f"{_NAME}-figures" / name, figure.encode())
    return _written(folder / f"{_NAME}.md", text.encode())


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


_WRITERS: dict[str, Callable[[Statement, Path], Path]] = {"html": _html, "pdf": _pdf, "md": _markdown}
