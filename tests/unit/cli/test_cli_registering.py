"""`isocenter ae` and `isocenter peer` on an archive whose server is stopped."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from databases import migrated
from isocenter import database
from isocenter.cli.app import app
from isocenter.cli.registering import Name
from isocenter.config import Settings
from isocenter.database import Database
from isocenter.errors import ConfigurationError
from isocenter.store.filesystem import FilesystemStore

runner = CliRunner()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a server that ran once."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data"
    FilesystemStore(folder / "store", durability="process", floor_bytes=0).close()
    migrated(folder)
    return folder


@pytest.fixture
def run(data: Path) -> Any:
    """Runs a command on it; the result, which must have this exit status."""

    def command(*arguments: str, status: int = 0, config: Path | None = None) -> Result:
        more = ["--config", str(config)] if config else []
        done = runner.invoke(app, [*arguments, "--data", str(data), *more])
        assert done.exit_code == status, done.output
        return done

    return command


def test_peers_from_the_first_to_the_last(run: Any) -> None:
    assert run("peer", "list").output == ""
    assert "peer 'WS' at 10.0.0.7 added: port = 11112" in run("peer", "add", "WS@10.0.0.7:11112").output
    changed = json.loads(run("peer", "set", "WS", "allow=store,find", "--json").output)
    assert changed == {
        "change": "changed", "kind": "peer", "title": "WS", "host": "10.0.0.7", "version": 2,
        "settings": {"title": "WS", "host": "10.0.0.7", "port": 11112, "allow": ["store", "find"]},
    }  # fmt: skip
    (shown,) = json.loads(run("peer", "show", "WS", "--json").output)
    assert (shown["port"], shown["associations"], shown["source"]) == (11112, 4, "database")
    run("peer", "set", "WS@10.0.0.7:104", "--unset", "allow")
    told = run("peer", "show", "WS").output
    assert "port = 104" in told
    assert '"print"' in told
    assert "removed" in run("peer", "remove", "WS").output
    assert json.loads(run("peer", "list", "--json").output) == {"version": 4, "peer": [], "ignored": []}


def test_aes_beside_the_default(run: Any) -> None:
    run("ae", "add", "CACHE", "duplicates=replace", "responses.study=500")
    run("ae", "set", "ISOCENTER", "case_sensitive=true")
    listed = json.loads(run("ae", "list", "--json").output)
    assert [(ae["title"], ae["source"]) for ae in listed["ae"]] == [("ISOCENTER", "database"), ("CACHE", "database")]
    run("ae", "remove", "ISOCENTER")
    assert "(default)" in run("ae", "list").output.splitlines()[0]


def test_what_the_file_names_is_changed_in_the_file(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[[peer]]\ntitle = "CT1"\nhost = "10.0.0.1"\n')
    run("peer", "add", "CT1@10.0.0.2")
    for command in (("add", "CT1@10.0.0.3"), ("set", "CT1", "port=1")):
        assert "comes from the settings" in run("peer", *command, config=file, status=2).output
    listed = run("peer", "list", config=file)
    assert f"(file {file})" in listed.output
    assert "passed over" in listed.output
    assert "passed over" in run("config", "check", config=file).output
    run("peer", "remove", "CT1", config=file)
    assert "passed over" not in run("config", "check", config=file).output
    assert "comes from the settings" in run("peer", "remove", "CT1", config=file, status=2).output


def test_wrong_words_are_exit_status_2(run: Any) -> None:
    for arguments, told in (
        (("ae", "add", "A", "colour=red"), "there is no setting"),
        (("ae", "add", "A", "preset=mary"), "preset"),
        (("ae", "add", "A" * 17), "16"),
        (("ae", "set", "A", "idle=1"), "there is no ae 'A'"),
        (("ae", "set", "ISOCENTER"), "nothing to change"),
        (("peer", "add", "A@h:x"), "TITLE@HOST:PORT"),
        (("peer", "show", "A"), "there is no peer 'A'"),
        (("peer", "remove", "A"), "there is no peer 'A'"),
    ):
        assert told in run(*arguments, status=2).output


def test_a_row_of_a_newer_program_is_told_and_can_be_removed(run: Any, data: Path) -> None:
    run("peer", "add", "WS@10.0.0.7")
    opened: Database = database.open(data / "index.db")
    with opened.writing() as connection:
        connection.exec_driver_sql("""UPDATE peer SET settings = '{"title": "WS", "host": "10.0.0.7", "beam": 1}'""")
    opened.close()
    listed = run("peer", "list", status=1)
    assert "newer program" in listed.output
    assert "newer program" in run("config", "check", status=1).output
    run("peer", "remove", "WS")
    run("config", "check")


def test_without_an_archive_there_is_nothing_to_change(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    done = runner.invoke(app, ["peer", "add", "WS", "--data", str(nothing)])
    assert done.exit_code == 2
    assert "no archive" in done.output
    assert not nothing.exists()
    listed = runner.invoke(app, ["ae", "list", "--data", str(nothing)])
    assert listed.exit_code == 0
    assert "ISOCENTER" in listed.output
    assert not nothing.exists()


def test_a_command_that_does_not_know_where_the_index_is_makes_none(run: Any, data: Path) -> None:
    """The server has its index in PostgreSQL, and the command was not told so."""
    (data / "index.db").unlink()
    assert "there is no" in run("peer", "add", "WS", status=2).output
    assert "there is no" in run("jobs", "list", status=2).output
    assert not (data / "index.db").exists()


def test_an_older_schema_is_no_fault_of_the_settings(run: Any, data: Path) -> None:
    opened: Database = database.open(data / "index.db")
    with opened.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    opened.close()
    assert "0001" in run("config", "check").output
    assert "0001" in run("peer", "add", "WS", status=2).output


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("WS", Name("WS")),
        ("WS@10.0.0.1", Name("WS", "10.0.0.1")),
        ("WS@host:104", Name("WS", "host", 104)),
        ("WS@[::1]:104", Name("WS", "::1", 104)),
        ("WS@fd00::1", Name("WS", "fd00::1")),
    ],
)
def test_names(text: str, expected: Name) -> None:
    assert Name.of("peer", text) == expected


def test_a_name_without_a_port_behind_its_colon() -> None:
    with pytest.raises(ConfigurationError):
        Name.of("peer", "WS@host:")


def test_an_ae_does_not_get_the_port_of_http(run: Any) -> None:
    port = Settings().http_port
    told = run("ae", "add", "NIGHT", f"ports={port}", status=2).output
    assert f"ae.ports: {port} is the HTTP port" in told
    run("ae", "add", "NIGHT", f"ports={port + 1}")
    run("ae", "set", "NIGHT", f"ports={port + 1},{port}", status=2)


@pytest.mark.parametrize("command", [("index", "attributes"), ("ae", "list"), ("commit", "list"), ("audit", "list")])
def test_a_database_that_can_not_be_reached_is_told_in_one_line(
    command: tuple[str, ...], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISOCENTER_DATABASE", f"postgresql://nobody@/none?host={data}")
    done = runner.invoke(app, [*command, "--data", str(data)])
    assert done.exit_code == 1
    assert done.output == "error: the database can't be reached (OperationalError)\n"


def test_verify_tells_what_it_found_though_the_database_is_away(data: Path) -> None:
    url = f"postgresql://nobody@/none?host={data}"
    done = runner.invoke(app, ["store", "verify", "--data", str(data), "--database", url])
    assert done.exit_code == 1
    assert "not compared: index OperationalError" in done.output
    assert "no objects" in done.output
