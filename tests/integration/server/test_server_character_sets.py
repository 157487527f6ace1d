"""What a sender doesn't say about its texts is assumed alike wherever they are read: index, metadata, what is sent."""

import json
from collections.abc import Callable
from typing import Any
from urllib.request import Request, urlopen

import pytest

from archives import CT, Destination, answered, keys, listening, made, study_uid
from isocenter import dimse
from isocenter.dicom import uids
from isocenter.dicom.dataset import decode, encode, text
from isocenter.dimse import ProposedContext


def _json(url: str) -> Any:
    with urlopen(Request(url, headers={"Accept": "application/dicom+json"})) as answer:
        return json.loads(answer.read())


@pytest.mark.req("I-CHAR-03", "I-CHAR-04", "I-CHAR-07")
def test_a_peers_default_set_everywhere(start: Callable[..., Any]) -> None:
    destination = Destination()
    with listening(destination):
        peers = [
            {"title": "POLISH", "character_set": "ISO_IR 101"},
            {"title": "DEST", "host": "127.0.0.1", "port": destination.port, "character_set_sent": "ISO_IR 192"},
        ]
        server = start(ISOCENTER_PEER=json.dumps(peers)).ready()
        elements = decode(made(1, pixels=b"").data, uids.EXPLICIT_LE)
        elements[0x00100010] = text("PN", "Wałęsa", "ISO_IR 101")
        sent = made(1)._replace(data=encode(elements, uids.EXPLICIT_LE))
        contexts = [ProposedContext(c, (uids.EXPLICIT_LE,)) for c in (CT, uids.STUDY_ROOT_MOVE)]
        with dimse.connect(
            ("127.0.0.1", server.ports["dicom_port"]), calling="POLISH", called="ISOCENTER", contexts=contexts,
            settings=dimse.Settings(artim=60, dimse=60, response=60),
        ) as association:  # fmt: skip
            assert answered(association, sent).status == 0
            study = encode(keys("STUDY", StudyInstanceUID=study_uid()), uids.EXPLICIT_LE)
            assert list(association.move(uids.STUDY_ROOT_MOVE, study, "DEST"))[-1].status == 0
        root = f"{server.url}/dicom-web/studies"
        (found,), (metadata,) = _json(f"{root}?PatientName=Wa*"), _json(f"{root}/{study_uid()}/metadata")
        assert found["00100010"]["Value"] == metadata["00100010"]["Value"] == [{"Alphabetic": "Wałęsa"}]
    (received,) = destination.received
    assert decode(received.data, uids.EXPLICIT_LE)[0x00100010] == text("PN", "Wałęsa", "ISO_IR 192")
