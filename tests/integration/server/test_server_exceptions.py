"""The exceptions area from the command line: beside a running server and without one, on both databases."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pydicom
import pytest
from sqlalchemy import select

from archives import CT, MR, Object, answered, made, sop_uid, study_uid
from isocenter import database, dimse
from isocenter.dicom import uids
from isocenter.dimse import ProposedContext
from isocenter.index import tables
from isocenter.store.filesystem import FilesystemStore

Cli = Callable[..., Any]
Start = Callable[..., Any]
STRICT = {"ISOCENTER_AE": json.dumps([{"title": "ISOCENTER", "validation": "minimal", "validation_failure": "refuse"}])}


def send(server: Any, *objects: Object) -> list[int]:
    """C-STORE each; the statuses."""
    contexts = [ProposedContext(sop_class, (uids.EXPLICIT_LE,)) for sop_class in (CT, MR)]
    with dimse.connect(
        ("127.0.0.1", server.ports["dicom_port"]), calling="CT1", called="ISOCENTER", contexts=contexts,
        settings=dimse.Settings(artim=60, dimse=60, response=60),
    ) as association:  # fmt: skip
        return [answered(association, each).status for each in objects]


def failing(cli: Cli, status: int, *arguments: str, **environment: str) -> Any:
    """A command that ends with another exit status than 0."""
    done = cli(*arguments, check=False, **environment)
    assert done.returncode == status, done.stderr
    return done


def rows(data: Path, url: tuple[str, ...], table: str) -> list[Any]:
    """All rows of a table."""
    opened = database.open(url[1] if url else f"sqlite:///{data}/index.db", pool_size=1)
    try:
        with opened.reading() as connection:
            return list(connection.execute(select(getattr(tables, table))))
    finally:
        opened.close()


NAMELESS = made(1, without=[0x00100010])
MISNAMED = made(2)._replace(sop_class=MR)
NOISE = made(3)._replace(data=b"\xff\x17not a data set" * 300)


@pytest.mark.req("I-STORE-02", "I-STORE-20")
def test_retry_and_discard_beside_a_running_server(
    start: Start, cli: Cli, url: tuple[str, ...], tmp_path: Path
) -> None:
    server = start(*url, **STRICT).ready()
    place = ("--data", str(server.data), "--json")
    with_url = (*place, *url)
    assert send(server, NAMELESS, MISNAMED, NOISE, made(4)) == [0xA900, 0xA900, 0xC000, 0]

    listed = json.loads(cli("exceptions", "list", *place).stdout)
    assert [entry["sop_uid"] for entry in listed] == [sop_uid(1), sop_uid(2), sop_uid(3)]
    nameless, misnamed, noise = (entry["key"] for entry in listed)
    assert listed[0]["comment"] == "(0010,0010) PatientName is missing"
    assert {entry["calling"] for entry in listed} == {"CT1"}
    some = json.loads(cli("exceptions", "list", "--reason", "cannot-understand", *place).stdout)
    assert [entry["key"] for entry in some] == [noise]
    shown = json.loads(cli("exceptions", "show", misnamed[:12], *place).stdout)
    assert (shown["sop_class"], shown["data_set"]["sop_class"]) == (MR, CT)

    # by the same rules they are refused again, and lie there once, counted
    again = failing(cli, 1, "exceptions", "retry", nameless, *with_url, **STRICT)
    (told,) = json.loads(again.stdout)["entries"]
    assert (told["key"], told["failed"]) == (nameless, "sop-class-mismatch")
    assert "now" not in told
    listed = json.loads(cli("exceptions", "list", *place).stdout)
    assert [entry["times"] for entry in listed] == [2, 1, 1]
    assert sorted(entry["sop_uid"] for entry in listed) == [sop_uid(1), sop_uid(2), sop_uid(3)]
    assert len(rows(server.data, url, "exception")) == 3

    # by more lenient ones they are stored, as if they came now
    (nameless,) = (entry["key"] for entry in listed if entry["sop_uid"] == sop_uid(1))
    done = json.loads(cli("exceptions", "retry", nameless, *with_url).stdout)
    assert done == {"done": 1, "failed": 0, "entries": [{"key": nameless, "stored": "stored", "sop_uid": sop_uid(1)}]}
    done = json.loads(cli("exceptions", "retry", misnamed, "--by-data-set", *with_url).stdout)
    assert done["entries"][0]["stored"] == "stored"
    instances = {row.sop_uid: row for row in rows(server.data, url, "instance")}
    assert set(instances) == {sop_uid(1), sop_uid(2), sop_uid(4)}
    assert (instances[sop_uid(1)].source_aet, instances[sop_uid(1)].digest) == ("CT1", NAMELESS.digest)
    # the server itself serves them at once
    with urlopen(f"{server.url}/dicom-web/studies/{study_uid()}/instances") as answer:
        assert len(json.loads(answer.read())) == 3

    # nothing goes without being named
    assert failing(cli, 2, "exceptions", "discard", *with_url).stdout == ""
    assert failing(cli, 1, "exceptions", "discard", "0" * 32, *with_url).stdout == ""
    done = json.loads(cli("exceptions", "discard", "--all", *with_url).stdout)
    assert done["entries"] == [{"key": noise, "discarded": True}]
    assert json.loads(cli("exceptions", "list", *place).stdout) == []
    assert not rows(server.data, url, "exception")
    events = [row.event for row in rows(server.data, url, "audit")]
    assert events.count("exception-retried") == 2
    assert events.count("exception-discarded") == 1
    records = list(FilesystemStore(server.data / "store").journal())
    assert [(r["store_key"], r["sop_uid"]) for r in records if r["kind"] == "exception-discard"] == [
        (noise, sop_uid(3))
    ]


@pytest.mark.req("I-STORE-02")
def test_what_is_sent_again_is_kept_once(start: Start, cli: Cli, url: tuple[str, ...]) -> None:
    server = start(*url, **STRICT).ready()
    place = ("--data", str(server.data))
    for _ in range(4):
        assert send(server, NAMELESS, NOISE) == [0xA900, 0xC000]
    listed = json.loads(cli("exceptions", "list", *place, "--json").stdout)
    assert [(entry["sop_uid"], entry["times"]) for entry in listed] == [(sop_uid(1), 4), (sop_uid(3), 4)]
    assert all(entry["last_at"] >= entry["received"] for entry in listed)
    assert sorted(row.store_key for row in rows(server.data, url, "exception")) == sorted(e["key"] for e in listed)
    assert "4 times, last 20" in cli("exceptions", "list", *place).stdout
    assert "times: 4" in cli("exceptions", "show", listed[0]["key"], *place).stdout
    # a rebuilt index lists what lies there, with its count
    server.stop()
    cli("index", "rebuild", *place, *url)
    assert len(rows(server.data, url, "exception")) == 2
    assert json.loads(cli("exceptions", "list", *place, "--json").stdout) == listed
    # what is discarded is counted anew
    cli("exceptions", "discard", "--all", *place, *url)
    assert not rows(server.data, url, "exception")
    assert send(start(*url, **STRICT).ready(), NAMELESS) == [0xA900]
    (entry,) = json.loads(cli("exceptions", "list", *place, "--json").stdout)
    assert (entry["key"], entry["times"]) == (listed[0]["key"], 1)
    assert [row.store_key for row in rows(server.data, url, "exception")] == [entry["key"]]


@pytest.mark.req("I-STORE-02")
def test_what_is_refused_for_another_reason_lies_there_once(start: Start, cli: Cli, url: tuple[str, ...]) -> None:
    server = start(*url, **STRICT).ready()
    place = ("--data", str(server.data))
    assert send(server, NAMELESS._replace(sop_uid="1.2.3")) == [0xC001]
    (before,) = json.loads(cli("exceptions", "list", *place, "--json").stdout)
    retry = ("exceptions", "retry", before["key"], "--by-data-set", "--json", *place, *url)
    (told,) = json.loads(failing(cli, 1, *retry, **STRICT).stdout)["entries"]
    (after,) = json.loads(cli("exceptions", "list", *place, "--json").stdout)
    assert (after["key"], after["reason"], after["sop_uid"]) == (told["now"], "sop-class-mismatch", sop_uid(1))
    assert after["key"] != before["key"]
    assert [row.store_key for row in rows(server.data, url, "exception")] == [after["key"]]


@pytest.mark.req("I-STORE-02")
def test_a_key_that_begins_several_is_wrong_usage(tmp_path: Path, cli: Cli) -> None:
    data = tmp_path / "data"
    store = FilesystemStore(data / "store")
    keys: list[str] = []
    while len({key[0] for key in keys}) == len(keys):
        spool = store.reserve()
        spool.begin(200)
        keys.append(store.set_aside(spool, "why"))
    store.close()
    done = failing(cli, 2, "exceptions", "show", keys[-1][0], "--data", str(data))
    assert "several entries begin" in done.stderr


@pytest.mark.req("I-STORE-02")
def test_without_a_server_and_after_a_rebuild(start: Start, cli: Cli, tmp_path: Path) -> None:
    url: tuple[str, ...] = ()
    server = start(*url, **STRICT).ready()
    place = ("--data", str(server.data), "--json")
    assert send(server, NAMELESS, NOISE) == [0xA900, 0xC000]
    server.stop()
    out = tmp_path / "out"
    done = json.loads(cli("exceptions", "export", "--all", "--out", str(out), *place).stdout)
    assert done["done"] == 2
    first, second = (Path(entry["file"]) for entry in done["entries"])
    assert pydicom.dcmread(first).SOPInstanceUID == sop_uid(1)
    assert second.read_bytes().endswith(NOISE.data)
    assert failing(cli, 1, "exceptions", "export", "--all", "--out", str(out), *place).stdout

    keys = [entry["key"] for entry in json.loads(cli("exceptions", "list", *place).stdout)]
    cli("exceptions", "discard", keys[1], *place, *url)
    cli("index", "rebuild", *place, *url)
    assert [row.store_key for row in rows(server.data, url, "exception")] == [keys[0]]
    cli("exceptions", "retry", keys[0], *place, *url)
    assert [row.sop_uid for row in rows(server.data, url, "instance")] == [sop_uid(1)]
    cli("index", "rebuild", *place, *url)
    assert [row.sop_uid for row in rows(server.data, url, "instance")] == [sop_uid(1)]
    assert not rows(server.data, url, "exception")


def test_where_there_is_no_archive(cli: Cli, tmp_path: Path) -> None:
    for command in ("list", "show x", "retry --all", "discard --all", "export --all"):
        assert failing(cli, 2, "exceptions", *command.split(), "--data", str(tmp_path / "none")).stdout == ""
