"""Whatever is sent, asked, refused or broken: the log of a server names no patient. (Other fault tests look, too.)"""

import struct
import urllib.parse
from collections.abc import Callable

from isocenter.dicom import uids
from senders import CT, PATIENTS, SECRETS, Book, connect, query, sample, send, store
from servers import Server


def test_the_log_names_no_patient(make_server: Callable[..., Server], book: Book) -> None:
    server = make_server(settings={"log_level": "DEBUG"}).start()
    send(server.dicom_port, book, [sample(n, run=930, sender=n % 4) for n in range(12)])
    refused(server)
    asked(server)
    over_http(server)
    server.kill_kind("web")
    server.await_restart("web")
    assert server.stop() == 0
    log = server.whole_log()
    assert '"level": "debug"' in log or '"level": "info"' in log
    assert "object.set_aside" in log
    assert not [secret for secret in SECRETS if secret in log or ascii(secret)[1:-1] in log]


def refused(server: Server) -> None:
    """Objects that are set aside, in conflict, or cut off in the middle of a name."""
    good, other = sample(1, run=930, sender=1), sample(2, run=930, sender=2)
    with connect(server.dicom_port) as association:
        assert store(association, good._replace(instance="1.2.3")) != 0
        assert store(association, good._replace(data=good.data[:200])) != 0
        assert store(association, good._replace(data=good.data.replace(b"PN", b"\xff\xff"))) != 0
        assert store(association, good._replace(data=_longer_name(good.data))) != 0
        # another patient's object under a UID that is kept already
        assert store(association, good._replace(data=good.data.replace(_id(1), _id(2)))) in (0, 0xB000)
        assert store(association, other) == 0


def _id(sender: int) -> bytes:
    return PATIENTS[sender][1].encode()


def _longer_name(data: bytes) -> bytes:
    """The length of the name reaches beyond the end."""
    at = data.index(b"\x10\x00\x10\x00PN")
    return data[: at + 6] + struct.pack("<H", 0xFFFE) + data[at + 8 :]


def asked(server: Server) -> None:
    """Queries by name and id, right and wrong."""
    for name, number in PATIENTS:
        query(server.dicom_port, "STUDY", PatientName=name.replace("^", "*"), PatientID=number, StudyInstanceUID="")
    with connect(server.dicom_port, calling="ASKER") as association:
        assert association.context_for(CT).transfer_syntax == uids.EXPLICIT_LE


def over_http(server: Server) -> None:
    """Names in paths, queries and bodies that make no sense."""
    for name, number in PATIENTS:
        quoted, identity = urllib.parse.quote(name), urllib.parse.quote(number)
        assert server.get(f"/dicom-web/studies?PatientName={quoted}&PatientID={identity}")[0] in (200, 204)
        assert server.get(f"/dicom-web/studies?PatientName={quoted}&limit={identity}")[0] == 400
        assert server.get(f"/dicom-web/studies/{quoted}/metadata")[0] in (400, 404)
        assert server.get(f"/{quoted}")[0] == 404
        assert server.get(f"/dicom-web/studies?{identity}={quoted}")[0] in (200, 204, 400)
