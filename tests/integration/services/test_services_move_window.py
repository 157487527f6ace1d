"""C-MOVE with an asynchronous operations window: negotiated with the destination, and made use of."""

from pathlib import Path

import pytest

from archives import keys, made, running, study_uid
from isocenter import dimse
from isocenter.config import HostedAE, Peer, Window
from isocenter.dimse import commands
from isocenter.dimse.pdu import ReleaseReply, ReleaseRequest, UserInformation
from scripted_peer import ScriptedPeer, acceptance, listening, message


@pytest.mark.req("I-ASSOC-08")
def test_the_destination_gets_several_before_it_answers_any(tmp_path: Path, sqlite_url: str) -> None:
    def destination(peer: ScriptedPeer) -> None:
        asked = peer.pdu()
        assert isinstance(asked, dimse.AssociateRequest)
        assert asked.user.window == (4, 1)
        peer.send(acceptance(asked, user=UserInformation(window=(4, 1))))
        got = [peer.message() for _ in range(4)]
        for context, command, _ in reversed(got):
            peer.send(message(context, commands.response(command, 0)))
        assert isinstance(peer.pdu(), ReleaseRequest)
        peer.send(ReleaseReply())

    with listening(destination) as port:
        peer = Peer(title="DEST", host="127.0.0.1", port=port)
        with running(tmp_path, sqlite_url, ae=HostedAE(window=Window(invoked=4)), peers=(peer,)) as archive:
            archive.send(*(made(n) for n in range(1, 5)))
            *_, last = archive.move("DEST", keys("STUDY", StudyInstanceUID=study_uid()))
    assert (last.status, last.completed, last.failed) == (0, 4, 0)
