"""C-MOVE and what is known of the destination: how many associations it may have, and the window of the AE."""

import threading
from pathlib import Path
from typing import Any

import pytest

from archives import Destination, keys, listening, made, running, sop_uid, study_uid
from isocenter.config import HostedAE, Limits, Window
from isocenter.dimse import Progress
from isocenter.exchange.turns import Turns

STUDY = keys("STUDY", StudyInstanceUID=study_uid())


def known(destination: Destination, **values: Any) -> Any:
    """The destination as a peer of ours."""
    from msgspec.structs import replace

    return replace(destination.peer, **values)


@pytest.mark.req("I-ASSOC-06", "I-MOVE-ST-07")
def test_a_peer_that_has_all_its_associations_fails_the_move_after_a_while(tmp_path: Path, sqlite_url: str) -> None:
    destination = Destination()
    with listening(destination):
        peer = known(destination, associations=1)
        with running(tmp_path, sqlite_url, peers=[peer], limits=Limits(turn=0.05)) as archive:
            archive.send(made(1), made(2))
            with Turns(archive.settings.run_folder).taken(peer, 0):
                (only,) = archive.move("DEST", STUDY)
                assert (only.status, only.completed, only.failed) == (0xA702, 0, 2)
                assert only.comment == "DEST has all its associations"
                assert not destination.requests
            assert archive.move("DEST", STUDY)[-1].status == 0


@pytest.mark.req("I-ASSOC-06")
def test_moves_to_one_peer_take_turns(tmp_path: Path, sqlite_url: str) -> None:
    destination = Destination()
    with listening(destination):
        peer = known(destination, associations=1)
        with running(tmp_path, sqlite_url, peers=[peer]) as archive:
            archive.send(made(1))
            destination.before_answer.clear()
            finals: list[Progress] = []
            threads = [
                threading.Thread(target=lambda: finals.append(archive.move("DEST", STUDY)[-1])) for _ in range(3)
            ]
            for thread in threads:
                thread.start()
            assert destination.arrived.acquire(timeout=30)
            # the first holds the only place until it is answered
            assert len(destination.requests) == 1
            destination.before_answer.set()
            for thread in threads:
                thread.join(30)
    assert [final.status for final in finals] == [0, 0, 0]
    assert destination.uids == [sop_uid(1)] * 3


@pytest.mark.req("I-ASSOC-08")
@pytest.mark.parametrize(("invoked", "proposed"), [(1, None), (8, (8, 1)), (0, (0, 1))])
def test_the_window_of_the_ae_is_proposed_to_the_destination(
    tmp_path: Path, sqlite_url: str, invoked: int, proposed: tuple[int, int] | None
) -> None:
    destination = Destination()
    with listening(destination):
        ae = HostedAE(window=Window(invoked=invoked))
        with running(tmp_path, sqlite_url, ae=ae, peers=[destination.peer]) as archive:
            archive.send(made(1), made(2))
            assert archive.move("DEST", STUDY)[-1].status == 0
    assert [request.user.window for request in destination.requests] == [proposed]


@pytest.mark.req("I-ASSOC-08", "I-ASSOC-33")
def test_several_stores_at_once_where_the_ae_grants_them(tmp_path: Path, sqlite_url: str) -> None:
    from archives import CT
    from isocenter.dicom import uids
    from isocenter.dimse import BytesSource, Outgoing, ProposedContext

    objects = [made(number) for number in range(1, 7)]
    with running(tmp_path, sqlite_url, ae=HostedAE(window=Window(performed=4))) as archive:
        with archive.connect(ProposedContext(CT, (uids.EXPLICIT_LE,)), window=16) as association:
            assert association.window == 4
            outgoing = (
                Outgoing(1, each.sop_class, each.sop_uid, BytesSource([each.data]), 0, None, None) for each in objects
            )
            statuses = [response.status for _, response in association.store_many(outgoing)]
        assert statuses == [0] * 6
        assert len(archive.rows("instance")) == 6
