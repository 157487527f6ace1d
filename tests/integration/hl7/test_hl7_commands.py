"""`isocenter hl7 send` and `isocenter hl7 listen`, talking to each other and to a library of others."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from isocenter.hl7.message import parsed
from servers import environment, isocenter

ONE = "MSH|^~\\&|RIS|HOSP|I|R|20240131||ADT^A08|{0}|P|2.5||||||8859/1\rPID|||{0}||MÜLLER\r"
QUIET = "MSH|^~\\&|RIS|HOSP|I|R|20240131||ADT^A08|{0}|P|2.3\rPID|||{0}||MÜLLER\r"


def run(*words: object, status: int = 0) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        isocenter("hl7", *words), capture_output=True, text=True, timeout=120, env=environment(), check=False
    )
    assert done.returncode == status, done.stderr
    return done


@contextmanager
def receiver(*words: object, count: int) -> Iterator[tuple[str, list[dict[str, object]]]]:
    """`hl7 listen`; its address, and what it has printed when the block ends."""
    printed: list[dict[str, object]] = []
    with subprocess.Popen(
        isocenter("hl7", "listen", "--port", 0, "--count", count, "--json", *words),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
    ) as process:  # fmt: skip
        try:
            assert process.stderr is not None
            found = re.search(r"port (\d+)", process.stderr.readline())
            assert found
            yield f"127.0.0.1:{found[1]}", printed
            out, _ = process.communicate(timeout=120)
            printed += [json.loads(line) for line in out.splitlines()]
        finally:
            process.kill()


def test_messages_of_files_arrive_byte_for_byte(tmp_path: Path) -> None:
    """Several in one file, other line ends, MLLP around them, in their order; without a named character set too."""
    messages = [ONE.format(1), ONE.format(2), QUIET.format(3)]
    (tmp_path / "a.hl7").write_bytes("".join(messages[:2]).replace("\r", "\r\n").encode("latin-1"))
    (tmp_path / "b.hl7").write_bytes(b"\x0b" + messages[2].encode("latin-1") + b"\x1c\r")
    with receiver("--out", tmp_path / "out", "--charset", "8859/1", count=3) as (address, printed):
        said = json.loads(run("send", address, tmp_path, "--charset", "8859/1", "--json").stdout)
    assert [each["code"] for each in said["messages"]] == ["AA"] * 3
    assert [each["control_id"] for each in printed] == ["1", "2", "3"]
    assert not any("LLER" in str(each) for each in printed)
    kept = [path.read_bytes() for path in sorted((tmp_path / "out").iterdir())]
    assert [data.rstrip() for data in kept] == [message.rstrip().encode("latin-1") for message in messages]


def test_new_control_ids(tmp_path: Path) -> None:
    (tmp_path / "a.hl7").write_bytes(ONE.format(1).encode("latin-1") * 2)
    with receiver("--out", tmp_path / "out", count=2) as (address, printed):
        run("send", address, tmp_path / "a.hl7", "--renumber")
    assert len({each["control_id"] for each in printed} | {"1"}) == 3
    kept = [parsed(path.read_bytes()) for path in (tmp_path / "out").iterdir()]
    assert [message.value("PID-5") for message in kept] == ["MÜLLER"] * 2


@pytest.mark.parametrize("code", ["AE", "AR"])
def test_what_is_refused_is_told(tmp_path: Path, code: str) -> None:
    (tmp_path / "a.hl7").write_text(QUIET.format(7).replace("Ü", "U"))
    with receiver("--answer", code, count=1) as (address, _):
        done = run("send", address, tmp_path / "a.hl7", status=1)
    assert f"{code} for 7: this receiver was asked to say so" in done.stdout
    assert "0 of 1 messages accepted, 1 refused" in done.stdout


def test_what_is_no_message_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "a.hl7").write_text("PID|1\r")
    assert "no message in it" in run("send", "127.0.0.1:9", tmp_path / "a.hl7", status=2).stderr
    (tmp_path / "a.hl7").write_text("MSH|^^^|A\r")
    assert "delimiters are wrong" in run("send", "127.0.0.1:9", tmp_path / "a.hl7", status=2).stderr
    assert "is no HOST:PORT" in run("send", "a:b:c", tmp_path / "a.hl7", status=2).stderr


def test_nobody_there(tmp_path: Path) -> None:
    (tmp_path / "a.hl7").write_text(QUIET.format(7).replace("Ü", "U"))
    with receiver(count=1) as (address, _):
        run("send", address, tmp_path / "a.hl7")
    done = run("send", address, tmp_path / "a.hl7", "--retries", 1, status=3)
    assert "1 messages not sent" in done.stderr


def test_a_library_of_others_is_understood(tmp_path: Path) -> None:
    client = pytest.importorskip("hl7.client")
    with receiver("--out", tmp_path, count=2) as (address, printed):
        host, _, port = address.partition(":")
        with client.MLLPClient(host, int(port), encoding="latin-1") as sender:
            answers = [sender.send_message(ONE.format(n)) for n in (1, 2)]
    assert all(b"MSA|AA|" in answer for answer in answers)
    assert [each["message"] for each in printed] == ["ADT^A08"] * 2
