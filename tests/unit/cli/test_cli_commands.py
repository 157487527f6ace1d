"""The commands' frame: help, exit statuses, settings."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from isocenter.cli.app import app

runner = CliRunner()


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_help_names_every_command() -> None:
    told = runner.invoke(app, ["--help"])
    assert told.exit_code == 0
    for command in ("serve", "echo", "send", "find", "move", "get", "index", "store", "backup", "restore", "config"):
        assert command in told.output


def test_version() -> None:
    assert runner.invoke(app, ["--version"]).output.startswith("isocenter ")


def test_config_check_and_show(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("dicom_port = 104\n[http]\ntoken = 'hush'\n")
    assert runner.invoke(app, ["config", "check", "--config", str(file)]).exit_code == 0
    shown = runner.invoke(app, ["config", "show", "--config", str(file)]).output
    assert "dicom_port = 104" in shown
    assert "hush" not in shown
    as_json = json.loads(runner.invoke(app, ["config", "show", "--config", str(file), "--json"]).output)
    assert as_json["settings"]["http"]["token"] == "********"
    assert as_json["origins"]["dicom_port"] == f"file {file}"


def test_a_wrong_setting_is_exit_status_2(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("dicm_port = 104\n")
    done = runner.invoke(app, ["config", "check", "--config", str(file)])
    assert done.exit_code == 2
    assert "dicom_port" in done.output


def test_commands_on_data_want_an_archive(tmp_path: Path) -> None:
    for command in (["store", "verify"], ["index", "rebuild"], ["backup", str(tmp_path / "b")]):
        done = runner.invoke(app, [*command, "--data", str(tmp_path / "nothing")])
        assert done.exit_code == 2
        assert "no archive" in done.output
