"""Options that stand for one parameter of a command."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from isocenter.cli.installed import HERE, Installation, with_installation, with_settings
from isocenter.cli.securing import NONE, Security, with_security


def _told(*words: str) -> str:
    app = typer.Typer()

    @app.command()
    @with_security
    @with_installation
    def whole(name: str, here: Installation = HERE, often: int = 1, security: Security = NONE) -> None:
        typer.echo(f"{name} {here} {often} {security.tls}")

    @app.command()
    @with_settings
    def part(here: Installation = HERE) -> None:
        typer.echo(str(here))

    return CliRunner().invoke(app, words).output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["whole", "A"], f"A {HERE} 1 False\n"),
        (
            ["whole", "A", "--tls", "--database", "sqlite://", "--often", "2", "--data", "d", "--config", "c"],
            f"A {Installation(Path('c'), Path('d'), 'sqlite://')} 2 True\n",
        ),
        (["part", "--data", "d"], f"{Installation(data=Path('d'))}\n"),
    ],
)
def test_a_command_gets_what_its_options_say_as_one_value(words: list[str], told: str) -> None:
    assert _told(*words) == told


def test_the_options_stand_where_the_parameter_does() -> None:
    shown = _told("whole", "--help")
    names = ("--config", "--data", "--database", "--often", "--tls", "--jwt")
    assert sorted(names, key=shown.index) == list(names)


def test_an_option_that_is_left_out_is_unknown() -> None:
    assert "No such option: --database" in _told("part", "--database", "sqlite://")


def test_what_no_option_says_is_as_the_settings_file_has_it(tmp_path: Path) -> None:
    file = tmp_path / "isocenter.toml"
    file.write_text(f"data = '{tmp_path / 'one'}'\ndicom_port = 4242\n")
    assert Installation(file).settings().data == tmp_path / "one"
    other = Installation(file, tmp_path / "two", "sqlite:///x.sqlite").settings()
    assert (other.data, other.dicom_port, other.database) == (tmp_path / "two", 4242, "sqlite:///x.sqlite")
