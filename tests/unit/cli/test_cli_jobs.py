"""`isocenter push` and `isocenter jobs` on an archive whose server is stopped, and what they refuse."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from databases import migrated
from isocenter import database
from isocenter.cli.app import app
from isocenter.exchange.pushing import KIND, Entry, Push, push
from isocenter.jobs import Queue
from isocenter.store.filesystem import FilesystemStore

runner = CliRunner()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a server that ran once and knows a peer."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data"
    FilesystemStore(folder / "store", durability="process", floor_bytes=0).close()
    migrated(folder)
    return folder


@pytest.fixture
def run(data: Path) -> Any:
    """Runs a command on it; the result, which must have this exit status."""

    def command(*arguments: str, status: int = 0) -> Result:
        done = runner.invoke(app, [*arguments, "--data", str(data)])
        assert done.exit_code == status, done.output
        return done

    return command


@pytest.fixture
def queue(data: Path) -> Iterator[Queue]:
    with closing(database.open(data / "index.db")) as index:
        yield Queue(index)


def queued(queue: Queue) -> int:
    (number,) = push(queue, Push("ISOCENTER", "PACS", [Entry("1.2", "1.2.3"), Entry("1.2", "1.2.4")]))
    return number


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("push", "NOBODY", "--study", "1.2"), "is no peer whose address is known here"),
        (("push", "PACS"), "nothing to send"),
        (("push", "PACS", "--series", "1.2.9"), "nothing here has the UID 1.2.9"),
        (("push", "PACS", "--study", "1.2", "--ae", "OTHER"), "no AE 'OTHER' is hosted here"),
        (("jobs", "show", "7"), "there is no job 7"),
        (("jobs", "cancel", "7"), "there is no job 7"),
        (("jobs", "restart", "7"), "there is no job 7"),
        (("jobs", "list", "--state", "odd"), "'odd' is none of waiting"),
    ],
)
def test_what_is_wrong_is_told(run: Any, words: tuple[str, ...], why: str) -> None:
    run("peer", "add", "PACS@127.0.0.1:104")
    assert why in run(*words, status=2).output


def test_a_job_is_listed_shown_and_cancelled(run: Any, queue: Queue) -> None:
    number = queued(queue)
    assert f"{number}  " in run("jobs", "list").output
    (listed,) = json.loads(run("jobs", "list", "--json", "--kind", KIND).output)
    assert (listed["state"], listed["attempts"]) == ("waiting", 0)
    assert run("jobs", "list", "--state", "done").output == ""
    assert "study 1.2: 2 instances" in run("jobs", "show", str(number)).output
    assert "send  cancelled" in run("jobs", "cancel", str(number)).output
    assert "it had ended already" in run("jobs", "cancel", str(number), status=1).output


@pytest.mark.req("X-MOD-13")
def test_a_failed_job_is_restarted_where_it_stood(run: Any, queue: Queue) -> None:
    number = queued(queue)
    job = queue.lease([KIND], "me", 60)
    assert job is not None
    assert "it runs" in run("jobs", "restart", str(number), status=1).output
    queue.progress(job, "1/2 tries=3 skipped=0")
    queue.fail(job, "status C000")
    assert "send  failed  1/2 tries=3 skipped=0: status C000" in run("jobs", "show", str(number)).output
    assert "skipped 1.2.3\n" in run("jobs", "show", str(number)).output
    assert "send  waiting  1/2 skipped=0\n" in run("jobs", "restart", str(number)).output
    again = queue.state(number)
    assert again is not None
    assert (again.state, again.attempts, again.error) == ("waiting", 0, "")


def test_other_jobs_are_restarted_too(run: Any, queue: Queue) -> None:
    number = queue.enqueue("removal", unique_key="removal")
    assert queue.cancel(number)
    run("jobs", "restart", str(number))
    assert queue.cancel(number)
    queue.enqueue("removal", unique_key="removal")
    assert "another one" in run("jobs", "restart", str(number), status=1).output


@pytest.mark.parametrize(
    "words",
    ["jobs list", "jobs show 1", "jobs cancel 1", "jobs restart 1", "push PACS --study 1.2", "commit list",
     "commit show 1", "commit again 1", "commit request PACS --study 1.2", "echo PACS", "send PACS .", "find PACS",
     "move PACS --to A", "get PACS"],
)  # fmt: skip
def test_the_index_may_be_another(run: Any, tmp_path: Path, words: str) -> None:
    """`--database` decides which index a command asks: one that is not there is told as such, and not made."""
    done = run(*words.split(), "--database", f"sqlite:///{tmp_path}/other.db", status=2)
    assert "there is no" in done.output
