"""A user's way: find at one node, choose, have it sent to an archive of one's own; and nodes that keep one waiting."""

import json
import socket
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from archives import keys, made, running, sop_uid, study_uid
from isocenter import dimse
from isocenter.cli.app import app
from isocenter.config import HostedAE, Peer
from isocenter.database import migrate
from isocenter.dicom.dataset import string_of


@pytest.mark.req("P-FIND-03", "P-MOVE-03", "P-MOVE-04", "M-QRSCU-01", "M-QRSCU-02", "M-DWFIND-07", "M-DWMOVE-03")
@pytest.mark.req("X-VIEW-26", "X-VIEW-27", "X-QR-01", "X-VIEW-07")
def test_find_choose_and_retrieve(tmp_path: Path) -> None:
    urls = []
    for name in ("node", "own"):
        (tmp_path / name).mkdir()
        urls.append(f"sqlite:///{tmp_path / name / 'index.db'}")
        migrate(urls[-1])
    with running(tmp_path / "own", urls[1], ae=HostedAE(title="OWN")) as own:
        peers = [Peer(title="OWN", host="127.0.0.1", port=own.port)]
        with running(tmp_path / "node", urls[0], ae=HostedAE(title="NODE"), peers=peers) as node:
            same_patient = {"PatientID": "P1"}
            node.send(made(1), made(2, series=2), made(1, study=2, **same_patient), made(1, study=3))
            name = f"NODE@127.0.0.1:{node.port}"
            # the attributes of the levels above are asked for below, which a relational query allows
            wished = [part for key in ("PatientName", "StudyDate", "StudyInstanceUID") for part in ("-k", key)]
            asked = ["find", name, "--level", "series", "-k", "PatientID=P1", *wished, "--json"]
            found = json.loads(CliRunner().invoke(app, asked).output)
            assert len(found) == 3
            assert {each["00100010"]["Value"][0]["Alphabetic"] for each in found} == {"Doe^Jane"}
            assert {each["00080054"]["Value"][0] for each in found} == {"NODE"}
            chosen = next(each for each in found if each["00200011"]["Value"] == [2])
            uids = {tag: chosen[tag]["Value"][0] for tag in ("0020000D", "0020000E")}
            done = CliRunner().invoke(
                app,
                ["move", name, "--to", "OWN", "--level", "series", "--json"]
                + [part for tag, uid in uids.items() for part in ("-k", f"{tag[:4]},{tag[4:]}={uid}")],
            )
            assert json.loads(done.output) == {
                "status": "0000", "completed": 1, "failed": 0, "warning": 0, "comment": ""
            }  # fmt: skip
            assert [row.sop_uid for row in own.rows("instance")] == [sop_uid(2, series=2)]
            patients = node.find(keys("STUDY", PatientID="P1", StudyInstanceUID=""))
            assert sorted(string_of(answer, 0x0020000D) for _, answer in patients[:-1]) == [study_uid(1), study_uid(2)]
            assert [row.patient_id for row in node.rows("patient")] == ["P1", "P3"]


class Silent:
    """Accepts an association and says no more."""

    def sink(self, association: object, context: object, command: dimse.Command) -> dimse.Sink:
        return dimse.BufferSink()

    def perform(self, association: object, context: object, command: dimse.Command, sink: object) -> None:
        self.released.wait(30)
        raise RuntimeError("it would have answered by now")

    def __init__(self) -> None:
        self.released = threading.Event()


@pytest.mark.req("P-FIND-09", "P-FIND-10", "P-MOVE-12", "P-MOVE-13", "M-MOVE-08")
@pytest.mark.parametrize("command", ["find", "move"])
def test_a_node_that_does_not_answer_in_time(tmp_path: Path, command: str) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[limits]\nresponse = 0.2\n")
    silent = Silent()
    offers = dimse.TitlePolicy(lambda _abstract: dimse.Offer(()))
    acceptor = dimse.Acceptor(offers, lambda _context, _command: silent)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=acceptor.serve, args=(listener,))
        thread.start()
        to = ["--to", "OWN"] if command == "move" else []
        node = f"NODE@127.0.0.1:{listener.getsockname()[1]}"
        done = CliRunner().invoke(app, [command, node, *to, "-k", "StudyInstanceUID=1.2", "--config", str(settings)])
        silent.released.set()
        acceptor.stop()
        thread.join(30)
    assert done.exit_code == 3
    assert "timeout" in done.output
    assert Peer(title="NODE").associations == 4
