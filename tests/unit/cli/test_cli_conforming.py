"""`isocenter conformance`: the files it writes, of the settings and of what the database holds."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from isocenter.cli.app import app

runner = CliRunner()


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.req("C-RULE-11", "C-TPL-0.1")
def test_it_writes_the_form_that_is_asked_for(tmp_path: Path) -> None:
    done = runner.invoke(app, ["conformance", "--format", "md", "--output", "out"])
    assert done.exit_code == 0
    assert done.output == "out/conformance.md\n"
    text = (tmp_path / "out" / "conformance.md").read_text()
    assert "## 4 Networking" in text
    assert (tmp_path / "out" / "conformance-figures" / "4.1.1-1.svg").read_text().startswith("<svg")


def test_all_forms_at_once_of_one_ae(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(
        '[statement]\ncompany = "North"\ndocument = "N-17"\n[[ae]]\ntitle = "ONE"\nservices = []\nstorage = "none"\n'
        '[[ae]]\ntitle = "TWO"\n'
    )
    done = runner.invoke(
        app, ["conformance", "--format", "all", "--config", str(file), "--ae", "ONE", "--output", str(tmp_path)]
    )
    assert done.exit_code == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert {"conformance.html", "conformance.pdf", "conformance.md", "conformance-figures"} <= names
    page = (tmp_path / "conformance.html").read_text()
    assert "North" in page
    assert "N-17" in page
    assert "ONE AE Specification" in page
    assert "TWO AE Specification" not in page


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--format", "docx"], "'docx' is not one of html, pdf, md or all"),
        (["--ae", "NOBODY"], "no AE 'NOBODY' is hosted"),
    ],
)
def test_what_cannot_be_written_is_said(words: list[str], told: str) -> None:
    done = runner.invoke(app, ["conformance", *words])
    assert done.exit_code == 2
    assert told in done.output
