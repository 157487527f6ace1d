"""The query and retrieve SCU: every row of keys, identifiers and statuses that the catalogue has for one, against a
scripted SCP."""

import csv
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from isocenter import dimse
from isocenter.cli.app import app
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, decode, encode, items_of, string_of, text
from isocenter.dicom.dictionary import keyword_of
from isocenter.dimse import BufferSink, commands
from material import REQUIREMENTS

SERVICES = {"C-FIND": "find", "C-MOVE": "move"}
LEVELS = ("patient", "study", "series", "image")


def table(name: str) -> list[dict[str, str]]:
    """The rows of a CSV of the catalogue."""
    return list(csv.DictReader((REQUIREMENTS / f"{name}.csv").read_text("utf-8").splitlines()))


class Scp:
    """Answers each request by `answers`: (status, identifier or None) pairs, made of its identifier."""

    def __init__(self, answers: Callable[[DataSet], list[tuple[int, DataSet | None]]]) -> None:
        self.answers, self.asked, self.requests = answers, list[DataSet](), list[dimse.AssociateRequest]()
        self.commands: list[dimse.Command] = []
        self.ends: list[str] = []
        self.port = 0

    def negotiate(self, request: dimse.AssociateRequest, *rest: Any) -> Any:
        self.requests.append(request)
        offers = lambda _abstract: dimse.Offer((uids.EXPLICIT_LE, uids.IMPLICIT_LE))  # noqa: E731
        return dimse.TitlePolicy(offers, frozenset({"NODE"})).negotiate(request, rest[0], rest[1])

    def sink(self, association: Any, context: Any, command: dimse.Command) -> BufferSink:
        return BufferSink()

    def perform(self, association: Any, context: Any, command: dimse.Command, sink: Any) -> None:
        identifier = decode(sink.value(), context.transfer_syntax)
        self.asked.append(identifier)
        self.commands.append(command)
        for status, answer in self.answers(identifier):
            data = encode(answer, context.transfer_syntax) if answer is not None else None
            comment = "" if status in (0, 0xFF00, 0xFF01) else "as the row says"
            association.respond(context.id, commands.response(command, status, comment), data)


@contextmanager
def scp(answers: Callable[[DataSet], list[tuple[int, DataSet | None]]]) -> Iterator[Scp]:
    """A scripted SCP on a port of its own."""
    made = Scp(answers)
    acceptor = dimse.Acceptor(made, lambda _context, _command: made)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made.port = listener.getsockname()[1]
        thread = threading.Thread(target=acceptor.serve, args=(listener,))
        thread.start()
        try:
            yield made
        finally:
            acceptor.stop()
            thread.join(30)


def run(node: Scp, command: str, *arguments: str) -> Result:
    """`isocenter find` or `move` at the SCP."""
    to = ["--to", "ELSEWHERE"] if command == "move" else []
    return CliRunner().invoke(app, [command, f"NODE@127.0.0.1:{node.port}", *to, "--json", *arguments])


def statuses() -> list[tuple[str, str, int]]:
    """(model, command, status) of the rows of query and retrieve SCUs."""
    rows = [row for row in table("intellibridge_status_codes") if row["ae"] == "QR_SCU"]
    rows += [row for row in table("ps32_status_codes") if row["ae"] in ("FIND-SCU", "MOVE-SCU") and row["annex"] == "D"]
    rows += [row for row in table("sendtopacs_status_codes") if row["ae"] == "QR_CLIENT"]
    found = set()
    for row in rows:
        service = next((name for key, name in SERVICES.items() if key in row["service"]), "")
        code = row["code_hex"].replace("Cxxx", "C123")
        if service and re.fullmatch("[0-9A-F]{4}", code):
            found.add(("patient" if "Patient" in row["service"] else "study", service, int(code, 16)))
    return sorted(found)


def test_the_rows_were_read() -> None:
    assert len(statuses()) > 30


@pytest.mark.req(*(f"P-FIND-T14-0{n}" for n in range(1, 9)), *(f"P-FIND-T17-0{n}" for n in range(1, 8)))
@pytest.mark.req(*(f"P-MOVE-T21-0{n}" for n in range(1, 10)))
@pytest.mark.req("P-FIND-01", "P-FIND-02", "P-FIND-07", "P-FIND-08", "P-MOVE-01", "P-MOVE-02", "P-MOVE-08")
@pytest.mark.req("P-MOVE-03", "P-MOVE-06", "X-VIEW-28", "M-QRSCU-01", "M-DWFIND-01", "M-DWMOVE-01")
@pytest.mark.parametrize(("model", "command", "status"), statuses())
def test_status_row(model: str, command: str, status: int) -> None:
    match: DataSet = {0x0020000D: text("UI", "1.2.3")}
    pending = status in (0xFF00, 0xFF01)

    def answers(_: DataSet) -> list[tuple[int, DataSet | None]]:
        final: tuple[int, DataSet | None] = (0 if pending else status, None)
        return [(status if pending else 0xFF00, match if command == "find" else None), final]

    with scp(answers) as node:
        done = run(node, command, "--model", model, "-k", "StudyInstanceUID=1.2.3", "-k", "PatientID=P")
    good = pending or status == 0 or (command == "find" and status == 0xFE00)
    assert done.exit_code == (0 if good else 1)
    if not good:
        assert f"status {status:04X} as the row says" in done.output
    if command == "find":
        assert '"1.2.3"' in done.output  # what came before the end is told all the same
    (request,) = node.requests
    (context,) = request.contexts
    assert context.syntaxes == (uids.EXPLICIT_LE, uids.IMPLICIT_LE)
    assert context.abstract == {
        ("patient", "find"): uids.PATIENT_ROOT_FIND, ("study", "find"): uids.STUDY_ROOT_FIND,
        ("patient", "move"): uids.PATIENT_ROOT_MOVE, ("study", "move"): uids.STUDY_ROOT_MOVE,
    }[model, command]  # fmt: skip


def keys() -> list[tuple[str, str, str, str]]:
    """(model, command, level, keyword) of every key that a query and retrieve SCU sends."""
    rows = [row for row in table("intellibridge_query_keys") if row["ae"] == "QR_SCU"]
    rows += [row for row in table("marie_query_keys") if row["ae"] == "DW" and "C-FIND" in row["service"]]
    rows += [row for row in table("ps32_query_keys") if row["annex"] == "D"]
    found = set()
    for row in rows:
        command = "move" if "C-MOVE" in row["service"] or "MOVE" in row["ae"] else "find"
        level = row["level"].split(" ")[0].lower()
        if "MWL" in row["service"] or "Worklist" in row["service"] or ">" in row["tag"]:
            continue
        model = "patient" if "Patient" in row["service"] else "study"
        level = level if level in LEVELS[(model == "study") :] else "study"
        found.add((model, command, level, keyword_of(int(row["tag"].strip("()").replace(",", ""), 16))))
    return sorted(found)


@pytest.mark.req(*(f"P-FIND-T13-{n:02d}" for n in range(1, 18)), "P-FIND-04", "P-FIND-06", "P-MOVE-07")
@pytest.mark.req(*(f"P-MOVE-T20-0{n}" for n in range(1, 6)), *(f"P-MOVE-T23-0{n}" for n in range(1, 5)))
@pytest.mark.req("M-DWFIND-02", "M-DWFIND-03", "M-DWFIND-04", "M-DWFIND-05", "M-DWFIND-06", "M-DWMOVE-02", "X-VIEW-24")
@pytest.mark.parametrize(("model", "command"), sorted({(row[0], row[1]) for row in keys()}))
def test_key_rows(model: str, command: str) -> None:
    with scp(lambda _: [(0, None)]) as node:
        for level in LEVELS[(model == "study") :]:
            names = [row[3] for row in keys() if row[:3] == (model, command, level) and "Level" not in row[3]]
            asked = [name for name in names if name and name != "SpecificCharacterSet"]
            if asked:
                arguments = [part for name in asked for part in ("-k", f"{name}=1" if command == "move" else name)]
                assert run(node, command, "--model", model, "--level", level, *arguments).exit_code == 0
                identifier = node.asked[-1]
                assert {keyword_of(tag) for tag in identifier} >= set(asked)
                assert string_of(identifier, 0x00080052) == level.upper()
                if command == "find":
                    assert string_of(identifier, 0x00080005) == "ISO_IR 192"
    assert node.asked


@pytest.mark.req("P-FIND-05")
def test_a_key_that_is_missing_in_an_answer_is_no_error() -> None:
    with scp(lambda _: [(0xFF00, {0x00100010: text("PN", "Doe")}), (0, None)]) as node:
        done = run(node, "find", "-k", "PatientName", "-k", "StudyInstanceUID")
    assert done.exit_code == 0
    assert json.loads(done.output)[0]["00100010"]["Value"][0]["Alphabetic"] == "Doe"


@pytest.mark.req("P-FIND-09", "P-MOVE-09", "P-MOVE-10", "P-MOVE-12")
@pytest.mark.parametrize("command", ["find", "move"])
def test_an_abort_is_told(command: str) -> None:
    class Gone(Scp):
        def perform(self, association: Any, context: Any, command: dimse.Command, sink: Any) -> None:
            association.abort()

    made = Gone(lambda _: [])
    acceptor = dimse.Acceptor(made, lambda _context, _command: made)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made.port = listener.getsockname()[1]
        thread = threading.Thread(target=acceptor.serve, args=(listener,))
        thread.start()
        done = run(made, command, "-k", "StudyInstanceUID=1.2.3")
        acceptor.stop()
        thread.join(30)
    assert done.exit_code == 3
    assert "aborted" in done.output


@pytest.mark.req("P-FIND-09", "P-MOVE-11")
def test_a_node_that_is_not_there_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    done = CliRunner().invoke(app, ["find", f"NODE@127.0.0.1:{port}", "-k", "PatientID=1"])
    assert done.exit_code == 3


def node_of(identifier: DataSet) -> list[tuple[int, DataSet | None]]:
    """Two studies; the second can't be looked into, the first has two series, of one image each."""
    level, study = string_of(identifier, 0x00080052), string_of(identifier, 0x0020000D)
    series = string_of(identifier, 0x0020000E)
    head = {0x00080052: text("CS", level)}
    if level == "STUDY":
        return [*((0xFF00, {**head, 0x0020000D: text("UI", f"1.{n}")}) for n in (2, 1)), (0, None)]
    if study == "1.2":
        return [(0xC123, None)]
    if level == "SERIES":
        found = ({**head, 0x0020000D: text("UI", study), 0x0020000E: text("UI", f"{study}.{n}")} for n in (1, 2))
        return [*((0xFF01, each) for each in found), (0, None)]
    return [(0xFF00, {**head, 0x00080018: text("UI", f"{series}.9")}), (0, None)]


@pytest.mark.req("X-VIEW-20", "X-VIEW-23", "X-VIEW-25", "X-VIEW-28")
def test_the_whole_tree_over_one_association() -> None:
    with scp(node_of) as node:
        done = run(node, "find", "--tree", "-k", "PatientID=P")
    assert done.exit_code == 1
    answers = json.loads(done.output[: done.output.rindex("]") + 1])
    shown = [next(a[tag]["Value"][0] for tag in ("00080018", "0020000E", "0020000D") if tag in a) for a in answers]
    assert shown == ["1.2", "1.1", "1.1.1", "1.1.1.9", "1.1.2", "1.1.2.9"]
    (request,) = node.requests
    assert not request.user.extended
    # hierarchical: the unique keys above, and only those
    last = node.asked[-1]
    assert (string_of(last, 0x0020000D), string_of(last, 0x0020000E)) == ("1.1", "1.1.2")
    assert 0x00100020 not in last
    assert not items_of(last, 0x00400275)
