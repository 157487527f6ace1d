"""What the commands propose and do as SCU, against the statement's rows of the AE `Command Line`."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner

from archives import CT, MR, Destination, Object, made, sop_uid
from isocenter import dimse
from isocenter.cli.app import app
from isocenter.config import Settings
from isocenter.conformance.building import statement
from isocenter.conformance.facts import COMMAND_TITLE
from isocenter.conformance.model import Statement
from isocenter.declarations.query_keys import Level
from isocenter.dicom import part10, uids
from isocenter.dicom.dataset import decode, string_of
from isocenter.dimse import commands
from isocenter.dimse.negotiation import query_extras


@cache
def own() -> Statement:
    return statement(Settings(), date="2026-01-31")


class Peer(Destination):
    """Takes every context in every role and answers whatever is asked with one status."""

    def __init__(self, status: int = 0) -> None:
        super().__init__(title="PEER")
        self.status, self.asked, self.data = status, list[dimse.Command](), list[bytes]()
        self.failing = frozenset[str]()
        """SOP Instance UIDs that alone are answered with the status; none: everything is."""
        self.refused = frozenset[str]()
        """SOP classes that are not accepted."""

    def _offer(self, abstract: str) -> dimse.Offer | None:
        offer = dimse.Offer((), scu=True, scp=True, extended=lambda information: information)
        return None if abstract in self.refused else offer

    def perform(self, association, context, command, sink) -> None:  # type: ignore[no-untyped-def]
        self.asked.append(command)
        self.data.append(sink.value() if sink else b"")
        named = command.get(commands.AFFECTED_SOP_INSTANCE)
        status = self.status if not self.failing or named in self.failing else 0
        association.respond(context.id, dimse.response(command, status, "as told"))


@pytest.fixture
def peer() -> Iterator[Callable[[int], Peer]]:
    """Makes peers that listen."""

    with ExitStack() as stack:

        def one(status: int = 0) -> Peer:
            made_here = Peer(status)
            acceptor = dimse.Acceptor(made_here, lambda _context, _command: made_here)
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            made_here.port = listener.getsockname()[1]
            thread = threading.Thread(target=acceptor.serve, args=(listener,))
            thread.start()
            stack.callback(thread.join, 30)
            stack.callback(acceptor.stop)
            return made_here

        yield one


def run(peer: Peer, command: str, *words: str) -> int:
    """Run a command against a peer; its exit status."""
    return CliRunner().invoke(app, [command, f"PEER@127.0.0.1:{peer.port}", *words]).exit_code


def rows(activity: str) -> dict[str, tuple[frozenset[str], str, str]]:
    """The rows of an activity: transfer syntaxes, role and extended negotiation by SOP class."""
    lists = {
        table.about: [row["Transfer Syntax UID"] for row in table.records()]
        for table in own().tables("syntax-list", ae=COMMAND_TITLE)
    }
    (table,) = own().tables("proposed-contexts", ae=COMMAND_TITLE, about=activity)
    return {
        row["Abstract Syntax UID"]: (
            frozenset(lists.get(row["Transfer Syntax UID List"]) or row["Transfer Syntax UID List"].split("\n")),
            row["Role"],
            row["Extended Negotiation"],
        )
        for row in table.records()
    }


def reactions(activity: str, *, final: bool = False) -> list[dict[str, str]]:
    """The rows of what is made of statuses."""
    (table,) = own().tables("status-behaviour", ae=COMMAND_TITLE, about=activity)
    return [row for row in table.records() if not final or row["Service Status"] != "Pending"]


def check(peer: Peer, activity: str) -> set[str]:
    """Everything that a peer was asked for has its row; the SOP classes."""
    told = rows(activity)
    seen = set()
    for request in peer.requests:
        assert request.calling == COMMAND_TITLE
        assert request.application_context == uids.APPLICATION_CONTEXT
        assert request.user.implementation_class == uids.IMPLEMENTATION_CLASS_UID
        for context in request.contexts:
            syntaxes, role, extended = told[context.abstract]
            assert set(context.syntaxes) <= syntaxes
            proposed = request.user.roles.get(context.abstract)
            assert ("SCP" if proposed and proposed.scp else "SCU") == role
            agreed = request.user.extended.get(context.abstract, b"")
            assert not agreed or ("relational" in extended and query_extras(agreed).relational)
            seen.add(context.abstract)
    return seen


MODELS = {"patient": "PATIENT_ROOT", "study": "STUDY_ROOT", "patient-study-only": "PATIENT_STUDY_ONLY"}


@pytest.mark.req("C-GEN-07", "M-ECHO-02", "I-ECHO-02", "P-ECHO-02", "P-ECHO-03", "P-ECHO-T35-01", "P-ECHO-T57-01")
def test_echo_opens_asks_and_releases(peer: Callable[..., Peer]) -> None:
    one = peer()
    assert run(one, "echo") == 0
    assert check(one, "Verify a Peer") == {uids.VERIFICATION} == set(rows("Verify a Peer"))
    assert [commands.number(c, commands.COMMAND_FIELD) for c in one.asked] == [commands.C_ECHO_RQ]


@pytest.mark.req("P-ECHO-04", "P-ECHO-T35-02", "P-ECHO-T57-02", "C-GEN-08")
@pytest.mark.parametrize("status", [0xA900, 0xC000, 0x0110])
def test_any_other_status_fails_the_verification(peer: Callable[..., Peer], status: int) -> None:
    assert run(peer(status), "echo") == 1


@pytest.mark.req("C-GEN-07")
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("command", "activity"), [("find", "Query a Peer"), ("move", "Have a Peer Send")])
def test_queries_and_moves_propose_their_model(
    peer: Callable[..., Peer], model: str, command: str, activity: str
) -> None:
    one = peer()
    words = ["--to", "DEST"] if command == "move" else []
    assert run(one, command, *words, "--model", model, "-k", "PatientID=1", "--level", str(Level.STUDY).lower()) == 0
    assert check(one, activity) == {getattr(uids, f"{MODELS[model]}_{command.upper()}")}


@pytest.mark.req("C-GEN-07")
def test_get_proposes_to_be_scp_of_storage(peer: Callable[..., Peer], tmp_path: Path) -> None:
    one = peer()
    assert run(one, "get", "--out", str(tmp_path / "out"), "-k", "StudyInstanceUID=1.2") == 0
    assert {uids.STUDY_ROOT_GET, uids.STUDY_ROOT_FIND, CT} <= check(one, "Retrieve from a Peer")


@pytest.mark.req("C-GEN-07", "C-GEN-08")
@pytest.mark.parametrize("row", reactions("Send Files"), ids=lambda row: row["Error Code"][:9])
def test_send_reacts_to_every_status_as_its_row_says(
    peer: Callable[..., Peer], tmp_path: Path, row: dict[str, str]
) -> None:
    one = made(1)
    (tmp_path / "1.dcm").write_bytes(part10.outgoing_header(CT, one.sop_uid, one.syntax, "TEST") + one.data)
    code = {"any other": "0131"}.get(row["Error Code"], row["Error Code"][:4])
    answering = peer(int(code, 16))
    stored = "counts as stored" in row["Behavior"]
    assert run(answering, "send", str(tmp_path), "--retries", "0") == (0 if stored else 1)
    assert check(answering, "Send Files") == {CT}


@pytest.mark.req("C-GEN-08")
@pytest.mark.parametrize("row", reactions("Query a Peer", final=True), ids=lambda row: row["Error Code"][:9])
def test_find_reacts_to_every_final_status_as_its_row_says(peer: Callable[..., Peer], row: dict[str, str]) -> None:
    code = {"any other": "0131"}.get(row["Error Code"], row["Error Code"][:4])
    fails = "as failed" in row["Behavior"]
    assert run(peer(int(code, 16)), "find", "-k", "PatientID=1") == (1 if fails else 0)


def written(folder: Path, *objects: Object) -> str:
    """A folder with a file for each object."""
    for each in objects:
        header = part10.outgoing_header(each.sop_class, each.sop_uid, each.syntax, "TEST")
        (folder / f"{each.sop_uid}.dcm").write_bytes(header + each.data)
    return str(folder)


@pytest.mark.req("X-MOD-12", "M-DWSEND-01", "M-DWSEND-02", "M-DWSEND-03")
def test_a_job_is_one_association_with_a_request_for_each_instance(peer: Callable[..., Peer], tmp_path: Path) -> None:
    """What the peer refuses or warns of does not keep the others from being sent."""
    one = peer(0xC000)
    one.failing = frozenset({sop_uid(2)})
    folder = written(tmp_path, made(1), made(2), made(3))
    assert run(one, "send", folder, "--retries", "0") == 1
    assert len(one.requests) == 1
    assert sorted(str(c[commands.AFFECTED_SOP_INSTANCE]) for c in one.asked) == [sop_uid(n) for n in (1, 2, 3)]
    assert check(one, "Send Files") == {CT}


@pytest.mark.req("X-MOD-16")
def test_instances_of_a_refused_class_are_left_out_and_the_others_sent(
    peer: Callable[..., Peer], tmp_path: Path
) -> None:
    one = peer()
    one.refused = frozenset({MR})
    assert run(one, "send", written(tmp_path, made(1), made(2, sop_class=MR)), "--retries", "0") == 1
    assert [c[commands.AFFECTED_SOP_INSTANCE] for c in one.asked] == [sop_uid(1)]


@pytest.mark.req("M-CHAR-03")
def test_a_query_beyond_ascii_is_in_utf_8(peer: Callable[..., Peer]) -> None:
    one = peer()
    assert run(one, "find", "-k", "PatientName=Müller*") == 0
    (asked,) = (decode(data, uids.EXPLICIT_LE) for data in one.data[:1])
    assert string_of(asked, 0x00080005) == "ISO_IR 192"
    assert bytes(asked[0x00100010].value).strip() == "Müller*".encode()  # type: ignore[arg-type]
