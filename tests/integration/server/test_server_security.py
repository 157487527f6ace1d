"""A whole server with TLS ports and user identities: side by side with plain ones, per AE, per peer, and reloaded."""

import json
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from archives import keys, unused_port
from certificates import Authority, Issued
from isocenter import dimse
from isocenter.config import Tls
from isocenter.dicom import uids
from isocenter.dicom.dataset import encode
from isocenter.dimse import Acceptor, AssociationRejected, Offer, PeerUnreachable, Secure, TitlePolicy, UserIdentity
from isocenter.security.passcodes import hashed
from isocenter.security.tls import client_context, server_context
from peer_programs import run
from senders import CT, sample
from servers import Server, isocenter, until

HOST = "127.0.0.1"


@pytest.fixture(name="ca", scope="module")
def fixture_ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(name="own", scope="module")
def fixture_own(ca: Authority) -> Issued:
    return ca.issue("server")


@pytest.fixture(name="client", scope="module")
def fixture_client(ca: Authority) -> Issued:
    return ca.issue("client")


def tls_table(ca: Authority, own: Issued, port: int, more: str = "") -> str:
    return f"""
[tls]
ports = [{port}]
certificate = "{own.certificate}"
key = "{own.key}"
trusted = ["{ca.certificate}"]
{more}
"""


@contextmanager
def serving(folder: Path, text: str) -> Iterator[Server]:
    """A server with this settings file."""
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "isocenter.toml").write_text(text)
    with Server(folder / "data", settings={"processes__dicom": 1}) as server:
        yield server


def tls_port(server: Server) -> int:
    port: int = json.loads((server.data / "run" / "ports.json").read_text())["tls_ports"][0]
    return port


def asking(ca: Authority, client: Issued) -> Secure:
    tls = Tls(certificate=client.together, trusted=(ca.certificate,))
    return Secure(client_context(tls, check_name=True), HOST)


def call(
    port: int, tls: Secure | None = None, *, called: str = "ISOCENTER", calling: str = "WARD",
    user: UserIdentity | None = None,
) -> dimse.ClientAssociation:  # fmt: skip
    contexts = [
        dimse.ProposedContext(uids.VERIFICATION, (uids.IMPLICIT_LE,)),
        dimse.ProposedContext(CT, (uids.EXPLICIT_LE,)),
    ]
    return dimse.connect((HOST, port), calling=calling, called=called, contexts=contexts, ssl=tls, user_identity=user)


def echo(*where: Any, **how: Any) -> int:
    with call(*where, **how) as association:
        return association.echo()


def rejected(*where: Any, **how: Any) -> tuple[int, int, int]:
    with pytest.raises(AssociationRejected) as info:
        echo(*where, **how)
    return info.value.result, info.value.source, info.value.rejection


@pytest.mark.req("P-SEC-01", "M-SEC-01")
def test_tls_beside_plain_and_who_must_use_it(tmp_path: Path, ca: Authority, own: Issued, client: Issued) -> None:
    other = ca.issue("other")
    text = (
        tls_table(ca, own, 0)
        + f"""
[[ae]]
title = "ISOCENTER"
[[ae]]
title = "VAULT"
tls_only = true
[[peer]]
title = "SECURE"
tls_only = true
[[peer]]
title = "PINNED"
tls_fingerprint = "{client.fingerprint}"
"""
    )
    with serving(tmp_path, text) as server:
        tls, plain, secure = asking(ca, client), server.dicom_port, tls_port(server)
        assert echo(plain) == echo(secure, tls) == echo(secure, tls, called="VAULT") == 0
        assert rejected(plain, called="VAULT") == (1, 1, 1)
        assert rejected(plain, calling="SECURE") == (1, 1, 1)
        assert echo(secure, tls, calling="SECURE") == echo(secure, tls, calling="PINNED") == 0
        assert rejected(secure, asking(ca, other), calling="PINNED") == (1, 1, 3)
        with call(secure, tls) as association:
            each = sample(1)
            source = dimse.BytesSource(each.data)
            assert association.store(association.context_for(CT).id, CT, each.instance, source) == 0
        accepted = list(server.events("association.accepted"))
        assert [event.get("tls") for event in accepted] == [None, *["TLSv1.3"] * 5]
        assert accepted[1]["certificate"] == client.fingerprint.replace(":", "").lower()
        # what ours sends to a peer over TLS: the command line with this installation's settings
        done = run(*isocenter("echo", "--tls", "--data", server.data), ok=False)
        assert done.returncode == 0, done.stderr


def test_an_ae_may_have_a_tls_port_of_its_own(tmp_path: Path, ca: Authority, own: Issued, client: Issued) -> None:
    port = unused_port()
    text = tls_table(ca, own, port) + f'[[ae]]\ntitle = "ISOCENTER"\n[[ae]]\ntitle = "VAULT"\nports = [{port}]\n'
    with serving(tmp_path, text) as server:
        tls = asking(ca, client)
        assert echo(port, tls, called="VAULT") == 0
        assert rejected(port, tls) == (1, 1, 7)
        assert rejected(server.dicom_port, called="VAULT") == (1, 1, 7)
        assert echo(server.dicom_port) == 0


def test_a_move_over_tls(tmp_path: Path, ca: Authority, own: Issued) -> None:
    """The destination is called over TLS, with our certificate, and must show a good one."""
    got: list[str] = []

    class Taking(dimse.BufferedService):
        def answer(self, association: Any, context: Any, command: Any, data: bytes | None) -> None:
            got.append(association.session.version)
            association.respond(context.id, dimse.response(command, 0))

    there = Tls(certificate=ca.issue("there").together, trusted=(ca.certificate,))
    policy = TitlePolicy(lambda _: Offer((uids.EXPLICIT_LE,)))
    acceptor = Acceptor(policy, lambda *_: Taking(), ssl_context=server_context(there))
    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=acceptor.serve, args=(listener,))
        thread.start()
        port = listener.getsockname()[1]
        peer = f'title = "{{0}}"\nhost = "{HOST}"\nport = {port}\ntls = {{1}}\n'
        text = tls_table(ca, own, 0) + "".join(
            "[[peer]]\n" + peer.format(title, over) for title, over in (("THERE", "true"), ("WRONGLY", "false"))
        )
        with serving(tmp_path, text) as server:
            each = sample(1)
            with call(server.dicom_port) as association:
                source = dimse.BytesSource(each.data)
                assert association.store(association.context_for(CT).id, CT, each.instance, source) == 0
            contexts = [dimse.ProposedContext(uids.STUDY_ROOT_MOVE, (uids.EXPLICIT_LE,))]
            with dimse.connect((HOST, server.dicom_port), calling="W", called="ISOCENTER", contexts=contexts) as link:
                wanted = encode(keys("STUDY", StudyInstanceUID=each.study), uids.EXPLICIT_LE)
                *_, last = link.move(uids.STUDY_ROOT_MOVE, wanted, "THERE")
                assert (last.status, last.completed) == (0, 1)
                *_, last = link.move(uids.STUDY_ROOT_MOVE, wanted, "WRONGLY")
                assert last.status != 0
        assert got == ["TLSv1.3"]
        assert acceptor.stop(10)
        thread.join(10)


def test_certificates_are_read_again_by_a_reload(tmp_path: Path, ca: Authority, own: Issued, client: Issued) -> None:
    here = tmp_path / "here.pem"
    shutil.copy(own.together, here)
    fresh = ca.issue("fresh")
    text = f'[tls]\nports = [0]\ncertificate = "{here}"\ntrusted = ["{ca.certificate}"]\n'
    with serving(tmp_path, text) as server:
        port = tls_port(server)
        before = Secure(asking(ca, client).context, HOST, own.fingerprint.replace(":", "").lower())
        after = Secure(before.context, HOST, fresh.fingerprint.replace(":", "").lower())
        assert echo(port, before) == 0
        here.write_text("no certificate")
        os.kill(server.supervisor().pid, signal.SIGHUP)
        until(lambda: list(server.events("settings.refused")), told="settings.refused")
        assert echo(port, before) == 0
        shutil.copy(fresh.together, here)
        server.reload()
        assert tls_port(server) == port
        assert echo(port, after) == 0
        with pytest.raises(PeerUnreachable, match="fingerprint"):
            echo(port, before)


def test_a_bad_certificate_keeps_the_server_from_starting(tmp_path: Path, ca: Authority, own: Issued) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "isocenter.toml").write_text(tls_table(ca, own, 0).replace(".key", ".crt"))
    for command in (("serve",), ("config", "check")):
        done = run(*isocenter(*command, "--data", tmp_path / "data"), ok=False)
        assert done.returncode == 2
        assert "tls.key" in done.stderr


# --- identities


@pytest.mark.req("C-RULE-77")
def test_identities_as_each_ae_wants_them(tmp_path: Path) -> None:
    text = f"""
[[user]]
name = "anna"
passcode = "{hashed("open sesame")}"
[[ae]]
title = "ISOCENTER"
[[ae]]
title = "MAYBE"
identity = "optional"
[[ae]]
title = "MUST"
identity = "required"
"""
    with serving(tmp_path, text) as server:
        port = server.dicom_port
        good, bad = UserIdentity(2, b"anna", b"open sesame"), UserIdentity(2, b"anna", b"guess")
        asked = UserIdentity(2, b"anna", b"open sesame", response_wanted=True)
        token = UserIdentity(5, b"a.b.c", response_wanted=True)
        answers = {}
        for title in ("ISOCENTER", "MAYBE", "MUST"):
            for name, user in (("none", None), ("good", good), ("asked", asked), ("bad", bad), ("token", token)):
                try:
                    with call(port, called=title, user=user) as association:
                        answers[title, name] = association.identity_response
                except AssociationRejected as refusal:
                    answers[title, name] = (refusal.result, refusal.source, refusal.rejection)
        no = (1, 1, 1)
        assert answers == {
            ("ISOCENTER", "none"): None, ("ISOCENTER", "good"): None, ("ISOCENTER", "asked"): None,
            ("ISOCENTER", "bad"): None, ("ISOCENTER", "token"): None,
            ("MAYBE", "none"): None, ("MAYBE", "good"): None, ("MAYBE", "asked"): b"",
            ("MAYBE", "bad"): no, ("MAYBE", "token"): None,
            ("MUST", "none"): no, ("MUST", "good"): None, ("MUST", "asked"): b"",
            ("MUST", "bad"): no, ("MUST", "token"): no,
        }  # fmt: skip
        users = [event.get("user") for event in server.events("association.accepted")]
        assert users.count("anna") == 4
        assert "open sesame" not in server.whole_log()
        assert "guess" not in server.whole_log()
